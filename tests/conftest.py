"""Settings for all tests: CPU only, strict shapes in jax, and what makes them fast."""

import gc
import os
import pathlib
import shutil

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
# Threads that wait in a loop would take the core of another worker.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import jax
import pytest

from spectjax.system.workers import count_cores

jax.config.update("jax_numpy_rank_promotion", "raise")

# Of the default suite those that take longest, the longest first. Begun early, none of
# them is left for one worker at the end.
LONGEST = (
    "judges/test_ohif.py",  # of those that scripts/judges runs
    "training/test_parallel.py",
    "models/test_mask_rcnn.py",
    "tasks/hotspots/test_mask_rcnn_run.py",
    "scripts/test_fuzz.py",
    "training/test_loop.py",
    "test_export.py",
    "models/test_mask_rcnn_torchvision.py",
    "ops/test_convolution.py",
    "training/test_augment.py",
    "tasks/classification/test_training.py",
    "test_main.py",
    "training/test_checkpoint.py",
    "ops/test_pooling.py",
    "models/test_classifiers.py",
    "scripts/test_disturb.py",
    "ops/test_roi_align.py",
    "training/test_feed.py",
    "ops/test_batch_norm.py",
    "models/test_unet.py",
    "benchmarks/test_benchmark_commands.py",
    "benchmarks/test_detectors.py",
    "inference/test_runtimes.py",
    "system/test_commands.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    return count_cores()


def pytest_configure(config):
    """Compiles quickly where slow tests are left out: each program runs a few times.

    With them everything is compiled as users compile it.
    """
    if "not slow" in config.option.markexpr:
        jax.config.update("jax_disable_most_optimizations", True)
        # Processes that tests start do likewise.
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
        # Later versions end at a flag that they no longer have.
        if jax.__version_info__ < (0, 11):
            flags = os.environ.get("XLA_FLAGS", "")
            os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_use_fusion_emitters=false"


def pytest_collection_modifyitems(items):
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = pathlib.Path(__file__).parent
        places = {folder / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="module", autouse=True)
def rare_garbage_collection():
    """Looks for garbage less often, and only among what this file's tests make.

    Among millions of objects it takes a while.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Lets what several tests compile compile once: that is where the time goes.

    Each worker has a folder of its own: jax may read what another has half written.
    """
    folder = str(tmp_path_factory.mktemp("compilation_cache"))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="session")
def hospital(tmp_path_factory):
    """A folder of six patients as a hospital hands it over; no test writes to it."""
    # Here, for most tests need no phantom.
    from spectjax.phantom import write_phantom

    folder = tmp_path_factory.mktemp("source") / "hospital"
    return write_phantom(folder, patients=6, seed=3, processes=1)


@pytest.fixture(scope="module")
def few_resamples():
    """Draws few samples for intervals, in files where their number changes no fact."""
    from spectjax.metrics import intervals

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "RESAMPLES", 50)
        yield


@pytest.fixture
def spoilt(hospital, tmp_path):
    """A copy of the hospital's folder, for tests that spoil it."""
    return pathlib.Path(shutil.copytree(hospital, tmp_path / "spoilt"))


@pytest.fixture
def small_crop(monkeypatch):
    """Makes `predict` crop a tiny scan as `crop_stub` does."""
    from spectjax.inference import asking
    from tests.support.tiny_scans import crop_stub

    monkeypatch.setattr(asking, "crop_thorax", crop_stub())
