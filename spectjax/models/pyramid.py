"""Feature pyramid: coarse maps with much context, added to fine ones with much detail.

Lin et al., CVPR 2017. Batch, height, width and channel axes are B, H, W and C.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.models.attention import SpatialAttention
from spectjax.ops.convolution import Conv
from spectjax.ops.roi_align import assign_levels, roi_align
from spectjax.system.messages import UserError


class FeaturePyramid(nn.Module):
    """Maps of equal channels at all resolutions of a body.

    Attributes:
        features: channels of each map.
        num_levels: number of maps; one more than the body has adds a coarser one, every
            other pixel of the last.
        attention: "lateral": weigh the body's maps by their spatial attention before
            they enter, and not for the body itself; "pyramid": weigh the results;
            anything else: nowhere here.
        open_attention: see `SpatialAttention.is_open`.
        dtype: type in which to convolve.
    """

    features: int
    num_levels: int
    attention: str
    open_attention: bool
    dtype: Dtype

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array]) -> list[jax.Array]:
        """Returns `num_levels` maps (B, H_l, W_l, features), the finest first.

        Args:
            maps: (B, H_l, W_l, C_l), each of half the size of the one before.

        Raises:
            ValueError: if `num_levels` is neither the number of maps nor one more.
        """
        if self.num_levels - len(maps) not in (0, 1):
            raise UserError(
                f"Expected anchors for {len(maps)} or {len(maps) + 1} levels, got "
                f"{self.num_levels}."
            )
        # No ReLU follows these layers, so their gain is one.
        linear = nn.initializers.lecun_normal()
        conv = partial(Conv, self.features, dtype=self.dtype, kernel_init=linear)
        top, levels = None, []
        for stage in range(len(maps), 0, -1):
            x = maps[stage - 1]
            if self.attention == "lateral":
                x = self.attend(stage)(x)
            x = conv(size=1, name=f"lateral{stage}")(x)
            top = x if top is None else x + _double(top)
            y = conv(size=3, name=f"output{stage}")(top)
            if self.attention == "pyramid":
                y = self.attend(stage)(y)
            levels.append(y)
        levels.reverse()
        if self.num_levels > len(maps):
            levels.append(levels[-1][:, ::2, ::2])
        return levels

    def attend(self, stage: int) -> SpatialAttention:
        """Returns the attention of a level."""
        return SpatialAttention(is_open=self.open_attention, name=f"attention{stage}")


def _double(x: jax.Array) -> jax.Array:
    """Returns each pixel of x, (B, H, W, C), four times: (B, 2H, 2W, C)."""
    batch, height, width, channels = x.shape
    wide = jnp.broadcast_to(
        x[:, :, None, :, None, :], (batch, height, 2, width, 2, channels)
    )
    return wide.reshape(batch, 2 * height, 2 * width, channels)


def cut_regions(
    levels: Sequence[jax.Array],
    boxes: jax.Array,
    used: jax.Array,
    size: int,
    *,
    strides: Sequence[int],
    torchvision: bool,
) -> jax.Array:
    """Returns a pyramid's features in boxes, (B, R, size, size, C).

    Args:
        levels: maps (B, H_l, W_l, C).
        boxes: pixels of the network, (B, R, 4).
        used: bool, (B, R); other boxes have features of 0.
        size: pixels on each side of what is cut out.
        strides: of the levels, pixels of the network.
        torchvision: choose levels and place samples as torchvision does.
    """

    def cut(
        features: Sequence[jax.Array], boxes: jax.Array, used: jax.Array
    ) -> jax.Array:
        chosen = assign_levels(boxes, strides, torchvision=torchvision)
        chosen = jnp.where(used, chosen, len(strides))
        return roi_align(
            features,
            boxes,
            chosen,
            strides,
            size,
            aligned=not torchvision,
            short=not torchvision,
        )

    return jax.vmap(cut)(list(levels), boxes, used)
