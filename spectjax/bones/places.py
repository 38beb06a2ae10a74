"""STAND-IN until part atlas is merged."""

from dataclasses import dataclass

import numpy as np

from spectjax.bones.found import FoundBones
from spectjax.bones.regions import NAMES, REGIONS


@dataclass(frozen=True)
class Place:
    """Where a hotspot lies."""

    region: str
    side: str
    area_mm2: float | None
    counts: float
    share: float | None
    mirror_ratio: float | None
    in_doubt: str


def place_hotspot(
    mask: np.ndarray,
    bones: FoundBones,
    counts: np.ndarray,
    spacing_mm: tuple[float, float] | None,
) -> Place:
    """Returns the place of a hotspot."""
    found = np.bincount(bones.regions[mask], minlength=len(NAMES) + 1)
    area = mask.sum() * spacing_mm[0] * spacing_mm[1] if spacing_mm else None
    total = float(counts[mask].sum())
    if not found[1:].any():
        return Place("", "", area, total, None, None, "outside of all bones")
    label = 1 + int(found[1:].argmax())
    region = REGIONS[label - 1]
    share = found[label] / np.count_nonzero(bones.regions == label)
    doubt = bones.flags.get(region.name, "")
    return Place(region.name, region.side, area, total, float(share), None, doubt)
