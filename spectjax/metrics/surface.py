"""Distances between the outlines of two masks, in mm.

The outline of a mask are its pixels that have a pixel outside the mask above, below,
left or right of them; what lies beyond the image counts as outside. Distances run
between pixel centres. The directed distances from A to B are those from each outline
pixel of A to the nearest outline pixel of B. Hausdorff 95 is the larger of their two
95th percentiles, from A to B and from B to A, linear between neighbours, as MONAI
defines it (MedPy throws both sets of distances together first). Height and width are
H and W.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

PERCENTILE = 95


def hausdorff95(
    one: np.ndarray, other: np.ndarray, spacing_mm: Sequence[float] | np.ndarray
) -> float:
    """Returns the Hausdorff 95 of two masks, mm.

    Args:
        one: mask, bool, (H, W).
        other: likewise.
        spacing_mm: size of a pixel (row, column).

    Returns:
        The distance; it is the same with the masks exchanged. NaN where a mask is empty
        or a spacing is not known (NaN).

    Raises:
        ValueError: if the shapes differ.
    """
    if one.shape != other.shape or one.ndim != 2:
        raise ValueError(
            f"Expected two masks of one shape (H, W), got {one.shape} and "
            f"{other.shape}."
        )
    if not (one.any() and other.any() and np.isfinite(spacing_mm).all()):
        return float("nan")
    rows, columns = np.nonzero(one | other)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    one, other = one[box], other[box]  # outside of it there is no outline
    directed = (
        measure_directed(one, other, spacing_mm),
        measure_directed(other, one, spacing_mm),
    )
    return max(float(np.percentile(distances, PERCENTILE)) for distances in directed)


def measure_directed(
    start: np.ndarray, goal: np.ndarray, spacing_mm: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Returns the distance from each outline pixel of `start` to the outline of `goal`.

    Args:
        start: mask, bool, (H, W), not empty.
        goal: likewise.
        spacing_mm: size of a pixel (row, column).

    Returns:
        Distances, mm, float64, one for each outline pixel of `start`.
    """
    to_goal = ndimage.distance_transform_edt(
        ~find_outline(goal), sampling=tuple(map(float, spacing_mm))
    )
    return np.asarray(to_goal[find_outline(start)])


def find_outline(mask: np.ndarray) -> np.ndarray:
    """Returns the pixels of a mask that touch its outside by an edge, bool, (H, W)."""
    inner = ndimage.binary_erosion(mask)  # the cross of four neighbours
    return np.asarray(mask.astype(bool) & ~inner)
