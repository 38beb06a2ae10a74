"""Spatial attention ([P1] Eq. 6 and Fig. 8, after Woo et al.'s CBAM, ECCV 2018).

Batch, height, width and channel axes are B, H, W and C.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from spectjax.ops.convolution import Conv


class SpatialAttention(nn.Module):
    """Weighs the places of a feature map by their importance.

        M_s(F) = sigmoid(f7x7([AvgPool(F); MaxPool(F)])),    F' = M_s(F) F

    Both poolings are over the channels ([P1]: "1x1" pooling to a matrix 1xHxW). [P1]
    gives no bias and no normalisation: a bias that starts at 0, and none.

    Attributes:
        size: height and width of the convolution's kernel, pixels.
        is_open: weigh by 2 M_s instead, which starts near 1: weights that were trained
            without attention then see about the features that they know.
    """

    size: int = 7
    is_open: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (B, H, W, C) of the same dtype; the weights are float32."""
        x32 = x.astype(jnp.float32)
        pooled = jnp.stack([x32.mean(axis=-1), x32.max(axis=-1)], axis=-1)
        logits = Conv(
            1, self.size, kernel_init=nn.initializers.lecun_normal(), name="conv"
        )(pooled)
        weights = nn.sigmoid(logits) * (2 if self.is_open else 1)
        return x * weights.astype(x.dtype)
