"""Tests of `spectjax.training.run_data`: a run that meets data, its own or others."""

import json
import types

import pytest

from spectjax import cross_validate, explain, figures, main
from spectjax.config import ConfigError, load_config, save_config
from spectjax.evaluation.folds import check_same_data, check_same_images
from spectjax.inference.scoring import read_scores
from spectjax.tasks.classification.cases import check_scored
from spectjax.training import run_data
from spectjax.training.checkpoint import CheckpointError
from spectjax.training.loop import _check_examples
from spectjax.training.run_data import (
    OtherDataError,
    check_data,
    check_finished,
    find_data,
)
from tests.support.config_files import KMEANS, load
from tfds_spect import prepare
from tfds_spect.errors import NotPreparedError, PrepareError

OURS, OTHERS = "a" * 64, "b" * 64
SCORES = dict.fromkeys(("PA", "CPA", "Rec", "IoU", "Dice"), 0.5)
METRICS = {
    "task": "segmentation",
    "model": "kmeans",
    "data": {"name": "set", "split": "fold0", "synthetic": False, "fingerprint": OURS},
    "n_images": 3,
    "n_patients": 2,
    "pixel": {"pooled": SCORES, "per_image": SCORES | {"IoU": None}},
}


def write_run(folder, *, fingerprint=OURS, scored=OURS, name="segmentation", fold=0):
    """A run as it is when it is finished; `scored` None leaves the scores as before."""
    config = load(KMEANS, "smoke")
    config.data.name, config.data.fold = name, fold
    config.data.fingerprint = fingerprint
    save_config(config, folder / "config.json")
    data = METRICS["data"] | {"fingerprint": scored}
    (folder / "eval").mkdir()
    (folder / "eval" / "metrics.json").write_text(json.dumps(METRICS | {"data": data}))
    return folder


def make_prepared(fingerprint, folder="data"):
    return types.SimpleNamespace(builder_dir=folder, fingerprint=fingerprint)


@pytest.fixture
def at_hand(monkeypatch):
    """The data set that is prepared, or would be: its fingerprint may be changed."""
    found = make_prepared(OURS)
    monkeypatch.setattr(prepare, "prepare", lambda *_, **__: found)
    monkeypatch.setattr(prepare, "find_prepared", lambda *_, **__: found.builder_dir)
    monkeypatch.setattr(prepare, "check_prepared", lambda _: found)
    return found


def test_a_run_on_the_same_data_says_nothing(tmp_path, capsys):
    check_data([write_run(tmp_path / "run"), tmp_path / "new"], OURS, tmp_path)
    assert capsys.readouterr() == ("", "")


def test_runs_on_other_data_are_named_all_of_them(tmp_path):
    runs = [
        write_run(tmp_path / "ours"),
        write_run(tmp_path / "begun", fingerprint=OTHERS),
        write_run(tmp_path / "scored", scored=OTHERS),
    ]
    with pytest.raises(OtherDataError, match="begun .*scored .*found other d") as error:
        check_data(runs, OURS, tmp_path)
    assert "ours (" not in str(error.value)


@pytest.mark.parametrize("older", ["config.json", "eval/metrics.json"])
def test_a_run_older_than_fingerprints_is_read_and_said_to_be_unchecked(
    tmp_path, capsys, older
):
    run = write_run(tmp_path / "run")
    document = json.loads((run / older).read_text())
    del document["data"]["fingerprint"]
    (run / older).write_text(json.dumps(document))
    assert load_config(run / "config.json").data.name == "segmentation"
    check_data([run], OURS, tmp_path)
    told = capsys.readouterr().err
    assert told.startswith(f"{run / older}: older") and "NOT checked" in told
    with pytest.raises(OtherDataError):
        check_data([run], OTHERS, tmp_path)


# A run that is finished, or goes on.


def run_again(workdir, *, manual_dir="hospital", **changes):
    config = load(KMEANS, "smoke")
    config.update_from_flattened_dict({"data.name": "segmentation"} | changes)
    return main.train_and_evaluate(config, workdir, manual_dir=manual_dir)


