"""All programs, compiled for GPUs that are not there; `.ci/run` has a step for it."""

import importlib.util
import os

import pytest

from benchmarks import compile_for_gpu
from benchmarks.gpu_settings import CONFIGS, FEW, MODES, plan

pytestmark = [
    pytest.mark.gpu_compile,
    pytest.mark.skipif(
        importlib.util.find_spec("jax_cuda13_plugin") is None
        and os.environ.get("CI") != "true",
        reason="no compiler for CUDA; EXTRAS=dev,gpu-compile scripts/test brings it",
    ),
]


@pytest.fixture(scope="module")
def results():
    """What becomes of small networks, two processes at a time."""
    return compile_for_gpu.compile_all(plan(CONFIGS, MODES))


@pytest.mark.parametrize("setting", plan(CONFIGS, MODES), ids=lambda each: each.title)
def test_a_small_network_compiles_without_a_fault(setting, results):
    assert compile_for_gpu.find_faults(results[setting], memory_gb=1) == []


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_as_it_is_compiles_without_a_fault(config):
    results = compile_for_gpu.compile_all(plan([config], MODES, full=True, ways=FEW))
    assert compile_for_gpu.list_faults(results, memory_gb=16) == []
