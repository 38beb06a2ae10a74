"""U-Net and U-Net-Res for hotspots in thorax images ([P1] Fig. 5, Fig. 6, Eq. 5).

Batch, height, width, channel and class axes are B, H, W, C and K.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.ops.batch_norm import BatchNorm
from spectjax.ops.convolution import Conv, UpConv, max_pool
from spectjax.ops.materialise import write_once
from spectjax.system.messages import UserError


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each followed by batch normalisation and ReLU.

    Attributes:
        features: number of output channels.
        residual: add the block's input before the last ReLU ([P1] Eq. 5).
        batch_norm: normalise after each convolution, which then has no bias.
        dtype: type in which to convolve.
        axis_name: mapped axis over which the batch is split, if it is.
    """

    features: int
    residual: bool
    batch_norm: bool
    dtype: Dtype
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (B, H, W, C) to (B, H, W, features)."""
        conv = partial(Conv, self.features, use_bias=not self.batch_norm)
        # This momentum weighs the old statistics: 0.9 here is 0.1 in PyTorch.
        norm = partial(
            BatchNorm,
            use_running_average=not train,
            momentum=0.9,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        shortcut = x
        # [P1] follows Ronneberger's U-Net, which convolves without padding and crops;
        # zero padding keeps the mask as large as the image, and outside the body an
        # image is zero anyway.
        for i in (1, 2):
            x = conv(size=3, dtype=self.dtype, name=f"conv{i}")(x)
            if self.batch_norm:
                x = norm(relu=i == 1, name=f"norm{i}")(x)
            elif i == 1:
                x = nn.relu(x)
        if self.residual:
            # [P1] names the identity, but a U-Net's blocks change the number of
            # channels: a 1x1 projection where they do, read from its "1x1 residual
            # module".
            if shortcut.shape[-1] != self.features:
                shortcut = Conv(self.features, 1, dtype=self.dtype, name="project")(
                    shortcut
                )
            x += shortcut
        return nn.relu(x)


class UNet(nn.Module):
    """Encoder and decoder with one skip connection for each resolution.

    Attributes:
        num_classes: number of classes K, background included.
        features: channels at each resolution, from the finest to the coarsest.
        residual: use residual blocks, which makes this U-Net-Res.
        batch_norm: normalise after each 3x3 convolution.
        dtype: type in which to convolve; parameters and logits are float32.
        axis_name: axis of `jax.shard_map` or `jax.pmap` over which the batch is split;
            batch normalisation is then over the whole batch.
        deep_supervision: in training, say the classes of coarser pixels too, at all
            resolutions between finest and coarsest: logits (B, H / 2^i, W / 2^i, K),
            sown as "logits{i}" in the collection "auxiliary".
    """

    num_classes: int
    features: tuple[int, ...] = (64, 128, 256, 512, 1024)
    residual: bool = False
    # [P1] does not mention it. On, since the paper's SGD at 0.001 gets further with it:
    # cross-entropy 0.32 against 0.37 after 112 batches of 16 (widths 8 to 64, phantom).
    batch_norm: bool = True
    dtype: Dtype = jnp.float32
    axis_name: str | None = None
    deep_supervision: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Returns logits, float32, (B, H, W, K), for images (B, H, W, C).

        Raises:
            ValueError: if H or W is not a multiple of 2 ** (len(features) - 1).
        """
        stride = 2 ** (len(self.features) - 1)
        height, width = images.shape[1:3]
        if height % stride or width % stride:
            raise UserError(
                f"Expected an image size in multiples of {stride} for "
                f"{len(self.features)} resolutions, got {height}x{width}."
            )
        block = partial(
            ConvBlock,
            residual=self.residual,
            batch_norm=self.batch_norm,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )

        head = partial(
            Conv, self.num_classes, 1, kernel_init=nn.initializers.lecun_normal()
        )

        x, skips = images, []
        for i, features in enumerate(self.features):
            if i:
                x = max_pool(x)
            x = block(features, name=f"down{i}")(x, train=train)
            skips.append(x)

        x = skips.pop()
        for i, features in reversed(list(enumerate(self.features[:-1]))):
            x = UpConv(features, dtype=self.dtype, name=f"grow{i}")(x)
            x = write_once(jnp.concatenate([skips.pop(), x], axis=-1))
            x = block(features, name=f"up{i}")(x, train=train)
            if i and self.deep_supervision and (train or self.is_initializing()):
                self.sow("auxiliary", f"logits{i}", head(name=f"head{i}")(x))
        return head(name="head")(x)
