"""Which of several segmentation models is better, and by how much, on the same images.

Models are compared in pairs: a resample of the bootstrap draws the same patients for
both, so that what makes an image hard for both does not blur their difference. The
number of images is N, of thresholds T.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from spectjax.metrics.intervals import bootstrap_patients
from spectjax.metrics.lesions import HALF, THRESHOLDS, Froc, false_at, sensitivity_at
from spectjax.metrics.pixel import PixelCounts, score_pixels
from spectjax.tasks.hotspots.cases import SegmentationCases
from spectjax.tasks.hotspots.scores import LEVEL, RESAMPLES

# Pooled over pixels; mean over images, and over those with a lesion; best lesion
# sensitivity within one false region per image.
COMPARED = ("pooled_IoU", "per_image_IoU", "with_lesion_IoU", "sensitivity_at_1")
_SEED = 0

Score = Callable[[np.ndarray], dict[str, float]]


def compare_models(cases: Mapping[str, SegmentationCases]) -> list[dict[str, Any]]:
    """Returns the differences of all pairs of models, in the order given.

    Args:
        cases: what each model said about the same images in the same order.

    Returns:
        For each pair `models`, two names; `differences`, first minus second, of the
        entries of `COMPARED`; and `intervals`, 95 %, [low, high] of each.
    """
    compared = []
    for first, second in itertools.combinations(cases, 2):
        subtract = _subtract(
            prepare_scores(cases[first]), prepare_scores(cases[second])
        )
        intervals = bootstrap_patients(
            cases[first].patients,
            subtract,
            seed=_SEED,
            resamples=RESAMPLES,
            level=LEVEL,
        )
        compared.append(
            {
                "models": [first, second],
                "differences": subtract(np.arange(len(cases[first]))),
                "intervals": {
                    name: [each.low, each.high] for name, each in intervals.items()
                },
            }
        )
    return compared


def compare_false_regions(
    cases: Mapping[str, SegmentationCases], reference: str
) -> dict[str, Any]:
    """Returns how many false regions models mark where they find as many lesions.

    Each model takes the threshold at which it has the fewest false regions among those
    that reach the lesion sensitivity of the reference at the reference's own threshold.

    Args:
        cases: what each model said about the same images in the same order.
        reference: name of the model to compare with, at the threshold 0.5.

    Returns:
        `reference`, its `sensitivity` and `false_per_image`; `models`, for each of the
        others `false_per_image`, `fraction` of the reference's, its 95 % `interval`,
        and `n_unreached`: resamples in which no threshold is as sensitive as the
        reference, or it marks nothing false; the interval is without them. NaN where
        none is on all images.
    """
    everyone = np.arange(len(cases[reference]))
    count_reference = prepare_froc(cases[reference])
    own = count_reference(everyone)
    models = {}
    for name, each in cases.items():
        if name == reference:
            continue
        score = _compare_at_sensitivity(prepare_froc(each), count_reference)
        interval = bootstrap_patients(
            each.patients, score, seed=_SEED, resamples=RESAMPLES, level=LEVEL
        )["fraction"]
        models[name] = score(everyone) | {
            "interval": [interval.low, interval.high],
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


def _subtract(first: Score, second: Score) -> Score:
    def subtract(images: np.ndarray) -> dict[str, float]:
        a, b = first(images), second(images)
        return {name: a[name] - b[name] for name in COMPARED}

    return subtract


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
