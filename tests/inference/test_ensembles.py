"""Tests of `ensembles`, with members whose answers are written down."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict

from spectjax.config import base_config, save_config
from spectjax.inference import runtimes
from spectjax.inference.ensembles import average_log_odds, combine
from spectjax.inference.metadata import ModelFileError
from spectjax.inference.trained import TrainedModel
from spectjax.tasks.classification.findings import average, diagnose
from spectjax.tasks.views import SeenView, list_warnings
from tests.support.model_files import MODEL_INFO
from tests.support.tiny_scans import SMALL_CROP, crop_stub, make_scan, read_json
from tests.support.tiny_scans import ask as ask_for_views


def always(*probs, task="segmentation", **info):
    """A model that gives every pixel, or every image, these class probabilities."""

    def predict_probs(counts):
        shape = counts.shape[:3] if task == "segmentation" else counts.shape[:1]
        return np.broadcast_to(np.float32(probs), (*shape, len(probs)))

    return TrainedModel(predict_probs, MODEL_INFO | info, task, (8, 8))


def ask(*members, hw=(2, 3)):
    names = [f"fold{i}" for i in range(len(members))]
    return combine(members, names).predict(np.zeros((4, *hw, 1), np.float32))


def write_runs(tmp_path, *changes):
    """Folders of runs of one config, each with its changes."""
    folders = []
    for number, change in enumerate(changes):
        config = base_config()
        config.task = "classification"
        config.model = ConfigDict({"name": "specs_v7", "num_classes": 2})
        config.update_from_flattened_dict(change)
        folders.append(tmp_path / f"run{number}")
        save_config(config, folders[-1] / "config.json")
    return folders


def find(workdirs, **changes):
    return runtimes.find_model(
        **{"workdirs": workdirs, "file": None, "runtime": None} | changes
    )


def test_segmenting_members_count_by_their_probabilities():
    probs = ask(always(0.75, 0.25), always(0.5, 0.5), always(0.25, 0.75))
    assert probs.dtype == np.float32
    np.testing.assert_array_equal(probs, np.full((4, 2, 3, 2), 0.5))
    # Of log-odds the surer one would win: its odds are 99 against 1.
    probs = ask(always(0.01, 0.99), always(0.6, 0.4), always(0.6, 0.4))
    np.testing.assert_allclose(probs[0, 0, 0], [1.21 / 3, 1.79 / 3], rtol=1e-6)


def test_classifying_members_count_by_their_odds():
    # Odds of 9 and 1 have the geometric mean 3: the probability is 3 / 4.
    kind = {"task": "classification"}
    probs = ask(always(0.1, 0.9, **kind), always(0.5, 0.5, **kind))
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs, [[0.25, 0.75]] * 4, rtol=1e-6)


def test_average_log_odds_of_three_classes_is_the_softmax_of_the_mean_logits():
    logits = np.random.default_rng(0).normal(size=(5, 7, 3))
    probs = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = np.exp(logits.mean(axis=0))
    expected /= expected.sum(axis=-1, keepdims=True)
    found = average_log_odds(probs.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_average_log_odds_of_what_is_rounded_to_certainty_stays_finite():
    sure = np.float32([[0, 1]])
    np.testing.assert_allclose(average_log_odds([sure, sure[:, ::-1]]), [[0.5, 0.5]])
    assert diagnose(average_log_odds([sure, sure])[0]).log_odds > 87


def test_members_or_views_first_makes_no_difference():
    # Members' probabilities of metastasis in two views of one patient.
    metastasis = np.float32([[0.9, 0.2], [0.6, 0.7], [0.99, 0.4]])
    probs = np.stack([1 - metastasis, metastasis], axis=-1)
    members_first = average([diagnose(view) for view in average_log_odds(probs)])
    views_first = [average([diagnose(view) for view in member]) for member in probs]
    assert members_first.log_odds == pytest.approx(
        math.fsum(each.log_odds for each in views_first) / 3, rel=1e-5
    )


def test_the_answer_names_all_members():
    members = [always(0.5, 0.5, held_out_fold=i, step=70) for i in (0, 1)]
    info = combine(members, ["fold0", "fold1"]).info
    assert info["members"] == [
        MODEL_INFO | {"run": f"fold{i}", "held_out_fold": i, "step": 70} for i in (0, 1)
    ]
    # What all have in common stands where one run's would.
    assert (info["model"], info["step"]) == ("by_hand", 70)
    assert "held_out_fold" not in info
    json.dumps(info)


@pytest.mark.parametrize(
    ("simulated", "known", "sentence"),
    [
        ([True, True], True, "All 2 models were trained on simulated patients."),
        ([False, True], True, "1 of the 2 models was trained on simulated patients."),
        ([None, True], True, "1 of the 2 models was trained on simulated patients."),
        ([None, False], None, None),
        ([False, False], False, None),
    ],
)
def test_a_member_that_learnt_from_simulated_patients_is_told(
    simulated, known, sentence
):
    members = [always(0.5, 0.5, trained_on_synthetic_data=each) for each in simulated]
    model = combine(members, ["a", "b"])
    assert model.info["trained_on_synthetic_data"] is known
    view = SeenView("a", crop_stub()(make_scan()), (8, 8), None)
    assert list_warnings(view, model.info) == ([sentence] if sentence else [])


@SMALL_CROP
def test_predictions_of_several_runs_are_of_all_of_them(tmp_path, monkeypatch):
    runs = write_runs(tmp_path, {"seed": 1}, {"seed": 2})
    # Alone, the first marks every pixel and the second none.
    answers = {"run0": always(0.25, 0.75), "run1": always(0.625, 0.375)}
    monkeypatch.setattr(runtimes, "load_run", lambda workdir: answers[workdir.name])
    model = find(runs)()
    ask_for_views(model, [[make_scan()]], tmp_path)
    document = read_json(tmp_path / "IM1_anterior.json")
    (hotspot,) = document["hotspots"]
    assert (hotspot["score"], hotspot["area_px"]) == (0.5625, 6 * 4)
    assert [each["run"] for each in document["model"]["members"]] == ["run0", "run1"]


def test_one_run_is_itself(tmp_path, monkeypatch):
    (run,) = write_runs(tmp_path, {})
    alone = always(0.25, 0.75)
    monkeypatch.setattr(runtimes, "load_run", lambda workdir: alone)
    assert find([run])() is alone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"task": "segmentation"},
            "run1: expected classification of 256x256 pixels into 2 classes, as "
            ".*run0 was trained for, found segmentation of",
        ),
        ({"data.train_hw": (128, 160)}, "found classification of 128x160 pixels"),
        ({"model.num_classes": 3}, "found .* into 3 classes"),
        ({"task": "instance_segmentation"}, "found instance_segmentation of 256x256"),
    ],
)
def test_runs_that_do_not_agree_are_refused(tmp_path, change, message):
    runs = write_runs(tmp_path, {}, {}, change)
    with pytest.raises(ModelFileError, match=message.replace("run1", "run2")):
        find(runs)


def test_instances_of_several_runs_have_no_mean(tmp_path):
    changes = [{"task": "instance_segmentation", "seed": seed} for seed in (0, 1)]
    runs = write_runs(tmp_path, *changes)
    with pytest.raises(
        ModelFileError,
        match="run0: expected runs whose answers have a mean, those of segmentation "
        "or classification or skeleton; found instance_segmentation. Give one "
        "--workdir.",
    ):
        find(runs)
    find(runs[:1])


def test_segmenting_runs_may_have_been_trained_on_parts_of_any_size(tmp_path):
    # They mark the whole canvas.
    changes = [{"data.train_hw": hw, "task": "segmentation"} for hw in ((64, 64),) * 2]
    changes[1]["data.train_hw"] = (160, 160)
    find(write_runs(tmp_path, *changes))


def test_a_run_given_twice_would_count_twice(tmp_path):
    runs = write_runs(tmp_path, {}, {})
    with pytest.raises(ModelFileError, match="run0: expected runs that differ"):
        find([*runs, tmp_path / "run1" / ".." / "run0"])


def test_each_run_must_be_one(tmp_path):
    (run,) = write_runs(tmp_path, {})
    with pytest.raises(ModelFileError, match="run7: .* Train first"):
        find([run, tmp_path / "run7"])
    with pytest.raises(ModelFileError, match="found both"):
        find([run, run], file=run)
    with pytest.raises(ModelFileError, match="--runtime=openvino, found a run"):
        find([run, run], runtime="openvino")


def test_command_takes_the_flag_several_times(tmp_path):
    runs = write_runs(tmp_path, {}, {"data.train_hw": (128, 128)})
    command = [sys.executable, "-m", "spectjax.predict", f"--output_dir={tmp_path}"]
    command += [*(f"--workdir={run}" for run in runs), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {runs[1]}: expected classification")
    assert len(result.stderr.splitlines()) == 1
