"""ResNet-50's body: the feature maps that Mask R-CNN works on ([P1] Fig. 7).

He et al., CVPR 2016; the stride is in the 3x3 convolution, as in torchvision. Batch,
height, width and channel axes are B, H, W and C.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.models.attention import SpatialAttention
from spectjax.ops.batch_norm import BatchNorm
from spectjax.ops.convolution import Conv
from spectjax.ops.pooling import overlapping_max_pool
from spectjax.ops.relu import relu_by_result
from spectjax.system.messages import check_known

EXPANSION = 4  # channels that a block gives for one of its inner ones
NORMS = ("batch", "frozen", "group")
_GROUPS = 32  # of group normalisation, at most (Wu and He, ECCV 2018)


def normalise(
    x: jax.Array,
    *,
    kind: str,
    train: bool,
    name: str,
    relu: bool = False,
    dtype: Dtype = jnp.float32,
    axis_name: str | None = None,
) -> jax.Array:
    """Normalises the channels of a module's feature map, perhaps with a ReLU after it.

    Args:
        x: (B, H, W, C).
        kind: "batch"; "frozen": batch normalisation by the running statistics, none of
            whose numbers is learnt; or "group".
        train: whether batch normalisation takes the batch's own statistics.
        name: of the layer, which becomes one of the calling module.
        relu: apply a ReLU afterwards.
        dtype: type of the result.
        axis_name: mapped axis over which the batch is split, if it is.

    Returns:
        (B, H, W, C).

    Raises:
        ValueError: if the kind is unknown.
    """
    check_known("norm", kind, NORMS)
    if kind == "group":
        groups = max(n for n in range(1, _GROUPS + 1) if x.shape[-1] % n == 0)
        y = nn.GroupNorm(groups, epsilon=1e-5, dtype=dtype, name=name)(x)
        return nn.relu(y) if relu else y
    return BatchNorm(
        use_running_average=kind == "frozen" or not train,
        learns=kind != "frozen",
        relu=relu,
        axis_name=axis_name,
        dtype=dtype,
        name=name,
    )(x)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions whose result is added to their input.

    Attributes:
        features: number of inner channels; the block gives four times as many.
        stride: step of the 3x3 convolution, in pixels.
        norm: see `normalise`.
        attention: weigh the result by its spatial attention before it is added.
        open_attention: see `SpatialAttention.is_open`.
        dtype: type in which to convolve.
        axis_name: mapped axis over which the batch is split, if it is.
    """

    features: int
    stride: int
    norm: str
    attention: bool
    open_attention: bool
    dtype: Dtype
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), 4 features)."""
        conv = partial(Conv, use_bias=False, dtype=self.dtype)
        norm = partial(
            normalise,
            kind=self.norm,
            train=train,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        y = conv(self.features, 1, name="conv1")(x)
        y = norm(y, relu=True, name="norm1")
        y = conv(self.features, 3, stride=self.stride, name="conv2")(y)
        y = norm(y, relu=True, name="norm2")
        y = conv(EXPANSION * self.features, 1, name="conv3")(y)
        y = norm(y, name="norm3")
        if self.attention:
            y = SpatialAttention(is_open=self.open_attention, name="attention")(y)
        if x.shape != y.shape:
            x = conv(EXPANSION * self.features, 1, stride=self.stride, name="project")(
                x
            )
            x = norm(x, name="project_norm")
        return relu_by_result(x + y)


class BottleneckBody(nn.Module):
    """The four stages of a ResNet, each but the first at half of the size before.

    Attributes:
        stage_sizes: blocks in each stage.
        features: inner channels of each stage; the first number is the stem's as well.
        stem_pool: halve the stem's map by max-pooling, as ResNet does. Without, the
            maps are twice as fine: hotspots are 3 to 40 pixels large.
        norm: see `normalise`.
        attention: "stage": weigh each stage's result, for the next one as well;
            "block": in each block; anything else: nowhere here.
        open_attention: see `SpatialAttention.is_open`.
        dtype: type in which to convolve.
        axis_name: mapped axis over which the batch is split, if it is.
    """

    stage_sizes: tuple[int, ...]
    features: tuple[int, ...]
    stem_pool: bool
    norm: str
    attention: str
    open_attention: bool
    dtype: Dtype
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> list[jax.Array]:
        """Returns the stages' maps for images (B, H, W, C), the finest first.

        The first has stride 2, or 4 with `stem_pool`, the others twice that of the one
        before; (B, H / stride, W / stride, 4 features).
        """
        x = Conv(
            self.features[0], 7, stride=2, use_bias=False, dtype=self.dtype, name="stem"
        )(images)
        x = normalise(
            x,
            kind=self.norm,
            train=train,
            relu=True,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="stem_norm",
        )
        if self.stem_pool:
            x = overlapping_max_pool(x)
        maps = []
        sizes = zip(self.stage_sizes, self.features, strict=True)
        for stage, (size, features) in enumerate(sizes, start=1):
            for i in range(1, size + 1):
                x = Bottleneck(
                    features,
                    stride=2 if i == 1 and stage > 1 else 1,
                    norm=self.norm,
                    attention=self.attention == "block",
                    open_attention=self.open_attention,
                    dtype=self.dtype,
                    axis_name=self.axis_name,
                    name=f"stage{stage}_{i}",
                )(x, train=train)
            if self.attention == "stage":
                x = SpatialAttention(
                    is_open=self.open_attention, name=f"attention{stage}"
                )(x)
            maps.append(x)
        return maps
