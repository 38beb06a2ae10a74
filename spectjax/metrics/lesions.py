"""Lesion by lesion: what a model finds, marks falsely, and how well it outlines.

A lesion is an 8-connected component of the readers' mask; lesions that touch count as
one. A region is an 8-connected component of the pixels whose hotspot probability
exceeds a threshold. The rule: a region and a lesion meet if their intersection over
union is at least 0.1 (nnDetection's bound, there for boxes). A lesion is found if a
region meets it; a region that meets no lesion is false, also one that lies on a lesion
but is far larger or smaller. (Were any overlap enough, one region over the whole spine
would find all lesions in it.) One region may meet several lesions, and a lesion several
regions.

Of N images, H by W pixels, with L lesions in all, scores are taken at T thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from spectjax.imaging.hotspots import bound_mask, number_regions
from spectjax.metrics.surface import hausdorff95
from spectjax.system.messages import UserError

# From 6e-6 to 1 - 6e-6: a model that learned from few marked pixels gives most lesions
# a small probability, one that was asked for overlap gives false regions a large one.
# The threshold at 0 is exactly 0.5, the argmax rule of two classes.
LOG_ODDS = np.arange(-12.0, 12.5, 0.5)
THRESHOLDS = 1 / (1 + np.exp(-LOG_ODDS))
HALF = int(np.flatnonzero(LOG_ODDS == 0)[0])
MIN_IOU = 0.1
RING_PX = (3, 8)  # beyond the blur of a lesion's edge, not beyond the next bones
LESION_DTYPES: dict[str, type[np.generic]] = {
    "image": np.int64,
    "row": np.float32,
    "column": np.float32,
    "area_px": np.int64,
    "area_mm2": np.float32,
    "diameter_mm": np.float32,
    "contrast": np.float32,
    "counts": np.float64,
    "found": np.bool_,
    "dice": np.float32,
    "hausdorff95_mm": np.float32,
}


@dataclass(frozen=True)
class Lesions:
    """The lesions of N images, in the order of the images.

    Attributes:
        image: index of the image, int64, (L,).
        row: of its centre of mass, pixels, float32, (L,).
        column: likewise.
        area_px: pixels, int64, (L,).
        area_mm2: float32, (L,), NaN if the spacing is not known.
        diameter_mm: of the circle of equal area, likewise.
        contrast: mean counts in the lesion over the median of the ring around it, see
            `measure_contrast`, float32, (L,).
        counts: sum of the counts in the lesion, float64, (L,).
        found: whether a region meets it at each threshold, bool, (L, T).
        dice: of the lesion and the union of the regions that meet it at 0.5, float32,
            (L,), NaN if none does.
        hausdorff95_mm: of the same two, likewise; NaN also if the spacing is unknown.
    """

    image: np.ndarray
    row: np.ndarray
    column: np.ndarray
    area_px: np.ndarray
    area_mm2: np.ndarray
    diameter_mm: np.ndarray
    contrast: np.ndarray
    counts: np.ndarray
    found: np.ndarray
    dice: np.ndarray
    hausdorff95_mm: np.ndarray

    def __len__(self) -> int:
        """Returns L."""
        return len(self.image)


@dataclass(frozen=True)
class Regions:
    """Numbers of regions in each image at each threshold, int64, (N, T).

    Attributes:
        total: all regions.
        false: regions that meet no lesion.
    """

    total: np.ndarray
    false: np.ndarray


@dataclass(frozen=True)
class Froc:
    """Free-response operating characteristic, a point for each threshold, (T,).

    Attributes:
        thresholds: probabilities, rising.
        sensitivity: found lesions over lesions, NaN without a lesion.
        false_per_image: false regions over images.
    """

    thresholds: np.ndarray
    sensitivity: np.ndarray
    false_per_image: np.ndarray


def measure_lesions(
    probs: np.ndarray, masks: np.ndarray, counts: np.ndarray, spacing_mm: np.ndarray
) -> tuple[Lesions, Regions]:
    """Matches the regions of each threshold with the lesions.

    An image without lesion has false regions only; one in which nothing exceeds any
    threshold has missed lesions only.

    Args:
        probs: hotspot probabilities, float, (N, H, W).
        masks: what the readers marked, bool or class with 0 as background, (N, H, W).
        counts: of the pixels, (N, H, W).
        spacing_mm: size of a pixel (row, column), NaN if unknown, (N, 2).

    Raises:
        ValueError: if the shapes do not match or a probability is not finite.
    """
    per_image = (len(masks), 2)
    if not probs.shape == masks.shape == counts.shape or spacing_mm.shape != per_image:
        raise ValueError(
            "Expected probs, masks and counts of one shape (N, H, W) and spacing "
            f"(N, 2), got {probs.shape}, {masks.shape}, {counts.shape} and "
            f"{spacing_mm.shape}."
        )
    if not np.isfinite(probs).all():
        raise UserError("Expected finite hotspot probabilities, got some that are not.")
    rows: list[tuple[Any, ...]] = []
    shape = (len(probs), len(THRESHOLDS))
    regions = Regions(np.zeros(shape, np.int64), np.zeros(shape, np.int64))
    for i, spacing in enumerate(spacing_mm.astype(np.float64)):
        lesions, n_lesions = number_regions(masks[i] > 0)
        box = _bound((probs[i] > THRESHOLDS[0]) | (lesions > 0))
        labels, levels = label_regions(probs[i][box])
        used = labels[: levels.max(initial=-1) + 1]
        met_regions, met_lesions = find_meetings(used, lesions[box])
        is_false = np.ones(levels.size, bool)
        is_false[met_regions - 1] = False
        regions.total[i] = np.bincount(levels, minlength=shape[1])
        regions.false[i] = np.bincount(levels[is_false], minlength=shape[1])
        for lesion in range(1, n_lesions + 1):
            met = met_regions[met_lesions == lesion]
            found = np.isin(np.arange(shape[1]), levels[met - 1])
            union = np.isin(labels[HALF], met)
            rows.append(
                (i, *_describe(counts[i], lesions, lesion, spacing), found)
                + _compare(union, lesions[box] == lesion, spacing)
            )
    return _collect(rows), regions


def label_regions(prob: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the regions of one image at all thresholds.

    Args:
        prob: hotspot probabilities, float, (H, W).

    Returns:
        Number of the region, from 1, that a pixel lies in at each threshold, 0 for
        none, int32, (T, H, W); and the index of the threshold of each region, int64,
        (number of regions,).
    """
    exceeded = np.searchsorted(THRESHOLDS, prob)
    labels = np.zeros((len(THRESHOLDS), *prob.shape), np.int32)
    counts = np.zeros(len(THRESHOLDS), np.int64)
    # Plane by plane, which takes half of the time; higher ones have no region.
    for level in range(exceeded.max(initial=0)):
        numbers, counts[level] = number_regions(exceeded > level)
        labels[level] = np.where(numbers, numbers + counts[:level].sum(), 0)
    return labels, np.repeat(np.arange(len(THRESHOLDS)), counts)


