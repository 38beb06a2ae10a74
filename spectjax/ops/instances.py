"""Boxes and classes of the lesions on a map of their numbers.

An image has H by W pixels; at most G lesions of it are used.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_NUMBERS = 256  # of uint8, 0 is background


class Truth(NamedTuple):
    """The lesions of an image, the largest first; rows behind them are 0.

    Attributes:
        numbers: on the map, int32, (G,).
        boxes: as in `spectjax.ops.boxes`, float32, (G, 4).
        labels: classes, int32, (G,).
        valid: which rows hold a lesion, bool, (G,).
        left_out: number of lesions beyond G, int32, ().
    """

    numbers: jax.Array
    boxes: jax.Array
    labels: jax.Array
    valid: jax.Array
    left_out: jax.Array


def find_boxes(instances: jax.Array, masks: jax.Array, max_instances: int) -> Truth:
    """Finds the tightest box around the pixels of each number.

    A number without a pixel is no lesion. Of lesions of one area the lower number comes
    first.

    Args:
        instances: number of the lesion that each pixel belongs to, from 1, 0 for
            background, uint8, (H, W).
        masks: class of each pixel, uint8, (H, W); a lesion's is that of its pixels, the
            highest if they differ.
        max_instances: G, at most 255.
    """
    height, width = instances.shape
    rows, columns = jnp.indices((height, width), dtype=jnp.int32)
    numbers = instances.astype(jnp.int32)
    counts_y = jnp.zeros((_NUMBERS, height), jnp.int32).at[numbers, rows].add(1)
    counts_x = jnp.zeros((_NUMBERS, width), jnp.int32).at[numbers, columns].add(1)
    labels = jnp.zeros(_NUMBERS, jnp.int32).at[numbers].max(masks.astype(jnp.int32))
    area = jnp.sum(counts_y, axis=1).at[0].set(0)
    area, order = jax.lax.top_k(area, max_instances)
    valid = area > 0
    (y0, y1), (x0, x1) = (_bound(counts[order] > 0) for counts in (counts_y, counts_x))
    boxes = jnp.stack([y0, x0, y1, x1], axis=1).astype(jnp.float32)
    found = jnp.sum(jnp.sum(counts_y[1:], axis=1) > 0, dtype=jnp.int32)
    return Truth(
        numbers=jnp.where(valid, order, 0).astype(jnp.int32),
        boxes=jnp.where(valid[:, None], boxes, 0),
        labels=jnp.where(valid, labels[order], 0),
        valid=valid,
        left_out=found - jnp.sum(valid, dtype=jnp.int32),
    )


def _bound(present: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the first true place of each row, (G, n), and one behind the last."""
    first = jnp.argmax(present, axis=1)
    return first, present.shape[1] - jnp.argmax(present[:, ::-1], axis=1)
