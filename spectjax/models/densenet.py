"""DenseNet-121, the network of SPECS D121 ([P2] Table 4, Fig. 7).

Batch, height, width, channel and class axes are B, H, W, C and K.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.models.classifier import (
    check_image_hw,
    classify_mean,
    create_layers,
    enter_stem,
)
from spectjax.ops.pooling import average_pool


class DenseLayer(nn.Module):
    """Normalisation, ReLU and a 1x1 convolution, then the same with a 3x3 one.

    Attributes:
        growth: number of output channels.
        bottleneck: channels between both convolutions, in multiples of `growth`.
        initial, dtype, axis_name: as in `DenseNet`.
    """

    growth: int
    bottleneck: int
    initial: str
    dtype: Dtype
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (B, H, W, C) to (B, H, W, growth)."""
        conv, norm = create_layers(self, train, relu=True)
        x = norm(name="norm1")(x)
        x = conv(self.bottleneck * self.growth, size=1, name="conv1")(x)
        x = norm(name="norm2")(x)
        return conv(self.growth, size=3, name="conv2")(x)


class Transition(nn.Module):
    """Normalisation, ReLU, a 1x1 convolution to half the channels, 2x2 mean.

    Attributes:
        initial, dtype, axis_name: as in `DenseNet`.
    """

    initial: str
    dtype: Dtype
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (B, H, W, C) to (B, H // 2, W // 2, C // 2)."""
        conv, norm = create_layers(self, train, relu=True)
        x = norm(name="norm")(x)
        return average_pool(conv(x.shape[-1] // 2, size=1, name="conv")(x))


class DenseNet(nn.Module):
    """Blocks whose layers see the results of all layers before them.

    Attributes:
        num_classes: number of classes K.
        stage_sizes: layers in each block.
        growth: channels that each layer adds.
        stem_features: channels before the first block.
        bottleneck: channels inside a layer, in multiples of `growth`.
        initial, dtype, axis_name: as in `VGG`.
    """

    num_classes: int
    stage_sizes: tuple[int, ...] = (6, 12, 24, 16)
    growth: int = 32
    stem_features: int = 64
    bottleneck: int = 4
    initial: str = "he"
    dtype: Dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Returns logits, float32, (B, K), for images (B, H, W, C).

        Raises:
            ValueError: if H or W is below 2 ** (len(stage_sizes) + 1), or a field is
                unknown.
        """
        check_image_hw(images, 2 ** (len(self.stage_sizes) + 1))
        how = (self.initial, self.dtype, self.axis_name)
        conv, norm = create_layers(self, train, relu=True)
        x = enter_stem(images, self.stem_features, conv, norm)
        for stage, size in enumerate(self.stage_sizes, start=1):
            if stage > 1:
                x = Transition(*how, name=f"transition{stage - 1}")(x, train=train)
            for i in range(1, size + 1):
                layer = DenseLayer(
                    self.growth, self.bottleneck, *how, name=f"block{stage}_{i}"
                )
                y = layer(x, train=train)
                x = jnp.concatenate([x, y], axis=-1)
        # [P2] Table 4 does not show it; DenseNet has this normalisation.
        return classify_mean(self, norm(name="last_norm")(x))
