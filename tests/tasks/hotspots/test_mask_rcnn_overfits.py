"""Mask R-CNN can learn what it is shown: eight simulated scans by heart."""

import dataclasses

import numpy as np
import pytest

from spectjax.inference.trained import load_run
from spectjax.input_pipeline import load_examples
from spectjax.recipes import mask_rcnn_config
from spectjax.tasks.hotspots.detection_scores import score_detections
from spectjax.tasks.hotspots.detections import measure_detections
from spectjax.training.loop import train
from tfds_spect.prepare import prepare


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """The central 160x160 pixels of eight images with lesions."""
    folder = tmp_path_factory.mktemp("data")
    builder_dir = prepare(
        "segmentation_smoke", data_dir=folder, manual_dir=None
    ).builder_dir
    every = load_examples(builder_dir, "fold0+fold1+fold2+fold3+fold4")
    every = every.crop_centre((160, 160))
    rows = np.flatnonzero(every.masks.any(axis=(1, 2)))[:8]
    fields = {
        name: getattr(every, name)[rows]
        for name in ("images", "masks", "labels", "spacing_mm")
    } | {
        name: [getattr(every, name)[row] for row in rows]
        for name in ("diagnoses", "example_ids", "patients", "views")
    }
    return dataclasses.replace(every, **fields)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask_rcnn", "mask_rcnn_att"])
def test_eight_scans_are_learnt_by_heart(scans, name, tmp_path):
    assert len(scans) == 8
    config = mask_rcnn_config("quick", name)
    config.data.augmentation = "copies"
    config.test_mirroring = False  # mirror images are not learnt here
    config.num_epochs = 400
    config.checkpoint_every_epochs = 400
    train(config, tmp_path, scans)
    found = load_run(tmp_path).predict(scans.images)
    scores = score_detections(measure_detections(scans, found))
    assert scores["box"]["AP50"] > 0.95
    assert scores["mask"]["AP50"] > 0.95
