"""Tests of `spectjax.ops.relu`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops.relu import keep_result, relu_by_result


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_gradient_passes_where_something_came_through(dtype):
    x = jnp.asarray([-2.0, -0.0, 0.0, 1e-30, 3.0, jnp.inf], dtype)
    y, pull = jax.vjp(keep_result, x)
    expected = jnp.asarray([0.0, 0.0, 0.0, 1e-30, 3.0, jnp.inf], dtype)
    np.testing.assert_array_equal(y, expected)
    (dx,) = pull(jnp.arange(1, 7).astype(dtype))
    np.testing.assert_array_equal(dx, jnp.asarray([0, 0, 0, 4, 5, 6], dtype))


@pytest.mark.parametrize(("platform", "kept"), [("gpu", True), ("cpu", False)])
def test_a_gpu_keeps_the_result_in_memory_and_no_other_platform_does(platform, kept):
    with jax.default_device(platform):
        program = str(jax.make_jaxpr(jax.grad(lambda x: relu_by_result(x).sum()))(1.0))
    assert ("optimization_barrier" in program) == kept
