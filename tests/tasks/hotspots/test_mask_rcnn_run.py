"""A run of Mask R-CNN from images to scores, at the smallest size there is."""

import dataclasses
import json

import numpy as np
import pytest

from spectjax.imaging.hotspots import paint_probs
from spectjax.inference.trained import load_run
from spectjax.recipes import mask_rcnn_config
from spectjax.tasks.hotspots.evaluate_instances import evaluate
from spectjax.training.loop import train
from tests.support.examples import make_examples
from tests.support.finished_runs import make_run
from tests.support.tiny_runs import read_log

HW = (24, 24)


@pytest.fixture(scope="module")
def examples():
    """Three images of 24x24 pixels: two lesions, one lesion, none."""
    rng = np.random.default_rng(0)
    masks = np.zeros((3, *HW), np.uint8)
    masks[0, 3:8, 3:8] = masks[0, 14:19, 10:16] = masks[1, 9:14, 5:10] = 1
    images = rng.poisson(4 + 40 * masks)
    return dataclasses.replace(
        make_examples(3, HW),
        images=images[..., None].astype(np.uint16),
        masks=masks,
    )


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, examples):
    """The folder of a run of two epochs whose images move."""
    config = mask_rcnn_config("smoke", "mask_rcnn_att")
    config.data.augmentation = "online"
    config.data.batch_size = 3
    config.data.train_hw = HW
    config.num_epochs = 2
    config.model.stage_sizes = config.model.features = (2,)
    config.model.anchor_sizes = ((4, 6),)
    config.model.max_instances = 1
    folder = tmp_path_factory.mktemp("run")
    train(config.lock(), folder, examples, validation=examples)
    return folder


def test_the_log_has_all_losses_and_what_was_left_out(workdir):
    rows = read_log(workdir)
    assert len(rows) == 2
    for row in rows:
        parts = [name for name in row if name.startswith("loss_")]
        assert len(parts) == 5
        total = sum(float(row[name]) for name in parts)
        assert float(row["loss"]) == pytest.approx(total, rel=1e-4)
        assert float(row["left_out"]) == 1  # the second lesion of the first image
        assert np.isfinite(float(row["validation_loss"]))


def test_the_run_is_scored_and_its_instances_are_kept(workdir, examples, tmp_path):
    model = load_run(workdir)
    run = make_run(
        model.predict,
        examples,
        tmp_path,
        batch_size=3,
        model_name="mask_rcnn_att",
        training_log=workdir / "train.csv",
    )
    metrics = evaluate(run)
    assert metrics["task"] == "instance_segmentation"
    assert metrics["lesion"]["n"] == metrics["detection"]["n_lesions"] == 3
    document = json.loads((tmp_path / "detections.json").read_text())
    found = model.predict(examples.images)
    assert len(document["detections"]) == found.valid.sum() > 0
    assert (tmp_path / "figures" / "training.png").exists()
    probs = paint_probs(found, 2)
    assert probs.shape == (3, *HW, 2)
    np.testing.assert_allclose(
        probs[..., 1].max(axis=(1, 2)),
        np.where(found.masks.any(axis=(2, 3)) & found.valid, found.scores, 0).max(
            axis=1
        ),
        rtol=1e-5,
    )