def find_meetings(
    regions: np.ndarray, lesions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs of regions and lesions whose IoU is at least `MIN_IOU`.

    Args:
        regions: numbers of the regions, 0 outside, integer, (T, H, W).
        lesions: numbers of the lesions, likewise, (H, W).

    Returns:
        The numbers of the regions and of the lesions, integer, one each for a pair.
    """
    inside = lesions > 0
    if not inside.any():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    lesion_px, region_px = np.bincount(lesions.ravel()), np.bincount(regions.ravel())
    pairs = regions[:, inside].astype(np.int64) * lesion_px.size + lesions[inside]
    pairs, common = np.unique(pairs[pairs >= lesion_px.size], return_counts=True)
    region, lesion = np.divmod(pairs, lesion_px.size)
    iou = common / (region_px[region] + lesion_px[lesion] - common)
    return region[iou >= MIN_IOU], lesion[iou >= MIN_IOU]


def measure_contrast(counts: np.ndarray, lesions: np.ndarray, lesion: int) -> float:
    """Returns the mean counts in a lesion over the median counts of its surroundings.

    Those are the pixels whose distance to the nearest pixel of the lesion is 3 to 8
    pixels, both included, without pixels of any lesion and without those that have no
    counts: they lie outside the body.

    Args:
        counts: (H, W).
        lesions: numbers of the lesions, 0 outside, (H, W).
        lesion: one of the numbers.

    Returns:
        The ratio, NaN if no pixel is left around the lesion.
    """
    near, far = RING_PX
    box = tuple(
        slice(max(side.start - far, 0), side.stop + far)
        for side in _bound(lesions == lesion)
    )
    counts, inside = counts[box], lesions[box] == lesion
    distance = ndimage.distance_transform_edt(~inside)
    ring = (distance >= near) & (distance <= far) & (lesions[box] == 0) & (counts > 0)
    if not ring.any():
        return float("nan")
    return float(np.mean(counts[inside], dtype=np.float64) / np.median(counts[ring]))


def froc(lesions: Lesions, regions: Regions, chosen: np.ndarray | None = None) -> Froc:
    """Returns sensitivity and false regions per image at each threshold.

    Neither need rise as the threshold falls: regions grow and run together.

    Args:
        lesions: of N images.
        regions: of the same images.
        chosen: lesions that the sensitivity is of, bool, (L,), None for all. False
            regions are those that meet no lesion, chosen or not.

    Raises:
        ValueError: if there is no image.
    """
    if not len(regions.false):
        raise ValueError("Expected at least one image, got none.")
    found = lesions.found if chosen is None else lesions.found[chosen]
    return Froc(
        thresholds=THRESHOLDS,
        sensitivity=found.mean(axis=0)
        if len(found)
        else np.full(len(THRESHOLDS), np.nan),
        false_per_image=regions.false.mean(axis=0),
    )


def sensitivity_at(curve: Froc, false_per_image: float) -> float:
    """Returns the best sensitivity with at most that many false regions per image.

    Thresholds are taken as they are, nothing is interpolated. 0 if all of them give
    more: a threshold of 1 marks nothing. NaN without a lesion.
    """
    limits = np.array([false_per_image])
    return float(find_best(curve.sensitivity, curve.false_per_image, limits)[0])


def threshold_at(curve: Froc, false_per_image: float) -> float:
    """Returns the threshold of `sensitivity_at`, the highest of several.

    NaN if none is within the limit, or without a lesion.
    """
    within = curve.false_per_image <= false_per_image
    best = within & (curve.sensitivity == sensitivity_at(curve, false_per_image))
    return float(curve.thresholds[best].max()) if best.any() else float("nan")


def find_best(
    sensitivity: np.ndarray, false_per_image: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """Returns what `sensitivity_at` does, for many curves and limits.

    Args:
        sensitivity: of the curves, (..., T), NaN throughout for a curve without lesion.
        false_per_image: of the curves, likewise.
        limits: false regions per image, (F,).

    Returns:
        Sensitivities, (..., F).
    """
    within = false_per_image[..., None, :] <= limits[:, None]
    best = np.where(within, sensitivity[..., None, :], 0.0).max(axis=-1)
    return np.where(np.isnan(sensitivity[..., :1]), np.nan, best)


def false_at(curve: Froc, sensitivity: float) -> float:
    """Returns the fewest false regions per image at which that much is found.

    NaN if no threshold reaches the sensitivity, or without a lesion.
    """
    reached = curve.false_per_image[curve.sensitivity >= sensitivity]
    return float(reached.min()) if reached.size else float("nan")


def _describe(
    counts: np.ndarray, lesions: np.ndarray, lesion: int, spacing_mm: np.ndarray
) -> tuple[float, ...]:
    """Returns the columns of a lesion from `row` to `counts`."""
    inside = lesions == lesion
    rows, columns = np.nonzero(inside)
    area_px = rows.size
    area_mm2 = area_px * np.prod(spacing_mm)
    return (
        rows.mean(),
        columns.mean(),
        area_px,
        area_mm2,
        2 * np.sqrt(area_mm2 / np.pi),
        measure_contrast(counts, lesions, lesion),
        np.sum(counts[inside], dtype=np.float64),
    )


def _compare(
    union: np.ndarray, lesion: np.ndarray, spacing_mm: np.ndarray
) -> tuple[float, float]:
    """Returns Dice and Hausdorff 95 of a lesion and what meets it, NaN for nothing."""
    if not union.any():
        return float("nan"), float("nan")
    dice = 2 * np.sum(union & lesion) / (union.sum() + lesion.sum())
    return float(dice), hausdorff95(union, lesion, spacing_mm)


def _bound(mask: np.ndarray) -> tuple[slice, slice]:
    """Returns the smallest box around a mask, of no pixel if the mask is empty."""
    y0, x0, y1, x1 = bound_mask(mask) if mask.any() else (0, 0, 0, 0)
    return slice(y0, y1), slice(x0, x1)


def _collect(rows: Sequence[tuple[Any, ...]]) -> Lesions:
    """Returns lesions from rows in the order of the attributes."""
    columns = zip(*rows, strict=True) if rows else [()] * len(LESION_DTYPES)
    arrays: dict[str, np.ndarray] = {
        name: np.array(column, dtype)
        for (name, dtype), column in zip(LESION_DTYPES.items(), columns, strict=True)
    }
    arrays["found"] = arrays["found"].reshape(len(rows), len(THRESHOLDS))
    return Lesions(**arrays)
