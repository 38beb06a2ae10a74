"""The bones that somebody found in a view."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FoundBones:
    """Which region of the skeleton each pixel of a view shows.

    Attributes:
        regions: 1 + the place in `spectjax.bones.regions.REGIONS`, 0 where there is no
            bone, uint8, (H, W) of the whole frame as recorded.
        flags: why a region is in doubt, by its name, a few words.
        source: what found them, a few words.
        other: the regions as another way to find them sees them, likewise; None if
            nothing else looked.
    """

    regions: np.ndarray
    flags: Mapping[str, str]
    source: str
    other: np.ndarray | None = None
