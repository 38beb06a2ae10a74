"""Three readers who outline what they see, and do not quite agree.

A polygon is (K, 2) points (x, y) in continuous pixel coordinates: the pixel in row 0
and column 0 covers [0, 1) x [0, 1).
"""

from collections.abc import Set
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from spectjax.imaging.annotations.masks import fill_box
from spectjax.imaging.annotations.tracing import trace_polygons
from spectjax.imaging.diagnosis import METASTASIS, OUTSIDE_SPINE, SPINAL
from spectjax.phantom.lesions import is_spinal
from spectjax.phantom.subject import Exposure, SpotImage

# What readers are asked to outline: metastases, or all that calls for another look. An
# image alone does not tell a fresh fracture or Paget's disease from a metastasis.
METASTASES = frozenset({METASTASIS})
SUSPICIOUS = METASTASES | {"compression fracture", "Paget's disease", "rib fracture"}
READERS = ("reader1", "reader2", "reader3")
# A spot is seen half of the time at this peak over its surroundings, and at this
# signal-to-noise ratio of its whole area.
_CONTRAST_SEEN = 0.3
_NOISE_SEEN = 5.0
# Benign spots that a reader takes for a metastasis in one case of 30.
_MISTAKEN = {
    "compression fracture",
    "contamination",
    "degenerative spine",
    "lymph node",
    "manubriosternal joint",
    "Paget's disease",
    "rib fracture",
    "sternoclavicular joint",
}
_MISTAKE_CHANCE = 1 / 30
_EYE_SIGMA_PX = 1.5
_DIRECTIONS = 32
# By parts: the contour of a part in that of a spot (with which outlines are nearly as
# large as what lies in metastases), how near its peak is, how far the hand's error
# reaches, and over how many pixels the eye takes a mean.
_PART_LEVEL = 0.45
_NEAR_PX = 4
_WAVER_PX = 3.0
_PART_SIGMA_PX = 1.0


class Outline(NamedTuple):
    """What a reader draws around a spot, with a word of `SITE_WORDS` for it.

    Corners (K, 2) are in tenths of a pixel, as LabelMe stores them.
    """

    word: str
    polygon_xy: np.ndarray


Reading = tuple[list[Outline], ...]  # one list for each of `READERS`


class Visibility(NamedTuple):
    """How a spot stands out: peak over background, and signal over noise."""

    contrast: float
    signal_to_noise: float


def measure_visibility(spot: SpotImage, expectation: np.ndarray) -> Visibility:
    """Returns how well a spot can be seen within the contour at half of its peak."""
    peak = spot.counts.max(initial=0)
    if peak <= 0:
        return Visibility(0.0, 0.0)
    area = spot.counts >= peak / 2
    signal = float(spot.counts[area].sum())
    counts = float(spot.cut(expectation)[area].sum())
    background = max(counts - signal, 1e-6)
    return Visibility(
        float(peak) * int(area.sum()) / background, signal / np.sqrt(max(counts, 1e-6))
    )


def read_view(
    rng: np.random.Generator,
    exposure: Exposure,
    wanted: Set[str] = METASTASES,
    *,
    parts: bool = False,
) -> Reading:
    """Returns what each of `READERS` outlines: spots of the wanted kinds.

    The words are those for metastases, whatever is wanted. Each reader sees a spot with
    a chance that rises with its contrast and its signal-to-noise ratio in this view,
    has thresholds of their own, and follows the contour at 40 to 50 % of the spot's
    peak with an unsteady hand. By parts, the outline heeds what is close by instead:
    most of a hip bone in metastasis is less than half as hot as its rim.
    """
    reading: Reading = tuple([] for _ in READERS)
    levels = rng.normal(0.46, 0.025, len(READERS))
    thresholds = rng.lognormal(0, 0.15, len(READERS))
    for spot in _join(exposure, wanted) if parts else exposure.spots:
        if spot.kind not in _MISTAKEN | wanted:
            continue
        seen = measure_visibility(spot, exposure.expectation)
        if seen.contrast <= 0:
            continue
        word = SPINAL if is_spinal(spot.site) else OUTSIDE_SPINE
        for outlines, level, threshold in zip(reading, levels, thresholds, strict=True):
            chance = _sigmoid(
                np.log(seen.contrast / _CONTRAST_SEEN / threshold) / 0.2
            ) * _sigmoid(np.log(seen.signal_to_noise / _NOISE_SEEN / threshold) / 0.25)
            if spot.kind not in wanted:
                chance *= _MISTAKE_CHANCE
            if rng.random() < chance:
                level_here = np.clip(level + rng.normal(0, 0.02), 0.3, 0.6)
                draw = _outline_parts if parts else _outline
                for polygon in draw(rng, spot, level_here, exposure.expectation):
                    outlines.append(Outline(word, np.round(polygon, 1)))
    return reading


