"""What is where in a simulated scan, from the same points that made the image.

Letters: H rows and W columns of the frame, T metastases, B bones. Everything here is
in the frame of the anterior view; the posterior one is its mirror image.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from spectjax.imaging.thorax import Box
from spectjax.phantom.camera import Sources
from spectjax.phantom.skeleton import build_skeleton

_SHOULDERS = ("clavicle", "scapula", "humerus")


class Truth(NamedTuple):
    """Extent of lesions and bones in a view.

    Attributes:
        lesion_masks: where bone has at least half of a lesion's contrast, as
            projected, bool, (T, H, W).
        bone_masks: where each bone of the skeleton is, as projected, bool, (B, H, W).
        thorax_box: (y0, x0, y1, x1), pixels, half-open: from the top of the shoulders
            to the lowest point of the ribs, between the outer edges of the rib cage.
    """

    lesion_masks: np.ndarray
    bone_masks: np.ndarray
    thorax_box: Box

    def mirror(self) -> "Truth":
        """Returns the same from the other side."""
        return Truth(
            self.lesion_masks[..., ::-1],
            self.bone_masks[..., ::-1],
            mirror_box(self.thorax_box, self.bone_masks.shape[-1]),
        )


def find_truth(
    bones: Sources, lesions: list[Sources], frame_hw: tuple[int, int]
) -> Truth:
    """Returns the truth of the anterior view.

    The bones are the placed points of the skeleton, the lesions those of each
    metastasis that belong to its extent.
    """
    skeleton = build_skeleton()
    bone_masks = np.zeros((len(skeleton.names), *frame_hw), bool)
    ends = skeleton.ends
    for mask, first, end in zip(bone_masks, ends[:-1], ends[1:], strict=True):
        _fill(mask, bones.row[first:end], bones.column[first:end])
    lesion_masks = np.zeros((len(lesions), *frame_hw), bool)
    for mask, lesion in zip(lesion_masks, lesions, strict=True):
        _fill(mask, lesion.row, lesion.column)
    lesion_masks &= bone_masks.any(axis=0)  # not the discs between hot vertebrae

    return Truth(lesion_masks, bone_masks, find_thorax_box(bones))


def find_thorax_box(bones: Sources) -> Box:
    """Returns (y0, x0, y1, x1) of shoulders and ribs in the front view, half-open."""
    ribs, shoulders = _find_thorax_points()
    return (
        int(np.floor(bones.row[shoulders].min())),
        int(np.floor(bones.column[ribs].min())),
        int(np.ceil(bones.row[ribs].max())),
        int(np.ceil(bones.column[ribs].max())),
    )


def mirror_box(box: Box, width: int) -> Box:
    """Returns a box as it lies in the other view, whose frame has `width` columns."""
    y0, x0, y1, x1 = box
    return y0, width - x1, y1, width - x0


@functools.cache
def _find_thorax_points() -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of the points of ribs and of shoulders."""
    skeleton = build_skeleton()
    kinds = [
        name.removeprefix("left ").removeprefix("right ") for name in skeleton.names
    ]
    ribs = np.array([kind.startswith("rib") for kind in kinds])[skeleton.bone]
    shoulders = np.array([kind in _SHOULDERS for kind in kinds])[skeleton.bone]
    return np.flatnonzero(ribs), np.flatnonzero(shoulders)


def _fill(mask: np.ndarray, row: np.ndarray, column: np.ndarray) -> None:
    """Marks the pixels that the points of a solid fall on, and the holes between."""
    height, width = mask.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    y, x = row[inside].astype(np.intp), column[inside].astype(np.intp)
    if not len(y):
        return
    mask[y, x] = True
    box = mask[max(y.min() - 2, 0) : y.max() + 3, max(x.min() - 2, 0) : x.max() + 3]
    box |= ndimage.binary_closing(box, np.ones((3, 3), bool))
