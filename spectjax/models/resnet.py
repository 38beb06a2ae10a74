"""ResNet-34, the network of SPECS R34 ([P2] "ResNet based classifier").

Batch, height, width, channel and class axes are B, H, W, C and K.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.models.classifier import (
    check_features,
    check_image_hw,
    classify_mean,
    create_layers,
    enter_stem,
)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions whose result is added to their input ([P2] Fig. 6).

    Attributes:
        features: number of output channels.
        stride: step of the first convolution, in pixels.
        initial, dtype, axis_name: as in `ResNet`.
    """

    features: int
    stride: int
    initial: str
    dtype: Dtype
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), features)."""
        conv, norm = create_layers(self, train)
        y = conv(self.features, size=3, stride=self.stride, name="conv1")(x)
        y = norm(relu=True, name="norm1")(y)
        y = conv(self.features, size=3, name="conv2")(y)
        y = norm(name="norm2")(y)
        if x.shape != y.shape:
            x = conv(self.features, size=1, stride=self.stride, name="project")(x)
            x = norm(name="project_norm")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Stages of residual blocks, each but the first at half of the size before.

    Attributes:
        num_classes: number of classes K.
        stage_sizes: residual blocks in each stage.
        features: channels of each stage; the first number is the stem's as well.
        initial, dtype, axis_name: as in `VGG`.
    """

    num_classes: int
    stage_sizes: tuple[int, ...] = (3, 4, 6, 3)
    features: tuple[int, ...] = (64, 128, 256, 512)
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
        check_features(self.features, self.stage_sizes)
        x = enter_stem(images, self.features[0], *create_layers(self, train))
        for stage, (size, features) in enumerate(
            zip(self.stage_sizes, self.features, strict=True), start=1
        ):
            for i in range(1, size + 1):
                stride = 2 if i == 1 and stage > 1 else 1
                how = (self.initial, self.dtype, self.axis_name)
                block = ResidualBlock(features, stride, *how, name=f"stage{stage}_{i}")
                x = block(x, train=train)
        # [P2] averages over 2x2 pixels with stride 1, which would leave 7x7 pixels of
        # 512 channels to the last layer; the mean over all is the standard network's.
        return classify_mean(self, x)
