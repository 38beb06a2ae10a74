"""Boxes on images: area, overlap, and offsets from other boxes.

A box is (y0, x0, y1, x1) in continuous pixels: pixel i covers [i, i + 1), so the box of
a mask is (first row, first column, last row + 1, last column + 1). A box is empty if a
side is not positive. Numbers of boxes are N and M.
"""

import math

import jax
import jax.numpy as jnp

# A predicted side is at most 62.5 times the anchor's: Girshick's bound, from images of
# up to 1000 pixels and strides of 16. exp() cannot overflow then.
MAX_LOG_SIZE = math.log(1000 / 16)
_MIN_SIZE_PX = 1e-6  # keeps logarithms and quotients of empty boxes finite


def measure_area(boxes: jax.Array) -> jax.Array:
    """Returns areas, square pixels, (...), of (..., 4); 0 for empty boxes."""
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def measure_overlap(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns areas of the intersections and unions of each pair of boxes.

    Args:
        a: float32, (N, 4).
        b: float32, (M, 4).

    Returns:
        Square pixels, each float32, (N, M).
    """
    y0, x0, y1, x1 = (
        bound(a[:, i, None], b[None, :, i])
        for i, bound in enumerate(2 * (jnp.maximum,) + 2 * (jnp.minimum,))
    )
    intersection = jnp.maximum(y1 - y0, 0) * jnp.maximum(x1 - x0, 0)
    areas = measure_area(a)[:, None] + measure_area(b)[None, :]
    return intersection, areas - intersection


def iou_matrix(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns intersection over union of each pair of boxes, in [0, 1].

    Args:
        a: float32, (N, 4).
        b: float32, (M, 4).

    Returns:
        float32, (N, M); 0 where either box is empty.
    """
    intersection, union = measure_overlap(a, b)
    return intersection / jnp.maximum(union, jnp.finfo(jnp.float32).tiny)


def encode(
    boxes: jax.Array,
    anchors: jax.Array,
    weights: tuple[float, float, float, float] = (1, 1, 1, 1),
) -> jax.Array:
    """Returns the offsets that lead from anchors to boxes.

    Ren et al. 2015, Eq. (2): shifts of the centre in units of the anchor's sides, and
    logarithms of the quotients of the sides. Finite also for empty boxes.

    Args:
        boxes: float32, (..., 4).
        anchors: float32, broadcast with `boxes`, of the same rank.
        weights: factors of (dy, dx, dh, dw).

    Returns:
        (dy, dx, dh, dw), float32, (..., 4).
    """
    centres, sizes = _split(boxes)
    anchor_centres, anchor_sizes = _split(anchors)
    anchor_sizes = jnp.maximum(anchor_sizes, _MIN_SIZE_PX)
    shifts = (centres - anchor_centres) / anchor_sizes
    scales = jnp.log(jnp.maximum(sizes, _MIN_SIZE_PX) / anchor_sizes)
    return jnp.concatenate([shifts, scales], axis=-1) * _row(weights, shifts.ndim)


def decode(
    deltas: jax.Array,
    anchors: jax.Array,
    weights: tuple[float, float, float, float] = (1, 1, 1, 1),
) -> jax.Array:
    """Returns the boxes that offsets lead to; the inverse of `encode`.

    No side becomes longer than 62.5 times the anchor's. Boxes may leave the image.

    Args:
        deltas: (dy, dx, dh, dw), float32, (..., 4).
        anchors: float32, broadcast with `deltas`, of the same rank.
        weights: those of `encode`.

    Returns:
        float32, (..., 4).
    """
    deltas = deltas / _row(weights, deltas.ndim)
    anchor_centres, anchor_sizes = _split(anchors)
    centres = anchor_centres + deltas[..., :2] * anchor_sizes
    sizes = anchor_sizes * jnp.exp(jnp.minimum(deltas[..., 2:], MAX_LOG_SIZE))
    return jnp.concatenate([centres - sizes / 2, centres + sizes / 2], axis=-1)


def clip(boxes: jax.Array, hw: tuple[int, int]) -> jax.Array:
    """Returns boxes (..., 4), cut to an image of (H, W) pixels."""
    return jnp.clip(boxes, 0, _row((*hw, *hw), boxes.ndim))


def _split(boxes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns centres and sides, (row, column), each (..., 2)."""
    sizes = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sizes / 2, sizes


def _row(numbers: tuple[float, ...], ndim: int) -> jax.Array:
    """Returns numbers along the last of `ndim` axes, float32."""
    return jnp.array(numbers, jnp.float32).reshape((1,) * (ndim - 1) + (-1,))
