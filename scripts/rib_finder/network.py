"""The network that finds the rib cage, in flax, and what it is trained towards.

Letters: B images, h rows and w columns of the canvas.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from spectjax.imaging.thorax.network import AXES, BIN, CANVAS_HW

_WIDTHS = (12, 24, 32, 48)
_SHARPNESS_PX = 2.0  # of the target, on the canvas
_PLACES = [(jnp.arange(size // BIN) + 0.5) * BIN for size in CANVAS_HW]


class RibFinder(nn.Module):
    """Maps of the four edges of the rib cage, as `run_network` computes them."""

    @nn.compact
    def __call__(self, canvas: jax.Array) -> jax.Array:
        """Returns logits (B, h / BIN, w / BIN, 4) of canvases (B, h, w) from 0 to 1."""

        def convolve(
            x: jax.Array, features: int, name: str, size: int = 3, stride: int = 1
        ) -> jax.Array:
            start = nn.initializers.he_normal()
            return nn.Conv(
                features, (size, size), (stride, stride), kernel_init=start, name=name
            )(x)

        first, fine, middle, coarse = _WIDTHS
        x = nn.relu(convolve(canvas[..., None], first, "in", 5, 2))
        x = nn.relu(convolve(x, fine, "down1", 3, 2))
        x1 = x = x + nn.relu(convolve(x, fine, "down1_more"))
        x = nn.relu(convolve(x, middle, "down2", 3, 2))
        x2 = x = x + nn.relu(convolve(x, middle, "down2_more"))
        x = nn.relu(convolve(x, coarse, "down3", 3, 2))
        x = x + nn.relu(convolve(x, coarse, "down3_more"))
        x = x + nn.relu(convolve(x, coarse, "down3_most"))
        x = nn.relu(_double(convolve(x, middle, "up2", 1)) + x2)
        x = x + nn.relu(convolve(x, middle, "up2_more"))
        x = nn.relu(_double(convolve(x, fine, "up1", 1)) + x1)
        x = x + nn.relu(convolve(x, fine, "up1_more"))
        x = convolve(x, 16, "out", 1)
        b, h, w, _ = x.shape
        x = x.reshape(b, h, w, 2, 2, 4).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(b, 2 * h, 2 * w, 4)


def _double(x: jax.Array) -> jax.Array:
    """Returns each pixel of (B, h, w, C) four times."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def measure_loss(logits: jax.Array, boxes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the mean loss of maps (B, h, w, 4), and the distances of edges (B, 4).

    Cross-entropy to a bell around the true edge, for a spread that means something, and
    the distance of the mean (smooth L1), all in pixels of the canvas.
    """
    probabilities = jax.nn.softmax(logits.reshape(len(logits), -1, 4), axis=1)
    maps = probabilities.reshape(logits.shape)
    losses, distances = [], []
    for edge, axis in enumerate(AXES):
        places, true = _PLACES[axis], boxes[:, edge]
        shares = maps[..., edge].sum(axis=2 - axis)
        bell = jnp.exp(-(((places[None] - true[:, None]) / _SHARPNESS_PX) ** 2) / 2)
        bell /= bell.sum(axis=1, keepdims=True) + 1e-6  # an edge beyond the canvas
        distance = jnp.abs(shares @ places - true)
        smooth = jnp.where(distance < 1, distance**2 / 2, distance - 0.5)
        losses.append(smooth / 2 - (bell * jnp.log(shares + 1e-7)).sum(axis=1))
        distances.append(distance)
    return jnp.stack(losses).sum(axis=0).mean(), jnp.stack(distances, axis=1)
