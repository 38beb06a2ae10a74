"""Do maps point at hotspots? The pointing game, where readers have marked them.

Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016: a map hits
if its peak lies on the object, or as near as a tolerance. The tolerance is half a cell
here, so that a map hits if the cell of its peak holds a pixel of a hotspot. There are N
images of H x W pixels and maps of h x w cells.
"""

import math
from typing import Any

import numpy as np

Box = tuple[int, int, int, int]


def find_peak(evidence: np.ndarray) -> tuple[int, int] | None:
    """Returns row and column of a map's largest cell; None if no cell exceeds 0."""
    row, column = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
    return (int(row), int(column)) if evidence[row, column] > 0 else None


def box_cell(
    cell: tuple[int, int], map_hw: tuple[int, int], image_hw: tuple[int, int]
) -> Box:
    """Returns the pixels (y0, x0, y1, x1), half-open, that a cell stands for."""
    (top, bottom), (left, right) = (
        (math.ceil(i * pixels / cells), math.ceil((i + 1) * pixels / cells))
        for i, cells, pixels in zip(cell, map_hw, image_hw, strict=True)
    )
    return top, left, bottom, right


def find_cells(mask: np.ndarray, map_hw: tuple[int, int]) -> np.ndarray:
    """Returns which of `map_hw` cells hold a pixel of a mask (H, W), bool, (h, w)."""
    cells = np.zeros(map_hw, bool)
    rows, columns = np.nonzero(mask)
    cells[rows * map_hw[0] // mask.shape[0], columns * map_hw[1] // mask.shape[1]] = 1
    return cells


def score_pointing(
    maps: np.ndarray, masks: np.ndarray, counts: np.ndarray
) -> dict[str, Any]:
    """Returns how many maps peak on a hotspot, beside what takes no network.

    Args:
        maps: float, (N, h, w); one that is zero everywhere points nowhere and misses.
        masks: hotspots by the readers, bool, (N, H, W), at least a pixel in each image.
        counts: the images, (N, H, W).

    Returns:
        `n_images`; `n_without_map`; `hits`, the fraction of maps that peak on a
        hotspot; `chance`, the mean fraction of cells with hotspots among those with
        counts, which a peak at random would hit; `brightest_pixel`, the fraction for
        which the cell of the largest count holds a hotspot. Fractions are None if there
        is no image.
    """
    hits, chance, brightest, n_without = [], [], [], 0
    for evidence, mask, image in zip(maps, masks, counts, strict=True):
        hot = find_cells(mask, evidence.shape)
        seen = find_cells(image > 0, evidence.shape) | hot
        peak = find_peak(evidence)
        n_without += peak is None
        hits.append(peak is not None and bool(hot[peak]))
        chance.append(hot.sum() / seen.sum())
        brightest.append(bool(hot[find_cells(image == image.max(), hot.shape)].any()))
    found = {"hits": hits, "chance": chance, "brightest_pixel": brightest}
    return {"n_images": len(hits), "n_without_map": n_without} | {
        name: float(np.mean(values)) if values else None
        for name, values in found.items()
    }
