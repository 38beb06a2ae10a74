"""ROIAlign, He et al. 2017, Sec. 3: features of boxes of any size on a grid of bins.

Each bin is the mean of `ratio` x `ratio` samples at regular places, each interpolated
between the four nearest cells. That is linear in the features and, with the hats of
`spectjax.ops.hats`, two products of small matrices. In shapes, an image has R boxes,
level l of its features has (H_l, W_l) cells of C channels, and a box becomes S x S bins
of P x P samples in all.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from spectjax.ops import roi_loops, roi_tiles
from spectjax.ops.backend import find_platform, is_plain
from spectjax.ops.hats import average_bins, place_samples, weigh_cells

# Beyond so many cells, the 2 x 2 samples of 7 x 7 bins would leave cells out.
_SPAN = 14
# Lin et al. 2017, Eq. (1): a box of 224 x 224 pixels belongs to stride 16.
_CANONICAL_SIZE, _CANONICAL_STRIDE = 224.0, 16

_Features = tuple[jax.Array, ...]
# Takes sizes of the levels, the gradient by the bins, samples and levels of boxes.
_Spread = Callable[..., _Features]


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
    looped: bool | None = None,
    fitted: bool = False,
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
        looped: take one box after the other, which is faster on CPUs and their default,
            and not all at once.
        fitted: the levels are those of `assign_levels`, and not torchvision's.

    Returns:
        (R, S, S, C), of the type of the features.
    """
    if looped is None:
        looped = find_platform() == "cpu" and not is_plain()
    hws = tuple((f.shape[0], f.shape[1]) for f in features)
    samples = _place(boxes, levels, hws, strides, size * ratio, aligned)
    # On all levels but the last, boxes span few cells.
    in_tiles = fitted and _SPAN <= roi_tiles.LONGEST and roi_tiles.can_hold(hws[-1][1])
    spread = roi_tiles.spread if in_tiles else _spread_at_once
    spread = roi_loops.spread if looped else spread
    return _pool(size, hws, looped, spread, tuple(features), samples, levels)


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
    spread: _Spread,
    features: _Features,
    samples: jax.Array,
    levels: jax.Array,
) -> jax.Array:
    if looped:
        return roi_loops.pool(size, features, samples, levels)
    return _pool_at_once(size, features, samples, levels)


def _forward(
    size: int,
    hws: tuple[tuple[int, int], ...],
    looped: bool,
    spread: _Spread,
    features: _Features,
    samples: jax.Array,
    levels: jax.Array,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    bins = _pool(size, hws, looped, spread, features, samples, levels)
    return bins, (samples, levels)


def _backward(
    size: int,
    hws: tuple[tuple[int, int], ...],
    looped: bool,
    spread: _Spread,
    saved: tuple[jax.Array, jax.Array],
    dy: jax.Array,
) -> tuple[_Features, None, None]:
    return spread(hws, dy, *saved), None, None


_pool.defvjp(_forward, _backward)


def _pool_at_once(
    size: int, features: _Features, samples: jax.Array, levels: jax.Array
) -> jax.Array:
    """Returns the bins, (R, S, S, C), from the four cells around every sample."""
    channels = features[0].shape[-1]
    table = jnp.concatenate([f.reshape(-1, channels) for f in features])
    areas = [f.shape[0] * f.shape[1] for f in features]
    starts = jnp.asarray([sum(areas[:i]) for i in range(len(areas))], jnp.int32)
    hw = jnp.asarray([f.shape[:2] for f in features], jnp.int32)[levels]
    last = hw[:, :, None] - 1
    low = jnp.clip(jnp.floor(samples).astype(jnp.int32), 0, last)
    high = jnp.minimum(low + 1, last)
    low_weights = jnp.maximum(0.0, 1 - jnp.abs(samples - low))
    # The last cell has no neighbour and counts once.
    high_weights = jnp.where(high > low, jnp.maximum(0.0, 1 - (high - samples)), 0.0)
    ratio = samples.shape[-1] // size
    bins = jnp.zeros((len(samples), size, size, channels), jnp.float32)
    for rows, row_weights in ((low, low_weights), (high, high_weights)):
        for columns, column_weights in ((low, low_weights), (high, high_weights)):
            index = starts[levels][:, None] + rows[:, 0] * hw[:, 1, None]
            index = index[:, :, None] + columns[:, 1, None, :]
            taken = table.at[index].get(mode="promise_in_bounds")
            weights = row_weights[:, 0, :, None] * column_weights[:, 1, None, :]
            values = taken.astype(jnp.float32) * weights[..., None]
            blocks = values.reshape(-1, size, ratio, size, ratio, channels)
            bins += blocks.mean(axis=(2, 4))
    used = levels < len(features)
    return jnp.where(used[:, None, None, None], bins, 0.0).astype(table.dtype)


def _spread_at_once(
    hws: tuple[tuple[int, int], ...],
    dy: jax.Array,
    samples: jax.Array,
    levels: jax.Array,
) -> _Features:
    """Returns the gradient by the features, (H_l, W_l, C), of dy, (R, S, S, C).

    With the weights of all cells of a level, and so without adding to scattered places:
    on GPUs that is slow, and its order and rounding change from run to run.
    """
    size, widths = dy.shape[1], [w for _, w in hws]
    # What lies along the rows of a box takes the most memory. It is made once, as wide
    # as the widest level, and the rows of all levels are below each other after that.
    cells = jnp.arange(max(widths))
    inside = cells[None] < jnp.asarray(widths)[levels][:, None]
    columns = average_bins(weigh_cells(samples[:, 1], cells), size)
    columns = jnp.where(inside[:, None], columns, 0.0).astype(dy.dtype)
    rows = [
        average_bins(weigh_cells(samples[:, 0], jnp.arange(height)), size)
        * (levels == level)[:, None, None]
        for level, (height, _) in enumerate(hws)
    ]
    # Repeated for each row, since otherwise XLA transposes what it multiplies.
    columns = jnp.broadcast_to(columns[:, None], (len(dy), size, *columns.shape[1:]))
    along_rows = jnp.einsum("ryxw,ryxc->rywc", columns, dy, precision="highest")
    gradient = jnp.einsum(
        "ryh,rywc->hwc",
        jnp.concatenate(rows, axis=-1).astype(dy.dtype),
        along_rows,
        precision="highest",
    )
    ends = itertools.accumulate(height for height, _ in hws)
    return tuple(
        gradient[end - height : end, :width]
        for end, (height, width) in zip(ends, hws, strict=True)
    )
