"""From regions in images with truth to what `operation.json` says.

The number of images is N, of regions M, of features F.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize

from spectjax.imaging.canvas import FRAME_HW
from spectjax.imaging.hotspots import Instances
from spectjax.input_pipeline import Examples
from spectjax.metrics.binary import compute_probs
from spectjax.tasks.hotspots.operation import (
    DEFAULT_POINT,
    FEATURES,
    POINTS,
    Feature,
    Operation,
    Point,
)
from spectjax.tasks.hotspots.region_cases import (
    CENTRES,
    RegionCases,
    collect_regions,
)
from spectjax.tasks.hotspots.regions import combine, is_large

# Log-odds of a region's pixels; of a thorax the level that finds most is kept, of whole
# bodies, where it matters how much is marked, the one whose area is the readers'. A
# model that learned by cross-entropy alone is sure of nothing that is small.
LEVELS = (0.0, -1.0, -2.0, -3.0)
# A camera of 8 mm resolution, better than any at the distance of a patient, shows a
# point as a disc of this area at half its height: pi / 4 * 8^2.
POINT_SOURCE_MM2 = 50.3
# So many of the regions that are lesions may be lost for their size.
_LOST_BY_SIZE = 0.01
# On standardised features; where all regions are told apart, weights would not end.
_SHRINKAGE = 1e-3
_CURVE_POINTS = 100
# How much a region's contrast counts at least, in units of the model's log-odds: models
# are surer on the phantom that they learned from than on real scans, and a fit on the
# phantom hardly asks for contrast. Of 1 958 real chest halves of 979 patients (BS-80K)
# the ranks are much the same from 4 to 12.
_LEAST_CONTRAST = 8.0
_ROUNDING = 1e-9


def make_operation(
    predict: Callable[[np.ndarray], np.ndarray | Instances],
    examples: Examples,
    *,
    batch_size: int,
    learnt_from: bool = False,
) -> Operation | None:
    """Returns what a model, or an ensemble, knows about its use.

    Args:
        predict: maps counts (B, H, W, 1) to the answer.
        examples: images with truth, of patients who are not scored.
        batch_size: B.
        learnt_from: whether the model learned from these images.

    Returns:
        None if the images do not tell: without lesion, or without a region of each
        kind.
    """
    found = collect_regions(predict, examples, batch_size=batch_size, levels=LEVELS)
    operations = [
        fit_operation(cases, examples, level, learnt_from=learnt_from)
        for level, cases in zip(LEVELS, found, strict=True)
    ]
    known = [
        (operation, cases)
        for operation, cases in zip(operations, found, strict=True)
        if operation is not None
    ]
    if examples.masks.shape[1:] == FRAME_HW:
        outlined = np.count_nonzero(examples.masks, axis=(1, 2))

        def agree_in_area(each: tuple[Operation, RegionCases]) -> float:
            marked = max(_measure_marked(*each), 1.0)
            return -abs(float(np.log(marked / (outlined @ each[1].pixel_mm2))))

        return max(known, key=agree_in_area, default=(None, None))[0]
    # To the percent; of equals the lowest: on real scans a model believes less.
    return max(reversed(known), key=_find_most, default=(None, None))[0]


def _find_most(each: tuple[Operation, RegionCases]) -> float:
    return round(each[0].points["balanced"].sensitivity or 0.0, 2)


def _measure_marked(operation: Operation, cases: RegionCases) -> float:
    """Returns the area that is marked in all images at the default point, mm2."""
    scores = compute_probs(combine_all(cases.features, operation))
    marked = scores > operation.points[DEFAULT_POINT].score
    marked &= is_large(cases.area_px, cases.area_mm2, operation)
    return float(cases.area_mm2[marked].sum())


def fit_operation(
    cases: RegionCases,
    examples: Examples,
    min_log_odds: float = 0.0,
    *,
    learnt_from: bool,
) -> Operation | None:
    """Returns what the regions of one level tell, see `make_operation`."""
    if not len(cases.lesion_image) or not cases.met.any() or cases.met.all():
        return None
    slope, intercept = fit_logistic(CENTRES[:, None], *cases.answers, shrinkage=0.0)
    *weights, region_intercept = _fit_score(cases.features, cases.met)
    known = np.maximum(np.sum(~np.isnan(cases.features), axis=0), 1)
    means = np.nansum(cases.features, axis=0) / known
    smallest = np.quantile(cases.area_mm2[cases.met], _LOST_BY_SIZE)
    operation = Operation(
        slope=float(slope),
        intercept=float(intercept),
        min_log_odds=min_log_odds,
        region_intercept=float(region_intercept + means @ weights),
        features={
            name: Feature(float(weight), float(mean))
            for name, weight, mean in zip(FEATURES, weights, means, strict=True)
        },
        min_area_mm2=float(min(smallest, POINT_SOURCE_MM2)),
        assumed_pixel_mm2=float(np.median(cases.pixel_mm2)),
        points={},
        curve=(),
        measured_on={
            "data": examples.name,
            "split": examples.split,
            "n_images": len(examples),
            "n_patients": len(set(examples.patients)),
            "n_lesions": len(cases.lesion_image),
            "synthetic": examples.synthetic,
            "learnt_from": learnt_from,
        },
    )
    curve = trace_points(cases, operation)
    return dataclasses.replace(
        operation,
        points={name: find_point(curve, limit) for name, limit in POINTS.items()},
        curve=_thin(curve),
    )


def _fit_score(features: np.ndarray, met: np.ndarray) -> np.ndarray:
    """Returns the weights of `FEATURES` and the intercept, see `_LEAST_CONTRAST`."""
    peak, spot = (
        FEATURES.index(name) for name in ("peak_log_odds", "log_spot_over_surroundings")
    )
    contrast = features[:, spot]
    known = contrast[~np.isnan(contrast)]
    average = known.mean() if known.size else 0.0
    tied = features.copy()
    tied[:, peak] += _LEAST_CONTRAST * np.nan_to_num(contrast, nan=average)
    fitted = fit_logistic(tied, met, ~met)
    fitted[spot] += _LEAST_CONTRAST * fitted[peak]
    return fitted


def fit_logistic(
    features: np.ndarray,
    positives: np.ndarray,
    negatives: np.ndarray,
    *,
    shrinkage: float = _SHRINKAGE,
) -> np.ndarray:
    """Returns the weights, none negative, and the intercept of a logistic regression.

    They minimise the mean negative log-likelihood of 1 / (1 + exp(-(x w + b))) plus
    `shrinkage` times the sum of the squared weights of the standardised features.

    Args:
        features: S rows, (S, F). NaN counts as the mean; a constant has no weight.
        positives: how many of a row are positive, (S,).
        negatives: how many are not, (S,).
        shrinkage: at least 0.

    Returns:
        float64, (F + 1,).
    """
    total = (positives.astype(np.float64) + negatives) / np.sum(positives + negatives)
    mean = np.nansum(features * total[:, None], axis=0)
    scale = np.sqrt(np.nansum((features - mean) ** 2 * total[:, None], axis=0))
    constant = scale <= _ROUNDING * np.abs(mean)  # but for the last digits
    scale = np.where(constant, np.inf, scale)
    x = np.nan_to_num((features - mean) / scale)
    rate = np.divide(positives, positives + negatives, where=total > 0, out=0 * total)

    def measure(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, logits = parameters[:-1], x @ parameters[:-1] + parameters[-1]
        losses = np.logaddexp(0, logits) - rate * logits
        error = total * (compute_probs(logits) - rate)
        loss = total @ losses + shrinkage * np.sum(weights**2)
        slopes = x.T @ error + 2 * shrinkage * weights
        return float(loss), np.append(slopes, error.sum())

    count = features.shape[1]
    found = optimize.minimize(
        measure,
        np.append(np.ones(count), 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * count + [(None, None)],
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000},
    ).x
    weights = found[:-1] / scale
    return np.append(weights, found[-1] - mean @ weights)


def combine_all(features: np.ndarray, operation: Operation) -> np.ndarray:
    """Returns the log-odds of the scores of regions from their features, (M,)."""
    return np.array([combine(row, operation) for row in features], np.float64)


def trace_points(
    cases: RegionCases, operation: Operation, chosen: np.ndarray | None = None
) -> list[Point]:
    """Returns what each score of a false region gives as an operating point.

    From no false region to all of them; those that are too small are not marked.

    Args:
        cases: regions of N images.
        operation: scores them.
        chosen: lesions that the sensitivity is of, bool, (L,), None for all.
    """
    highest = _find_highest(cases, operation)
    limits = np.append(np.unique(highest.false)[::-1], 0.0)
    return [_count(cases, highest, float(limit), chosen) for limit in limits]


def measure_point(
    cases: RegionCases,
    operation: Operation,
    score: float,
    chosen: np.ndarray | None = None,
) -> Point:
    """Returns what images give if regions above a score are marked, see above."""
    return _count(cases, _find_highest(cases, operation), score, chosen)


def count_by_image(
    cases: RegionCases, operation: Operation, score: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns what is marked above a score in each of N images.

    Returns:
        Lesions, found lesions and false regions, int64, and whether anything is marked,
        bool, each (N,).
    """
    highest, n = _find_highest(cases, operation), len(cases.without_lesion)
    return (
        np.bincount(cases.lesion_image, minlength=n),
        np.bincount(cases.lesion_image[highest.lesion > score], minlength=n),
        np.bincount(highest.false_image[highest.false > score], minlength=n),
        highest.image > score,
    )


