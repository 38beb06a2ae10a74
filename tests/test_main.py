"""Tests of `spectjax.main`: refusals, resuming, and what the command line says."""

import json
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

from spectjax import input_pipeline
from spectjax.config import ConfigError
from spectjax.inference.scoring import print_results
from spectjax.inference.trained import load_run
from spectjax.main import name_workdir, train_and_evaluate
from tests.support.config_files import KMEANS, UNETS, load
from tests.support.examples import make_spots
from tests.support.tiny_runs import make_config, read_log
from tfds_spect import prepare

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def data(monkeypatch):
    """Replaces the data set; the list tells what was asked for."""
    asked = []

    def fake_prepare(config_name, *, data_dir, manual_dir):
        asked.append((config_name, data_dir, manual_dir))
        return types.SimpleNamespace(builder_dir="builder", fingerprint="c0ffee")

    def fake_load(builder_dir, split, max_bytes=None):
        asked.append((builder_dir, split))
        return make_spots(3, seed=len(split)).crop_centre((8, 8))

    monkeypatch.setattr(prepare, "prepare", fake_prepare)
    monkeypatch.setattr(input_pipeline, "load_examples", fake_load)
    monkeypatch.setattr(input_pipeline, "open_examples", fake_load)
    return asked


def run_command(*args, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "spectjax.main", *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_train_and_evaluate_trains_scores_and_then_only_reports(data, tmp_path, capsys):
    config = make_config(**{"data.fold": 2})
    metrics = train_and_evaluate(config, tmp_path, data_dir="D")
    assert data == [
        ("segmentation_smoke_phantom", "D", None),
        (
            "builder",
            "fold0+fold0_augmented+fold1+fold1_augmented"
            "+fold3+fold3_augmented+fold4+fold4_augmented",
        ),
        ("builder", "fold2"),
        ("builder", "fold0+fold1+fold3+fold4"),  # tells the operating points
    ]
    assert json.loads((tmp_path / "eval" / "metrics.json").read_text()) == metrics
    assert metrics["n_images"] == 3
    assert metrics["model"] == "unet_res"
    assert metrics["data"]["held_out_fold"] == 2
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["data"]["name"] == "segmentation_smoke_phantom"
    assert saved["model"]["features"] == [2]

    data.clear()
    capsys.readouterr()
    assert train_and_evaluate(config, tmp_path, data_dir="D") == metrics
    assert data == []
    assert f"{tmp_path}: this run is finished" in capsys.readouterr().out


def test_train_and_evaluate_scores_a_run_that_was_stopped_after_training(
    data, tmp_path
):
    train_and_evaluate(make_config(), tmp_path)
    rows = read_log(tmp_path)
    (tmp_path / "eval" / "metrics.json").unlink()
    train_and_evaluate(make_config(), tmp_path)
    assert (tmp_path / "eval" / "metrics.json").exists()
    assert read_log(tmp_path) == rows


def test_a_model_without_parameters_is_scored_and_restored_untrained(
    data, tmp_path, capsys
):
    config = load(KMEANS, "smoke")
    config.model.clusters = 3
    metrics = train_and_evaluate(config, tmp_path)
    assert metrics["model"] == "kmeans"
    # Nothing is trained: the others' originals tell its operating points.
    others = "fold1+fold2+fold3+fold4"
    assert [split for _, split in data[1:]] == ["fold0", others]
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"config.json", "eval", "run.json"}
    print_results(metrics, tmp_path)
    assert "train.csv" not in capsys.readouterr().out
    model = load_run(tmp_path)
    assert model.info["step"] == 0
    counts = np.array([[0, 0, 5, 9]] * 4, np.uint16)[None, :, :, None]
    found = model.predict(counts)[0, :, :, 1] > 0.5
    np.testing.assert_array_equal(found, counts[0, :, :, 0] == 9)


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (
            KMEANS,
            {"num_epochs": 1},
            "num_epochs=1: expected 0, for kmeans has nothing to",
        ),
        (
            UNETS[0],
            {"num_epochs": 0},
            "num_epochs=0: expected 1 epoch or more, for unet",
        ),
    ],
)
def test_training_nothing_and_training_without_epochs_are_refused(
    data, config, changes, message, tmp_path
):
    config = load(config, "smoke")
    config.data.batch_size, config.data.train_hw = 2, (8, 8)
    config.update(changes)
    with pytest.raises(ConfigError, match=message):
        train_and_evaluate(config, tmp_path)
    assert not list(tmp_path.iterdir())


def test_train_and_evaluate_refuses_a_workdir_with_another_config(data, tmp_path):
    train_and_evaluate(make_config(), tmp_path)
    with pytest.raises(ConfigError) as error:
        train_and_evaluate(
            make_config(**{"seed": 7, "optimizer.learning_rate": 0.5}), tmp_path
        )
    assert "optimizer.learning_rate: 0.01 -> 0.5; seed: 0 -> 7" in str(error.value)


def test_train_and_evaluate_refuses_data_of_another_task(data, tmp_path):
    with pytest.raises(ConfigError, match="begins with segmentation"):
        train_and_evaluate(make_config(**{"data.name": "classification_d1"}), tmp_path)
    assert data == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task": "instance_segmentation", "data.name": "classification_d1"},
            "for task instance_segmentation, one whose name begins with segmentation",
        ),
        (
            {"task": "classification"},
            "for task classification, one whose name begins with classification",
        ),
        ({"task": "detection"}, "--config.task='detection': known are segmentation, "),
    ],
)
def test_train_and_evaluate_knows_the_data_sets_of_each_task(
    data, tmp_path, changes, message
):
    with pytest.raises(ConfigError, match=message):
        train_and_evaluate(make_config(**changes), tmp_path)
    assert data == [] and not list(tmp_path.iterdir())


