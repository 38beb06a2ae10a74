"""Tests of training and scoring a classifier, from images to `eval/`."""

import csv
import dataclasses
import json
import types

import numpy as np
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from spectjax import input_pipeline
from spectjax.config import ConfigError
from spectjax.inference.scoring import print_results
from spectjax.inference.trained import load_run
from spectjax.main import train_and_evaluate
from spectjax.training.assembly import create_task
from spectjax.training.loop import train
from tests.support.config_files import SPECS, load
from tests.support.examples import make_examples
from tests.support.torchvision_files import vgg_layout
from tfds_spect import prepare

FILES = {path.stem: path for path in SPECS}
WIDTHS = {"features": (4, 4, 4, 4, 4), "hidden": 8, "pool_hw": (1, 1)}


def make_config(name="specs_v7", **changes):
    """A network of the VGG family with few parameters."""
    config = load(FILES[name], "d3,smoke")
    config.model.update(WIDTHS)
    config.data.batch_size = 4
    config.data.train_hw = (32, 32)
    config.update_from_flattened_dict(changes)
    return config.lock()


def make_patients(n=12, seed=0):
    """Every second image has a bright spot; two images to a patient."""
    rng = np.random.default_rng(seed)
    examples = make_examples(n, (40, 36))
    images = rng.poisson(4.0, size=(n, 40, 36))
    images[1::2, 12:20, 10:20] += 60
    return dataclasses.replace(
        examples,
        images=images[..., None].astype(np.uint16),
        masks=np.zeros((n, 40, 36), np.uint8),
        patients=[f"patient{i // 2 % 2 + 2 * (i % 2)}" for i in range(n)],
    )


@pytest.fixture
def data(monkeypatch):
    """Replaces the data set; the list tells which splits were read."""
    asked = []

    def fake_load(builder_dir, split, max_bytes=None):
        asked.append(split)
        return make_patients(seed=len(split))

    monkeypatch.setattr(
        prepare,
        "prepare",
        lambda *_, **__: types.SimpleNamespace(
            builder_dir="builder", fingerprint="c0ffee"
        ),
    )
    monkeypatch.setattr(input_pipeline, "load_examples", fake_load)
    monkeypatch.setattr(input_pipeline, "open_examples", fake_load)
    return asked


def test_a_classifier_learns_and_is_scored_on_what_it_has_not_seen(
    data, tmp_path, capsys
):
    config = make_config(**{"num_epochs": 8, "optimizer.learning_rate": 0.02})
    metrics = train_and_evaluate(config, tmp_path)
    # Originals alone train, moved anew at each step, and they calibrate.
    trained_on = "fold1+fold2+fold3+fold4"
    assert data == [trained_on, "fold0", trained_on]
    with (tmp_path / "train.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
    assert float(rows[-1]["Acc"]) > 0.9
    assert metrics["image"]["auc"] == 1
    assert metrics["data"]["held_out_fold"] == 0
    assert json.loads((tmp_path / "eval/metrics.json").read_text()) == metrics
    print_results(metrics, tmp_path)
    shown = capsys.readouterr().out
    assert "12 images of 4 held-out SYNTHETIC patients" in shown
    assert "AUC 1.0000" in shown
    assert "Metastasis in new scans" in shown


def test_dice_is_no_loss_of_a_classifier():
    with pytest.raises(ConfigError, match="--config.loss='dice_cross_entropy': known"):
        create_task(make_config(loss="dice_cross_entropy"))


def test_training_begins_with_the_weights_of_a_file(tmp_path, capsys):
    layout = vgg_layout("vgg16_bn", WIDTHS["features"], WIDTHS["hidden"], 2)
    rng = np.random.default_rng(0)
    weights = {
        name: np.asarray(np.abs(rng.standard_normal(shape)), np.float32)
        for name, shape in layout.items()
    }
    save_file(weights, tmp_path / "vgg16_bn.safetensors")
    config = make_config(
        "specs_v16",
        **{
            "pretrained": str(tmp_path / "vgg16_bn.safetensors"),
            "optimizer.learning_rate": 1e-30,
            "model.pool_hw": (7, 7),
        },
    )
    train(config, tmp_path / "run", make_patients())
    params = load_run(tmp_path / "run").variables["params"]
    kernel = weights["features.3.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(params["conv1_2"]["kernel"], kernel)
    stem = weights["features.0.weight"].sum(1).transpose(1, 2, 0)
    np.testing.assert_allclose(params["conv1_1"]["kernel"][:, :, 0], stem, rtol=1e-6)

    # A run that goes on has its own weights, and needs the file no more.
    (tmp_path / "vgg16_bn.safetensors").unlink()
    longer = ConfigDict(config.to_dict())
    longer.num_epochs = 1
    train(longer.lock(), tmp_path / "run", make_patients())


def test_weights_that_are_not_there_are_named(tmp_path):
    config = make_config("specs_v16", pretrained=str(tmp_path / "missing.pth"))
    with pytest.raises(ValueError, match=r"missing\.pth: "):
        train(config, tmp_path / "run", make_patients())
    assert not (tmp_path / "run").exists()