def test_a_finished_run_is_reported_on_its_own_data_only(tmp_path, at_hand, capsys):
    run = write_run(tmp_path / "run")
    assert run_again(run)["data"]["fingerprint"] == OURS
    assert "this run is finished" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="data.fingerprint: aaa.* -> bbb"):
        run_again(run, **{"data.fingerprint": OTHERS})
    at_hand.fingerprint = OTHERS
    with pytest.raises(OtherDataError, match="found other data"):
        run_again(run)
    assert capsys.readouterr().out == ""


def test_a_finished_run_needs_the_folder_that_is_named(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(OtherDataError, match="/does/not/exist: expected a folder"):
        run_again(run, manual_dir="/does/not/exist")


def test_a_hospitals_run_does_not_go_on_with_simulated_patients(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="no --manual_dir was given, which means sim"):
        run_again(run, manual_dir=None)


def test_simulated_patients_that_are_not_there_any_more_are_told_of(tmp_path, capsys):
    run = write_run(tmp_path / "run", name="segmentation_phantom")
    check_finished([run], str(tmp_path), None)
    assert "Not compared with its data" in capsys.readouterr().err
    with pytest.raises(NotPreparedError):
        find_data([run], str(tmp_path))


def test_a_run_goes_on_with_its_own_data_only(tmp_path, at_hand):
    run = write_run(tmp_path / "run")
    (run / "eval" / "metrics.json").unlink()
    at_hand.fingerprint = OTHERS
    with pytest.raises(OtherDataError, match="found other data"):
        run_again(run)
    with pytest.raises(OtherDataError, match=r"fingerprint=aaa.*, found bbb"):
        run_again(tmp_path / "new", **{"data.fingerprint": OURS})


def test_what_began_without_a_fingerprint_gets_none(tmp_path, capsys):
    data = (OURS, tmp_path / "data")
    assert run_data.settle_fingerprint(None, tmp_path / "new", *data) == OURS
    run = write_run(tmp_path / "run", fingerprint=None)
    assert run_data.settle_fingerprint(None, run, *data) is None
    assert "NOT checked" in capsys.readouterr().err


def test_a_checkpoint_goes_on_with_its_own_examples_only(tmp_path, capsys):
    examples = types.SimpleNamespace(
        fingerprint=OURS, older_fingerprint="0123", name="set"
    )
    _check_examples(tmp_path, examples, 7, OURS)
    assert capsys.readouterr().err == ""
    _check_examples(tmp_path, examples, 7, "0123")
    assert "was not checked" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="step 7 was made with other training"):
        _check_examples(tmp_path, examples, 7, OTHERS)


# Explanations and figures.


def test_a_hospitals_patients_are_never_simulated(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "prepare", None)
    run = write_run(tmp_path / "run")
    with pytest.raises(NotPreparedError, match="segmentation/2.0.0: expected the run"):
        find_data([run], str(tmp_path / "data"), may_simulate=True)


