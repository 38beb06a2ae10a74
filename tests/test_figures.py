"""Tests of `spectjax.figures`, with a run whose answers are written by hand."""

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from spectjax import figures, input_pipeline
from spectjax.config import ConfigError, base_config, save_config
from spectjax.inference.trained import TrainedModel
from spectjax.input_pipeline import Examples
from spectjax.paper_figures import draw as run_figures
from spectjax.paper_figures.cluster_pictures import ClusterCurve, draw_cluster_curve
from spectjax.paper_figures.cluster_scan import scan_clusters
from spectjax.report.data_notes import Caption
from spectjax.tasks.hotspots.case_tables import read_run_tables
from spectjax.tasks.hotspots.evaluate import evaluate
from tests.support.finished_runs import make_run
from tfds_spect.errors import PrepareError
from tfds_spect.prepare import find_prepared

pytestmark = pytest.mark.usefixtures("few_resamples")

HW = 48
WORDS = Caption("K-means", "fold1", True)


def make_examples():
    """Five images; a bright lesion of 6x6 pixels in all but the last."""
    counts = np.random.default_rng(0).poisson(20, (5, HW, HW)).astype(np.uint16)
    masks = np.zeros((5, HW, HW), np.uint8)
    for i in range(4):
        masks[i, 10:16, 10 + 5 * i : 16 + 5 * i] = 1
    counts[masks > 0] += 60
    counts[:, 40:44, 4:24] += 80  # hotter than any lesion, and none
    counts[:, :2] = 0
    counts[:, 0, 0] = np.arange(5)  # tells the image
    return Examples(
        images=counts[..., None],
        masks=masks,
        labels=np.array([1, 1, 1, 1, 0], np.int32),
        diagnoses=["multiple bone metastasis"] * 4 + ["normal"],
        example_ids=[f"p{i}_anterior" for i in range(5)],
        patients=[f"p{i}" for i in range(5)],
        views=["anterior"] * 5,
        spacing_mm=np.full((5, 2), 2.4, np.float32),
        synthetic=True,
        name="tfds_spect/segmentation_phantom",
        split="fold1",
        fingerprint="made up",
    )


EXAMPLES = make_examples()


def predict_probs(images):
    """Answers with the truth, moved by as many pixels as the image's number."""
    marked = np.stack(
        [np.roll(EXAMPLES.masks[i], i, axis=1) for i in images[:, 0, 0, 0]]
    )
    return np.stack([0.9 - 0.8 * marked, 0.1 + 0.8 * marked], axis=-1)


def predict_brightest(images):
    """Answers as K-means does: what is brightest."""
    marked = images[..., 0] > 90
    return np.stack([0.9 - 0.8 * marked, 0.1 + 0.8 * marked], axis=-1)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("run")
    config = base_config()
    config.data.name = "segmentation_phantom"
    save_config(config, folder / "config.json")
    (folder / "train.csv").write_text("epoch,loss,PA\n1,0.5,0.9\n2,0.4,0.95\n")
    log = folder / "train.csv"
    evaluate(make_run(predict_probs, EXAMPLES, folder / "eval", training_log=log))
    return folder


# As `load_run` gives it.
TRAINED = TrainedModel(predict_probs, {"model": "unet_res"}, "segmentation", (HW, HW))


@pytest.fixture
def at_hand(monkeypatch):
    """Lets the run's model and data be found."""
    monkeypatch.setattr(run_figures, "load_run", lambda _: TRAINED)
    monkeypatch.setattr(input_pipeline, "load_examples", lambda *_: EXAMPLES)


@pytest.fixture
def clustered(monkeypatch):
    """Spares the time that K-means takes to compile."""
    curve = ClusterCurve((2, 3), pooled=(0.1, 0.2), per_image=(0.2, 0.3))
    monkeypatch.setattr(run_figures, "scan_clusters", lambda *_, **__: {1: curve})
    monkeypatch.setattr(run_figures, "_load_kmeans", lambda: predict_brightest)
    figure = draw_cluster_curve({1: curve}, WORDS)
    monkeypatch.setattr(run_figures, "_draw_centroids", lambda *_: figure)


