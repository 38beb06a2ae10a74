"""Tests of `spectjax.ops.host`: the CPU computes, whatever the default is."""

import subprocess
import sys

import numpy as np

from spectjax.ops.host import compute_on_cpu

# Two CPUs stand for a CPU and a GPU.
TWO_DEVICES = """
import jax
from spectjax.ops import host

jax.config.update("jax_num_cpu_devices", 2)
first, second = jax.devices()
fetch, places = jax.device_get, []
jax.device_get = lambda x: places.append(x.devices()) or fetch(x)
with jax.default_device(second):
    assert jax.jit(lambda x: x + 1)(1.0).devices() == {second}
    assert host.compute_on_cpu(lambda x: x + 1)(jax.device_put(1.0, second)) == 2
assert places == [{first}], places
"""


def test_the_cpu_computes_where_another_device_is_the_default():
    subprocess.run([sys.executable, "-c", TWO_DEVICES], check=True)


def test_arrays_come_back_as_numpy_has_them():
    whole, half = compute_on_cpu(lambda x: (x, x / 2))(np.float32(3))
    assert (whole, half) == (3, 1.5)
    assert isinstance(whole, (np.ndarray, np.generic))