def test_explanations_and_figures_refuse_other_data(tmp_path, at_hand):
    at_hand.fingerprint = OTHERS
    run = write_run(tmp_path / "run")
    for manual_dir in (None, "hospital"):
        with pytest.raises(OtherDataError, match="found other data"):
            explain._load_held_out(run, None, manual_dir)
    with pytest.raises(OtherDataError, match="found other data"):
        figures.draw_figures(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_older_run_explains_only_what_it_has_scored(tmp_path):
    path = tmp_path / "cases.csv"
    with pytest.raises(OtherDataError, match="may have been trained on them"):
        check_scored(path, ["x", "y"])
    header = "example_id,patient,view,diagnosis,label,log_odds\n"
    rows = [f"{name},p,anterior,normal,normal,0.5\n" for name in ("y", "x")]
    path.write_text(header + "".join(rows))
    check_scored(path, ["x", "y"])
    with pytest.raises(OtherDataError, match="may have been trained on them"):
        check_scored(path, ["x", "z"])


# Tables of several runs.


def test_a_table_is_of_one_data_set_before_anything_is_trained(
    tmp_path, at_hand, monkeypatch
):
    trained = []
    monkeypatch.setattr(main, "train_and_evaluate", lambda *a, **_: trained.append(a))
    for fold in range(3):
        write_run(tmp_path / f"kmeans_fold{fold}", name="segmentation_smoke", fold=fold)
    configs = {"kmeans": load(KMEANS, "smoke")}
    at_hand.fingerprint = OTHERS
    for folds in ((3, 4), (0,)):
        with pytest.raises(OtherDataError, match=r"kmeans_fold0 \(aaa.*kmeans_fold2"):
            cross_validate.cross_validate(
                configs, tmp_path, folds=folds, manual_dir="hospital"
            )
    assert not trained
    at_hand.fingerprint = OURS
    cross_validate.cross_validate(configs, tmp_path, folds=(3,), manual_dir="hospital")
    assert [workdir.name for _, workdir in trained] == ["kmeans_fold3"]


def test_runs_of_several_data_sets_stand_in_no_table(tmp_path, capsys):
    def check(*fingerprints):
        runs = [{"data": {"fingerprint": each}} for each in fingerprints]
        folders = [tmp_path / f"fold{i}" for i in range(len(runs))]
        check_same_data({"net": runs}, {"net": folders})
        return capsys.readouterr().err

    assert check(OURS, OURS) == ""
    assert "fold1: older than fingerprints" in check(OURS, None)
    with pytest.raises(OtherDataError, match="aaaa: .*fold0, .*fold2; bbbb.*fold1"):
        check(OURS, OTHERS, OURS)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([{"x": 1}, {"y": 0}], ""),
        ([{"x": 1}, {"y": 1}], "with another truth"),
        ([{"x": 1}, {"z": 0}], "found other images"),
        ([{"y": 0}, {"x": 1}], "found other images"),
        ([{"x": 1}, {"x": 1}], "an image in two folds"),
    ],
)
def test_models_of_one_table_are_scored_on_the_same_truth(folds, message):
    truths = {"first": [{"x": 1}, {"y": 0}], "net": folds}
    if not message:
        check_same_images(truths)
        return
    with pytest.raises(OtherDataError, match=f"net: .*{message}"):
        check_same_images(truths)


# Damaged files of a run.


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 50_000, '{"task": 3}'])
def test_damaged_scores_are_one_line(tmp_path, text):
    run = write_run(tmp_path / "run")
    (run / "eval" / "metrics.json").write_text(text)
    with pytest.raises(ConfigError, match=r"metrics\.json: expected the scores of"):
        read_scores(run)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"data": "none"}, "'none' as 'data' instead of an object"),
        ({"n_images": True}, "True as 'n_images' instead of a whole number"),
        ({"n_patients": None}, "None as 'n_patients'"),
        ({"pixel": {"pooled": SCORES}}, "no 'pixel.per_image' in it"),
        (
            {"pixel": {"pooled": {"PA": "high"}, "per_image": {}}},
            "as 'pixel.pooled.PA'",
        ),
        ({"lesion": {"n": 3}}, "no 'lesion.found'"),
        ({"task": "counting"}, "known are segmentation"),
    ],
)
def test_scores_of_another_kind_are_one_line(tmp_path, changes, found):
    run = write_run(tmp_path / "run")
    read_scores(run)
    (run / "eval" / "metrics.json").write_text(json.dumps(METRICS | changes))
    with pytest.raises(ConfigError) as error:
        read_scores(run)
    assert found in str(error.value)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"data": 3}, "found one without data.augmentation"),
        ({"seed": "seven"}, "'seven' as 'seed' instead of a whole number"),
        ({"class_weights": [1, {}]}, "{} as 'class_weights[1]' instead of a number"),
        ({"model": []}, "[] as 'model' instead of an object"),
    ],
)
def test_a_config_of_another_kind_is_one_line(tmp_path, changes, found):
    path = write_run(tmp_path / "run") / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: expected a run's config")
    assert found in str(error.value)


def test_a_config_nested_without_end_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text('{"a":' * 50_000)
    with pytest.raises(ConfigError, match=r"config\.json: expected a run's config"):
        load_config(tmp_path / "config.json")


def test_data_that_cannot_be_prepared_leave_a_finished_run_unreported(
    tmp_path, monkeypatch
):
    def fail(*_, **__):
        raise PrepareError("data was prepared from another folder")

    monkeypatch.setattr(prepare, "prepare", fail)
    run = write_run(tmp_path / "run")
    with pytest.raises(OtherDataError, match="this run is finished, and .*another fol"):
        run_data.check_finished([run], None, "hospital")
