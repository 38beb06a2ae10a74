"""Rounds of corrections: what a simulated reader does, and a round at its smallest."""

import json

import numpy as np
import pytest

from scripts.rounds.reader import Eyes, correct
from tests.support.flagged_commands import run_in_process
from tests.support.labelme_files import filled
from tests.support.untrained_runs import make_config, write_run

HW = (60, 80)
TRUE = (20, 20, 26, 26)  # 36 pixels


def read(drawn, lesions=(TRUE,), peak=30, leave=0.7):
    """What a reader leaves of boxes, among lesions that are `peak` over 10 around."""
    numbers = np.zeros(HW, np.int32)
    for number, box in enumerate(lesions, start=1):
        numbers[filled(box, hw=HW)] = number
    counts = np.where(numbers, peak, 10)
    masks = correct(filled(*drawn, hw=HW), numbers, counts, Eyes(1.5, leave))
    return [(np.flatnonzero(mask.any(1))[0], mask.sum()) for mask in masks]


def test_a_reader_removes_what_is_none_and_adds_what_is_seen():
    assert read([(40, 40, 46, 46)]) == [(20, 36)]
    assert read([(40, 40, 46, 46)], peak=14) == []
    assert read([], peak=15) == [(20, 36)]


def test_a_draft_shows_a_lesion_that_would_not_be_seen():
    assert read([TRUE], peak=11) == [(20, 36)]


def test_an_outline_stays_where_it_is_good_enough():
    moved = (21, 20, 27, 26)  # Dice 30 / 36
    assert read([moved]) == [(21, 36)]
    assert read([moved], leave=0.9) == [(20, 36)]


def test_one_outline_of_two_lesions_is_drawn_anew_as_two():
    other = (20, 28, 26, 34)
    both = (20, 20, 26, 34)
    assert read([both], lesions=(TRUE, other), leave=0.1) == [(20, 36)] * 2


@pytest.mark.slow
def test_a_round_is_drawn_corrected_learned_from_and_scored(tmp_path, capsys):
    write_run(tmp_path / "start", make_config(), 1)
    out = tmp_path / "out"
    run_in_process(
        "scripts.correction_rounds",
        *("--config=configs/unet_res.py:smoke", f"--start={tmp_path / 'start'}"),
        *("--rounds=1", "--patients=5", "--held_out=5", "--processes=1"),
        *(f"--output_dir={out}", "--operating_point="),
    )
    said = json.loads((out / "rounds.json").read_text())
    (first,) = said["corrections"]["rounds"].values()
    files = sorted((out / "hospital/annotations/round1").glob("*.json"))
    assert first["n_files"] == first["n_checked"] == len(files) > 0
    assert [each["data"]["external"] for each in said["patients_apart"]] == [True] * 2
    table = (out / "table.md").read_text()
    assert table in capsys.readouterr().out
    rows = table.splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:4]] == ["start", "round 1"]
