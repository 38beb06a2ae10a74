"""Spatial attention: Eq. 6 by hand, the reach of its kernel, its parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.models.attention import SpatialAttention

MAPS = jnp.asarray(
    np.random.default_rng(0).normal(size=(2, 9, 8, 5)).astype(np.float32)
)


def attend(kernel, bias=0.0, *, maps=MAPS, **fields):
    params = {"conv": {"kernel": kernel, "bias": jnp.full(1, bias)}}
    return SpatialAttention(**fields).apply({"params": params}, maps)


def taps(**values):
    """A 7x7 kernel of the mean ("avg") and the maximum ("max"), zero elsewhere."""
    kernel = np.zeros((7, 7, 2, 1), np.float32)
    for name, (row, column, value) in values.items():
        kernel[row, column, ["avg", "max"].index(name), 0] = value
    return jnp.asarray(kernel)


def test_weights_of_zero_halve_the_features():
    np.testing.assert_array_equal(attend(taps()), 0.5 * MAPS)


def test_open_attention_with_weights_of_zero_keeps_the_features():
    np.testing.assert_array_equal(attend(taps(), is_open=True), MAPS)


@pytest.mark.parametrize(
    ("name", "pool"), [("avg", lambda x: x.mean(-1)), ("max", lambda x: x.max(-1))]
)
def test_the_weight_is_the_sigmoid_of_the_pooled_channels(name, pool):
    weights = 1 / (1 + np.exp(-3 * pool(np.asarray(MAPS))))
    found = attend(taps(**{name: (3, 3, 3.0)}))
    np.testing.assert_allclose(found, MAPS * weights[..., None], rtol=1e-5)


def test_the_kernel_sees_three_pixels_to_each_side():
    spot = jnp.zeros((1, 9, 9, 1)).at[0, 4, 4, 0].set(1.0)
    ones = jnp.ones((7, 7, 2, 1))
    weights = attend(ones, maps=spot + 1e-6) / (spot + 1e-6)
    reached = np.asarray(weights[0, :, :, 0] > 0.6)
    expected = np.zeros((9, 9), bool)
    expected[1:8, 1:8] = True
    np.testing.assert_array_equal(reached, expected)


def test_a_module_has_99_parameters(key):
    variables = SpatialAttention().init(key, MAPS)
    assert sum(x.size for x in jax.tree.leaves(variables)) == 7 * 7 * 2 + 1


def test_bfloat16_stays_bfloat16(key):
    module = SpatialAttention()
    maps = MAPS.astype(jnp.bfloat16)
    found = module.apply(module.init(key, maps), maps)
    assert found.dtype == jnp.bfloat16
    assert bool(jnp.all(jnp.abs(found) <= jnp.abs(maps)))
