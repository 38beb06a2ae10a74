"""Tests of `spectjax.ops.batch_norm`: equal to flax, and whole when split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from spectjax.ops import backend, batch_norm
from spectjax.ops.batch_norm import BatchNorm, find_moments_at_once, normalise


def random(seed, *shape):
    draw = np.random.default_rng(seed).standard_normal(shape)
    return jnp.asarray(draw, jnp.float32)


def variables_of(channels):
    return {
        "params": {"scale": 1 + random(1, channels), "bias": random(2, channels)},
        "batch_stats": {
            "mean": random(3, channels),
            "var": 1 + jnp.square(random(4, channels)),
        },
    }


def trained(module, finish, x):
    """Value, new statistics and both gradients of a module in training."""
    variables = variables_of(x.shape[-1])

    def run(params, x):
        y, updated = module.apply(
            {**variables, "params": params}, x, mutable=["batch_stats"]
        )
        return finish(y), updated["batch_stats"]

    @jax.jit
    def differentiate(params, x, dy):
        y, backward, stats = jax.vjp(run, params, x, has_aux=True)
        return y, stats, backward(dy.astype(y.dtype))

    return differentiate(variables["params"], x, random(9, *x.shape))


def assert_close(ours, theirs, tolerance):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance),
        ours,
        theirs,
    )


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    "shape", [(2, 5, 7, 3), (1, 4, 4, 70), (3, 8, 8, 1), (2, 64, 48, 24)]
)
def test_training_equals_flax(shape, relu):
    x = 2 * random(0, *shape) + 3
    finish = nn.relu if relu else lambda y: y
    theirs = nn.BatchNorm(
        use_running_average=False, momentum=0.9, use_fast_variance=False
    )
    ours = trained(BatchNorm(use_running_average=False, relu=relu), lambda y: y, x)
    assert_close(ours, trained(theirs, finish, x), 2e-4)


@pytest.mark.parametrize(
    ("module", "name", "found"),
    [(backend, "find_platform", "gpu"), (batch_norm, "uses_onednn", False)],
)
def test_training_for_gpus_and_by_xla_equals_flax(monkeypatch, module, name, found):
    monkeypatch.setattr(module, name, lambda *arrays: found)
    x = 2 * random(0, 2, 5, 7, 3) + 3
    theirs = nn.BatchNorm(
        use_running_average=False, momentum=0.9, use_fast_variance=False
    )
    ours = trained(BatchNorm(use_running_average=False, relu=True), lambda y: y, x)
    assert_close(ours, trained(theirs, nn.relu, x), 2e-4)


def test_prediction_equals_flax():
    x, variables = random(0, 2, 4, 6, 5), variables_of(5)
    ours = BatchNorm(use_running_average=True, relu=True).apply(variables, x)
    theirs = nn.BatchNorm(use_running_average=True).apply(variables, x)
    np.testing.assert_allclose(ours, nn.relu(theirs), rtol=1e-5, atol=1e-5)


def test_it_has_the_variables_of_flax(key):
    x = jnp.ones((1, 2, 2, 3))
    ours = BatchNorm(use_running_average=False).init(key, x)
    theirs = nn.BatchNorm(use_running_average=False).init(key, x)
    assert jax.tree.all(
        jax.tree.map(lambda a, b: (a == b).all() and a.dtype == b.dtype, ours, theirs)
    )
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)


def test_two_pixels_become_plus_and_minus_one():
    x = jnp.array([3.0, 7.0]).reshape(1, 1, 2, 1)
    y, mean, var = normalise(x, jnp.ones(1), jnp.zeros(1), False, None)
    np.testing.assert_allclose(y.ravel(), [-1, 1], rtol=1e-5)
    assert (mean[0], var[0]) == (5, 4)


def test_variance_survives_a_mean_a_thousand_times_larger():
    x = 1000 + random(0, 4, 64, 64, 8)
    exact = np.asarray(x, np.float64)
    _, mean, var = normalise(x, jnp.ones(8), jnp.zeros(8), False, None)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(var, exact.var((0, 1, 2)), rtol=1e-4)


def hot_counts(hottest):
    """Counts of two images as four channels, a hotspot in one; its middle, or not."""
    draw = np.random.default_rng(0)
    x = draw.poisson(4, (2, 64, 64, 4)).astype(np.float32)
    x[1, 30:34, 30:34] += 20_000
    x[1, 32, 32] += 40_000 if hottest else -20_000
    x[..., 1] += 300_000  # far from zero
    x[..., 2] = 1 + x[..., 2] / 100_000  # hardly more than the digits of float32
    x[..., 3] = 7
    return x


# The hottest of 8192 pixels lies 55 standard deviations from their mean: 55^2 / 2^24.
@pytest.mark.parametrize(("hottest", "tolerance"), [(False, 2e-6), (True, 1e-3)])
def test_one_pass_keeps_the_digits_of_two_on_hot_counts(hottest, tolerance):
    x = hot_counts(hottest)
    exact = x.astype(np.float64)
    _, *two_passes = normalise(x, jnp.ones(4), jnp.zeros(4), False, None)
    wanted = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    mean, var = find_moments_at_once(jnp.asarray(x))
    for means, variances in (wanted, two_passes):
        # What is left of it is counted in standard deviations.
        error = np.abs(mean - means) - 1e-6 * np.abs(means)
        assert (error <= 2e-5 * np.sqrt(wanted[1])).all()
        np.testing.assert_allclose(var, variances, rtol=tolerance)


def test_moments_of_all_devices_take_one_message_each_way():
    x, channels = jnp.ones((2, 4, 4, 3)), jnp.ones(3)

    def run(x, scale, bias):
        return normalise(x, scale, bias, True, "devices")[0].sum()

    axes = [("devices", 8)]
    value = str(jax.make_jaxpr(run, axis_env=axes)(x, channels, channels))
    both = str(jax.make_jaxpr(jax.grad(run), axis_env=axes)(x, channels, channels))
    assert (value.count("= all_gather"), value.count("= psum")) == (1, 0)
    assert (both.count("= all_gather"), both.count("= psum")) == (1, 1)


def test_a_batch_split_over_an_axis_is_normalised_as_a_whole():
    # vmap with a name stands for the devices of shard_map.
    x, dy, scale, bias = random(0, 4, 6, 6, 3), random(5, 4, 6, 6, 3), *random(6, 2, 3)

    def run(axis_name, x, dy):
        value, backward = jax.vjp(
            lambda *args: normalise(*args, True, axis_name), x, scale, bias
        )
        dx, dscale, dbias = backward((dy, jnp.zeros(3), jnp.zeros(3)))
        return value, dx, dscale, dbias

    (y, mean, var), dx, dscale, dbias = run(None, x, dy)
    halves = (2, 2, 6, 6, 3)
    split = jax.vmap(lambda x, dy: run("devices", x, dy), axis_name="devices")
    (ys, means, variances), dxs, dscales, dbiases = split(
        x.reshape(halves), dy.reshape(halves)
    )
    assert_close((ys.reshape(x.shape), dxs.reshape(x.shape)), (y, dx), 1e-5)
    assert_close((means[0], variances[1]), (mean, var), 1e-5)
    assert_close((dscales.sum(0), dbiases.sum(0)), (dscale, dbias), 1e-4)


def test_bfloat16_in_and_out_with_float32_statistics():
    module = BatchNorm(use_running_average=False, dtype=jnp.bfloat16)
    x = random(0, 2, 8, 8, 4).astype(jnp.bfloat16)
    y, stats, (_, dx) = trained(module, lambda y: y, x)
    assert (y.dtype, dx.dtype) == (jnp.bfloat16, jnp.bfloat16)
    assert stats["mean"].dtype == jnp.float32
