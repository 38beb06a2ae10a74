"""Settings for all tests: CPU only, strict shapes in jax."""

import os
import pathlib
import shutil

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Lets what several tests compile compile once: that is where the time goes."""
    folder = str(tmp_path_factory.mktemp("compilation_cache"))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="session")
def hospital(tmp_path_factory):
    """A folder of six patients as a hospital hands it over; no test writes to it."""
    # Here, for most tests need no phantom.
    from spectjax.imaging.phantom import write_phantom

    folder = tmp_path_factory.mktemp("source") / "hospital"
    return write_phantom(folder, patients=6, seed=3, processes=1)


@pytest.fixture
def spoilt(hospital, tmp_path):
    """A copy of the hospital's folder, for tests that spoil it."""
    return pathlib.Path(shutil.copytree(hospital, tmp_path / "spoilt"))
