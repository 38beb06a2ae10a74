"""The gradient of ROIAlign in tiles of columns, for boxes that span few cells.

A box touches two neighbouring tiles at most: what lies along its rows is made as wide
as these, and not as the widest level. In shapes, R boxes have S x S bins of P x P
samples, and level l of the features has (H_l, W_l) cells of C channels in T_l tiles.
"""

import itertools

import jax
import jax.numpy as jnp

from spectjax.ops.hats import average_bins, weigh_cells

_TILE = 16  # columns
# From the first sample of a box to its last; that lies between two cells.
LONGEST = _TILE - 1


def can_hold(width: int) -> bool:
    """Returns whether every box of a level touches two of its tiles at most."""
    return width <= 2 * _TILE


def spread(
    hws: tuple[tuple[int, int], ...],
    dy: jax.Array,
    samples: jax.Array,
    levels: jax.Array,
) -> tuple[jax.Array, ...]:
    """Returns the gradient by the features, of each level (H_l, W_l, C).

    Args:
        hws: (H_l, W_l) of each level.
        dy: gradient by the bins, (R, S, S, C).
        samples: rows and columns of samples, rising, in cells of the box's level,
            float32, (R, 2, P); the columns of a box at most `LONGEST` cells apart,
            unless `can_hold` says of its level that they may be.
        levels: of each box, int32, (R,).
    """
    size, channels = dy.shape[1], dy.shape[-1]
    numbers = [-(-width // _TILE) for _, width in hws]
    first = jnp.maximum(samples[:, 1, :1], 0).astype(jnp.int32) // _TILE
    cells = first * _TILE + jnp.arange(2 * _TILE)[None]
    columns = average_bins(weigh_cells(samples[:, 1], cells), size).astype(dy.dtype)
    # Repeated for each row, since otherwise XLA transposes what it multiplies.
    columns = jnp.broadcast_to(columns[:, None], (len(dy), size, *columns.shape[1:]))
    along_rows = jnp.einsum("ryxw,ryxc->rywc", columns, dy, precision="highest")
    weights = []
    for level, ((height, _), number) in enumerate(zip(hws, numbers, strict=True)):
        rows = average_bins(weigh_cells(samples[:, 0], jnp.arange(height)), size)
        tiles = jnp.arange(number)[None, None]
        touched = (first + jnp.arange(2)[None])[..., None] == tiles
        touched &= (levels == level)[:, None, None]
        placed = jnp.where(touched[:, None, :, :, None], rows[:, :, None, None], 0.0)
        weights.append(placed.reshape(*placed.shape[:3], -1).astype(dy.dtype))
    gradient = jnp.einsum(
        "ryst,rysn->tn",
        jnp.concatenate(weights, axis=-1),
        along_rows.reshape(len(dy), size, 2, -1),
        precision="highest",
    )
    ends = itertools.accumulate(each.shape[-1] for each in weights)
    # What lies beyond the last column was the last tile's.
    return tuple(
        part.reshape(number, height, _TILE, channels)
        .swapaxes(0, 1)
        .reshape(height, -1, channels)[:, :width]
        for part, number, (height, width) in zip(
            jnp.split(gradient, list(ends)[:-1]), numbers, hws, strict=True
        )
    )
