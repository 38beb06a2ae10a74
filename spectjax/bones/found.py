"""The bones that were found in a view, and which of them are in doubt."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FoundBones:
    """The bones of a view.

    Attributes:
        regions: which region each pixel of the frame belongs to, as of `draw_regions`,
            uint8, (H, W).
        flags: why a region is in doubt, by its name; none for the others.
        source: what found them: "atlas".
    """

    regions: np.ndarray
    flags: Mapping[str, str]
    source: str
