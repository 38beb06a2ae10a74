"""ROIAlign box by box: a loop, since XLA gathers and scatters slowly on CPUs.

Each turn reads the cells of one box as a block, or several blocks where the box is
large, and multiplies it by the hats of its rows and columns; the gradient adds to such
blocks in place. In shapes, N images have R boxes each, level l of the features has
(H_l, W_l) cells of C channels, and a box becomes S x S bins of P x P samples in all.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from spectjax.ops.hats import average_bins, weigh_cells

_LONGEST = 16  # side of a block, in cells

_Features = tuple[jax.Array, ...]


class _Block(NamedTuple):
    """Neighbouring cells of a level.

    Attributes:
        corner: image, row, column and channel at which it begins.
        rows: weight of each row of cells in each bin, (S, h).
        columns: weight of each column, (S, w).
    """

    corner: tuple[jax.Array, jax.Array, jax.Array, int]
    rows: jax.Array
    columns: jax.Array


# Takes the number of a box, a block of its cells and what was computed up to then.
_Visit = Callable[[jax.Array, _Block, jax.Array], jax.Array]


def pool(
    size: int, features: _Features, samples: jax.Array, levels: jax.Array
) -> jax.Array:
    """Returns the bins of boxes.

    Args:
        size: S.
        features: of each level, (H_l, W_l, C).
        samples: rows and columns of samples, rising, in cells of the box's level and
            at most one beyond it, float32, (R, 2, P).
        levels: of each box, int32, (R,).

    Returns:
        (R, S, S, C), of the type of the features.
    """

    def compute(
        features: _Features, samples: jax.Array, levels: jax.Array
    ) -> jax.Array:
        return _pool_images(size, features, samples, levels)

    one = jax.tree.map(lambda x: x[None], (features, samples, levels))
    return _merge_vmap(compute)(*one)[0]


def spread(
    hws: tuple[tuple[int, int], ...],
    dy: jax.Array,
    samples: jax.Array,
    levels: jax.Array,
) -> _Features:
    """Returns the gradient by the features.

    Args:
        hws: (H_l, W_l) of each level.
        dy: gradient by the bins, (R, S, S, C).
        samples: as `pool` takes them.
        levels: likewise.

    Returns:
        Of each level, (H_l, W_l, C), of the type of dy.
    """

    def compute(dy: jax.Array, samples: jax.Array, levels: jax.Array) -> _Features:
        return _spread_images(hws, dy, samples, levels)

    gradients = _merge_vmap(compute)(dy[None], samples[None], levels[None])
    return tuple(g[0] for g in gradients)


def _merge_vmap(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of images, with whose axis vmap merges its own.

    vmap's way would turn every block that is read or written into a gather or scatter.
    """
    mapped = jax.custom_batching.custom_vmap(compute)

    @mapped.def_vmap
    def merge(count: int, batched: Any, *arguments: Any) -> tuple[Any, Any]:
        def merge_axes(x: jax.Array, is_batched: bool) -> jax.Array:
            if not is_batched:
                x = jnp.broadcast_to(x[None], (count, *x.shape))
            return x.reshape(count * x.shape[1], *x.shape[2:])

        result = mapped(*jax.tree.map(merge_axes, arguments, tuple(batched)))
        split = jax.tree.map(
            lambda y: y.reshape(count, y.shape[0] // count, *y.shape[1:]), result
        )
        return split, jax.tree.map(lambda _: True, split)

    return mapped


def _pool_images(
    size: int, features: _Features, samples: jax.Array, levels: jax.Array
) -> jax.Array:
    """Returns the bins, (N, R, S, S, C)."""
    channels = features[0].shape[-1]
    bins = jnp.zeros((levels.size, size, size, channels), jnp.float32)
    order, bounds = _sort_boxes(levels, len(features))
    for level, values in enumerate(features):

        def add(
            box: jax.Array, block: _Block, bins: jax.Array, values: jax.Array = values
        ) -> jax.Array:
            shape = (1, block.rows.shape[1], block.columns.shape[1], channels)
            cells = jax.lax.dynamic_slice(values, block.corner, shape)[0]
            part = _multiply_each(block.columns, cells.astype(jnp.float32))
            part = jnp.einsum("yh,hxc->yxc", block.rows, part, precision="highest")
            return _add(bins, part[None], (box, 0, 0, 0))

        boxes = order, bounds[level], bounds[level + 1]
        hw = values.shape[1], values.shape[2]
        bins = _visit_level(samples, boxes, hw, size, add, bins)
    bins = bins.astype(features[0].dtype)
    return bins.reshape(*levels.shape, *bins.shape[1:])


def _spread_images(
    hws: tuple[tuple[int, int], ...],
    dy: jax.Array,
    samples: jax.Array,
    levels: jax.Array,
) -> _Features:
    """Returns the gradients, of each level (N, H_l, W_l, C)."""
    images, _, size, _, channels = dy.shape
    dy = dy.reshape(levels.size, *dy.shape[2:])
    order, bounds = _sort_boxes(levels, len(hws))

    def add(box: jax.Array, block: _Block, gradient: jax.Array) -> jax.Array:
        part = _multiply_each(block.columns.T, dy[box].astype(jnp.float32))
        part = jnp.einsum("yh,ywc->hwc", block.rows, part, precision="highest")
        return _add(gradient, part[None], block.corner)

    gradients = []
    for level, hw in enumerate(hws):
        boxes = order, bounds[level], bounds[level + 1]
        gradient = jnp.zeros((images, *hw, channels), jnp.float32)
        gradient = _visit_level(samples, boxes, hw, size, add, gradient)
        gradients.append(gradient.astype(dy.dtype))
    return tuple(gradients)


def _multiply_each(weights: jax.Array, values: jax.Array) -> jax.Array:
    """Returns weights (m, n) times each of values (k, n, C): (k, m, C).

    With the weights repeated, since otherwise XLA transposes the values.
    """
    repeated = jnp.broadcast_to(weights[None], (len(values), *weights.shape))
    return jnp.einsum("kmn,knc->kmc", repeated, values, precision="highest")


def _add(
    array: jax.Array, part: jax.Array, corner: tuple[jax.Array | int, ...]
) -> jax.Array:
    """Returns `array` with `part` added in place from `corner` on."""
    before = jax.lax.dynamic_slice(array, corner, part.shape)
    return jax.lax.dynamic_update_slice(array, before + part, corner)


def _sort_boxes(levels: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Returns the boxes of all images by level, and where each level begins."""
    flat = levels.reshape(-1)
    order = jnp.argsort(flat)
    return order, jnp.searchsorted(flat[order], jnp.arange(count + 1))


def _visit_level(
    samples: jax.Array,
    boxes: tuple[jax.Array, jax.Array, jax.Array],
    hw: tuple[int, int],
    size: int,
    visit: _Visit,
    value: jax.Array,
) -> jax.Array:
    """Returns `value` after `visit` has seen every block of some boxes of a level.

    Args:
        samples: (N, R, 2, P).
        boxes: an order of all boxes, counted through all images, and the part of it to
            visit: where it begins and where it ends.
        hw: cells of the level.
        size: S.
        visit: returns the new value.
        value: the value to begin with.
    """
    order, begin, end = boxes
    per_image = samples.shape[1]
    sides = tuple(min(_LONGEST, n) for n in hw)
    flat = samples.reshape(-1, *samples.shape[2:])

    def visit_box(i: jax.Array, value: jax.Array) -> jax.Array:
        box = order[i]
        places = flat[box]
        first = [jnp.floor(places[axis, 0]).astype(jnp.int32) for axis in range(2)]
        first = [jnp.maximum(start, 0) for start in first]
        last = [jnp.ceil(places[axis, -1]).astype(jnp.int32) for axis in range(2)]
        numbers = [(last[axis] - first[axis]) // sides[axis] + 1 for axis in range(2)]

        def visit_block(j: jax.Array, value: jax.Array) -> jax.Array:
            numbered = j // numbers[1], j % numbers[1]
            corner, weights = [], []
            for axis in range(2):
                wanted = first[axis] + numbered[axis] * sides[axis]
                # It may not reach beyond the level; the cells by which it begins
                # earlier were those of the block before.
                start = jnp.minimum(wanted, hw[axis] - sides[axis])
                cells = start + jnp.arange(sides[axis])
                hats = average_bins(weigh_cells(places[axis], cells), size)
                corner.append(start)
                weights.append(jnp.where(cells >= wanted, hats, 0.0))
            block = _Block((box // per_image, corner[0], corner[1], 0), *weights)
            return visit(box, block, value)

        return jax.lax.fori_loop(0, numbers[0] * numbers[1], visit_block, value)

    return jax.lax.fori_loop(begin, end, visit_box, value)
