"""ROIAlign, He et al. 2017, Sec. 3: features of boxes of any size on a grid of bins.

Each bin is the mean of `ratio` x `ratio` samples at regular places, each interpolated
between the four nearest cells. That is linear in the features and, with the hats of
`spectjax.ops.hats`, two products of small matrices. In shapes, an image has R boxes,
level l of its features has (H_l, W_l) cells of C channels, and a box becomes S x S bins
of P x P samples in all.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from spectjax.ops import roi_at_once, roi_loops
from spectjax.ops.backend import find_platform, is_plain
from spectjax.ops.hats import place_samples

# Beyond so many cells, the 2 x 2 samples of 7 x 7 bins would leave cells out.
_SPAN = 14
# Lin et al. 2017, Eq. (1): a box of 224 x 224 pixels belongs to stride 16.
_CANONICAL_SIZE, _CANONICAL_STRIDE = 224.0, 16

_Features = tuple[jax.Array, ...]


def assign_levels(
    boxes: jax.Array, strides: Sequence[int], *, torchvision: bool
) -> jax.Array:
    """Returns the level of a pyramid from which each box is pooled.

    It is the finest on which the longer side of the box spans at most 14 cells, or else
    the last. torchvision follows Lin et al. 2017, Eq. (1): level
    floor(4 + log2(sqrt(area) / 224)), of which 2 has stride 4, clamped to those given.

    Args:
        boxes: (y0, x0, y1, x1), pixels, float32, (R, 4).
        strides: of each level, pixels, rising; for torchvision each twice the one
            before.
        torchvision: follow torchvision.

    Returns:
        Index into `strides`, int32, (R,).
    """
    height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    if torchvision:
        # Padding has no area; level 0 is what -inf, its logarithm, would give.
        area = jnp.maximum(height * width, 1e-12)
        level = jnp.floor(4 + jnp.log2(jnp.sqrt(area) / _CANONICAL_SIZE) + 1e-6)
        first = 4 + round(math.log2(strides[0] / _CANONICAL_STRIDE))
        return jnp.clip(level - first, 0, len(strides) - 1).astype(jnp.int32)
    longer = jnp.maximum(height, width)
    limits = jnp.asarray(strides[:-1], jnp.float32) * _SPAN
    return (longer[:, None] > limits[None, :]).sum(axis=1, dtype=jnp.int32)


def roi_align(
    features: Sequence[jax.Array],
    boxes: jax.Array,
    levels: jax.Array,
    strides: Sequence[int],
    size: int,
    *,
    ratio: int = 2,
    aligned: bool = True,
    short: bool = False,
    looped: bool | None = None,
) -> jax.Array:
    """Returns the features of boxes, each from one level of a pyramid.

    Samples beyond the centres of the outermost cells take the value there. There is a
    gradient by the features, but none by the boxes.

    Args:
        features: of each level, (H_l, W_l, C).
        boxes: (y0, x0, y1, x1), pixels of the image, float32, (R, 4).
        levels: of each box, int32, (R,); the number of levels for a box that is not
            used, whose features are 0.
        strides: pixels of a cell of each level.
        size: bins in each direction, S.
        ratio: samples of a bin in each direction.
        aligned: the centre of the first cell lies half a cell from the image's edge. If
            not, it lies on the edge, boxes are at least one cell large, and samples
            beyond the outermost centres by more than a cell are 0, as in torchvision's
            models.
        short: no box spans more than 14 cells of its level, unless that is the last, as
            `assign_levels` has it; its gradient then moves less.
        looped: take one box after the other, which is faster on CPUs and their default,
            and not all at once.

    Returns:
        (R, S, S, C), of the type of the features.
    """
    if looped is None:
        looped = find_platform() == "cpu" and not is_plain()
    hws = tuple((f.shape[0], f.shape[1]) for f in features)
    samples = _place(boxes, levels, hws, strides, size * ratio, aligned)
    return _pool(size, hws, looped, short, tuple(features), samples, levels)


def _place(
    boxes: jax.Array,
    levels: jax.Array,
    hws: tuple[tuple[int, int], ...],
    strides: Sequence[int],
    count: int,
    aligned: bool,
) -> jax.Array:
    """Returns rows and columns of samples, cells of the box's level, (R, 2, P)."""
    scale = 1 / jnp.asarray(strides, jnp.float32)[levels][:, None]
    offset = 0.5 if aligned else 0.0
    low, high = boxes[:, :2] * scale - offset, boxes[:, 2:] * scale - offset
    if not aligned:
        high = jnp.maximum(high, low + 1)
    cells = jnp.asarray(hws, jnp.int32)[levels]
    # A narrow box at the lower or right edge, once enlarged, leaves the image.
    return place_samples(low, high, count, cells, cut=not aligned)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _pool(
    size: int,
    hws: tuple[tuple[int, int], ...],
    looped: bool,
    short: bool,
    features: _Features,
    samples: jax.Array,
    levels: jax.Array,
) -> jax.Array:
    if looped:
        return roi_loops.pool(size, features, samples, levels)
    return roi_at_once.pool(size, features, samples, levels)


def _forward(
    size: int,
    hws: tuple[tuple[int, int], ...],
    looped: bool,
    short: bool,
    features: _Features,
    samples: jax.Array,
    levels: jax.Array,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    bins = _pool(size, hws, looped, short, features, samples, levels)
    return bins, (samples, levels)


def _backward(
    size: int,
    hws: tuple[tuple[int, int], ...],
    looped: bool,
    short: bool,
    saved: tuple[jax.Array, jax.Array],
    dy: jax.Array,
) -> tuple[_Features, None, None]:
    if looped:
        return roi_loops.spread(hws, dy, *saved), None, None
    strips = roi_at_once.choose_strips(hws, dy.dtype, short=short)
    return roi_at_once.spread(hws, strips, dy, *saved), None, None


_pool.defvjp(_forward, _backward)
