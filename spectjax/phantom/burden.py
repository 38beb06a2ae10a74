"""How much of the skeleton metastases hold, by volume, and diseases of a wanted burden.

The true index of a patient: the share of each region's volume that lies in the cores of
metastases, in bone with at least half of a lesion's contrast, times the region's share
of the skeleton's mass (`spectjax.bones.regions`). Volume is that of the reference
skeleton, whatever its uptake is; where lesions overlap it counts once.

Letters: N points of the skeleton, T metastases, R regions.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spectjax.bones.regions import REGIONS
from spectjax.phantom.lesions import Focus, Spot, draw_anywhere
from spectjax.phantom.skeleton import Skeleton, build_skeleton

# Evenly drawn in it are the burdens of a population, percent of the skeleton's mass.
BURDENS = (0.1, 13.0)
_TOLERANCE = 0.03  # of the wanted burden


class Burden(NamedTuple):
    """What metastases hold of the skeleton, by volume.

    Attributes:
        lesion_shares: of each region that each metastasis holds, in [0, 1], (T, R).
        shares: of each region that all of them hold together, (R,).
    """

    lesion_shares: np.ndarray
    shares: np.ndarray

    def measure_index(self, kinds: Sequence[str] = ()) -> float:
        """Returns the true index, percent of the skeleton's mass.

        Of regions of some kinds only, such as `THORAX`, where kinds are named.
        """
        parts = zip(REGIONS, self.shares, strict=True)
        return float(
            sum(r.percent * share for r, share in parts if not kinds or r.kind in kinds)
        )


def measure_burden(spots: Sequence[Spot]) -> Burden:
    """Returns what metastases of a patient hold."""
    cores = [spot.points[spot.core] for spot in spots]
    every = np.unique(np.concatenate([*cores, np.empty(0, np.intp)]))
    shares = [_measure_shares(core) for core in (*cores, every)]
    return Burden(np.array(shares[:-1]).reshape(-1, len(REGIONS)), shares[-1])


def draw_burden(
    rng: np.random.Generator, skeleton: Skeleton, percent: float
) -> list[Focus]:
    """Draws metastases until the true index is `percent`, within 3 % of it.

    Sizes and contrasts are those of `draw_metastases`; there are as many as it takes,
    in the red marrow that the others left, and the last is as large as the rest of the
    burden needs. The skeleton has the patient's weights.
    """
    value = _find_values()
    taken = np.zeros(len(value), bool)
    foci: list[Focus] = []
    while value[taken].sum() < (1 - _TOLERANCE) * percent:
        focus = draw_anywhere(rng, skeleton, taken)
        if value[_take(focus, skeleton, taken)].sum() > percent:
            focus = _fit(focus, skeleton, taken, percent)
        foci.append(focus)
        taken = _take(focus, skeleton, taken)
    return foci


def _fit(focus: Focus, skeleton: Skeleton, taken: np.ndarray, percent: float) -> Focus:
    """Returns a metastasis small enough for the index to be `percent` with it."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        fits = _find_values()[_take(focus.grow(middle), skeleton, taken)].sum()
        low, high = (middle, high) if fits <= percent else (low, middle)
    return focus.grow(low or high)


def _take(focus: Focus, skeleton: Skeleton, taken: np.ndarray) -> np.ndarray:
    """Returns the points that are taken when a metastasis has joined, bool, (N,)."""
    spot = focus.light_up(skeleton)
    together = taken.copy()
    together[spot.points[spot.core]] = True
    return together


def _measure_shares(core: np.ndarray) -> np.ndarray:
    """Returns the share of each region's volume that some points have, (R,)."""
    volume, region = build_skeleton().volume_mm3, _find_regions()
    held, all_of_it = (
        np.bincount(region[points], volume[points], len(REGIONS))
        for points in (core, np.arange(len(volume)))
    )
    return held / all_of_it


@functools.cache
def _find_regions() -> np.ndarray:
    """Returns the place in `REGIONS` of each point of the skeleton, (N,)."""
    skeleton = build_skeleton()
    places = {bone: place for place, r in enumerate(REGIONS) for bone in r.bones}
    return np.array([places[name] for name in skeleton.names])[skeleton.bone]


@functools.cache
def _find_values() -> np.ndarray:
    """Returns what each point adds to the index, percent, (N,)."""
    volume, region = build_skeleton().volume_mm3, _find_regions()
    percents = np.array([r.percent for r in REGIONS])
    return (percents / np.bincount(region, volume))[region] * volume
