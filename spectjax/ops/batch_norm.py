"""Batch normalisation in few passes over memory, with its ReLU.

Batch, height, width and channel axes are B, H, W and C.
"""

import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.ops import onednn
from spectjax.ops.backend import find_platform, is_for_gpu, is_plain, uses_onednn

_EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last, and optionally a ReLU.

    Parameters `scale` and `bias` and statistics `mean` and `var` have the names and
    meanings of `nn.BatchNorm`. Moments are taken in float32, about the mean, or on GPUs
    about a pixel.

    Attributes:
        use_running_average: normalise with the running statistics.
        relu: apply a ReLU afterwards.
        learns: give `scale` and `bias` gradients; without, they stay as they are.
        momentum: weight of the old running statistics; PyTorch's is one minus this.
        axis_name: axis of `jax.shard_map` or `jax.pmap` over which the batch is split;
            moments are then those of the whole batch.
        dtype: type of the result; parameters and statistics are float32.
    """

    use_running_average: bool
    relu: bool = False
    learns: bool = True
    momentum: float = 0.9
    axis_name: str | None = None
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, still: bool = False) -> jax.Array:
        """Maps (..., C) to (..., C); if `still`, with the running statistics anyway."""
        shape = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        var = self.variable("batch_stats", "var", jnp.ones, shape)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        if not self.learns:
            scale, bias = jax.lax.stop_gradient((scale, bias))
        if self.use_running_average or still:
            factor = scale * jax.lax.rsqrt(var.value + _EPSILON)
            y = _affine(x, mean.value, factor, bias)
            y = nn.relu(y) if self.relu else y
        else:
            # While flax draws parameters there is no axis to take means over.
            axis_name = None if self.is_initializing() else self.axis_name
            y, batch_mean, batch_var = normalise(x, scale, bias, self.relu, axis_name)
            if not self.is_initializing():
                old, new = self.momentum, 1 - self.momentum
                mean.value = old * mean.value + new * batch_mean
                var.value = old * var.value + new * batch_var
        return y.astype(self.dtype)


def _affine(
    x: jax.Array, mean: jax.Array, factor: jax.Array, offset: jax.Array
) -> jax.Array:
    """Returns (x - mean) * factor + offset, in this order to keep digits."""
    shape = (1,) * (x.ndim - 1) + (-1,)
    mean, factor, offset = (v.reshape(shape) for v in (mean, factor, offset))
    if is_plain():
        # Runtimes merge this, but no subtraction, into the convolution before it.
        return x * factor + (offset - mean * factor)
    return (x - mean) * factor + offset


def _center(x: jax.Array, mean: jax.Array) -> jax.Array:
    return x - mean.reshape((1,) * (x.ndim - 1) + (-1,))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalise(
    x: jax.Array, scale: jax.Array, bias: jax.Array, relu: bool, axis_name: str | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns x normalised by the moments of its batch, and these moments.

        y = (x - mean) / sqrt(var + 1e-5) * scale + bias, or max(y, 0)

    No gradient goes through the moments that are returned. In `jax.shard_map`, which
    needs `check_vma=False`, the gradients by scale and bias are those of the device's
    part of the batch.

    Args:
        x: (..., C).
        scale: (C,), float32.
        bias: (C,), float32.
        relu: whether to apply a ReLU.
        axis_name: mapped axis over which the batch is split, or None.

    Returns:
        y, float32, (..., C), then mean and (biased) variance, each float32, (C,).
    """
    y, _ = _forward(x, scale, bias, relu, axis_name)
    return y


def _moments(x: jax.Array, axis_name: str | None) -> tuple[jax.Array, jax.Array]:
    if uses_onednn(x):
        mean, var = onednn.moments(x)
    elif is_for_gpu():
        mean, var = find_moments_at_once(x)
    else:
        mean = _mean(x)
        var = _mean(jnp.square(_center(x, mean)))
    if not _is_split(axis_name):
        return mean, var
    # One message for both: on GPUs each takes longer than its numbers.
    means, variances = jax.lax.all_gather(jnp.stack([mean, var]), axis_name, axis=1)
    whole = means.mean(0, keepdims=True)
    return whole[0], (variances + jnp.square(means - whole)).mean(0)


