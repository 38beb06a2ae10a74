"""Tests of `spectjax.ops.convolution`: equal to lax, in value and in gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from spectjax.ops import convolution
from spectjax.ops.convolution import (
    Conv,
    UpConv,
    compiler_options,
    convolve,
    convolve_one_channel,
    convolve_places,
    convolve_small,
    interleave,
    max_pool,
    multiply_to_few,
    pool_by_place,
    up_convolve,
)


def random(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def assert_same_value_and_gradients(ours, theirs, *args):
    """Compares values and, along one random direction, gradients."""
    direction = random(99, *jax.eval_shape(theirs, *args).shape)

    @functools.partial(jax.jit, static_argnums=0)
    def differentiate(function):
        value, backward = jax.vjp(function, *args)
        return value, backward(direction)

    value, gradients = differentiate(ours)
    expected, wanted = differentiate(theirs)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def reduce_window(x):
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    )


def test_convolve_adds_the_neighbours_that_its_kernel_names():
    x = jnp.arange(1.0, 7.0).reshape(1, 2, 3, 1)  # [[1, 2, 3], [4, 5, 6]]
    kernel = jnp.zeros((3, 3, 1, 1)).at[1, 2].set(1.0).at[2, 1].set(10.0)
    # Right neighbour plus ten times the one below; zero outside.
    expected = [[2 + 40, 3 + 50, 0 + 60], [5, 6, 0]]
    np.testing.assert_allclose(convolve(x, kernel)[0, :, :, 0], expected)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_convolve_equals_nn_conv(size):
    conv = nn.Conv(6, (size, size), use_bias=False)
    assert_same_value_and_gradients(
        convolve,
        lambda x, kernel: conv.apply({"params": {"kernel": kernel}}, x),
        random(0, 2, 6, 5, 3),
        random(1, size, size, 3, 6),
    )


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("height", [8, 9])
def test_convolve_takes_every_second_pixel_with_stride_2(size, height):
    # A stride leaves out rows and columns of what stride 1 gives, and no more.
    assert_same_value_and_gradients(
        lambda x, kernel: convolve(x, kernel, 2),
        lambda x, kernel: convolve(x, kernel)[:, ::2, ::2],
        random(0, 2, height, 6, 3),
        random(1, size, size, 3, 4),
    )


def test_up_convolve_turns_a_pixel_into_four_products():
    x = jnp.array([[[[1.0, 10.0]]]])
    kernel = jnp.arange(8.0).reshape(2, 2, 2, 1)  # [i, j] = (2n, 2n + 1), n = 2i + j
    expected = [[0 + 10, 2 + 30], [4 + 50, 6 + 70]]
    np.testing.assert_allclose(up_convolve(x, kernel)[0, :, :, 0], expected)


def test_pixels_that_are_left_apart_are_the_same_ones(key):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)), jnp.float32)
    variables = UpConv(6).init(key, x)
    variables = jax.tree.map(lambda p: p + 0.5, variables)  # with a bias
    apart = UpConv(6, apart=True).apply(variables, x)
    placed = interleave(apart.reshape(2, 3, 4, 2, 2, 6))
    np.testing.assert_allclose(placed, UpConv(6).apply(variables, x), atol=1e-5)


def test_up_convolve_equals_conv_transpose_with_the_flipped_kernel():
    transpose = nn.ConvTranspose(5, (2, 2), strides=(2, 2), use_bias=False)
    assert_same_value_and_gradients(
        up_convolve,
        lambda x, kernel: transpose.apply(
            {"params": {"kernel": kernel[::-1, ::-1]}}, x
        ),
        random(0, 2, 3, 4, 6),
        random(1, 2, 2, 6, 5),
    )


def test_max_pool_equals_reduce_window():
    assert_same_value_and_gradients(max_pool, reduce_window, random(0, 2, 6, 4, 3))


def test_max_pool_gives_the_gradient_of_ties_to_the_first():
    # Whole numbers from 0 to 2 tie in most blocks; the directions differ everywhere.
    x = jax.random.randint(jax.random.key(0), (2, 8, 6, 3), 0, 3).astype(float)
    direction = jnp.arange(2.0 * 4 * 3 * 3).reshape(2, 4, 3, 3) + 1
    gradient = jax.vjp(max_pool, x)[1](direction)[0]
    expected = jax.vjp(reduce_window, x)[1](direction)[0]
    np.testing.assert_array_equal(gradient, expected)


def test_max_pool_of_a_constant_block_sends_its_gradient_up_left():
    gradient = jax.grad(lambda x: 5 * max_pool(x).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[5, 0], [0, 0]])


def test_max_pool_rejects_an_odd_size():
    with pytest.raises(ValueError, match=r"even height and width, got \(4, 3\)"):
        max_pool(jnp.zeros((1, 4, 3, 1)))


def test_pooling_by_place_gives_values_and_gradients_of_ties_as_reduce_window_does():
    x = jax.random.randint(jax.random.key(0), (2, 8, 6, 3), 0, 3).astype(float)
    direction = jnp.arange(2.0 * 4 * 3 * 3).reshape(2, 4, 3, 3) + 1
    value, backward = jax.vjp(pool_by_place, x)
    expected, theirs = jax.vjp(reduce_window, x)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(backward(direction)[0], theirs(direction)[0])


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (7, 2)])
def test_one_channel_by_one_product_is_convolved_as_others_are(size, stride):
    assert_same_value_and_gradients(
        lambda x, kernel: convolve_one_channel(x, kernel, stride),
        lambda x, kernel: convolve(x, kernel, stride),
        random(0, 2, 9, 6, 1),
        random(1, size, size, 1, 4),
    )


@pytest.mark.parametrize("hw", [(4, 4), (1, 7), (2, 9)])
def test_a_map_smaller_than_its_kernel_is_convolved_as_others_are(hw):
    assert_same_value_and_gradients(
        convolve_small, convolve, random(0, 3, *hw, 2), random(1, 7, 7, 2, 1)
    )


def test_a_convolution_of_places_is_a_product():
    assert_same_value_and_gradients(
        convolve_places, jnp.matmul, random(0, 2, 3, 4, 5), random(1, 5, 8)
    )


def test_multiply_to_few_is_a_product():
    assert_same_value_and_gradients(
        multiply_to_few, jnp.matmul, random(0, 2, 3, 4, 5), random(1, 5, 2)
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("module", [Conv(4, 3), UpConv(4)], ids=["Conv", "UpConv"])
def test_modules_compute_in_their_dtype_with_float32_parameters(module, dtype, key):
    module = module.clone(dtype=dtype)
    y, variables = module.init_with_output(key, jnp.ones((1, 2, 2, 3)))
    assert y.dtype == dtype
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("module", "variance"),
    # He: 2 / (9 * 64). Each output pixel of an up-convolution sees one tap: 1 / 64.
    [(Conv(64, 3), 2 / (9 * 64)), (UpConv(64), 1 / 64)],
    ids=["Conv", "UpConv"],
)
def test_modules_draw_kernels_by_their_fan_in(module, variance, key):
    kernel = module.init(key, jnp.ones((1, 2, 2, 64)))["params"]["kernel"]
    np.testing.assert_allclose(kernel.var(), variance, rtol=0.05)


def test_conv_without_bias_has_none(key):
    assert set(
        Conv(2, 3, use_bias=False).init(key, jnp.ones((1, 2, 2, 1)))["params"]
    ) == {"kernel"}


def test_compiler_options_are_accepted_by_this_jaxlib():
    double = jax.jit(lambda x: 2 * x, compiler_options=compiler_options())
    assert double(3.0) == 6.0


def test_compiler_options_are_none_where_the_option_is_unknown(monkeypatch):
    monkeypatch.setattr(convolution, "_WITHOUT_YNN", {"xla_no_such_option": ""})
    convolution._options_on_cpus.cache_clear()
    try:
        assert compiler_options() == {}
    finally:
        convolution._options_on_cpus.cache_clear()


def test_compiler_options_are_none_on_an_accelerator(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compiler_options() == {}
