"""Tests of `spectjax.ops.used_parts` against the function of every part, masked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops.used_parts import map_used

RNG = np.random.default_rng(0)
WEIGHTS = {
    "a": RNG.standard_normal((5, 7), np.float32),
    "b": RNG.standard_normal((7, 7), np.float32),
}
PARTS = RNG.standard_normal((4, 3, 5), np.float32)


def look(weights, part):
    """Saves, for its gradient, a part, weights and weights of another shape."""
    return jnp.tanh(part @ weights["a"]) @ weights["b"].T


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_the_first_parts_count_in_value_and_gradient(count):
    used = (np.arange(4) < count)[:, None, None]

    def ours(weights, parts, n):
        y = map_used(look, weights, parts, n)
        return jnp.sum(jnp.sin(y)), y

    def plainly(weights, parts):
        y = jnp.where(used, jax.vmap(look, (None, 0))(weights, parts), 0.0)
        return jnp.sum(jnp.sin(y)), y

    (_, y), found = jax.jit(jax.value_and_grad(ours, (0, 1), has_aux=True))(
        WEIGHTS, PARTS, jnp.int32(count)
    )
    (_, expected), gradient = jax.value_and_grad(plainly, (0, 1), has_aux=True)(
        WEIGHTS, PARTS
    )
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    alone = jax.jit(map_used, static_argnums=0)(look, WEIGHTS, PARTS, count)
    np.testing.assert_allclose(alone, y, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        found,
        gradient,
    )


def test_no_weights_are_kept_for_each_part():
    gradient = jax.grad(lambda *a: jnp.sum(map_used(look, *a)))
    program = str(jax.make_jaxpr(gradient)(WEIGHTS, PARTS, jnp.int32(2)))
    assert "f32[4,3,7]" in program  # what comes of each part
    assert "f32[4,5,7]" not in program and "f32[4,7,7]" not in program
    assert "cond[" not in program