def find_moments_at_once(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns mean and variance of each channel by one pass over memory.

        var = mean((x - a)^2) - (mean(x) - a)^2

    with a the pixel in the middle of x, which is as far from the mean as pixels are:
    by d standard deviations the difference loses d^2 of 2^24. About zero it would lose
    as much as mean^2 is more than the variance.

    Args:
        x: float32, (..., C).

    Returns:
        Mean and (biased) variance, each float32, (C,).
    """
    middle = x[tuple(n // 2 for n in x.shape[:-1])]
    apart = _center(x, middle)
    mean = _mean(apart)
    var = _mean(jnp.square(apart)) - jnp.square(mean)
    return middle + mean, jnp.maximum(var, 0)


def _mean(x: jax.Array) -> jax.Array:
    """Returns the means over all axes but the last."""
    return _sum(x) / (x.size // x.shape[-1])


def _sum(x: jax.Array) -> jax.Array:
    if find_platform() != "cpu" or is_plain():
        return x.sum(range(x.ndim - 1))
    # Products with ones: XLA's sums over rows take five times as long on CPUs. Several
    # short sums lose fewer digits than a long one.
    blocks = math.gcd(x.size // x.shape[-1], 256)
    rows = x.reshape(blocks, -1, x.shape[-1])
    return (jnp.ones((blocks, 1, rows.shape[1]), x.dtype) @ rows).sum((0, 1))


_Saved = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


def _forward(
    x: jax.Array, scale: jax.Array, bias: jax.Array, relu: bool, axis_name: str | None
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], _Saved]:
    x32 = x.astype(jnp.float32)
    if uses_onednn(x32) and not _is_split(axis_name):
        y, mean, var = onednn.normalise(x32, scale, bias, relu=relu, epsilon=_EPSILON)
    else:
        mean, var = _moments(x32, axis_name)
        y = _affine(x32, mean, scale * jax.lax.rsqrt(var + _EPSILON), bias)
        y = nn.relu(y) if relu else y
    return (y, mean, var), (x, mean, var, scale, bias)


def _is_split(axis_name: str | None) -> bool:
    """Whether other devices have parts of the batch."""
    return axis_name is not None and jax.lax.axis_size(axis_name) > 1


def _backward(
    relu: bool,
    axis_name: str | None,
    saved: _Saved,
    gradients: tuple[jax.Array, jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, mean, var, scale, bias = saved
    dy, x32 = gradients[0], x.astype(jnp.float32)
    if uses_onednn(x32, dy) and not _is_split(axis_name):
        dx, dscale, dbias = onednn.normalise_gradient(
            dy, x32, mean, var, scale, bias, relu=relu, epsilon=_EPSILON
        )
        return dx.astype(x.dtype), dscale, dbias
    inverse = jax.lax.rsqrt(var + _EPSILON)
    factor = scale * inverse
    if uses_onednn(x32, dy):
        dbias, second = onednn.gradient_sums(dy, x32, mean, factor, bias, relu=relu)
    else:
        passed = _pass(dy, x32, mean, factor, bias) if relu else dy
        dbias, second = _sum(passed), _sum(passed * _center(x32, mean))
    dscale = second * inverse
    # The moments are those of the whole batch, so each pixel of it answers to them.
    first, second = dbias, dscale * inverse
    if _is_split(axis_name):
        first, second = jax.lax.pmean(jnp.stack([first, second]), axis_name)
    first, second = (x.shape[-1] / x.size * s for s in (first, second))
    # dx = factor * (dy - mean(dy) - (x - mean) / var * mean(dy * (x - mean)))
    if relu:
        if is_for_gpu():
            # Else XLA writes the signs for both passes, which read x anyway.
            mean, factor, bias, first, second = jax.lax.optimization_barrier(
                (mean, factor, bias, first, second)
            )
        dy = _pass(dy, x32, mean, factor, bias)
    shape = (1,) * (x.ndim - 1) + (-1,)
    slope = _center(x32, mean) * second.reshape(shape)
    dx = (_center(dy, first) - slope) * factor.reshape(shape)
    return dx.astype(x.dtype), dscale, dbias


def _pass(
    dy: jax.Array, x: jax.Array, mean: jax.Array, factor: jax.Array, bias: jax.Array
) -> jax.Array:
    """Returns the gradient before the ReLU: dy where something came through."""
    return jnp.where(_affine(x, mean, factor, bias) > 0, dy, jnp.zeros_like(dy))


normalise.defvjp(_forward, _backward)
