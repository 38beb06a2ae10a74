"""Which of several models is better, and by how much, on the same images.

The number of images is N, of thresholds T, of resamples of the bootstrap R.
"""

from collections.abc import Callable, Mapping

import numpy as np

from spectjax.evaluation.comparison import compare_pairs
from spectjax.evaluation.metrics_sections import Comparison
from spectjax.metrics.intervals import bootstrap_patients, bootstrap_sums
from spectjax.metrics.lesions import HALF, THRESHOLDS, Froc, false_at, sensitivity_at
from spectjax.metrics.pixel import PixelCounts, score_pixels
from spectjax.tasks.hotspots.cases import SegmentationCases
from spectjax.tasks.hotspots.detection_scores import (
    match_kinds,
    prepare_detection_scores,
)
from spectjax.tasks.hotspots.detections import DetectionCases
from spectjax.tasks.hotspots.metrics_sections import FalseRegions, OthersFalseRegions

# Pooled over pixels; mean over images, and over those with a lesion; best lesion
# sensitivity within one false region per image.
COMPARED = ("pooled_IoU", "per_image_IoU", "with_lesion_IoU", "sensitivity_at_1")
# Paths of the scores of detections.
DETECTIONS_COMPARED = ("mask.AP50", "mask.AP10_50", "box.AP50", "box.AP10_50")

Score = Callable[[np.ndarray], dict[str, float]]


def compare_segmentation(cases: Mapping[str, SegmentationCases]) -> list[Comparison]:
    """Returns the differences of all pairs of models in the entries of `COMPARED`.

    Args:
        cases: what each model said about the same images in the same order.
    """
    first = next(iter(cases.values()))
    return compare_pairs(
        {name: prepare_scores(each) for name, each in cases.items()},
        first.patients,
        names=COMPARED,
        bootstrap=bootstrap_patients,
        everyone=np.arange(len(first)),
    )


def compare_detections(cases: Mapping[str, DetectionCases]) -> list[Comparison]:
    """Returns the differences of all pairs of models in `DETECTIONS_COMPARED`.

    Args:
        cases: what each model detected in the same images in the same order.
    """
    if len(cases) < 2:  # matching takes long
        return []
    first = next(iter(cases.values()))
    return compare_pairs(
        {k: prepare_detection_scores(match_kinds(each)) for k, each in cases.items()},
        first.patients,
        names=DETECTIONS_COMPARED,
        bootstrap=bootstrap_sums,
        everyone=np.ones((1, len(first))),
    )


def compare_false_regions(
    cases: Mapping[str, SegmentationCases], reference: str
) -> FalseRegions:
    """Returns how many false regions models mark where they find as many lesions.

    Each model takes the threshold at which it has the fewest false regions among those
    that reach the lesion sensitivity of the reference at the reference's own threshold.

    Args:
        cases: what each model said about the same images in the same order.
        reference: name of the model to compare with, at the threshold 0.5.

    Returns:
        The interval is without the resamples in which no threshold is as sensitive as
        the reference, or that marks nothing false. NaN where none is on all images.
    """
    everyone = np.arange(len(cases[reference]))
    count_reference = prepare_froc(cases[reference])
    own = count_reference(everyone)
    models: dict[str, OthersFalseRegions] = {}
    for name, each in cases.items():
        if name == reference:
            continue
        score = _compare_at_sensitivity(prepare_froc(each), count_reference)
        interval = bootstrap_patients(each.patients, score)["fraction"]
        found = score(everyone)
        models[name] = {
            "false_per_image": found["false_per_image"],
            "fraction": found["fraction"],
            "interval": interval.bounds,
            "n_unreached": interval.n_undefined,
        }
    return {
        "reference": reference,
        "sensitivity": float(own.sensitivity[HALF]),
        "false_per_image": float(own.false_per_image[HALF]),
        "models": models,
    }


def prepare_scores(cases: SegmentationCases) -> Score:
    """Returns a function from images, drawn once or more, to `COMPARED`."""
    pixels, count = cases.pixels, prepare_froc(cases)
    iou = score_pixels(pixels)["IoU"]
    has_lesion = pixels.tp + pixels.fn > 0

    def score(images: np.ndarray) -> dict[str, float]:
        drawn = PixelCounts(
            *(each[images] for each in (pixels.tp, pixels.fp, pixels.fn, pixels.tn))
        )
        with_lesion = images[has_lesion[images]]
        values = (
            float(score_pixels(drawn.pool())["IoU"]),
            float(iou[images].mean()),
            float(iou[with_lesion].mean()) if with_lesion.size else float("nan"),
            sensitivity_at(count(images), 1.0),
        )
        return dict(zip(COMPARED, values, strict=True))

    return score


def prepare_froc(cases: SegmentationCases) -> Callable[[np.ndarray], Froc]:
    """Returns a function from images, drawn once or more, to their curve."""
    lesions = np.bincount(cases.lesions.image, minlength=len(cases)).astype(np.float64)
    found = np.zeros((len(cases), len(THRESHOLDS)))
    np.add.at(found, cases.lesions.image, cases.lesions.found)
    false = cases.regions.false.astype(np.float64)

    def count(images: np.ndarray) -> Froc:
        drawn = np.bincount(images, minlength=len(cases)).astype(np.float64)
        n_lesions = drawn @ lesions
        return Froc(
            THRESHOLDS,
            sensitivity=drawn @ found / n_lesions
            if n_lesions
            else np.full(len(THRESHOLDS), np.nan),
            false_per_image=drawn @ false / drawn.sum(),
        )

    return count


def _compare_at_sensitivity(
    count: Callable[[np.ndarray], Froc], count_reference: Callable[[np.ndarray], Froc]
) -> Score:
    def compare(images: np.ndarray) -> dict[str, float]:
        reference = count_reference(images)
        false = false_at(count(images), reference.sensitivity[HALF])
        others = reference.false_per_image[HALF]
        return {
            "false_per_image": false,
            "fraction": false / others if others else float("nan"),
        }

    return compare
