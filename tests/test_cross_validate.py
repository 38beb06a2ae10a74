"""Tests of `spectjax.cross_validate`, on runs that are written by hand."""

import json
import math
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

from spectjax import main
from spectjax.config import ConfigError, Faults, base_config, save_config
from spectjax.cross_validate import (
    cross_validate,
    judge,
    load_configs,
    override,
    parse_folds,
)
from spectjax.evaluation.folds import read_metrics, read_training_seconds
from spectjax.tasks.classification.cases import Cases, format_cases
from spectjax.tasks.classification.folds import scale_folds, summarise
from spectjax.tasks.classification.metrics_sections import ClassificationFolds
from spectjax.training.run import describe_network
from tests.support.typed_dicts import find_fault
from tfds_spect import prepare

pytestmark = pytest.mark.usefixtures("few_resamples")

ROOT = pathlib.Path(__file__).parents[1]
# Log-odds of the normal image and of the metastasis of each fold.
GOOD = [(-2, 2), (-2, 2), (-2, 2), (-2, 2), (2, 4)]
POOR = [(-2, 2), (-2, 2), (-2, -3), (2, -3), (2, -3)]


def make_config(**changes):
    config = base_config()
    config.task = "classification"
    config.data.name = "classification_d3"
    config.data.train_hw = (32, 32)
    config.model.name = "specs_v7"
    config.model.num_classes = 2
    config.model.stage_sizes = (1, 1, 1, 1, 0)
    config.model.features = (1, 1, 1, 1, 1)
    config.model.hidden = 4
    config.model.pool_hw = (1, 1)
    for key, value in changes.items():
        config[key] = value
    return config.lock()


def make_cases(fold, log_odds):
    return Cases(
        example_ids=[f"n{fold}", f"m{fold}"],
        patients=[f"n{fold}", f"m{fold}"],
        views=["anterior", "posterior"],
        diagnoses=["normal", "spinal metastasis"],
        labels=np.array([0, 1]),
        log_odds=np.float32(log_odds),
    )