class _Highest(NamedTuple):
    """Scores of regions that may be marked; 0 for none.

    Attributes:
        false: of all that meet no lesion.
        false_image: index of the image of each of them.
        lesion: the highest that meets each lesion, (L,).
        image: the highest in each image, (N,).
    """

    false: np.ndarray
    false_image: np.ndarray
    lesion: np.ndarray
    image: np.ndarray


def _find_highest(cases: RegionCases, operation: Operation) -> _Highest:
    scores = compute_probs(combine_all(cases.features, operation))
    large = is_large(cases.area_px, cases.area_mm2, operation)
    lesion, image = np.zeros(len(cases.evident)), np.zeros(len(cases.without_lesion))
    region, met = cases.meetings[large[cases.meetings[:, 0]]].T
    np.maximum.at(lesion, met, scores[region])
    np.maximum.at(image, cases.image[large], scores[large])
    false = large & ~cases.met
    return _Highest(scores[false], cases.image[false], lesion, image)


def _count(
    cases: RegionCases, highest: _Highest, score: float, chosen: np.ndarray | None
) -> Point:
    """Returns the operating point of a score."""
    found = highest.lesion if chosen is None else highest.lesion[chosen]
    return Point(
        score=score,
        false_per_image=float(np.sum(highest.false > score) / len(highest.image)),
        sensitivity=_average(found > score),
        marked_without_lesion=_average(highest.image[cases.without_lesion] > score),
    )


def find_point(curve: list[Point], false_per_image: float) -> Point:
    """Returns the point of the lowest score within so many false regions per image."""
    return [each for each in curve if each.false_per_image <= false_per_image][-1]


def _thin(curve: list[Point]) -> tuple[Point, ...]:
    """Returns at most so many points, the first and the last among them."""
    places = np.linspace(0, len(curve) - 1, num=min(len(curve), _CURVE_POINTS))
    return tuple(curve[int(round(place))] for place in places)


def _average(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if values.size else None
