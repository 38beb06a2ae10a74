"""Anchors: boxes of fixed sizes around every cell of every level of a pyramid.

Numpy, since they are known when a program is traced and become literals in it. Anchors
of level l are N_l; boxes are as in `spectjax.ops.boxes`.
"""

from collections.abc import Sequence

import numpy as np


def make_anchors(
    image_hw: tuple[int, int],
    strides: Sequence[int],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
    *,
    rounded: bool = False,
) -> list[np.ndarray]:
    """Returns the anchors of each level (Ren et al. 2015, one scale a level as in Lin).

    Cells follow in row-major order, in each cell ratios and for each ratio sizes. They
    may leave the image.

    Args:
        image_hw: (H, W), pixels.
        strides: of the levels, pixels; level l has ceil(H / stride) rows of
            ceil(W / stride) cells.
        sizes: square roots of the areas for each level, pixels.
        ratios: height over width.
        rounded: as torchvision does: corners around (0, 0) are rounded to whole pixels,
            halves to even, and centres are multiples of H // rows and W // columns,
            which is where a cell begins, not its middle.

    Returns:
        float32, (N_l, 4) for each level.

    Raises:
        ValueError: if there are not as many strides as levels of sizes.
    """
    if len(strides) != len(sizes):
        raise ValueError(
            "Expected sizes for each stride, got strides "
            f"{tuple(strides)} and sizes {tuple(sizes)}."
        )
    return [
        _make_level(image_hw, stride, np.array(size, np.float32), ratios, rounded)
        for stride, size in zip(strides, sizes, strict=True)
    ]


def _make_level(
    image_hw: tuple[int, int],
    stride: int,
    sizes: np.ndarray,
    ratios: Sequence[float],
    rounded: bool,
) -> np.ndarray:
    roots = np.sqrt(np.array(ratios, np.float32))
    sides = np.stack([np.outer(roots, sizes), np.outer(1 / roots, sizes)], axis=-1)
    corners = np.concatenate([-sides, sides], axis=-1).reshape(-1, 4) / 2
    cells = [-(-length // stride) for length in image_hw]
    steps, offset = [stride, stride], 0.5
    if rounded:
        corners = np.round(corners)
        steps = [length // n for length, n in zip(image_hw, cells, strict=True)]
        offset = 0
    y, x = np.meshgrid(
        *((np.arange(n) + offset) * step for n, step in zip(cells, steps, strict=True)),
        indexing="ij",
    )
    centres = np.stack([y, x, y, x], axis=-1).reshape(-1, 1, 4)
    return (centres + corners).reshape(-1, 4).astype(np.float32)
