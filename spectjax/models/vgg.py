"""VGG and the classifiers of its kind, SPECS V7 to V24 ([P2] Table 3).

Batch, height, width, channel and class axes are B, H, W, C and K.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.models.classifier import (
    check_features,
    check_image_hw,
    create_head,
    draw_weights,
    mark_activations,
)
from spectjax.ops.batch_norm import BatchNorm
from spectjax.ops.convolution import Conv, max_pool
from spectjax.ops.dropout import Dropout
from spectjax.ops.pooling import adaptive_average_pool, drop_odd_edge
from spectjax.ops.product import dot_general
from spectjax.system.messages import check_known

ACTIVATIONS = ("relu", "elu")

# [P2] Table 3 has lost its columns in print. V16 and V19 are the standard networks; for
# the others the text gives 7, 21 and 24 layers with weights, three of them fully
# connected, and five poolings. Read here: V7 has one convolution in each of the first
# four stages and none in the fifth; V21 and V24 add to V19 where V19 added to V16.
V7 = (1, 1, 1, 1, 0)
V16 = (2, 2, 3, 3, 3)
V19 = (2, 2, 4, 4, 4)
V21 = (2, 2, 4, 5, 5)
V24 = (2, 2, 5, 6, 6)


class VGG(nn.Module):
    """Stages of 3x3 convolutions and a 2x2 max pooling, then three layers of products.

    Attributes:
        num_classes: number of classes K.
        stage_sizes: convolutions in each stage.
        features: channels of each stage.
        hidden: features of the first two fully connected layers.
        pool_hw: height and width to which the last map is averaged.
        activation: "relu" or "elu", after every hidden layer.
        batch_norm: normalise after each convolution, which then has no bias.
        dropout: probability with which the two hidden layers drop a feature.
        initial: how weights are drawn, see `classifier.draw_weights`.
        dtype: type in which to compute; parameters and logits are float32.
        axis_name: axis of `jax.shard_map` or `jax.pmap` over which the batch is split
            in training.
    """

    num_classes: int
    stage_sizes: tuple[int, ...]
    features: tuple[int, ...] = (64, 128, 256, 512, 512)
    # Where [P2] is silent the standard network counts: dropout of a half, and its 7x7
    # map, to which the 8x8 that 256x256 pixels leave are averaged as torchvision does.
    hidden: int = 4096
    pool_hw: tuple[int, int] = (7, 7)
    # [P2]: "All hidden layers use the ReLU ... (except for the SPECS V7)".
    activation: str = "relu"
    batch_norm: bool = False
    dropout: float = 0.5
    initial: str = "he"
    dtype: Dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Returns logits, float32, (B, K), for images (B, H, W, C).

        A row or column that does not pair up before a pooling is left out. In training
        it needs a key named `dropout`.

        Raises:
            ValueError: if H or W is below 2 ** len(stage_sizes), or a field is unknown.
        """
        check_known("activation", self.activation, ACTIVATIONS)
        check_features(self.features, self.stage_sizes)
        check_image_hw(images, 2 ** len(self.stage_sizes))
        x = images.astype(self.dtype)
        for stage, (size, features) in enumerate(
            zip(self.stage_sizes, self.features, strict=True), start=1
        ):
            for i in range(1, size + 1):
                x = self._convolve(x, features, f"{stage}_{i}", train)
            if stage == len(self.stage_sizes):
                x = mark_activations(self, x)
            x = max_pool(drop_odd_edge(x))
        x = adaptive_average_pool(x, self.pool_hw)
        x = x.reshape(x.shape[0], -1)
        for name in ("fc1", "fc2"):
            x = nn.Dense(
                self.hidden,
                dtype=self.dtype,
                kernel_init=draw_weights(self.initial),
                dot_general=dot_general,
                name=name,
            )(x)
            x = Dropout(self.dropout, self.axis_name)(self._activate(x), train=train)
        return create_head(self.num_classes, self.initial)(x)

    def _convolve(
        self, x: jax.Array, features: int, place: str, train: bool
    ) -> jax.Array:
        """Convolves, perhaps normalises, and activates."""
        x = Conv(
            features,
            size=3,
            use_bias=not self.batch_norm,
            dtype=self.dtype,
            kernel_init=draw_weights(self.initial),
            name=f"conv{place}",
        )(x)
        if not self.batch_norm:
            return self._activate(x)
        norm = partial(
            BatchNorm,
            use_running_average=not train,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name=f"norm{place}",
        )
        if self.activation == "relu":
            return norm(relu=True)(x)
        return self._activate(norm()(x))

    def _activate(self, x: jax.Array) -> jax.Array:
        # By name, since what exports a model replaces the functions of `flax.linen`.
        return getattr(nn, self.activation)(x)
