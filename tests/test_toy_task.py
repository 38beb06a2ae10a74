"""A task that the package does not know goes the whole way: a folder and a row."""

import json
import types

import numpy as np
import pytest

from spectjax import predict
from spectjax.config import base_config
from spectjax.config.models import MODEL_RULES
from spectjax.config.rules import find_faults
from spectjax.cross_validate import cross_validate
from spectjax.export import run as export
from spectjax.inference.scoring import print_results
from spectjax.main import train_and_evaluate
from spectjax.models import MODELS
from spectjax.tasks import TASKS
from tests.support.data_sets import make_image, write_data_set
from tests.toy_task import CLASS_NAMES, ROW, RULES
from tests.toy_task.learning import Brightest
from tfds_spect import prepare


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """Folds of two patients each: one with a bright mark, one without."""
    bright = np.full((256, 256), 10, np.uint16)
    bright[120:130, 120:130] = 200
    images = {
        fold: [
            {"counts": bright, "masks": [(120, 120, 130, 130)], "patient": f"p{fold}"},
            {"counts": bright // 20, "diagnosis": "normal", "patient": f"n{fold}"},
        ]
        for fold in range(5)
    }
    copied = {"mirror": True, "dx": 0, "dy": 0, "degrees": 0}
    content = {
        f"fold{fold}{end}": [make_image(**x, fold=fold, copy=copy) for x in found]
        for fold, found in images.items()
        for end, copy in (("", None), ("_augmented", copied))
    }
    return write_data_set(tmp_path_factory.mktemp("data"), content)


@pytest.fixture(autouse=True)
def registered(monkeypatch, data_set):
    """Adds the task, its model and that model's fields, and gives it the data."""
    monkeypatch.setitem(TASKS, "presence", ROW)
    monkeypatch.setitem(MODELS, "brightest", Brightest)
    monkeypatch.setitem(MODEL_RULES, "brightest", RULES)
    prepared = types.SimpleNamespace(builder_dir=data_set, fingerprint="c0ffee")
    monkeypatch.setattr(prepare, "prepare", lambda *_, **__: prepared)


def make_config():
    config = base_config()
    config.task = "presence"
    config.num_epochs = 3
    config.data.name = "segmentation_smoke"
    config.data.batch_size = 4
    config.data.train_hw = (64, 64)
    config.data.normalisation = "divide_by_255"
    config.optimizer.learning_rate = 1.0
    config.model.name = "brightest"
    config.model.num_classes = 2
    return config


@pytest.fixture
def scan(hospital):
    return min((hospital / "dicom").rglob("*.dcm"))


def read(path):
    return json.loads(path.read_text())


def test_a_task_of_somebody_else_is_trained_scored_told_exported_and_asked(
    tmp_path, scan, capsys
):
    run, file = tmp_path / "run", tmp_path / "toy.stablehlo.zip"
    metrics = train_and_evaluate(make_config(), run, data_dir=tmp_path)
    assert metrics["marks"]["accuracy"] == 1  # it has learned to see them
    assert train_and_evaluate(make_config(), run, data_dir=tmp_path) == metrics
    print_results(metrics, run)
    told = capsys.readouterr().out
    assert "marks     Acc 1.0000" in told and "Marks in new scans" in told

    export(run, file)
    predict.run([scan], workdirs=[run], output_dir=tmp_path / "jax")
    predict.run([scan], model=file, output_dir=tmp_path / "file")
    (name,) = (path.name for path in (tmp_path / "jax").glob("*.json"))
    asked, exported = (read(tmp_path / place / name) for place in ("jax", "file"))
    assert asked["rule"] == exported["rule"] in CLASS_NAMES
    assert asked["model"]["model"] == exported["model"]["model"] == "brightest"


def test_its_models_are_cross_validated_and_answer_together(tmp_path, scan, capsys):
    assert cross_validate({"toy": make_config()}, tmp_path, data_dir=tmp_path) == []
    model = read(tmp_path / "metrics.json")["models"]["toy"]
    assert model["accuracies"] == [1] * 5 and model["network"]["num_parameters"] == 4
    assert "toy          accuracy 1.0000" in capsys.readouterr().out
    runs = [tmp_path / f"toy_fold{fold}" for fold in range(2)]
    predict.run([scan], workdirs=runs, output_dir=tmp_path / "out")
    (document,) = map(read, (tmp_path / "out").glob("*.json"))
    assert document["model"]["ensemble"] == "mean"


def test_its_names_are_judged_as_those_of_the_package():
    config = make_config()
    assert find_faults(config.to_dict()) == []
    config.model.num_classes, config.loss = 3, "dice_cross_entropy"
    assert find_faults(config.to_dict()) == [
        "--config.model.num_classes=3: expected 2",
        "--config.loss='dice_cross_entropy': known are cross_entropy for task presence",
    ]
