"""A learning curve on pictures that are made up, at its smallest size."""

import csv
import importlib.util
import json

import numpy as np
import pytest

from scripts.halves.patients import draw_patients
from scripts.halves.scores import format_table, summarise
from spectjax.system.messages import UserError
from tests.support.flagged_commands import run_in_process
from tests.support.picture_files import save
from tests.support.untrained_runs import make_config, write_run

N = 10  # patients; every second one is abnormal


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    rng = np.random.default_rng(0)
    rows, first = ["file,patient,view,label"], None
    for patient in range(N):
        for view in ("anterior", "posterior"):
            picture = rng.poisson(20, (120, 60)).astype(np.uint8)
            if patient % 2:
                picture[60:64, 25:29] += 60
            first = picture if first is None else first
            save(folder / f"{patient}_{view}.png", picture)
            label = ("normal", "metastasis")[patient % 2]
            rows.append(f"{patient}_{view}.png,{patient},{view},{label}")
    # The first picture again, as somebody else's.
    save(folder / "again.png", first)
    rows.append("again.png,again,anterior,normal")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, make_config(), 1)
    return folder


def learn(images, weights, output, *arguments):
    run_in_process(
        "scripts.learning_curve",
        *(f"--images={images}", f"--output_dir={output}", f"--pretrained={weights}"),
        *("--train_hw=48,32", "--steps=3", "--batch_size=4", *arguments),
    )


def read_scores(folder):
    with (folder / "scores.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_a_curve_goes_on_where_it_was(images, weights, tmp_path, capsys):
    learn(images, weights, tmp_path, "--sizes=4", "--fold=0", "--ways=weights")
    trained = ("weights_4_fold0",)
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == set(trained)
    split = (tmp_path / "split.csv").read_text()
    assert split.count("\n") == 1 + N and "again" not in split
    # Nobody has been held out by all folds yet.
    assert json.loads((tmp_path / "learning_curve.json").read_text())["auc"] == {}

    for name in trained:
        (tmp_path / name / "checkpoints").rename(tmp_path / name / "moved")
    learn(images, weights, tmp_path, "--sizes=0,4", "--fold=0", "--ways=weights")
    learn(images, weights, tmp_path, "--sizes=0")
    assert not (tmp_path / "nothing_0_fold0").exists()
    assert not (tmp_path / "weights_4_fold0" / "checkpoints").exists()
    said = json.loads((tmp_path / "learning_curve.json").read_text())
    assert (said["n_images"], said["n_patients"], said["n_abnormal"]) == (2 * N, N, N)
    assert said["auc"].keys() == {"anterior weights 0", "posterior weights 0"}
    table = " ".join((tmp_path / "table.md").read_text().split())
    assert f"{2 * N} pictures of {N} patients, each held out once." in table
    assert "| patients | weights |" in table
    assert table in " ".join(capsys.readouterr().out.split())

    # Everybody is scored once, and by no model that has learned from him.
    held_out = [read_scores(tmp_path / f"weights_0_fold{fold}") for fold in range(5)]
    assert len({row["file"] for rows in held_out for row in rows}) == 2 * N
    assert sum(map(len, held_out)) == 2 * N
    for name in trained:
        assert [row["file"] for row in read_scores(tmp_path / name)] == [
            row["file"] for row in held_out[0]
        ]
    learned = json.loads((tmp_path / trained[0] / "config.json").read_text())
    assert (learned["data"]["fold"], learned["pretrained"]) == (0, str(weights))


def test_a_table_has_a_row_a_size_and_what_is_gained():
    scores = {
        "anterior nothing 50": {"value": 0.8, "interval": [0.7, 0.9]},
        "anterior weights 50": {"value": 0.9, "interval": [0.85, 0.95]},
        "anterior weights 50 - nothing": {"value": 0.1, "interval": [0.02, 0.2]},
    }
    table = format_table(scores, ["0", "50"], ["nothing", "weights"], "nothing")
    rows = [" ".join(line.split()) for line in table.splitlines()]
    assert "| patients | nothing | weights | weights − nothing |" in rows
    assert "| 0 | – | – | – |" in rows
    gain = (
        "| 50 | 0.800 (0.700–0.900) | 0.900 (0.850–0.950) | +0.100 (+0.020 to +0.200) |"
    )
    assert gain in rows


def test_what_cannot_be_learned_from_is_one_line(
    images, weights, tmp_path, monkeypatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for argument, fault in (
        ("--ways=pytorch", "torch: not found"),
        ("--ways=somehow", "some of nothing, weights, pytorch"),
        ("--fold=5", "some of 0, 1, 2, 3, 4"),
        ("--sizes=many", "whole numbers, or all"),
        ("--sizes=9", "at most 8 patients"),
        ("--pretrained=gone", "found none"),
    ):
        with pytest.raises(UserError, match=fault):
            learn(images, weights, tmp_path, argument)


def test_patients_are_drawn_in_proportion_and_larger_draws_hold_smaller_ones():
    labels = {f"p{i}": int(i % 4 == 0) for i in range(100)}
    folds = {name: i % 5 for i, name in enumerate(labels)}
    few, many, everybody = (
        draw_patients(folds, labels, 2, size) for size in (20, 40, None)
    )
    assert set(few) < set(many) < set(everybody) and len(everybody) == 80
    assert [sum(labels[name] for name in each) for each in (few, many)] == [5, 10]
    assert all(folds[name] != 2 for name in everybody)


def test_an_auc_is_the_mean_of_its_folds():
    # Of fold 0 all pairs are in order, of fold 1 one of two; posterior, all are level.
    abnormal = np.array([0, 1, 0, 0, 1, 0, 1])
    said = np.array([5.0, 6.0, -3.0, -1.0, -2.0, 0.0, 0.0])
    scores = summarise(
        [f"p{i}" for i in range(7)],
        np.array(["anterior"] * 5 + ["posterior"] * 2),
        np.array([0, 0, 1, 1, 1, 0, 0]),
        abnormal,
        {("nothing", "4"): said, ("weights", "4"): abnormal * 1.0},
        reference="nothing",
    )
    assert scores["anterior nothing 4"]["value"] == 0.75
    assert scores["anterior weights 4 - nothing"]["value"] == 0.25
    assert np.isnan(scores["posterior nothing 4"]["value"])  # nobody in fold 1
