"""A finder of bones whose answer is written down, for the views of `tiny_scans`."""

import numpy as np

from spectjax.bones.found import FoundBones
from spectjax.bones.regions import NAMES
from spectjax.bones.repeatability import Curve, Repeatability

# A difference of 0.2 (SD) between two scans, at all levels and counts that are met.
_LEVELS = ((0.0, 100.0), (0.2, 0.2), 0.0, 100.0)
TABLE = Repeatability((Curve(5e5, *_LEVELS), Curve(2e6, *_LEVELS)), {})
SOURCE = "bones by hand"


def draw_tiny_bones():
    """All regions of the thorax in its crop of rows 3 to 9, and the skull above it.

    The model's hotspots are in the left ribs, 2 of 4 pixels, and in the sternum.
    """
    rows = (
        *("skull", "skull", "skull", "left clavicle", "left ribs", "right clavicle"),
        *("left scapula", "right scapula", "sternum", "lumbar spine"),
    )
    regions = np.zeros((12, 6), np.uint8)
    for row, name in enumerate(rows):
        regions[row, 1:5] = NAMES.index(name) + 1
    regions[5, 1] = NAMES.index("thoracic spine") + 1
    regions[6, 1] = NAMES.index("right ribs") + 1
    return regions


class BonesByHand:
    """Says the same of every view; `asked` are the views of each call."""

    def __init__(self, regions=None, flags=(), error=None):
        """Takes what is said, or what is raised."""
        self.regions = draw_tiny_bones() if regions is None else regions
        self.flags, self.error, self.asked = dict(flags), error, []

    def find(self, scans):
        """The bones of each view."""
        self.asked.append(sorted(scans))
        if self.error:
            raise self.error
        found = FoundBones(self.regions, self.flags, SOURCE)
        return dict.fromkeys(scans, found)