def test_a_run_on_a_leaking_data_set_is_marked_to_the_last(hospital, tmp_path, capsys):
    config = make_config(**{"data.name": "segmentation_quick_leaking"})
    metrics = train_and_evaluate(
        config, tmp_path / "run", tmp_path / "data", manual_dir=hospital
    )
    assert metrics["data"]["split"] == "test"
    assert metrics["data"]["leaking"]
    assert metrics["data"]["held_out_fold"] is None
    assert "LEAKING" in (tmp_path / "run" / "eval" / "table.md").read_text()
    cases = (tmp_path / "run" / "eval" / "cases.csv").read_text()
    assert "_copy0" in cases  # as in the papers, copies are scored as well


def make_metrics(split, leaking):
    scores = {"PA": 0.99, "CPA": None, "Rec": 0.0, "IoU": 0.25, "Dice": 0.4}
    return {
        "task": "segmentation",
        "model": "unet",
        "data": {"name": "d/c", "split": split, "synthetic": True, "leaking": leaking},
        "n_images": 4,
        "n_patients": 3,
        "pixel": {"pooled": scores, "per_image": scores},
    }


def test_print_results_of_a_leaking_data_set_speaks_of_no_held_out_patient(
    tmp_path, capsys
):
    print_results(make_metrics("test", leaking=True), tmp_path)
    text = capsys.readouterr().out
    assert "4 images of 3 SYNTHETIC patients" in text
    assert "LEAKING" in text
    assert "held-out" not in text


def test_print_results_says_synthetic_and_where_everything_is(tmp_path, capsys):
    print_results(make_metrics("fold0", leaking=False), tmp_path)
    text = capsys.readouterr().out
    assert "4 images of 3 held-out SYNTHETIC patients" in text
    assert "IoU 0.2500" in text
    assert f"{tmp_path}/eval/metrics.json" in text
    assert f"python -m spectjax.predict --workdir={tmp_path}" in text
    assert "LEAKING" not in text
    assert "lesions" not in text  # as of runs that an older version has scored


@pytest.mark.parametrize(
    ("at_one", "line"),
    [
        (0.875, "3 of 4 found, 1.67 false regions per image; at 1 false region"),
        (None, "3 of 4 found, 1.67 false regions per image\n"),
    ],
)
def test_print_results_tells_of_lesions(tmp_path, capsys, at_one, line):
    lesion = {"n": 4, "found": 3, "false_per_image": 5 / 3}
    lesion["sensitivity_at"] = {"1": at_one}
    metrics = make_metrics("fold0", leaking=False) | {"lesion": lesion}
    print_results(metrics, tmp_path)
    assert line in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ap50", "line"),
    [
        (0.5, "detection  mask AP50 0.5000, AP10–50 0.7500; box AP50 0.5000, AP10–50"),
        (None, "detection  no lesion to detect\n"),
    ],
)
def test_print_results_tells_of_instances(tmp_path, capsys, ap50, line):
    kind = {"AP50": ap50, "AP10_50": 0.75}
    metrics = make_metrics("fold0", leaking=False) | {
        "task": "instance_segmentation",
        "detection": {"mask": kind, "box": kind},
    }
    print_results(metrics, tmp_path)
    text = capsys.readouterr().out
    assert line in text
    assert "IoU 0.2500" in text and "Hotspots in new scans" in text


@pytest.mark.parametrize(
    ("config", "workdir"),
    [
        ("configs/unet_res.py", "runs/unet_res"),
        ("configs/unet_res.py:quick", "runs/unet_res_quick"),
        ("/a/b/mine.py:quick,fold=3", "runs/mine_quick_fold3"),
    ],
)
def test_name_workdir_follows_the_config(config, workdir):
    assert name_workdir(config) == pathlib.Path(workdir)


def test_help_loads_neither_jax_nor_tfds():
    code = (
        "import sys, spectjax.main\n"
        "assert not {'jax', 'tensorflow_datasets', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    help_text = run_command("--help").stdout
    assert "--workdir" in help_text
    assert "--manual_dir" in help_text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--config"),
        (["--config=nowhere.py"], "nowhere.py: expected a config file, found none"),
        (["--config=configs/unet.py:slow"], "Unknown config argument 'slow'"),
        (["--config=configs/unet.py", "--config.modle.name=x"], "no key 'modle'"),
        (["--config=configs/unet.py", "--config.model.widths=3"], "no key 'widths'"),
        (["--config=configs/unet.py", "--config.losss=x"], "no key 'losss' Did you"),
        (["--config=configs/unet.py", "--config.seed=1.5"], "--config.seed=1.5"),
        (["--config=configs/unet.py", "quick"], "Unexpected argument 'quick'"),
        (["--config=configs/unet.py", "--data-dir=x"], "data-dir"),
        (
            ["--config=configs/unet.py", "--config.modle.name=x", "--config.seed", "a"]
            + ["--config.task=x", "--config.model.width=3", "--config.data.fold=9"],
            '--config has no key \'modle\' Did you mean "model" instead of "modle"?; '
            "flag --config.seed=a: invalid literal for int() with base 10: 'a'; "
            "--config has no key 'width'; "
            "--config.data.fold=9: expected a whole number from 0 to 4; "
            "--config.task='x': known are segmentation, ",
        ),
    ],
)
def test_a_wrong_command_line_gives_one_line(args, message):
    result = run_command(*args)
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
