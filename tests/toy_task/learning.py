"""The toy's model and what it learns from."""

import jax.numpy as jnp
from flax import linen as nn

from spectjax.tasks.classification.task import Classification


class Brightest(nn.Module):
    """A straight line from the brightest pixel to the log-odds of a mark."""

    num_classes: int = 2
    dtype: str = "float32"
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, *, train):
        """Maps (B, H, W, 1) to (B, 2)."""
        return nn.Dense(self.num_classes)(images.max(axis=(1, 2)))


class Presence(Classification):
    """An image's label says whether any pixel of its mask is marked."""

    def find_labels(self, batch):
        """Returns 0 or 1, int32, (B,)."""
        return jnp.any(batch["masks"] > 0, axis=(1, 2)).astype(jnp.int32)
