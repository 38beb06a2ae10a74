"""A detector's scores with their uncertainty: average precision of boxes and masks.

The number of images is N. One function scores one run and joined folds alike.
"""

from collections.abc import Callable
from typing import Any

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

KINDS = ("box", "mask")
CURVE_IOUS = (0.1, 0.3, 0.5)
LEVEL, RESAMPLES = 0.95, 2000
_SEED = 0


def summarise_detections(cases: DetectionCases) -> dict[str, Any]:
    """Returns all scores of detections, as `metrics.json` has them.

    Returns:
        `n_lesions` and `n_detections`; `box` and `mask`: what `score_detections`
        returns; `curves`: precision at 101 recalls (`recall`), by kind and IoU
        threshold; `intervals`: 95 %, by a bootstrap over patients, [low, high] by the
        path of the score, such as `mask.AP50` or `mask.by_size.6 to 12 px.AP50`, the
        numbers of resamples that are `undefined`, `resamples` and `level`. NaN stands
        for an undefined score.
    """
    matches = match_kinds(cases)
    return {
        "n_lesions": sum(len(each) for each in cases.lesions),
        "n_detections": sum(len(each) for each in cases.detections),
        **_score(matches, len(cases)),
        "curves": _trace(matches, len(cases)),
        "intervals": _bound(cases, matches),
    }


def score_detections(cases: DetectionCases) -> dict[str, Any]:
    """Returns the scores alone, which takes a fraction of the time.

    Returns:
        `box` and `mask`: each `AP10` to `AP50`, `AP10_50`, `AP75`, `AP` and `AR` (see
        `spectjax.metrics.detection.score_matches`), and `by_size`: the same, with the
        number `n` of lesions, for classes of the root of the area in pixels. NaN where
        there is no lesion.
    """
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


def _score(matches: dict[str, list[Matches]], n_images: int) -> dict[str, Any]:
    """Returns what `score_detections` does."""
    everyone = np.ones((1, n_images))

    def score(each: list[Matches], size: str) -> dict[str, float]:
        scores = score_matches(each, everyone, size)
        return {name: float(scores[name][0]) for name in AP_NAMES}

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


def _trace(matches: dict[str, list[Matches]], n_images: int) -> dict[str, Any]:
    """Returns the interpolated precision at each recall, all images drawn once."""
    everyone = np.ones((1, n_images))
    curves = {
        kind: average_classes(each, everyone, CURVE_IOUS)
        for kind, each in matches.items()
    }
    return {
        "recall": RECALLS.tolist(),
        **{
            kind: {
                f"{iou:g}": curve.precision[k, 0].tolist()
                for k, iou in enumerate(CURVE_IOUS)
            }
            for kind, curve in curves.items()
        },
    }


def _bound(cases: DetectionCases, matches: dict[str, list[Matches]]) -> dict[str, Any]:
    """Returns 95 % intervals by a bootstrap over patients."""
    intervals = bootstrap_sums(
        cases.patients,
        prepare_detection_scores(matches),
        seed=_SEED,
        resamples=RESAMPLES,
        level=LEVEL,
    )
    return describe_intervals(intervals, resamples=RESAMPLES, level=LEVEL)
