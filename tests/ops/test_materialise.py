"""Tests of `spectjax.ops.materialise`: where XLA may not merge, and where it may."""

import jax
import jax.numpy as jnp

from spectjax.ops.materialise import write_once


def count_barriers(function, platform):
    x = jax.ShapeDtypeStruct((3,), jnp.float32)
    with jax.default_device(platform):
        program = str(jax.make_jaxpr(function)(x))
    return program.count("= optimization_barrier")


def test_gpus_write_the_array_once_and_not_its_gradient():
    def value(x):
        return jnp.sin(write_once(x)).sum()

    for function in (value, jax.grad(value)):
        assert count_barriers(function, "gpu") == 1
        assert count_barriers(function, "cpu") == 0


def test_nothing_changes():
    x = jnp.arange(3.0)
    value, backward = jax.vjp(write_once, x)
    assert (value == x).all() and (backward(2 * x)[0] == 2 * x).all()
