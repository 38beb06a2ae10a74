"""Poolings of classifiers in formulations that are fast on CPUs as well.

Sizes follow PyTorch's rules, values and gradients those of `jax.lax.reduce_window`.
Batch, height, width and channel axes are B, H, W and C.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from spectjax.ops.backend import find_platform, is_plain


def drop_odd_edge(x: jax.Array) -> jax.Array:
    """Returns x, (B, H, W, C), without the last row and column where H or W is odd.

    2x2 pooling with stride 2 leaves them out in PyTorch.
    """
    return x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]


def average_pool(x: jax.Array) -> jax.Array:
    """Returns the means of the 2x2 blocks of x, (B, H, W, C) to (B, H//2, W//2, C)."""
    if is_plain():
        return nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
    x = drop_odd_edge(x)
    batch, height, width, channels = x.shape
    blocks = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    # Two sums of two: XLA:CPU is slow at reductions over several small axes.
    rows = blocks[:, :, 0] + blocks[:, :, 1]
    return 0.25 * (rows[:, :, :, 0] + rows[:, :, :, 1])


def adaptive_average_pool(x: jax.Array, hw: tuple[int, int]) -> jax.Array:
    """Returns means over `hw` bins that cover x, as `torch.nn.AdaptiveAvgPool2d` does.

    Bin i of m over n pixels begins at floor(i n / m) and ends before
    ceil((i + 1) n / m): bins overlap where m does not divide n, and repeat pixels where
    m is larger than n.

    Args:
        x: (B, H, W, C).
        hw: numbers of bins h and w.

    Returns:
        (B, h, w, C).
    """
    if x.shape[1:3] == hw:
        return x
    rows, columns = (
        jnp.asarray(_bins(n, m), x.dtype) for n, m in zip(x.shape[1:3], hw, strict=True)
    )
    if find_platform() == "cpu" or is_plain():
        return jnp.einsum("ih,jw,bhwc->bijc", rows, columns, x, precision="highest")
    return _weigh(x, rows, columns)


def _weigh(x: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Returns sums of x, (B, H, W, C), weighted by (h, H) and (w, W): (B, h, w, C).

    Without products, which XLA before 0.11.1 does not compile for GPUs if they are so
    small.
    """
    x = (x[:, None] * rows[None, :, :, None, None]).sum(axis=2)
    return (x[:, :, None] * columns[None, None, :, :, None]).sum(axis=3)


def _bins(pixels: int, bins: int) -> np.ndarray:
    """Returns the weight of each pixel in each bin's mean, (bins, pixels)."""
    weights = np.zeros((bins, pixels))
    for i in range(bins):
        start, stop = i * pixels // bins, -(-(i + 1) * pixels // bins)
        weights[i, start:stop] = 1 / (stop - start)
    return weights


@jax.custom_vjp
def overlapping_max_pool(x: jax.Array) -> jax.Array:
    """Returns the maxima of 3x3 windows around every other pixel of x.

    The windows lie around the pixels of even rows and columns; what they see beyond the
    edge is below every number. The gradient goes to the first maximum of a window in
    row-major order, as that of `jax.lax.reduce_window` does.

    Args:
        x: (B, H, W, C).

    Returns:
        (B, ceil(H / 2), ceil(W / 2), C).
    """
    if is_plain():
        edges = ((0, 0), (1, 1), (1, 1), (0, 0))
        padded = jnp.pad(x, edges, constant_values=-jnp.inf)
        return nn.max_pool(padded, window_shape=(3, 3), strides=(2, 2))
    y, *others = _taps(x)
    for tap in others:
        y = jnp.maximum(y, tap)
    return y


def _taps(x: jax.Array) -> list[jax.Array]:
    """Returns the nine pixels of each window, each (B, ceil(H/2), ceil(W/2), C)."""
    height, width = x.shape[1:3]
    # A row and a column before, and after as many as make both numbers odd.
    edges = ((0, 0), (1, 1 + height % 2), (1, 1 + width % 2), (0, 0))
    padded = jnp.pad(x, edges, constant_values=-jnp.inf)
    rows, columns = (height + 1) // 2, (width + 1) // 2
    return [
        padded[:, i : i + 2 * rows : 2, j : j + 2 * columns : 2]
        for i in range(3)
        for j in range(3)
    ]


def _max_forward(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    y, *others = _taps(x)
    place = jnp.zeros(y.shape, jnp.uint8)
    for i, tap in enumerate(others, start=1):
        place = jnp.where(tap > y, jnp.uint8(i), place)
        y = jnp.maximum(y, tap)
    # The shape of x; an array without numbers carries it.
    return y, (place, jnp.zeros((*x.shape[1:3], 0), x.dtype))


def _max_backward(
    saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array]:
    place, like = saved
    height, width = like.shape[:2]

    def from_windows(i: int, j: int, down: int, right: int) -> jax.Array:
        """What the windows `down` and `right` of a pixel give to their tap (i, j)."""
        passed = jnp.where(place == 3 * i + j, dy, jnp.zeros_like(dy))
        edges = ((0, 0), (0, down), (0, right), (0, 0))
        return jnp.pad(passed[:, down:, right:], edges)

    # A pixel of an even row is in the middle of one window; one of an odd row lies at
    # the end of one and at the beginning of the next.
    members = (((1, 0),), ((2, 0), (0, 1)))
    quarters = [
        [
            sum(
                (from_windows(i, j, m, n) for i, m in rows for j, n in columns),
                start=jnp.zeros_like(dy),
            )
            for columns in members
        ]
        for rows in members
    ]
    (a, b), (c, d) = quarters
    batch, rows, columns, channels = dy.shape
    dx = jnp.stack([jnp.stack([a, b], axis=3), jnp.stack([c, d], axis=3)], axis=2)
    dx = dx.reshape(batch, 2 * rows, 2 * columns, channels)
    return (dx[:, :height, :width],)


overlapping_max_pool.defvjp(_max_forward, _max_backward)
