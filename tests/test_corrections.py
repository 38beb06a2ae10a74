"""Tests of `spectjax.corrections`: what readers changed, counted by hand."""

import csv
import json

import numpy as np
import pytest

from spectjax import corrections
from spectjax.imaging.annotations.drafts import Draft, DraftOutline
from spectjax.imaging.annotations.labelme_json import encode_json
from spectjax.system.messages import UserError
from tests.support.labelme_files import save_as_labelme, write_json, write_xml

HW = (24, 20)


def box(y0, x0, y1, x1):
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


# Of 16 pixels each; the reader leaves, moves and removes them, in this order.
KEPT, SHIFTED, WRONG = box(4, 4, 8, 8), box(10, 4, 14, 8), box(4, 12, 8, 16)
SHIFTED_TO = box(10, 5, 14, 9)  # 12 pixels in common, 20 in either
MISSED = box(14, 12, 17, 15)  # 9 pixels
OUTSIDE = box(21, 4, 23, 8)  # below the crop


def write_draft(path, *outlines, patient="p1", above=0.5):
    """A draft of outlines with scores 0.9, 0.8, 0.6, as far as there are some."""
    scored = zip(outlines, (0.9, 0.8, 0.6), strict=False)
    draft = Draft(
        model="unet 7",
        image_key=f"key of {path.stem}",
        patient_key=patient,
        synthetic=True,
        crop_box=(2, 2, 20, 18),
        spacing_mm=(2.0, 2.0),
        score_above=above,
        outlines=tuple(
            DraftOutline("metastasis", score, np.array(points, float))
            for points, score in scored
        ),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    text = encode_json(
        f"{path.stem}.png", HW, draft.make_shapes(), synthetic=True, draft=draft
    )
    path.write_text(text)
    return path


def correct(path, *outlines, words=("metastasis",) * 4):
    shapes = [
        {"label": word, "points": points, "shape_type": "polygon"}
        for points, word in zip(outlines, words, strict=False)
    ]
    save_as_labelme(path, shapes, checked=True)


def write_round(folder, number=1):
    """One file with every kind of change, and one that is right."""
    changed = folder / "reader1" / f"P{number}_anterior.json"
    write_draft(changed, KEPT, SHIFTED, WRONG, patient=f"p{number}")
    correct(changed, KEPT, SHIFTED_TO, MISSED, OUTSIDE)
    right = folder / "reader1" / f"P{number}_posterior.json"
    write_draft(right, patient=f"q{number}")
    correct(right)
    return folder


def compare(tmp_path, *folders, **options):
    corrections.run(list(folders), tmp_path / "out", **options)
    return json.loads((tmp_path / "out" / "corrections.json").read_text())["rounds"]


def test_a_round_counts_what_was_left_moved_removed_and_added(tmp_path):
    found = compare(tmp_path, write_round(tmp_path / "round1"))["round1"]
    assert found["regions"] == {"unchanged": 1, "moved": 1, "removed": 1, "added": 1}
    assert found["lesions_outside_of_crop"] == 1
    assert (found["n_files"], found["n_patients"], found["n_checked"]) == (2, 2, 2)
    per_file = found["per_file"]
    assert (per_file["corrections"], per_file["left_as_drawn"]) == (1.5, 0.5)
    pooled = found["pixel"]["pooled"]
    counted = pooled["TP"], pooled["FP"], pooled["FN"]
    assert counted == (16 + 12, 4 + 16, 4 + 9)
    assert pooled["Dice"] == pytest.approx(56 / (56 + 33))
    lesion = found["lesion"]
    assert (lesion["n"], lesion["found"], lesion["false_regions"]) == (3, 2, 1)
    # Of the two that were found: 1 and 2 * 12 / (16 + 16).
    assert lesion["dice"] == pytest.approx((1 + 0.75) / 2)
    assert found["intervals"]["per_file.corrections"] == [0, 3]
    assert not [path for path in found["intervals"] if "contrast" in path]


@pytest.mark.parametrize("above", [0.5, 0.3])
def test_the_froc_follows_the_scores_of_the_draft(tmp_path, above):
    path = tmp_path / "r" / "P1_anterior.json"
    write_draft(path, KEPT, SHIFTED, WRONG, above=above)
    correct(path, KEPT, SHIFTED_TO)
    froc = compare(tmp_path, tmp_path / "r")["r"]["lesion"]["froc"]
    points = set(zip(froc["false_per_image"], froc["sensitivity"], strict=True))
    # All three are drawn; without 0.6, without 0.8, without any.
    assert points == {(1, 1), (0, 1), (0, 0.5), (0, 0)}
    # As drawn from 0.5 on, whatever score that was.
    assert froc["threshold"][froc["false_per_image"].index(0)] >= 0.5


def test_rounds_stand_over_what_was_corrected_before(tmp_path):
    first, second = write_round(tmp_path / "one"), write_round(tmp_path / "two", 2)
    again = second / "reader2" / "P1_anterior.json"
    write_draft(again, KEPT)
    correct(again, KEPT)
    found = compare(tmp_path, first, second)
    assert [each["images_corrected_before"] for each in found.values()] == [0, 2]
    assert found["two"]["n_patients_of_earlier_rounds"] == 1
    assert found["two"]["readers"] == {"reader1": 2, "reader2": 1}
    table = (tmp_path / "out" / "corrections.md").read_text()
    assert "who were outlined without a draft" in table and "SYNTHETIC" in table
    for name in ("learning_curve.png", "froc.png"):
        assert (tmp_path / "out" / name).stat().st_size > 10_000


def test_what_is_not_compared_is_listed_with_its_reason(tmp_path, capsys):
    folder = write_round(tmp_path / "r")
    write_draft(folder / "reader1" / "P7_anterior.json", KEPT)
    write_json(folder / "reader1" / "P8_anterior.json", hw=HW)
    write_xml(folder / "reader1" / "P9_anterior.xml", hw=HW)
    (folder / "reader1" / "P6_anterior.json").write_text("{")
    copy = folder / "then" / "reader1" / "P1_anterior.json"
    write_draft(copy, KEPT)
    correct(copy, KEPT)
    found = compare(tmp_path, folder)["r"]
    assert found["not_compared"] == {
        "draft that nobody checked": 1,
        "no draft in it": 2,
        "cannot be used": 2,
    }
    error = capsys.readouterr().err
    assert "P6_anterior.json: expected JSON" in error
    assert "expected one file of 'P1_anterior' by 'reader1'" in error
    lines = (tmp_path / "out" / "files.csv").read_text().splitlines()
    rows = list(csv.DictReader(lines))
    assert len(rows) == 7
    compared = [row for row in rows if row["state"] == "compared"]
    assert [row["dice"] for row in compared] == ["0.6292", "1.0000"]


def test_words_of_a_hospital_mean_what_its_table_says(tmp_path, capsys):
    """One draft was right, one shows no lesion by the reader's word, one is missed."""
    ward, folder = tmp_path / "ward", tmp_path / "ward" / "annotations" / "r"
    for number in range(2):
        path = folder / "anna" / f"P{number}_anterior.json"
        write_draft(path, KEPT, WRONG)
        correct(path, KEPT, WRONG, MISSED, words=("Met", "arthrosis", "Met"))
    unknown = folder / "anna" / "P7_anterior.json"
    write_draft(unknown, KEPT)
    correct(unknown, KEPT, words=("fracture",))
    (ward / "words.csv").write_text("word,label\nmet,metastasis\narthrosis,\n")
    found = compare(tmp_path, folder, manual_dir=ward)["r"]
    assert found["regions"] == {"unchanged": 2, "moved": 0, "removed": 2, "added": 2}
    assert found["outlines_ignored"] == 2
    assert found["not_compared"] == {"cannot be used": 1}
    assert "labelled 'fracture'; expected 'metastasis'" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"cannot be used: 3"):
        compare(tmp_path, folder)
    with pytest.raises(UserError, match=r"--manual_dir=.*expected a folder"):
        compare(tmp_path, folder, manual_dir=tmp_path / "none")


def test_a_round_without_a_corrected_draft_ends_the_command(tmp_path):
    first = write_round(tmp_path / "one")
    write_draft(tmp_path / "two" / "P1_anterior.json", KEPT)
    with pytest.raises(UserError, match=r"two: expected drafts .*checked: 1\)"):
        corrections.run([first, tmp_path / "two"], tmp_path / "out")
    with pytest.raises(UserError, match="three: expected a folder, found none"):
        corrections.run([first, tmp_path / "three"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
