"""oneDNN's convolutions, normalisation and products as XLA custom calls, for CPUs.

All need `onednn_library.load` to have succeeded. They have first derivatives by reverse
mode only. In shapes, images are (B, H, W, C); D is the number of output channels.
"""

import functools
from typing import Any

import jax
import numpy as np

_Stride = tuple[int, int]
_Padding = tuple[int, int, int, int]

# Stride and padding of the convolution whose gradient doubles an image's size.
_DOUBLING = ((2, 2), (0, 0, 0, 0))


def _call(name: str, shapes: Any, *arrays: jax.Array, **attributes: Any) -> Any:
    """Returns what a handler makes of arrays: one, or one for each of several shapes.

    Args:
        name: of the handler, behind `spectjax_`.
        shapes: a shape, or a list of them; of the type of the first array.
        arrays: what it takes.
        attributes: likewise.
    """
    result = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, arrays[0].dtype),
        shapes,
        is_leaf=lambda shape: isinstance(shape, tuple),
    )
    call = jax.ffi.ffi_call(f"spectjax_{name}", result, vmap_method="sequential")
    return call(*arrays, **attributes)


def _convolution(
    name: str,
    shape: tuple[int, ...],
    a: jax.Array,
    b: jax.Array,
    stride: _Stride,
    padding: _Padding,
) -> jax.Array:
    geometry = {"stride": np.array(stride), "padding": np.array(padding)}
    return _call(f"convolution_{name}", shape, a, b, **geometry)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(
    x: jax.Array, kernel: jax.Array, stride: _Stride, padding: _Padding
) -> jax.Array:
    """Returns the convolution of x with a kernel, as `jax.lax` defines it.

    Args:
        x: (B, H, W, C), float32, or bfloat16 if `Handler.bfloat16`.
        kernel: (h, w, C, D), of the same type.
        stride: steps down and to the right, in pixels.
        padding: zeros above, below, left and right, in pixels.

    Returns:
        (B, H', W', D).
    """
    top, bottom, left, right = padding
    batch, height, width, _ = x.shape
    rows = (height + top + bottom - kernel.shape[0]) // stride[0] + 1
    columns = (width + left + right - kernel.shape[1]) // stride[1] + 1
    shape = (batch, rows, columns, kernel.shape[-1])
    return _convolution("forward", shape, x, kernel, stride, padding)


def _forward(
    x: jax.Array, kernel: jax.Array, stride: _Stride, padding: _Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: _Stride,
    padding: _Padding,
    saved: tuple[jax.Array, jax.Array],
    dy: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    return (
        _convolution("data", x.shape, dy, kernel, stride, padding),
        _convolution("kernel", kernel.shape, x, dy, stride, padding),
    )


convolve.defvjp(_forward, _backward)


@jax.custom_vjp
def up_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the 2x2 up-convolution with stride 2: `convolve`'s gradient by data.

    Args:
        x: (B, H, W, C), of a type that `convolve` takes.
        kernel: (2, 2, D, C), of the same type.

    Returns:
        (B, 2H, 2W, D).
    """
    batch, height, width, _ = x.shape
    shape = (batch, 2 * height, 2 * width, kernel.shape[2])
    return _convolution("data", shape, x, kernel, *_DOUBLING)


def _up_forward(
    x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return up_convolve(x, kernel), (x, kernel)


def _up_backward(
    saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    return (
        convolve(dy, kernel, *_DOUBLING),
        _convolution("kernel", kernel.shape, dy, x, *_DOUBLING),
    )


up_convolve.defvjp(_up_forward, _up_backward)


def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns mean and variance, each (C,), of x, (..., C), float32."""
    mean, variance = _call("moments", [x.shape[-1:]] * 2, x)
    return mean, variance


def gradient_sums(
    dy: jax.Array,
    x: jax.Array,
    mean: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    relu: bool,
) -> tuple[jax.Array, jax.Array]:
    """Returns the sums of dy and dy * (x - mean) over all axes but the last, (C,).

    Args:
        dy: (..., C), float32.
        x: (..., C), float32.
        mean: (C,), float32.
        scale: (C,), float32.
        bias: (C,), float32.
        relu: take only those for which (x - mean) * scale + bias > 0.
    """
    arrays = (dy, x, mean, scale, bias)
    first, second = _call("gradient_sums", [mean.shape] * 2, *arrays, relu=relu)
    return first, second


def normalise(
    x: jax.Array, scale: jax.Array, bias: jax.Array, *, relu: bool, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns x normalised by its moments, (..., C), their mean and variance, (C,).

    Args:
        x: (..., C), float32.
        scale: (C,), float32.
        bias: (C,), float32.
        relu: apply a ReLU afterwards.
        epsilon: what is added to the variance.
    """
    shapes = [x.shape, scale.shape, scale.shape]
    options = {"relu": relu, "epsilon": np.float32(epsilon)}
    y, mean, variance = _call("normalise", shapes, x, scale, bias, **options)
    return y, mean, variance


def normalise_gradient(
    dy: jax.Array,
    x: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    relu: bool,
    epsilon: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the gradients of `normalise` by x, (..., C), scale and bias, (C,).

    Args:
        dy: gradient by what it returned first, (..., C), float32.
        x: what it was given, as all below but mean and variance, which it returned.
        mean: (C,), float32.
        variance: likewise.
        scale: likewise.
        bias: likewise.
        relu: as given.
        epsilon: as given.
    """
    shapes = [x.shape, scale.shape, scale.shape]
    options = {"relu": relu, "epsilon": np.float32(epsilon)}
    arrays = (dy, x, mean, variance, scale, bias)
    dx, dscale, dbias = _call("normalise_gradient", shapes, *arrays, **options)
    return dx, dscale, dbias


def multiply_transposed(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns a @ b.T, (m, n), of a, (m, k), and b, (n, k), float32."""
    return _call("multiply_transposed", (a.shape[0], b.shape[0]), a, b)
