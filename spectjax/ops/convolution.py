"""Convolutions and pooling in the formulations that are fast on CPUs as well.

By oneDNN where `spectjax.ops.backend` has chosen it. Equal to their `jax.lax`
counterparts up to rounding, in value and in gradient. Batch, height, width and channel
axes are B, H, W and C.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer

from spectjax.ops import onednn
from spectjax.ops.backend import find_platform, is_for_gpu, is_plain, uses_onednn
from spectjax.ops.materialise import write_once
from spectjax.system.messages import UserError

# Convolutions of jaxlib 0.10 go to the YNN library by default, whose weight gradients
# take five times as long as XLA's own.
_WITHOUT_YNN = {"xla_cpu_experimental_ynn_fusion_type": ""}

# Outputs of a product whose gradient is a sum of so many terms, see `multiply_to_few`.
_FEW = 4
_IMAGES = ("NHWC", "HWIO", "NHWC")

_he_normal = nn.initializers.he_normal()
# The four taps of an up-convolution never meet in one output pixel, so its fan-in is
# C alone; no ReLU follows it, so the gain is one.
_up_normal = nn.initializers.variance_scaling(
    1.0, "fan_in", "normal", in_axis=2, out_axis=3, batch_axis=(0, 1)
)


def compiler_options() -> dict[str, str]:
    """Returns the XLA options with which to `jax.jit` a function that convolves.

    Empty where convolutions need none: on accelerators, and with a jaxlib that does not
    know the option any more.
    """
    return _options_on_cpus() if find_platform() == "cpu" else {}


@functools.cache
def _options_on_cpus() -> dict[str, str]:
    try:
        jax.jit(jnp.negative, compiler_options=_WITHOUT_YNN).lower(0.0).compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return {}
    return _WITHOUT_YNN


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Returns the convolution of x with an odd kernel, k // 2 zeros on each side.

    With stride 1, the result is as large as x.

    Args:
        x: (B, H, W, C).
        kernel: (k, k, C, D) with odd k.
        stride: step in both directions, in pixels.

    Returns:
        (B, ceil(H / stride), ceil(W / stride), D).
    """
    margin = kernel.shape[0] // 2
    if uses_onednn(x, kernel):
        return onednn.convolve(x, kernel, (stride,) * 2, (margin,) * 4)
    # With a stride, a slice and a product abort XLA on GPUs (openxla/xla#47381), and on
    # CPUs they are no faster.
    if kernel.shape[:2] == (1, 1) and stride == 1 and not is_plain():
        few = is_for_gpu() and kernel.shape[-1] <= _FEW
        return multiply_to_few(x, kernel[0, 0]) if few else x @ kernel[0, 0]
    if is_for_gpu() and kernel.shape[2] == 1 and margin:
        return convolve_one_channel(x, kernel, stride)
    if is_for_gpu() and stride == 1 and margin and min(x.shape[1:3]) <= len(kernel):
        return convolve_small(x, kernel)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride,) * 2, [(margin,) * 2] * 2, dimension_numbers=_IMAGES
    )