def _join(exposure: Exposure, wanted: Set[str]) -> list[SpotImage]:
    """Returns the spots with those of the wanted kinds joined where they touch.

    They touch where together they stand out from what is around. Kind and site are
    those of the spot that is hottest at the peak.
    """
    joined = [spot for spot in exposure.spots if spot.kind not in wanted]
    together = np.zeros_like(exposure.expectation)
    apart = [spot for spot in exposure.spots if spot.kind in wanted]
    for spot in apart:
        spot.cut(together)[...] += spot.counts
    around = exposure.expectation - together
    parts, _ = ndimage.label(_stands_out(together, around), np.ones((3, 3)))
    # Each has its own skirt, which the eye takes a mean of.
    reach = ndimage.grey_dilation(parts, size=2 * _NEAR_PX + 1)
    parts = np.where(parts > 0, parts, reach)
    for number, place in enumerate(ndimage.find_objects(parts), 1):
        counts = np.where(parts[place] == number, together[place], 0)
        corner = (place[0].start, place[1].start)
        image = SpotImage("", "", corner, counts.astype(np.float32))
        at_peak = [_count_at(spot, image.peak) for spot in apart]
        hottest = apart[int(np.argmax(at_peak))]
        joined.append(replace(image, kind=hottest.kind, site=hottest.site))
    return joined


def _count_at(spot: SpotImage, pixel: tuple[int, int]) -> float:
    """Returns the counts of a spot at a row and column of the frame."""
    row, column = np.subtract(pixel, spot.corner)
    height, width = spot.counts.shape
    inside = 0 <= row < height and 0 <= column < width
    return float(spot.counts[row, column]) if inside else 0.0


def _stands_out(counts: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Returns where spots are more than a trace of what is around them, bool."""
    counts, around = (
        ndimage.gaussian_filter(image, _PART_SIGMA_PX) for image in (counts, around)
    )
    return (counts >= _CONTRAST_SEEN / 2 * around) & (counts > 0)


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def _outline(
    rng: np.random.Generator, spot: SpotImage, level: float, expectation: np.ndarray
) -> list[np.ndarray]:
    """Returns the polygon around the part of a spot that is above `level` x peak."""
    # The eye takes hot vertebrae as one lesion, across the discs between them.
    counts = ndimage.gaussian_filter(spot.counts, _EYE_SIGMA_PX)
    peak = np.unravel_index(counts.argmax(), counts.shape)
    parts, _ = ndimage.label(counts >= level * counts[peak])
    part = parts == parts[peak]
    middle = np.array(ndimage.center_of_mass(part))
    # A bent spot may leave its own centre outside: then look from the peak.
    if not part[tuple(np.round(middle).astype(int))]:
        middle = np.array(peak, float)

    angle = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
    ray = np.stack([np.sin(angle), np.cos(angle)])  # row, column
    reach = np.arange(0, np.hypot(*counts.shape), 0.25)
    along = middle[:, None, None] + ray[:, :, None] * reach
    profile = ndimage.map_coordinates(counts, along, order=1)
    below = profile < level * counts[peak]
    below[:, -1] = True
    radius = reach[below.argmax(axis=1)]

    # A hand wavers slowly: a few waves around the outline, and a small shift.
    wave = np.arange(2, 5)[:, None]
    waver = rng.normal(0, 0.03, (3, 2))
    radius *= 1 + (
        waver[:, :1] * np.cos(wave * angle) + waver[:, 1:] * np.sin(wave * angle)
    ).sum(axis=0)
    radius = np.maximum(radius, 0.8)
    centre = middle + np.array(spot.corner) + 0.5 + rng.normal(0, 0.3, 2)
    row, column = centre[:, None] + ray * radius
    height, width = expectation.shape
    return [np.stack([np.clip(column, 0, width), np.clip(row, 0, height)], axis=-1)]


def _outline_parts(
    rng: np.random.Generator, spot: SpotImage, level: float, expectation: np.ndarray
) -> list[np.ndarray]:
    """Returns polygons around the parts of a spot that stand out from what is around.

    Each part ends where the spot falls to a share of what it is close by.
    """
    counts, around = (
        ndimage.gaussian_filter(image, _PART_SIGMA_PX)
        for image in (spot.counts, spot.cut(expectation) - spot.counts)
    )
    waver = ndimage.gaussian_filter(rng.normal(size=counts.shape), _WAVER_PX)
    near = ndimage.maximum_filter(counts, 2 * _NEAR_PX + 1)
    above = counts >= _PART_LEVEL * level * near * (1 + 0.1 * waver / waver.std())
    above &= counts >= _CONTRAST_SEEN / 2 * around
    shift = spot.corner + rng.normal(0, 0.3, 2)
    hw = expectation.shape
    drawn = (
        np.clip(np.round(polygon + shift[::-1], 1), 0, hw[::-1])
        for polygon in trace_polygons(above)
    )
    return [polygon for polygon in drawn if fill_box(polygon, hw)[0].any()]
