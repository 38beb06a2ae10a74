"""Tests of `spectjax.ops.product`: equal to numpy, in value and in gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from spectjax.ops import onednn_library
from spectjax.ops.product import dot_general, multiply

try:
    onednn_library.load()
    MISSING = ""
except onednn_library.UnavailableError as error:
    MISSING = f"oneDNN: {error}"


def random(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
# The last is large enough to be cut into parts.
@pytest.mark.parametrize("sizes", [(1, 1, 1), (4, 5, 3), (3, 70, 33), (4, 1000, 600)])
def test_a_product_and_its_gradients_equal_those_of_numpy(sizes):
    rows, inputs, outputs = sizes
    x, kernel = random(0, rows, inputs), random(1, inputs, outputs)
    dy = random(2, rows, outputs)
    y, backward = jax.vjp(multiply, jnp.float32(x), jnp.float32(kernel))
    dx, dkernel = backward(jnp.float32(dy))
    for found, expected in ((y, x @ kernel), (dx, dy @ kernel.T), (dkernel, x.T @ dy)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_dense_layer_with_it_equals_one_without(dtype):
    x = jnp.asarray(random(0, 3, 8), jnp.float32)
    variables = {
        "params": {"kernel": jnp.float32(random(1, 8, 5)), "bias": jnp.ones(5)}
    }

    def run(layer):
        return jax.value_and_grad(
            lambda v: jnp.sum(jnp.sin(layer.apply(v, x).astype(jnp.float32)))
        )(variables)

    ours, theirs = (
        run(nn.Dense(5, dtype=jnp.dtype(dtype), dot_general=product))
        for product in (dot_general, None)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        ours,
        theirs,
    )