def convolve_one_channel(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Returns what `convolve` does of images with one channel, as one product.

    cuDNN's convolutions take channels by eight: the first layer of U-Net-Res at full
    width and its gradient took 0.35 of 14.4 ms, five times as long as their bytes.

    Args:
        x: (B, H, W, 1).
        kernel: (k, k, 1, D) with odd k.
        stride: step in both directions, in pixels.

    Returns:
        (B, ceil(H / stride), ceil(W / stride), D).
    """
    size, features = kernel.shape[0], kernel.shape[-1]
    edges = ((0, 0), (size // 2, size // 2), (size // 2, size // 2))
    padded = jnp.pad(x[..., 0], edges)
    height, width = x.shape[1:3]
    taps = [
        padded[:, i : i + height : stride, j : j + width : stride]
        for i in range(size)
        for j in range(size)
    ]
    # Written, since products of every other pixel abort XLA, see `convolve`.
    neighbours = write_once(jnp.stack(taps))
    return jnp.einsum("tbhw,td->bhwd", neighbours, kernel.reshape(-1, features))


def convolve_small(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns what `convolve` does of maps that are not larger than the kernel.

    With zeros after them: XLA knows the gradient by a kernel as cuDNN's only where the
    maps are larger, and turns these, NHWC to NCHW, for what it takes it for.
    """
    height, width = x.shape[1:3]
    down, right = (max(0, len(kernel) + 1 - n) for n in (height, width))
    x = jnp.pad(x, ((0, 0), (0, down), (0, right), (0, 0)))
    return convolve(x, kernel)[:, :height, :width]


@jax.custom_vjp
def multiply_to_few(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns x @ kernel, (..., D), of x, (..., C), and a kernel, (C, D), of few D.

    The gradient with respect to x is a sum of D terms that XLA merges into what reads
    it. A product's would be written, and as large as x.
    """
    return x @ kernel


def _few_forward(
    x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return x @ kernel, (x, kernel)


def _few_backward(
    saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    columns = kernel.T.reshape(-1, *(1,) * (x.ndim - 1), x.shape[-1])
    dx = sum(
        (dy[..., i, None] * column for i, column in enumerate(columns)),
        start=jnp.zeros_like(x),
    )
    return dx, jnp.tensordot(x, dy, (tuple(range(x.ndim - 1)),) * 2)


multiply_to_few.defvjp(_few_forward, _few_backward)


def up_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the 2x2 up-convolution with stride 2 of x: each pixel becomes four.

        y[2h + i, 2w + j] = x[h, w] @ kernel[i, j]

    This is `nn.ConvTranspose` with its kernel flipped in both spatial axes, as one
    matrix product and a depth-to-space reshape.

    Args:
        x: (B, H, W, C).
        kernel: (2, 2, C, D).

    Returns:
        (B, 2H, 2W, D).
    """
    if uses_onednn(x, kernel):
        return onednn.up_convolve(x, kernel.transpose(0, 1, 3, 2))
    batch, height, width, _ = x.shape
    y = x @ _join_taps(kernel)
    return interleave(y.reshape(batch, height, width, 2, 2, -1))


def up_convolve_apart(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns what `up_convolve` does, the four pixels of each one after another.

    Args:
        x: (B, H, W, C).
        kernel: (2, 2, C, D).

    Returns:
        (B, H, W, 4 D), as (B, H, W, 2, 2, D) what `interleave` takes.
    """
    taps = _join_taps(kernel)
    # cuDNN's convolution adds the bias and takes the ReLU before it writes.
    return convolve_places(x, taps) if is_for_gpu() else x @ taps


def _join_taps(kernel: jax.Array) -> jax.Array:
    """Returns a kernel (2, 2, C, D) as (C, 4 D)."""
    return kernel.transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1)


def convolve_places(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns x @ kernel, of (B, H, W, C) and (C, D), by a convolution."""
    return jax.lax.conv_general_dilated(
        x, kernel[None, None], (1, 1), "VALID", dimension_numbers=_IMAGES
    )


def interleave(x: jax.Array) -> jax.Array:
    """Returns pixels of (B, H, W, 2, 2, C) in their places, (B, 2H, 2W, C)."""
    batch, height, width, *_, channels = x.shape
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, 2 * height, 2 * width, channels)


def max_pool(x: jax.Array) -> jax.Array:
    """Returns the maxima of the 2x2 blocks of x, (B, H, W, C) to (B, H/2, W/2, C).

    The gradient goes to the first maximum of a block in row-major order, as that of
    `jax.lax.reduce_window` does.

    Raises:
        ValueError: if H or W is odd.
    """
    if x.shape[1] % 2 or x.shape[2] % 2:
        raise UserError(f"Expected even height and width, got {x.shape[1:3]}.")
    return pool_by_place(x) if is_for_gpu() else _pool(x)


@jax.custom_vjp
def _pool(x: jax.Array) -> jax.Array:
    if is_plain():
        return nn.max_pool(x, window_shape=(2, 2), strides=(2, 2))
    a, b, c, d = _corners(x)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _corners(x: jax.Array) -> tuple[jax.Array, ...]:
    """Returns the four pixels of each 2x2 block, each (B, H/2, W/2, C)."""
    return tuple(x[:, i::2, j::2] for i in (0, 1) for j in (0, 1))


def _pool_forward(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    y = _pool(x)
    return y, (x, y)


def _pool_backward(
    saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array]:
    x, y = saved
    free = jnp.ones(y.shape, bool)
    gradients = []
    for corner in _corners(x):
        first = free & (corner == y)
        free &= ~first
        gradients.append(jnp.where(first, dy, jnp.zeros_like(dy)))
    a, b, c, d = gradients
    rows = jnp.stack([jnp.stack([a, b], axis=3), jnp.stack([c, d], axis=3)], axis=2)
    return (rows.reshape(x.shape),)


_pool.defvjp(_pool_forward, _pool_backward)


@jax.custom_vjp
def pool_by_place(x: jax.Array) -> jax.Array:
    """Returns what `max_pool` does, and keeps for the gradient where each maximum was.

    Each pixel then says by itself what its gradient is, in one kernel with what comes
    after it. Joined of four corners it took twice as long as its bytes.
    """
    a, b, c, d = _corners(x)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _place_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    y, place = pool_by_place(x), jnp.uint8(3)
    for i, corner in reversed(list(enumerate(_corners(x)[:3]))):
        place = jnp.where(corner == y, jnp.uint8(i), place)
    return y, place


def _place_backward(place: jax.Array, dy: jax.Array) -> tuple[jax.Array]:
    batch, height, width, channels = dy.shape
    corners = jnp.arange(4, dtype=jnp.uint8).reshape(1, 1, 2, 1, 2, 1)
    blocks = (batch, height, 1, width, 1, channels)
    here = place.reshape(blocks) == corners
    dx = jnp.where(here, dy.reshape(blocks), jnp.zeros((), dy.dtype))
    return (dx.reshape(batch, 2 * height, 2 * width, channels),)


pool_by_place.defvjp(_place_forward, _place_backward)


class Conv(nn.Module):
    """Convolution with zero padding, kernel drawn by He's rule.

    Attributes:
        features: number of output channels D.
        size: height and width k of the kernel, odd.
        stride: step in both directions, in pixels.
        use_bias: add a bias to each output channel.
        dtype: type in which to compute; parameters are float32.
        kernel_init: initialiser of the kernel.
    """

    features: int
    size: int
    stride: int = 1
    use_bias: bool = True
    dtype: Dtype = jnp.float32
    kernel_init: Initializer = _he_normal

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), features)."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.stride)
        if self.use_bias:
            y += _bias(self)
        return y


class UpConv(nn.Module):
    """2x2 up-convolution with stride 2 and bias.

    Attributes:
        features: number of output channels D.
        apart: leave the four pixels of each one after another, for `interleave`.
        dtype: type in which to compute; parameters are float32.
    """

    features: int
    apart: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (B, H, W, C) to (B, 2H, 2W, D), or (B, H, W, 4 D) if `apart`."""
        shape = (2, 2, x.shape[-1], self.features)
        kernel = self.param("kernel", _up_normal, shape).astype(self.dtype)
        x, bias = x.astype(self.dtype), _bias(self)
        if self.apart:
            return up_convolve_apart(x, kernel) + jnp.tile(bias, 4)
        return up_convolve(x, kernel) + bias


def _bias(module: Conv | UpConv) -> jax.Array:
    bias = module.param("bias", nn.initializers.zeros, (module.features,))
    return bias.astype(module.dtype)[None, None, None]
