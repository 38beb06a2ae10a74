"""ROIAlign of all boxes at once, by gathering and by products: for GPUs.

In shapes, an image has R boxes, level l of its features has (H_l, W_l) cells of C
channels, and a box becomes S x S bins of P x P samples in all.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spectjax.ops.hats import average_bins, weigh_cells

_Features = tuple[jax.Array, ...]


class Strips(NamedTuple):
    """Columns of a level side by side, in which a gradient is summed.

    Attributes:
        width: columns of a strip.
        count: neighbouring strips that hold all cells of any box.
    """

    width: int
    count: int  # type: ignore[assignment]  # hides tuple.count


# A box that spans 14 cells has weights in 16 at most.
_NARROW = Strips(width=16, count=2)


def choose_strips(
    hws: tuple[tuple[int, int], ...], dtype: jnp.dtype, *, short: bool
) -> Strips:
    """Returns the strips in which the gradient is summed.

    With narrow ones less is written and half as much again multiplied, which takes
    longer in float32, whose exact products are slow on GPUs.

    Args:
        hws: (H_l, W_l) of each level.
        dtype: of the gradient.
        short: see `roi_align`.
    """
    last = hws[-1][1] <= _NARROW.width * _NARROW.count
    if short and last and dtype.itemsize < jnp.dtype(jnp.float32).itemsize:
        return _NARROW
    return Strips(width=max(w for _, w in hws), count=1)


def pool(
    size: int, features: _Features, samples: jax.Array, levels: jax.Array
) -> jax.Array:
    """Returns the bins from the four cells around every sample: `roi_loops.pool`'s."""
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


def spread(
    hws: tuple[tuple[int, int], ...],
    strips: Strips,
    dy: jax.Array,
    samples: jax.Array,
    levels: jax.Array,
) -> _Features:
    """Returns the gradient by the features, (H_l, W_l, C), of dy, (R, S, S, C).

    By products with the weights of all cells of a strip, and so without adding to
    scattered places: on GPUs that is slow, and its order and rounding change from run
    to run.
    """
    size, channels = dy.shape[1], dy.shape[-1]
    counts = [-(-w // strips.width) for _, w in hws]
    starts = np.cumsum([0, *counts])
    # What lies along the rows of a box takes the most memory: of its own strips alone.
    first = jnp.maximum(samples[:, 1, :1] // strips.width, 0).astype(jnp.int32)
    cells = first * strips.width + jnp.arange(strips.count * strips.width)[None]
    inside = cells < jnp.asarray([w for _, w in hws])[levels][:, None]
    columns = average_bins(weigh_cells(samples[:, 1], cells), size)
    columns = jnp.where(inside[:, None], columns, 0.0).astype(dy.dtype)
    # Repeated for each row, since otherwise XLA transposes what it multiplies.
    columns = jnp.broadcast_to(columns[:, None], (len(dy), size, *columns.shape[1:]))
    along_rows = jnp.einsum("ryxw,ryxc->rywc", columns, dy, precision="highest")
    # The rows of all strips of all levels, those with the same number side by side.
    number, strip = np.concatenate(
        [
            np.stack(np.divmod(np.arange(h * n), n)) + [[0], [start]]
            for (h, _), n, start in zip(hws, counts, starts[:-1], strict=True)
        ],
        axis=1,
    )
    first += jnp.asarray(starts)[levels][:, None]
    own = jnp.where(levels[:, None] < len(hws), first, -strips.count)
    own += jnp.arange(strips.count)[None]
    rows = average_bins(weigh_cells(samples[:, 0], jnp.asarray(number)), size)
    its_own = own[:, None, :, None] == jnp.asarray(strip)[None, None, None]
    rows = jnp.where(its_own, rows[:, :, None], 0.0).astype(dy.dtype)
    # Rows of boxes are one axis to sum over: XLA would put several in another order.
    gradient = jnp.einsum(
        "ks,kn->sn",
        rows.reshape(-1, len(strip)),
        along_rows.reshape(-1, strips.width * channels),
        precision="highest",
    )
    ends = np.cumsum([h * n for (h, _), n in zip(hws, counts, strict=True)])
    return tuple(
        part.reshape(height, -1, channels)[:, :width]
        for part, (height, width) in zip(
            jnp.split(gradient, ends[:-1]), hws, strict=True
        )
    )
