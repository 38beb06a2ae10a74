"""A detector's scores with their uncertainty: average precision of boxes and masks.

The number of images is N. One function scores one run and joined folds alike.
"""

from collections.abc import Callable
from typing import cast

import numpy as np

from spectjax.metrics.detection import (
    AP_NAMES,
    RECALLS,
    average_classes,
    match_classes,
    score_matches,
)
from spectjax.metrics.instance_matching import LOW_IOUS, SIZE_NAMES, Matches
from spectjax.metrics.intervals import bootstrap_sums, describe_intervals
from spectjax.tasks.hotspots.detections import (
    DetectionCases,
    compare_boxes,
    compare_masks,
)
from spectjax.tasks.hotspots.metrics_sections import (
    Detection,
    DetectionCurves,
    KindPrecisions,
    Precisions,
)

CURVE_IOUS = (0.1, 0.3, 0.5)


def summarise_detections(cases: DetectionCases) -> Detection:
    """Returns all scores of detections, as `metrics.json` has them.

    Intervals are 95 %, by a bootstrap over patients. NaN stands for an undefined score.
    """
    matches = match_kinds(cases)
    scores = _score(matches, len(cases))
    return {
        "n_lesions": sum(len(each) for each in cases.lesions),
        "n_detections": sum(len(each) for each in cases.detections),
        "box": scores["box"],
        "mask": scores["mask"],
        "curves": _trace(matches, len(cases)),
        "intervals": describe_intervals(
            bootstrap_sums(cases.patients, prepare_detection_scores(matches))
        ),
    }


def score_detections(cases: DetectionCases) -> dict[str, KindPrecisions]:
    """Returns `box` and `mask` alone, which takes a fraction of the time."""
    return _score(match_kinds(cases), len(cases))


def match_kinds(cases: DetectionCases) -> dict[str, list[Matches]]:
    """Returns the matches of each class, by boxes and by masks."""
    return {
        "box": match_classes(compare_boxes(cases)),
        "mask": match_classes(compare_masks(cases)),
    }


def prepare_detection_scores(
    matches: dict[str, list[Matches]],
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns a function from R resamples to scores by path, each (R,).

    It takes how often each image is drawn, float64, (R, N). Its scores are all those of
    all lesions, and of each class of size AP50 and AP10_50.
    """

    def score(drawn: np.ndarray) -> dict[str, np.ndarray]:
        scores = {}
        for kind, each in matches.items():
            for name, values in score_matches(each, drawn).items():
                scores[f"{kind}.{name}"] = values
            for size in SIZE_NAMES[1:]:
                by_iou = average_classes(each, drawn, LOW_IOUS, size)
                values = by_iou.precision.mean(axis=-1)
                path = f"{kind}.by_size.{size}"
                scores[f"{path}.AP50"] = values[-1]
                scores[f"{path}.AP10_50"] = values.mean(axis=0)
        return scores

    return score


def _score(
    matches: dict[str, list[Matches]], n_images: int
) -> dict[str, KindPrecisions]:
    """Returns what `score_detections` does."""
    everyone = np.ones((1, n_images))

    def score(each: list[Matches], size: str) -> Precisions:
        scores = score_matches(each, everyone, size)
        return cast(Precisions, {name: float(scores[name][0]) for name in AP_NAMES})

    return {
        kind: {
            **score(each, SIZE_NAMES[0]),
            "by_size": {
                size: {
                    "n": int(sum(found.lesions[row].sum() for found in each)),
                    **score(each, size),
                }
                for row, size in enumerate(SIZE_NAMES)
                if row
            },
        }
        for kind, each in matches.items()
    }


def _trace(matches: dict[str, list[Matches]], n_images: int) -> DetectionCurves:
    """Returns the interpolated precision at each recall, all images drawn once."""
    everyone = np.ones((1, n_images))
    curves: dict[str, dict[str, list[float | None]]] = {}
    for kind, each in matches.items():
        precision = average_classes(each, everyone, CURVE_IOUS).precision[:, 0]
        names = (f"{iou:g}" for iou in CURVE_IOUS)
        curves[kind] = dict(zip(names, precision.tolist(), strict=True))
    return {"recall": RECALLS.tolist(), "box": curves["box"], "mask": curves["mask"]}
