"""Tests of `spectjax.ops.pooling`: numbers by hand, and XLA's own windows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops.pooling import (
    _bins,
    _weigh,
    adaptive_average_pool,
    average_pool,
    drop_odd_edge,
    overlapping_max_pool,
)


def grid(rows):
    """One image of one channel."""
    return jnp.asarray(rows, jnp.float32)[None, :, :, None]


def reduce_by(x, start, combine, window, stride, padding=0):
    """What XLA's own pooling gives."""
    edges = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    window, strides = (1, window, window, 1), (1, stride, stride, 1)
    return jax.lax.reduce_window(x, start, combine, window, strides, edges)


@functools.partial(jax.jit, static_argnums=0)
def value_and_gradient(function, x, dy):
    y, backward = jax.vjp(function, x)
    return y, backward(dy)[0]


def test_average_pool_takes_the_mean_of_each_block():
    x = grid([[1, 3, 0, 0], [5, 7, 0, 8]])
    np.testing.assert_array_equal(average_pool(x)[0, :, :, 0], [[4, 2]])


def test_average_pool_leaves_out_the_row_and_column_without_a_partner():
    x = grid([[1, 3, 100], [5, 7, 100], [100, 100, 100]])
    np.testing.assert_array_equal(average_pool(x)[0, :, :, 0], [[4]])
    np.testing.assert_array_equal(drop_odd_edge(x)[0, :, :, 0], [[1, 3], [5, 7]])


@pytest.mark.parametrize("hw", [(6, 8), (7, 5)])
def test_average_pool_equals_the_windows_of_xla(hw):
    draw = np.random.default_rng(0)
    x = jnp.asarray(draw.standard_normal((2, *hw, 3)), jnp.float32)
    dy = jnp.asarray(draw.standard_normal((2, hw[0] // 2, hw[1] // 2, 3)), jnp.float32)
    ours = value_and_gradient(average_pool, x, dy)
    theirs = value_and_gradient(
        lambda x: reduce_by(x, 0.0, jax.lax.add, 2, 2) / 4, x, dy
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("pixels", "means"),
    [
        # floor(i n / m) to ceil((i + 1) n / m) for n pixels 0, 1, 2 ... and m bins.
        (8, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]),
        (3, [0, 0, 0.5, 1, 1.5, 2, 2]),
        (14, [0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5]),
        (10, [0.5, 1.5, 3, 4.5, 6, 7.5, 8.5]),
        (7, [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_adaptive_average_pool_has_the_bins_of_pytorch(pixels, means):
    rows = jnp.arange(pixels, dtype=jnp.float32)
    x = rows[None, :, None, None] + 100 * rows[None, None, :, None]
    means = np.array(means)
    np.testing.assert_allclose(
        adaptive_average_pool(x, (7, 7))[0, :, :, 0],
        means[:, None] + 100 * means[None, :],
        rtol=1e-6,
    )


def test_a_gpu_averages_without_small_products():
    """XLA before 0.11.1 does not compile them; the numbers are the same."""
    x = jax.random.normal(jax.random.key(0), (2, 8, 5, 3))

    def measure(pool):
        return jax.value_and_grad(lambda x: jnp.sum(jnp.sin(pool(x))))(x)

    def pool(x):
        return adaptive_average_pool(x, (7, 7))

    with jax.default_device("gpu"):
        traced = jax.jit(jax.grad(lambda x: pool(x).sum())).trace(x).jaxpr
    assert "dot_general" not in str(traced) and "mul" in str(traced)
    rows, columns = (jnp.asarray(_bins(n, 7), jnp.float32) for n in (8, 5))
    (wanted, wanted_gradient), (value, gradient) = (
        measure(pool),
        measure(lambda x: _weigh(x, rows, columns)),
    )
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-4, atol=1e-6)


def test_adaptive_average_pool_may_treat_both_axes_differently():
    y = adaptive_average_pool(grid([[1, 2, 3, 4, 6], [5, 6, 7, 8, 10]]), (1, 2))
    # Columns 0 to 2 and 2 to 4.
    np.testing.assert_allclose(y[0, :, :, 0], [[4, 6 + 1 / 3]], rtol=1e-6)


def test_overlapping_max_pool_looks_around_every_other_pixel():
    x = grid(
        [
            [-9, -8, -1, -2],
            [-7, -6, -3, -4],
            [-5, -1, -8, -8],
            [-2, -3, -8, -7],
        ]
    )
    # Rows 0 to 1 or 1 to 3, columns likewise; nothing beyond the edge counts.
    np.testing.assert_array_equal(
        overlapping_max_pool(x)[0, :, :, 0], [[-6, -1], [-1, -1]]
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("hw", [(6, 8), (7, 5), (6, 5), (1, 2)])
def test_overlapping_max_pool_equals_the_windows_of_xla_with_ties(hw, dtype):
    draw = np.random.default_rng(0)
    # Three values only: most windows have several maxima, and the first one counts.
    x = jnp.asarray(draw.integers(0, 3, (2, *hw, 3)), dtype)
    shape = (2, (hw[0] + 1) // 2, (hw[1] + 1) // 2, 3)
    dy = jnp.asarray(draw.integers(1, 9, shape), dtype)
    ours = value_and_gradient(overlapping_max_pool, x, dy)
    theirs = value_and_gradient(
        lambda x: reduce_by(x, -jnp.inf, jax.lax.max, 3, 2, 1), x, dy
    )
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
