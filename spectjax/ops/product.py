"""Products of a small batch with a large matrix, as fully connected layers take them.

Rows of the batch, inputs and outputs are B, C and D.
"""

from typing import Any

import jax
import jax.numpy as jnp

from spectjax.ops import onednn
from spectjax.ops.backend import uses_onednn


def dot_general(
    x: jax.Array, kernel: jax.Array, dimension_numbers: Any, **options: Any
) -> jax.Array:
    """Returns what `jax.lax.dot_general` does; for the field of `nn.Dense`."""
    plain = dimension_numbers == (((1,), (0,)), ((), ())) and x.ndim == 2
    plain &= x.dtype == jnp.float32 and options.get("precision") is None
    if plain and uses_onednn(x, kernel):
        return multiply(x, kernel)
    return jax.lax.dot_general(x, kernel, dimension_numbers, **options)


@jax.custom_vjp
def multiply(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns x @ kernel, (B, D), of x, (B, C), and the kernel, (C, D), float32.

    Needs oneDNN, for the gradient with respect to x: XLA:CPU rearranges the whole
    kernel for it, which takes twenty times as long as reading it once.
    """
    return x @ kernel


def _forward(
    x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return x @ kernel, (x, kernel)


def _backward(
    saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    return onednn.multiply_transposed(dy, kernel), x.T @ dy


multiply.defvjp(_forward, _backward)