def test_draw_run_writes_every_figure(workdir, at_hand, clustered, tmp_path):
    names = run_figures.draw_run(workdir, tmp_path, tmp_path / "out")
    assert sorted(names) == sorted(os.listdir(tmp_path / "out"))
    assert set(names) == {
        "burden.png",
        "case_best.png",
        "case_median.png",
        "case_worst.png",
        "comparison_best.png",
        "comparison_median.png",
        "comparison_worst.png",
        "froc.png",
        "kmeans_centroids.png",
        "kmeans_curve.png",
        "training.png",
    }
    for name in names:
        assert imread(tmp_path / "out" / name).std() > 0.02


def test_draw_run_takes_a_model_that_marks_instances(
    workdir, at_hand, clustered, tmp_path
):
    shutil.copytree(workdir, tmp_path / "run")
    path = tmp_path / "run" / "eval" / "metrics.json"
    task = {"task": "instance_segmentation", "model": "mask_rcnn"}
    path.write_text(json.dumps(json.loads(path.read_text()) | task))
    shutil.copy(
        path.parent / "figures" / "best.png",
        path.parent / "figures" / "precision_recall.png",
    )
    names = run_figures.draw_run(tmp_path / "run", tmp_path, tmp_path / "out")
    assert {"comparison_best.png", "froc.png", "precision_recall.png"} <= set(names)


def test_draw_run_of_kmeans_compares_it_with_nothing(
    workdir, at_hand, clustered, tmp_path
):
    shutil.copytree(workdir, tmp_path / "run")
    path = tmp_path / "run" / "eval" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": "kmeans"}))
    (path.parent / "figures" / "training.png").unlink()
    names = run_figures.draw_run(tmp_path / "run", tmp_path, tmp_path / "out")
    assert "training.png" not in names and "froc.png" in names
    assert not [name for name in names if name.startswith("comparison")]


@pytest.mark.slow
def test_kmeans_draws_its_own_figures(workdir, at_hand, tmp_path, monkeypatch):
    scan = functools.partial(scan_clusters, ks=(2, 3))
    monkeypatch.setattr(run_figures, "scan_clusters", scan)
    names = run_figures.draw_run(workdir, tmp_path, tmp_path)
    assert {"kmeans_centroids.png", "kmeans_curve.png"} <= set(names)


def test_check_scored_images_refuses_other_images(workdir):
    cases = read_run_tables(workdir / "eval")
    run_figures.check_scored_images(cases, EXAMPLES, workdir)
    moved = EXAMPLES.masks.copy()
    moved[0, 30, 30] = 1
    for changes in ({"example_ids": ["q"] * 5}, {"masks": moved}):
        others = dataclasses.replace(EXAMPLES, **changes)
        with pytest.raises(ValueError, match="fold1: expected the 5 images that the"):
            run_figures.check_scored_images(cases, others, workdir)


def test_check_run_refuses_what_is_no_finished_segmentation(workdir, tmp_path):
    figures.check_run(workdir)
    with pytest.raises(ConfigError, match=r"config\.json: not found"):
        figures.check_run(tmp_path)
    config = base_config()
    save_config(config, tmp_path / "config.json")
    with pytest.raises(ConfigError, match=r"eval/metrics\.json: not found; expected a"):
        figures.check_run(tmp_path)
    config.task = "instance_segmentation"
    save_config(config, tmp_path / "config.json")
    with pytest.raises(ConfigError, match="not found; expected a finished run"):
        figures.check_run(tmp_path)
    config.task = "classification"
    save_config(config, tmp_path / "config.json")
    with pytest.raises(
        ConfigError, match="a segmentation run, found one whose task is"
    ):
        figures.check_run(tmp_path)


def test_find_prepared_prepares_nothing(tmp_path):
    with pytest.raises(PrepareError, match="expected the run's data set, found none"):
        find_prepared("segmentation_phantom", data_dir=tmp_path / "data")
    assert not (tmp_path / "data").exists()
    with pytest.raises(PrepareError, match="Expected a data set config, got 'other'"):
        find_prepared("other", data_dir=tmp_path)


def test_draw_figures_says_that_the_data_set_is_gone(workdir, tmp_path):
    with pytest.raises(PrepareError, match="segmentation_phantom.*--data_dir"):
        figures.draw_figures(workdir, tmp_path / "out", data_dir=str(tmp_path))
    assert not (tmp_path / "out").exists()


def test_command_says_in_one_line_what_is_wrong(tmp_path):
    command = [sys.executable, "-m", "spectjax.figures", f"--workdir={tmp_path}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "expected the folder of a training run" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_need_not_wait_for_jax():
    code = "import sys, spectjax.figures; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
