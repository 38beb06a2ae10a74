"""Tests of `spectjax.inference.trained`, with a run that needs no checkpoint."""

import json

import jax
import numpy as np
import pytest

from spectjax.config import save_config
from spectjax.inference.metadata import ModelFileError
from spectjax.inference.trained import check_run, load_run
from spectjax.system.files import write_json
from tests.support.config_files import KMEANS, load
from tests.support.untrained_runs import make_config, write_run


@pytest.fixture
def workdir(tmp_path):
    config = load(KMEANS, "smoke")
    config.data.train_hw = (64, 64)
    save_config(config, tmp_path / "config.json")
    return tmp_path


@pytest.mark.parametrize("synthetic", [True, False, None])
def test_a_run_tells_where_it_comes_from_and_what_runs_it(workdir, synthetic):
    if synthetic is not None:  # a run that is not evaluated has no such file
        scores = {"data": {"synthetic": synthetic}}
        write_json(workdir / "eval" / "metrics.json", scores)
    run = load_run(workdir)
    assert run.info["runtime"].startswith("jax ")
    assert run.origin == {
        key: value for key, value in run.info.items() if key != "runtime"
    }
    assert run.info["trained_on_synthetic_data"] is synthetic
    assert (run.info["model"], run.info["step"]) == ("kmeans", 0)
    # The whole canvas, whatever part of it was trained on.
    assert (run.task, run.input_hw) == ("segmentation", (256, 256))


@pytest.mark.parametrize("regions", [["chest_half", "thorax"], None])
def test_a_run_tells_what_its_images_show(workdir, regions):
    document = json.loads((workdir / "config.json").read_text())
    document["data"]["name"] = "segmentation_originals"
    write_json(workdir / "config.json", document)
    # Of scores by an older version nobody knows it.
    scores = {"synthetic": False} | ({"regions": regions} if regions else {})
    write_json(workdir / "eval" / "metrics.json", {"data": scores})
    told = load_run(workdir).origin["trained_on_regions"]
    assert told == (regions and "chest_half, thorax")


def test_scores_that_cannot_be_read_are_one_line(workdir):
    (workdir / "eval").mkdir()
    (workdir / "eval" / "metrics.json").write_text("no scores")
    with pytest.raises(ModelFileError, match="Remove .*eval; training again writes"):
        load_run(workdir)


def test_a_run_compiles_what_it_is_asked(workdir):
    run = load_run(workdir)
    counts = np.array([[0, 0, 5, 9]] * 4, np.uint16)[None, :, :, None]
    logits = run.compile(run.learned.predict_logits)(counts)
    assert isinstance(logits, np.ndarray)
    # K-means marks the brightest pixels.
    np.testing.assert_array_equal(logits.argmax(axis=-1), counts[..., 0] == 9)


def test_parameters_go_to_the_device_once(tmp_path):
    """What an image costs must not grow with the model: VGG-16 has 537 MB."""
    write_run(tmp_path, make_config(**{"data.train_hw": (8, 8)}))
    run = load_run(tmp_path)
    counts = np.ones((1, 8, 8, 1), np.uint16)
    first = run.predict(counts)
    with jax.transfer_guard_host_to_device("disallow"):  # but for what is put there
        with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-dev"):
            jax.jit(run.learned.predict)(run.variables, counts)
        np.testing.assert_array_equal(run.predict(counts), first)
    assert jax.tree.leaves(run.place())[0] is jax.tree.leaves(run.place())[0]


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(ModelFileError, match="found no config.json. Check the path"):
        check_run(tmp_path)
