"""DenseNet-121, the network of SPECS D121 ([P2] Table 4, Fig. 7).

Batch, height, width, channel and class axes are B, H, W, C and K.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.models.classifier import (
    check_image_hw,
    create_head,
    draw_weights,
    mark_activations,
)
from spectjax.ops.batch_norm import BatchNorm
from spectjax.ops.convolution import Conv
from spectjax.ops.pooling import average_pool, overlapping_max_pool


class DenseLayer(nn.Module):
    """Normalisation, ReLU and a 1x1 convolution, then the same with a 3x3 one.

    Attributes:
        growth: number of output channels.
        bottleneck: channels between both convolutions, in multiples of `growth`.
        initial: how weights are drawn, see `classifier.draw_weights`.
        dtype: type in which to convolve.
        axis_name: mapped axis over which the batch is split, if it is.
    """

    growth: int
    bottleneck: int
    initial: str
    dtype: Dtype
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (B, H, W, C) to (B, H, W, growth)."""
        conv = partial(
            Conv,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=draw_weights(self.initial),
        )
        norm = partial(
            BatchNorm,
            use_running_average=not train,
            relu=True,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        x = norm(name="norm1")(x)
        x = conv(self.bottleneck * self.growth, size=1, name="conv1")(x)
        x = norm(name="norm2")(x)
        return conv(self.growth, size=3, name="conv2")(x)


class Transition(nn.Module):
    """Normalisation, ReLU, a 1x1 convolution to half the channels, 2x2 mean.

    Attributes:
        initial: how weights are drawn, see `classifier.draw_weights`.
        dtype: type in which to convolve.
        axis_name: mapped axis over which the batch is split, if it is.
    """

    initial: str
    dtype: Dtype
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (B, H, W, C) to (B, H // 2, W // 2, C // 2)."""
        features = x.shape[-1] // 2
        x = BatchNorm(
            use_running_average=not train,
            relu=True,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name="norm",
        )(x)
        x = Conv(
            features,
            size=1,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=draw_weights(self.initial),
            name="conv",
        )(x)
        return average_pool(x)


class DenseNet(nn.Module):
    """Blocks whose layers see the results of all layers before them.

    Attributes:
        num_classes: number of classes K.
        stage_sizes: layers in each block.
        growth: channels that each layer adds.
        stem_features: channels before the first block.
        bottleneck: channels inside a layer, in multiples of `growth`.
        initial: how weights are drawn, see `classifier.draw_weights`.
        dtype: type in which to compute; parameters and logits are float32.
        axis_name: axis of `jax.shard_map` or `jax.pmap` over which the batch is split
            in training.
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
        transition = partial(
            Transition,
            initial=self.initial,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        layer = partial(
            DenseLayer,
            self.growth,
            self.bottleneck,
            initial=self.initial,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        norm = partial(
            BatchNorm,
            use_running_average=not train,
            relu=True,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        x = Conv(
            self.stem_features,
            size=7,
            stride=2,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=draw_weights(self.initial),
            name="stem",
        )(images)
        x = overlapping_max_pool(norm(name="stem_norm")(x))
        for stage, size in enumerate(self.stage_sizes, start=1):
            if stage > 1:
                x = transition(name=f"transition{stage - 1}")(x, train=train)
            for i in range(1, size + 1):
                y = layer(name=f"block{stage}_{i}")(x, train=train)
                x = jnp.concatenate([x, y], axis=-1)
        # [P2] Table 4 does not show it; DenseNet has this normalisation.
        x = mark_activations(self, norm(name="last_norm")(x))
        x = x.astype(jnp.float32).mean((1, 2))
        return create_head(self.num_classes, self.initial)(x)
