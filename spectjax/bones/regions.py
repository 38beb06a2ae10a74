"""The regions of the skeleton: their names, their bones and their share of its mass.

Left and right are the patient's. A pixel of a view belongs to one region: where several
bones lie over each other, to that nearest to the detector.

The masses are dry bone weights of Spiers (1968, p. 120), percent of the skeleton's, as
medicalalgorithms.com quotes them for the Bone Scan Index of Imbriaco et al. (Clin
Cancer Res 1998). Imbriaco's own constants stand in ICRP Publication 23, which is not
quoted openly. Spiers has one number for all vertebrae and the sacrum: it is divided by
the volumes that they have in the phantom.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from spectjax.imaging.scan import View

MASSES = "Spiers 1968"  # to be named wherever an index stands
Side = Literal["", "left", "right"]


@dataclass(frozen=True)
class Region:
    """A part of the skeleton.

    Attributes:
        kind: what it is, without its side: "ribs".
        side: the patient's, "" in the middle.
        percent: its share of the skeleton's mass.
        bones: names of its bones in the phantom.
    """

    kind: str
    side: Side
    percent: float
    bones: tuple[str, ...]

    @property
    def name(self) -> str:
        """Side and kind: "left ribs"."""
        return f"{self.side} {self.kind}".strip()


def _middle(kind: str, percent: float, *bones: str) -> list[Region]:
    return [Region(kind, "", percent, bones)]


def _pair(kind: str, percent: float, *bones: str) -> list[Region]:
    """Returns both sides of regions that have `percent` together."""
    sides: tuple[Side, Side] = ("left", "right")
    return [
        Region(kind, side, percent / 2, tuple(f"{side} {bone}" for bone in bones))
        for side in sides
    ]


_SPINE = 8.3
REGIONS: tuple[Region, ...] = (
    *_middle("skull", 18.4, "skull", "face", "mandible"),
    *_middle("cervical spine", _SPINE * 0.10, *(f"C{i}" for i in range(1, 8))),
    *_middle("thoracic spine", _SPINE * 0.36, *(f"T{i}" for i in range(1, 13))),
    *_middle("lumbar spine", _SPINE * 0.35, *(f"L{i}" for i in range(1, 6))),
    *_middle("sacrum", _SPINE * 0.19, "sacrum"),
    *_middle("sternum", 0.3, "sternum"),
    *_pair("ribs", 4.4, *(f"rib {i}" for i in range(1, 13))),
    *_pair("clavicle", 1.0, "clavicle"),
    *_pair("scapula", 3.0, "scapula"),
    *_pair("humerus", 6.6, "humerus"),
    *_pair("forearm and hand", 8.4, "radius", "ulna", "hand"),
    *_pair("hip bone", 7.5, "hip bone"),
    *_pair("femur", 17.8, "femur"),
    *_pair("lower leg and foot", 24.4, "patella", "tibia", "fibula", "foot"),
)
NAMES = tuple(region.name for region in REGIONS)
# What a thoracic index is of.
THORAX = ("thoracic spine", "sternum", "ribs", "clavicle", "scapula")
# From the nearest to the detector to the farthest.
_ORDER: dict[View, tuple[str, ...]] = {
    "anterior": (
        *("sternum", "clavicle", "skull", "hip bone", "ribs", "humerus"),
        *("forearm and hand", "femur", "lower leg and foot", "scapula"),
        *("cervical spine", "thoracic spine", "lumbar spine", "sacrum"),
    ),
    "posterior": (
        *("thoracic spine", "lumbar spine", "cervical spine", "sacrum", "scapula"),
        *("hip bone", "ribs", "skull", "humerus", "forearm and hand", "femur"),
        *("lower leg and foot", "clavicle", "sternum"),
    ),
}
_DISC_PX = 7  # more than lie between two vertebrae, of pixels of 2.3 mm


def draw_regions(
    bone_masks: np.ndarray, bone_names: Sequence[str], view: View
) -> np.ndarray:
    """Returns the region that each pixel belongs to, of the masks of its bones.

    The ribs of a side are all that lies between its highest and its lowest rib in a
    column, and a spine holds its discs: a camera hardly tells the spaces from the bone.

    Args:
        bone_masks: where each bone is, as projected, bool, (B, H, W).
        bone_names: of the B bones, as the phantom has them.
        view: the side that they are seen from.

    Returns:
        1 + the place in `REGIONS`, 0 where there is no bone, uint8, (H, W).
    """
    numbers = {name: number for number, name in enumerate(bone_names)}
    drawn = np.zeros(bone_masks.shape[1:], np.uint8)
    for kind in reversed(_ORDER[view]):
        for label in _find_labels(kind):
            bones = [numbers[bone] for bone in REGIONS[label - 1].bones]
            mask = np.logical_or.reduce(bone_masks[bones], axis=0)
            if kind == "ribs":
                mask = _fill_columns(mask)
            elif kind.endswith("spine"):
                mask = ndimage.binary_closing(mask, np.ones((_DISC_PX, 1), bool))
            drawn[mask] = label
    return drawn


def mirror_sides(regions: np.ndarray) -> np.ndarray:
    """Returns a map of regions (..., H, W) as its mirror image has it: sides change."""
    return np.asarray(swap_sides()[regions][..., ::-1])


@functools.cache
def swap_sides() -> np.ndarray:
    """Returns the label of each label in the mirror, uint8, (len(REGIONS) + 1,)."""
    swapped = {"": "", "left": "right", "right": "left"}
    places = {(r.kind, r.side): label for label, r in enumerate(REGIONS, 1)}
    others = [places[r.kind, swapped[r.side]] for r in REGIONS]  # type: ignore[index]
    return np.array([0, *others], np.uint8)


@functools.cache
def _find_labels(kind: str) -> tuple[int, ...]:
    """Returns the labels of the regions of a kind in a map."""
    return tuple(n for n, region in enumerate(REGIONS, 1) if region.kind == kind)


def _fill_columns(mask: np.ndarray) -> np.ndarray:
    """Returns what lies between the first and the last True of each column."""
    begun = np.logical_or.accumulate(mask, axis=0)
    ahead = np.logical_or.accumulate(mask[::-1], axis=0)[::-1]
    return begun & ahead
