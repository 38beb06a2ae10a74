"""Tests of `spectjax.ops.dropout`: what it keeps, and on how many devices."""

import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops.dropout import Dropout


def drop(x, rate, *, seed=0, train=True):
    rngs = {"dropout": jax.random.key(seed)}
    return Dropout(rate).apply({}, x, train=train, rngs=rngs)


def test_what_is_kept_makes_up_for_what_is_dropped():
    x = jnp.full((1000, 100), 3.0)
    y = np.asarray(drop(x, 0.25))
    kept = y != 0
    np.testing.assert_allclose(y[kept], 3 / 0.75, rtol=1e-6)
    # 100 000 draws: three standard deviations are 0.004.
    assert kept.mean() == pytest.approx(0.75, abs=0.004)
    assert y.mean() == pytest.approx(3, abs=0.02)


def test_rows_and_keys_draw_their_own():
    x = jnp.ones((4, 64))
    y = np.asarray(drop(x, 0.5))
    assert len({row.tobytes() for row in y}) == 4
    assert (y != drop(x, 0.5, seed=1)).any()
    np.testing.assert_array_equal(y, drop(x, 0.5))


def test_nothing_is_dropped_in_prediction_or_at_rate_zero():
    x = jnp.arange(6.0).reshape(2, 3)
    assert drop(x, 0.5, train=False) is x
    assert drop(x, 0.0) is x
    # And no key is asked for.
    np.testing.assert_array_equal(Dropout(0.5).apply({}, x, train=False), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_is_no_probability_is_refused(rate):
    with pytest.raises(ValueError, match=r"rate in \[0, 1\), got"):
        drop(jnp.ones((1, 1)), rate)


def test_the_gradient_goes_where_the_number_went():
    x = jnp.arange(1.0, 9).reshape(2, 4)
    gradient = jax.grad(lambda x: drop(x, 0.5).sum())(x)
    np.testing.assert_allclose(gradient * x, drop(x, 0.5))


FOUR_DEVICES = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
import numpy as np
from spectjax.ops.dropout import Dropout

x = jnp.ones((8, 16))
dropout = Dropout(0.5, axis_name="batch")

def run(x):
    rngs = {"dropout": jax.random.key(0)}
    return dropout.apply({}, x, train=True, rngs=rngs)

rows = jax.sharding.PartitionSpec("batch")
mesh = jax.sharding.Mesh(np.array(jax.devices()), ("batch",))
mapped = jax.shard_map(
    run, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False
)
by_mesh = jax.jit(mapped)(x)
by_pmap = jax.pmap(run, axis_name="batch")(x.reshape(4, 2, 16))
print(json.dumps([np.asarray(y).reshape(8, 16).tolist() for y in (by_mesh, by_pmap)]))
"""


def test_four_devices_drop_what_one_does():
    result = subprocess.run(
        [sys.executable, "-c", FOUR_DEVICES],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    alone = drop(jnp.ones((8, 16)), 0.5)
    for found in json.loads(result.stdout):
        np.testing.assert_array_equal(found, alone)
