"""Three readers who outline what they see, and do not quite agree.

A polygon is (K, 2) points (x, y) in continuous pixel coordinates: the pixel in row 0
and column 0 covers [0, 1) x [0, 1).
"""

from collections.abc import Set
from typing import NamedTuple

import numpy as np
from scipy import ndimage

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
    rng: np.random.Generator, exposure: Exposure, wanted: Set[str] = METASTASES
) -> Reading:
    """Returns what each of `READERS` outlines: spots of the wanted kinds.

    The words are those for metastases, whatever is wanted. Each reader sees a spot with
    a chance that rises with its contrast and its signal-to-noise ratio in this view,
    has thresholds of their own, and follows the contour at 40 to 50 % of the spot's
    peak with an unsteady hand.
    """
    reading: Reading = tuple([] for _ in READERS)
    levels = rng.normal(0.46, 0.025, len(READERS))
    thresholds = rng.lognormal(0, 0.15, len(READERS))
    for spot in exposure.spots:
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
                polygon = _outline(rng, spot, level_here, exposure.expectation.shape)
                outlines.append(Outline(word, np.round(polygon, 1)))
    return reading


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def _outline(
    rng: np.random.Generator, spot: SpotImage, level: float, frame_hw: tuple[int, ...]
) -> np.ndarray:
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
    height, width = frame_hw
    return np.stack([np.clip(column, 0, width), np.clip(row, 0, height)], axis=-1)
