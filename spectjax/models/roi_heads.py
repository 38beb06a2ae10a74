"""What a region of interest holds: its class, its box and its mask (He et al., 2017).

Of B images with R regions each, classes are K, background included; maps that are cut
out of the pyramid are S by S pixels with C channels.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.ops.backend import uses_onednn
from spectjax.ops.convolution import Conv, UpConv, interleave
from spectjax.ops.permutation import permute
from spectjax.ops.product import dot_general
from spectjax.ops.relu import relu_by_result
from spectjax.ops.used_parts import map_used

_PARTS = 32  # of the mask head's places, each of which may be left out

_he = nn.initializers.he_normal()


class BoxHead(nn.Module):
    """Two fully connected layers, then the class of a region and its box's deltas.

    Attributes:
        num_classes: K.
        features: width of the two layers.
        dtype: type in which to multiply; the results are float32.
    """

    num_classes: int
    features: int
    dtype: Dtype

    @nn.compact
    def __call__(self, regions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns logits (B, R, K) and deltas (B, R, K, 4) for regions (B, R, S, S, C).

        Each class has deltas of its own, background too, whose are never used.
        """
        batch, count = regions.shape[:2]
        x = regions.reshape(batch * count, -1)
        for i in (1, 2):
            x = nn.Dense(
                self.features,
                dtype=self.dtype,
                kernel_init=_he,
                dot_general=dot_general,
                name=f"fc{i}",
            )(x)
            x = nn.relu(x)
        x = x.astype(jnp.float32)
        logits = nn.Dense(
            self.num_classes, kernel_init=nn.initializers.normal(0.01), name="logits"
        )(x)
        deltas = nn.Dense(
            4 * self.num_classes,
            kernel_init=nn.initializers.normal(0.001),
            name="deltas",
        )(x)
        return (
            logits.reshape(batch, count, -1),
            deltas.reshape(batch, count, self.num_classes, 4),
        )


class MaskHead(nn.Module):
    """Four 3x3 convolutions, an up-convolution, and the mask of a region by class.

    Attributes:
        num_classes: K.
        features: channels of the convolutions.
        dtype: type in which to convolve; the result is float32.
    """

    num_classes: int
    features: int
    dtype: Dtype

    @nn.compact
    def __call__(self, regions: jax.Array) -> jax.Array:
        """Returns logits (B, R, 2S, 2S, K) for regions (B, R, S, S, C)."""
        batch, count = regions.shape[:2]
        x = regions.reshape(batch * count, *regions.shape[2:])
        for i in range(1, 5):
            x = relu_by_result(
                Conv(self.features, 3, dtype=self.dtype, name=f"conv{i}")(x)
            )
        # XLA would move all channels of all pixels; of the classes there are few.
        apart = not uses_onednn(x)
        x = UpConv(self.features, apart=apart, dtype=self.dtype, name="up")(x)
        n_regions, height, width, _ = x.shape  # of an export the first is a symbol
        # Each class of a pixel depends on that pixel alone, wherever it is.
        x = relu_by_result(x).reshape(n_regions, height, -1, self.features)
        logits = Conv(
            self.num_classes,
            1,
            kernel_init=nn.initializers.lecun_normal(),
            name="logits",
        )(x.astype(jnp.float32))
        if apart:
            logits = interleave(
                logits.reshape(n_regions, height, width, 2, 2, self.num_classes)
            )
        return logits.reshape(batch, count, *logits.shape[1:])


def outline_used(head: MaskHead, regions: jax.Array, used: jax.Array) -> jax.Array:
    """Returns a mask head's logits, 0 for regions that are not used.

    The head takes most of the time of a step on a CPU, and images with few lesions
    leave most of its places empty. So there the used regions of the whole batch come
    first, and parts without any are left out.

    Args:
        head: bound to its parameters.
        regions: (B, R, S, S, C).
        used: bool, (B, R).

    Returns:
        float32, (B, R, 2S, 2S, K).
    """
    if head.is_initializing() or not uses_onednn(regions):
        # XLA:CPU convolves slowly in loops, and a GPU waits for each condition.
        return jnp.where(used[:, :, None, None, None], head(regions), 0.0)
    places = used.size
    order = jnp.argsort(~used.ravel())
    inverse = jnp.argsort(order)
    rows = permute(regions.reshape(places, *regions.shape[2:]), order, inverse)
    part = -(-places // _PARTS)
    rows = jnp.pad(rows, ((0, _PARTS * part - places), (0, 0), (0, 0), (0, 0)))
    unbound, variables = head.unbind()

    logits = map_used(
        lambda variables, rows: unbound.apply(variables, rows[None])[0],
        variables,
        rows.reshape(_PARTS, part, *rows.shape[1:]),
        -(-jnp.sum(used) // part),
    )
    logits = permute(logits.reshape(-1, *logits.shape[2:])[:places], inverse, order)
    logits = logits.reshape(*used.shape, *logits.shape[1:])
    return jnp.where(used[:, :, None, None, None], logits, 0.0)


def choose_class(values: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the values of one class of each region.

    Args:
        values: classes on the axis `axis`: (..., K).
        labels: of the regions, int32, shape that broadcasts with (...).
    """
    # A sum over all classes: the gradient of an indexed read is a scattered write,
    # which is slow on GPUs.
    chosen = jax.nn.one_hot(labels, values.shape[-1], dtype=values.dtype)
    return jnp.sum(values * chosen, axis=-1)
