"""A U-Net-Res that sees both views of an examination at once.

Batch, height, width and class axes are B, H, W and K.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.models.unet import UNet


class SkeletonUNet(nn.Module):
    """Reads a sheet, see `spectjax.bones.sheet`: its halves are two channels.

    What is said of one view draws on the other, which shows the same bones.

    Attributes:
        num_classes: number of classes K, "none" included.
        features: see `UNet`, as the rest.
        batch_norm: normalise after each 3x3 convolution.
        dtype: type in which to convolve.
        axis_name: axis over which the batch is split.
    """

    num_classes: int
    features: tuple[int, ...] = (12, 24, 48, 96, 96)
    batch_norm: bool = True
    dtype: Dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Returns logits, float32, (B, H, W, K), for sheets (B, H, W, 1).

        Raises:
            ValueError: if H or W / 2 is not a multiple of 2 ** (len(features) - 1).
        """
        views = jnp.concatenate(jnp.split(images, 2, axis=2), axis=-1)
        unet = UNet(
            num_classes=2 * self.num_classes,
            features=self.features,
            residual=True,
            batch_norm=self.batch_norm,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="unet",
        )
        logits: jax.Array = unet(views, train=train)
        return jnp.concatenate(jnp.split(logits, 2, axis=-1), axis=2)