def write_run(folder, name, fold, log_odds, *, fold_names=None):
    """Writes what matters of a finished run."""
    workdir = folder / f"{name}_fold{fold}"
    config = make_config().copy_and_resolve_references()
    config.data.name, config.data.fold = "classification_d3_phantom", fold
    save_config(config, workdir / "config.json")
    (workdir / "train.csv").write_text("epoch,loss,seconds\n1,0.5,30\n2,0.4,90\n")
    (workdir / "eval").mkdir()
    cases = make_cases(fold if fold_names is None else fold_names, log_odds)
    (workdir / "eval" / "cases.csv").write_text(format_cases(cases, None))
    metrics = {
        "task": "classification",
        "model": "specs_v7",
        "data": {
            "name": "tfds_spect/classification_d3_phantom",
            "split": f"fold{fold}",
            "synthetic": True,
            "leaking": False,
        },
    }
    (workdir / "eval" / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with the runs of two classifiers and what was made of them."""
    folder = tmp_path_factory.mktemp("runs")
    for fold in range(5):
        write_run(folder, "good", fold, GOOD[fold])
        write_run(folder, "poor", fold, POOR[fold])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "train_and_evaluate", None)  # nothing is left to train
        assert (
            cross_validate({"good": make_config(), "poor": make_config()}, folder) == []
        )
    return folder


@pytest.fixture
def trained(monkeypatch):
    """Replaces data and training; the list tells what was trained."""
    asked = []
    data = types.SimpleNamespace(builder_dir="builder", fingerprint="c0ffee")
    monkeypatch.setattr(prepare, "prepare", lambda *_, **__: data)

    def fake_train(config, workdir, *, data_dir, manual_dir):
        asked.append((workdir.name, config.data.fold, data_dir, manual_dir))
        write_run(workdir.parent, "good", config.data.fold, GOOD[config.data.fold])

    monkeypatch.setattr(main, "train_and_evaluate", fake_train)
    return asked


def test_cross_validate_pools_the_held_out_scores(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert find_fault(metrics, ClassificationFolds) == ""
    assert (metrics["n_images"], metrics["n_patients"]) == (10, 10)
    good, poor = metrics["models"]["good"], metrics["models"]["poor"]
    assert good["image"]["confusion"] == {"tp": 5, "fn": 0, "fp": 1, "tn": 4}
    # Metastases 2 2 2 2 4, normal -2 -2 -2 -2 2: 21 pairs right and 4 equal of 25.
    assert good["image"]["auc"] == pytest.approx(23 / 25)
    # Metastases 2 2 -3 -3 -3, normal -2 -2 -2 2 2: 3 right twice, 2 equal twice.
    assert poor["image"]["auc"] == pytest.approx((2 * 3 + 2 * 2 / 2) / 25)
    assert poor["image"]["accuracy"] == 0.5
    assert poor["patient"]["accuracy"] == 0.5
    # Each fold is one pair: its AUC is 1 or 0.
    assert good["folds"]["runs"]["auc"] == [1, 1, 1, 1, 1]
    assert poor["folds"]["runs"]["auc"] == [1, 1, 0, 0, 0]
    assert poor["folds"]["scores"]["auc"]["mean"] == pytest.approx(0.4)
    assert poor["folds"]["scores"]["auc"]["sd"] == pytest.approx(math.sqrt(0.3))
    assert good["training_seconds"] == [120] * 5


def test_cross_validate_writes_table_and_figures(finished):
    files = {str(path.relative_to(finished)) for path in finished.glob("[!gp]*")}
    assert files == {"figures", "metrics.json", "table.md"}
    assert {path.name for path in (finished / "figures").iterdir()} == {
        "confusion.png",
        "precision_recall.png",
        "reliability.png",
        "roc.png",
    }
    table = (finished / "table.md").read_text()
    assert "| SPECS V7 | printed in Lin 2021, Tables 8 and 9 (D3) |" in table
    assert "| poor | SYNTHETIC, tfds_spect/classification_d3_phantom 5 folds |" in table
    assert "| good | 78 | 32x32 | 100 | 2.0 min |" in table


def test_cross_validate_trains_what_is_missing_and_only_that(
    finished, trained, tmp_path, capsys
):
    for fold in (0, 3):
        write_run(tmp_path, "good", fold, GOOD[fold])
    configs = {"good": make_config()}
    missing = cross_validate(configs, tmp_path, folds=[1], data_dir="D")
    assert missing == ["good_fold2", "good_fold4"]
    assert trained == [("good_fold1", 1, "D", None)]
    assert not (tmp_path / "table.md").exists()

    trained.clear()
    assert cross_validate(configs, tmp_path) == []
    assert [name for name, *_ in trained] == ["good_fold2", "good_fold4"]
    first = json.loads((finished / "metrics.json").read_text())["models"]["good"]
    again = json.loads((tmp_path / "metrics.json").read_text())["models"]["good"]
    assert first == again
    assert "good         AUC 0.9200  accuracy 0.9000" in capsys.readouterr().out


def test_scale_folds_fits_each_temperature_on_the_other_folds():
    # Scores of size 2: all right in fold 0, half right in fold 1, none in fold 2.
    folds = [make_cases(i, s) for i, s in enumerate([(-2, 2), (2, 2), (2, -2)])]
    temperatures, scaled = scale_folds(folds)
    assert temperatures[0] == temperatures[1] == 100.0  # one of four right, or two
    assert scaled[:2].tolist() == pytest.approx([-0.02, 0.02])
    # Fold 2 sees three of four right: 1 / (1 + exp(-2 / T)) = 3/4.
    assert temperatures[2] == pytest.approx(2 / math.log(3), rel=1e-6)
    assert scaled[4:].tolist() == pytest.approx([math.log(3), -math.log(3)], rel=1e-6)


def test_cross_validate_refuses_runs_of_other_images(finished, tmp_path):
    for fold in range(5):
        write_run(tmp_path, "good", fold, GOOD[fold])
        write_run(tmp_path, "poor", fold, POOR[fold], fold_names=fold + 1)
    with pytest.raises(ValueError, match="poor: expected runs that score every image"):
        cross_validate({"good": make_config(), "poor": make_config()}, tmp_path)


def test_cross_validate_refuses_a_run_of_another_config(finished):
    with pytest.raises(ConfigError, match="good_fold0 holds a run with another.*seed"):
        cross_validate({"good": make_config(seed=7)}, finished)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "segmentation"}, "b: expected the task classification as for a"),
        ({"data.name": "classification_d3_leaking"}, "has no folds of patients"),
        ({"data.name": "classification_d1"}, "expected classification_d3 as for a"),
    ],
)
def test_cross_validate_refuses_configs_without_folds_of_one_set(
    changes, message, tmp_path
):
    other = make_config().copy_and_resolve_references()
    other.update_from_flattened_dict(changes)
    with pytest.raises(ConfigError, match=message):
        cross_validate({"a": make_config(), "b": other}, tmp_path)


def test_reading_names_a_run_that_is_none(tmp_path):
    with pytest.raises(ValueError, match=r"metrics\.json: expected a finished run of"):
        read_metrics(tmp_path, "classification")
    write_run(tmp_path, "good", 0, GOOD[0])
    with pytest.raises(ValueError, match="one whose task is classification"):
        read_metrics(tmp_path / "good_fold0", "segmentation")


def test_read_training_seconds_adds_up_epochs(tmp_path):
    write_run(tmp_path, "good", 0, GOOD[0])
    workdir = tmp_path / "good_fold0"
    assert read_training_seconds(workdir, 2) == 120
    (workdir / "train.csv").unlink()
    with pytest.raises(ValueError, match=r"train\.csv: expected the log"):
        read_training_seconds(workdir, 2)
    assert read_training_seconds(workdir, 0) == 0  # as K-means, which trains nothing


def test_describe_network_counts_parameters():
    # Four convolutions of 3 x 3 + 1, then 1 x 4 + 4, 4 x 4 + 4 and 4 x 2 + 2.
    assert describe_network(make_config()) == {
        "num_parameters": 4 * 10 + 8 + 20 + 10,
        "num_epochs": 100,
        "image_hw": [32, 32],
    }


def write_config_file(path):
    path.write_text(
        "from spectjax.config import base_config, parse_arg\n"
        "def get_config(arg=None):\n"
        "    config = base_config()\n"
        "    config.seed = parse_arg(arg, seed=0).seed\n"
        "    return config\n"
    )
    return str(path)


def test_load_configs_gives_the_argument_to_files_without_one(tmp_path):
    first = write_config_file(tmp_path / "first.py")
    second = write_config_file(tmp_path / "second.py")
    configs = load_configs([first, f"{second}:seed=5"], Faults(), arg="seed=3")
    assert {name: config.seed for name, config in configs.items()} == {
        "first": 3,
        "second": 5,
    }


def test_load_configs_names_what_is_wrong(tmp_path):
    path = write_config_file(tmp_path / "first.py")
    (tmp_path / "empty.py").write_text("")
    names = [path, f"{path}:seed=1", f"{tmp_path}/none.py", f"{tmp_path}/empty.py"]
    faults = Faults()
    load_configs([f"{path}:sed=1", *names], faults, arg=None)
    with pytest.raises(ConfigError) as error:
        faults.refuse()
    assert str(error.value) == (
        f"{path}:sed=1: Unknown config argument 'sed'; known: seed; "
        f"{path}:seed=1: first is named twice; its runs would collide; "
        f"{tmp_path}/none.py: not found; expected a config file; "
        f"{tmp_path}/empty.py: expected a config file, found no get_config."
    )


def test_override_changes_every_config_that_has_the_key():
    networks = {"a": make_config(), "b": make_config(num_epochs=0)}
    texts = ["num_epochs=16", "data.batch_size=4", "data.name=classification_d1"]
    texts += ["model.features=(1, 2)", "optimizer.learning_rate=1", "pretrained=w.pt"]
    del networks["b"].unlock().model["features"]
    override(networks, texts, Faults())
    a, b = networks["a"], networks["b"]
    assert (a.num_epochs, b.num_epochs) == (16, 0)  # what does not train still does not
    assert a.model.features == (1, 2) and "features" not in b.model
    for config in networks.values():
        assert (config.data.batch_size, config.data.name) == (4, "classification_d1")
        assert config.optimizer.learning_rate == 1.0
        assert config.pretrained == "w.pt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_epoch=16", "--set=num_epoch=16: no config has a key 'num_epoch'"),
        ("data.name.first=x", "no config has a key 'data.name.first'"),
        ("seed=1.5", "--set=seed=1.5: expected a value such as 0, got '1.5'"),
        ("data.train_hw=160", r"expected a value such as \(32, 32\), got '160'"),
    ],
)
def test_override_names_what_is_wrong(text, message):
    faults = Faults()
    override({"a": make_config()}, [text], faults)
    with pytest.raises(ConfigError, match=message):
        faults.refuse()


def test_override_takes_none_where_there_may_be_none():
    config = make_config()
    config.data.validation_fold, config.pretrained = 3, "w.pt"
    override({"a": config}, ["data.validation_fold=None", "pretrained=None"], Faults())
    assert config.data.validation_fold is None and config.pretrained is None


def test_values_of_all_configs_are_judged_for_every_fold_that_is_held_out():
    config, other = make_config(num_epochs=3), make_config(seed=-1)
    config.data.validation_fold, config.data.batch_size = 2, 0
    faults = Faults()
    judge({"a": config, "b": other}, [0, 1, 2], faults)
    with pytest.raises(ConfigError) as error:
        faults.refuse()
    assert str(error.value) == (  # that of five folds once
        "a: --config.data.batch_size=0: expected a whole number from 1 to 65536; "
        "a: --config.data.validation_fold=2: expected another fold than "
        "--config.data.fold=2, which is held out already; "
        "b: --config.seed=-1: expected a whole number from 0 to 4294967295."
    )
    assert config.data.fold == 0
    config.data.batch_size, faults = 4, Faults()
    judge({"a": config}, [0, 1], faults)
    assert not faults


def test_parse_folds_takes_numbers_of_folds_only():
    faults = Faults()
    assert parse_folds(["3", "0", "3"], faults) == [0, 3]
    assert not faults
    assert parse_folds(["1", "5"], faults) == [1]
    with pytest.raises(ConfigError, match="--folds=1,5: expected numbers from 0 to 4"):
        faults.refuse()


def run_command(*args):
    return subprocess.run(
        [sys.executable, "-m", "spectjax.cross_validate", *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_help_loads_neither_jax_nor_tfds():
    code = (
        "import sys, spectjax.cross_validate\n"
        "assert not {'jax', 'tensorflow_datasets', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert "--folds" in run_command("--help").stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a.py"], "--output_dir"),
        (["--output_dir=x", "a.py"], "a.py: not found"),
        (["--output_dir=x", "--folds=7"], "--folds=7: expected numbers"),
        (["--output_dir=x", "--fold=0", "a.py"], "fold"),
        (["--output_dir=x", "--set=sed=1"], "--set=sed=1: no config has a key"),
        (
            [*("--output_dir=x", "--folds=7", "--set=sed=1", "--set=seed=-1", "no.py")]
            + ["configs/unet.py:slow", "configs/kmeans.py:smoke"],
            "error: no.py: not found; expected a config file; configs/unet.py:slow: "
            "Unknown config argument 'slow'; known: modern, quick, smoke, ready, "
            "whole_body, fold; "
            "--set=sed=1: no config has a key 'sed'; --folds=7: expected numbers from "
            "0 to 4; kmeans: --config.seed=-1: expected a whole number",
        ),
    ],
)
def test_a_wrong_command_line_gives_one_line(args, message):
    result = run_command(*args)
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_scores_of_images_of_one_class_have_a_line_too():
    line = summarise({"image": {"auc": None, "accuracy": 0.5}})
    assert line == "AUC undefined  accuracy 0.5000"
