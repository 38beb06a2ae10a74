"""Tests of what images.csv and crops.csv say of crops, and of the table to fill in."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from spectjax.imaging.crop_decision import CropDecision
from spectjax.imaging.listed.crop_review import doubt_crop, write_review
from spectjax.imaging.listed.crops import read_crop_table, read_crops
from spectjax.imaging.listed.csv_table import ImageTableError
from spectjax.imaging.thorax import CropError
from tests.support.listed_tables import ANT, HEADER, POST, error_of, listed, read
from tests.support.tiny_scans import crop_stub, make_scan

CROPS_HEADER = "file,view,crop_box,accept_crop,found_box,flags"


def write_crops(folder, *lines, header=CROPS_HEADER):
    path = folder / "crops.csv"
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


@pytest.mark.parametrize("box", ["10 5 200 60", "[10, 5, 200, 60]", "(10; 5; 200; 60)"])
def test_a_row_gives_a_box_as_people_write_it(folder, box):
    line = f'{ANT},1,ANT,normal,"{box}",'
    row = listed(folder, line, header=f"{HEADER},crop_box,accept_crop")
    decision = row.scan.crop_decision
    assert (decision.box, decision.accepted) == ((10, 5, 200, 60), None)
    assert decision.origin == "images.csv, row 2"


@pytest.mark.parametrize(
    ("cell", "expected"), [("yes", True), ("No", False), ("TRUE", True)]
)
def test_a_row_accepts_or_refuses(folder, cell, expected):
    line = f"{ANT},1,ANT,normal,{cell}"
    row = listed(folder, line, header=f"{HEADER},accept_crop")
    assert row.scan.crop_decision == CropDecision("", accepted=expected)


def test_a_row_without_a_decision_has_none(folder):
    line = f"{ANT},1,ANT,normal,,,1 2 3 4"
    header = f"{HEADER},crop_box,accept_crop,found_box"
    assert listed(folder, line, header=header).scan.crop_decision is None


BAD_CELLS = [
    ("10 5 200,", "'10 5 200'"),
    ("10 5 200 60 7,", "'10 5 200 60 7'"),
    ("-10 5 200 60,", "'-10 5 200 60'"),
    ("10.5 5 200 60,", "'10.5 5 200 60'"),
    ("200 5 10 60,", "'200 5 10 60'"),
    ("10 5 10 60,", "'10 5 10 60'"),
    ("0 0 257 60,", "at most 256 rows and 256 columns, found '0 0 257 60'"),
    ("0 0 60 257,", "'0 0 60 257'"),
    ("10 5 200 60,yes", "crop_box or accept_crop, found both"),
    ("10 5 200 60,no", "found both"),
    (",perhaps", "yes or no as accept_crop, or nothing, found 'perhaps'"),
]


@pytest.mark.parametrize(("cells", "found"), BAD_CELLS)
def test_what_cannot_be_is_one_line_in_either_table(folder, cells, found):
    header = f"{HEADER},crop_box,accept_crop"
    assert found in error_of(folder, f"{ANT},1,ANT,normal,{cells}", header=header)
    path = write_crops(folder, f"{ANT},ANT,{cells},,")
    decisions, (error,) = read_crop_table(path)
    assert str(error).startswith(f"{path}: row 2: expected ") and found in str(error)
    assert decisions == {}


def test_the_same_row_again_says_the_same_whatever_its_number(folder):
    line = f"{ANT},1,ANT,normal,yes"
    _, (error,) = read(folder, line, line, header=f"{HEADER},accept_crop")
    assert error.contradicted == 0
    other = f"{ANT},1,ANT,normal,no"
    _, (error,) = read(folder, line, other, header=f"{HEADER},accept_crop")
    assert error.contradicted == 2


def test_read_crops_gives_the_decisions_by_file_and_view(folder):
    lines = (
        f'{ANT},ANT,10 5 200 60,,9 9 20 20,"a flag; another"',
        "wholeBodyPOST\\1.jpg,,,yes,9 9 20 20,",
        f"{POST},POST,,,1 2 3 4,undecided",
    )
    decisions = read_crops(write_crops(folder, *lines))
    seen = (9, 9, 20, 20)
    assert decisions == {
        folder / ANT: {"anterior": CropDecision("", (10, 5, 200, 60), None, seen)},
        folder / POST: {None: CropDecision("", None, True, seen)},
    }
    assert decisions[folder / POST][None].origin == "crops.csv, row 3"
    assert read_crops(None) == {}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (("missing.jpg,ANT,,yes,,",), "found no 'missing.jpg' there"),
        ((",ANT,,yes,,",), "expected a file, found an empty cell"),
        ((f"{ANT},lateral,,yes,,",), "'lateral'"),
        ((f"{ANT},ANT,,yes,,", f"{ANT},ANT,,no,,"), "that of crops.csv, row 2 again"),
        ((f"{ANT},,,yes,,", f"{ANT},POST,,no,,"), "that of crops.csv, row 2 again"),
        ((f"{ANT},POST,,yes,,", f"{ANT},,,no,,"), "that of crops.csv, row 2 again"),
    ],
)
def test_read_crop_table_refuses_a_row_and_read_crops_the_table(folder, lines, found):
    path = write_crops(folder, *lines)
    _, (error,) = read_crop_table(path)
    text = str(error)
    assert text.startswith(f"{path}: row {len(lines) + 1}: expected ")
    assert found in text and text.endswith(".") and text.isprintable()
    with pytest.raises(ImageTableError, match="expected"):
        read_crops(path)


def test_read_crops_says_how_many_rows_are_wrong(folder):
    path = write_crops(folder, *(f"{name},,,yes,," for name in "abc"))
    with pytest.raises(ImageTableError, match=r"row 2: .*\(2 more rows"):
        read_crops(path)


def test_two_tables_that_decide_about_one_image_are_one_too_many(folder):
    crops = read_crops(write_crops(folder, f"{ANT},ANT,,yes,,"))
    header = f"{HEADER},accept_crop"
    with pytest.raises(ValueError, match=r"two, in images.csv, row 2 and crops.csv"):
        decided = crops[folder / ANT]
        listed(folder, f"{ANT},1,ANT,normal,yes", header=header, crops=decided)


def doubts(folder, flags=("no neck", "no ribs")):
    """Two views of one file, one without a box."""
    (folder / "a.dcm").touch()
    front = make_scan(folder / "a.dcm")
    back = make_scan(folder / "a.dcm", view="posterior")
    error = CropError(f"{back.path} (frame 1, posterior): expected a body, found none.")
    return [doubt_crop(front, crop_stub(flags)(front)), doubt_crop(back, error)]


def read_rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_table_to_fill_in_lists_boxes_and_flags(tmp_path):
    text = write_review(doubts(tmp_path), {}, tmp_path / "out", place=tmp_path)
    rows = read_rows(tmp_path / "out" / "crops.csv")
    empty = {"crop_box": "", "accept_crop": ""}
    assert rows == [
        {"file": "a.dcm", "view": "anterior", "found_box": "3 1 9 5"}
        | {"flags": "no neck; no ribs", **empty},
        {"file": "a.dcm", "view": "posterior", "found_box": ""}
        | {"flags": "expected a body, found none.", **empty},
    ]
    assert text.startswith("Crops to decide about: 2, drawn in ")
    assert text.endswith(f"then put it at the top of {tmp_path}.")


def test_the_table_filled_in_is_read_and_written_again_with_its_decisions(tmp_path):
    out = tmp_path / "out"
    write_review(doubts(tmp_path), {}, out, place=out)
    rows = read_rows(out / "crops.csv")
    assert rows[0]["file"] == "../a.dcm"
    rows[0]["accept_crop"], rows[1]["crop_box"] = "yes", "4 2 8 6"
    lines = [",".join(f'"{cell}"' for cell in row.values()) for row in rows]
    decisions = read_crops(write_crops(out, *lines))
    assert decisions == {
        tmp_path / "a.dcm": {
            "anterior": CropDecision("", None, True, (3, 1, 9, 5)),
            "posterior": CropDecision("", (4, 2, 8, 6)),
        }
    }
    # The second box turned out to be none: its row comes first, the other one stays.
    text = write_review(doubts(tmp_path)[1:], decisions, out, place=out)
    assert f"--crops={out / 'crops.csv'}" in text
    assert read_crops(out / "crops.csv") == decisions
    again = read_rows(out / "crops.csv")
    assert [row["view"] for row in again] == ["posterior", "anterior"]
    assert not list(out.glob("crops_before*"))


def test_decisions_that_nobody_read_are_not_written_over(tmp_path):
    path = write_crops(tmp_path, "a.dcm,anterior,,yes,,")
    filled_in = path.read_text()
    write_review(doubts(tmp_path), {}, tmp_path, place=tmp_path)
    assert (tmp_path / "crops_before_1.csv").read_text() == filled_in
    assert len(read_rows(path)) == 2


def test_sheets_show_eight_views_each_and_old_ones_go(tmp_path):
    crops = doubts(tmp_path) * 5
    write_review(crops, {}, tmp_path, place=tmp_path)
    assert len(list(tmp_path.glob("crops_*.png"))) == 2
    write_review(crops[:1], {}, tmp_path, place=tmp_path)
    (sheet,) = tmp_path.glob("crops_*.png")
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture.convert("RGB"), int)
    orange = (pixels[..., 0] - pixels[..., 2] > 120).sum()
    assert orange > 100  # the box, drawn twice


def test_a_large_frame_is_shown_smaller(tmp_path):
    scan = make_scan()
    large = dataclasses.replace(scan, counts=np.ones((2300, 640), np.float32))
    crop = doubt_crop(large, CropError("none"))
    assert (crop.step, crop.grey.shape) == (3, (767, 214))
