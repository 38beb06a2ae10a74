"""Bilinear interpolation as products of small matrices, one for each axis.

Between the centres of two cells a value is interpolated linearly: cell i has the weight
max(0, 1 - |p - i|) at position p, a hat. Positions count cells, and the centre of the
first cell is 0. Weights of rows and of columns multiply, so sampling an image at the
points of a grid is W_y @ image @ W_x.T.
"""

import jax
import jax.numpy as jnp


def place_samples(
    low: jax.Array,
    high: jax.Array,
    count: int,
    size: jax.Array | int,
    *,
    cut: bool = False,
) -> jax.Array:
    """Returns the centres of `count` equal parts of intervals, moved onto an axis.

    Args:
        low: where each interval begins, in cells, float32, (...,).
        high: where it ends, in cells, float32, (...,).
        count: number of parts.
        size: cells of the axis, or of each interval's axis, int32, (...,); positions
            before the first cell's centre or beyond the last one's move there.
        cut: move those that are beyond by more than a cell only so far that every
            cell's weight is 0 there.

    Returns:
        Positions, float32, (..., count).
    """
    parts = (jnp.arange(count, dtype=jnp.float32) + 0.5) / count
    low, high = low[..., None], high[..., None]
    parts = jnp.broadcast_to(parts, (*low.shape[:-1], count))
    last = jnp.asarray(size - 1, jnp.float32)[..., None]
    last = jnp.broadcast_to(last, parts.shape)
    positions = low + parts * (high - low)
    inside = jnp.clip(positions, 0.0, last)
    if not cut:
        return inside
    beyond = jnp.where(positions > last + 1, last + 1, inside)
    return jnp.where(positions < -1, -1.0, beyond)


def weigh_cells(positions: jax.Array, cells: jax.Array) -> jax.Array:
    """Returns the weights of cells at positions.

    Args:
        positions: in cells, float32, (..., P).
        cells: numbers of the cells, int32 or float32, (N,) or (..., N).

    Returns:
        float32, (..., P, N).
    """
    lead = positions.shape[:-1]
    cells = jnp.broadcast_to(cells.astype(jnp.float32), (*lead, cells.shape[-1]))
    distance = jnp.abs(positions[..., :, None] - cells[..., None, :])
    return jnp.maximum(0.0, 1.0 - distance)


def average_bins(weights: jax.Array, bins: int) -> jax.Array:
    """Returns the means over the samples of each bin: (..., bins * n, N) to bins."""
    *lead, samples, cells = weights.shape
    return weights.reshape(*lead, bins, samples // bins, cells).mean(axis=-2)
