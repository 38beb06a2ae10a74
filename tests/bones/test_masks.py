"""Tests of masks of bones that others drew."""

import io

import numpy as np
import pytest
from PIL import Image

from spectjax.bones.masks import read_bone_masks, read_classes, read_regions
from spectjax.bones.regions import NAMES
from spectjax.imaging.annotations.masks import encode_grey
from spectjax.system.messages import UserError

HW = (40, 20)
# The public masks have 12 classes by name, as far as is known without their sides.
PUBLIC = """label;name;side
0;background;
1;Skull;
2;Cervical vertebrae;
3;Thoracic vertebrae;
4;Lumbar vertebrae;
5;Sacrum;
6;Pelvis;midline
7;Rib;midline
8;Sternum;
9;Collarbone;midline
10;Scapula;midline
11;Humerus;midline
12;Femur;midline
"""


def label_of(name):
    return 1 + NAMES.index(name)


@pytest.fixture
def folder(tmp_path):
    """A folder of masks like the public ones: a leaning spine, two thighs, a rib."""
    (tmp_path / "bones" / "wholeBodyANT").mkdir(parents=True)
    (tmp_path / "bones" / "classes.csv").write_text(PUBLIC)
    mask = np.zeros(HW, np.uint8)
    # Its middle goes from column 6 to 10 over the 40 rows.
    for row in range(5, 25):
        mask[row, 5 + row // 8 : 8 + row // 8] = 3
    mask[30:, 7:9] = 12
    mask[30:, 12:14] = 12
    mask[15, 12:18] = 7
    for name in ("ant", "post"):
        path = tmp_path / "bones" / "wholeBodyANT" / f"{name}.png"
        path.write_bytes(encode_grey(mask))
    return tmp_path


@pytest.mark.parametrize(
    ("view", "on_the_left_of_the_image"), [("anterior", "right"), ("posterior", "left")]
)
def test_the_midline_tells_the_sides_of_a_label_apart(
    folder, view, on_the_left_of_the_image
):
    masks = read_bone_masks(folder)
    assert list(masks.paths) == ["wholeBodyANT/ant", "wholeBodyANT/post"]
    regions = masks.read("wholeBodyANT/ant", view, HW)
    other = {"left": "right", "right": "left"}[on_the_left_of_the_image]
    assert regions.dtype == np.uint8
    assert set(regions[30:, 7:9].flat) == {
        label_of(f"{on_the_left_of_the_image} femur")
    }
    assert set(regions[30:, 12:14].flat) == {label_of(f"{other} femur")}
    assert set(regions[15, 12:18]) == {label_of(f"{other} ribs")}
    assert regions[10, 7] == label_of("thoracic spine")
    assert np.count_nonzero(regions) == 20 * 3 + 10 * 4 + 6


def test_of_regions_that_a_table_has_not_the_masks_say_nothing(folder):
    missing = read_bone_masks(folder).classes.missing
    assert missing == (
        "left forearm and hand",
        "right forearm and hand",
        "left lower leg and foot",
        "right lower leg and foot",
    )


def test_our_own_layout_reads_as_it_was_written(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text(
        "label,name\n" + "".join(f"{i},{n}\n" for i, n in enumerate(NAMES, 1))
    )
    classes = read_classes(path)
    assert classes.missing == ()
    drawn = np.arange(800, dtype=np.uint8).reshape(HW) % 23
    (tmp_path / "a.png").write_bytes(encode_grey(drawn))
    read = read_regions(tmp_path / "a.png", classes, "posterior", HW)
    np.testing.assert_array_equal(read, drawn)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,tooth,", "row 2: expected a bone, one of cervical spine, .*found 'tooth'"),
        ("1,ribs,", "expected left or right of 'ribs', found neither"),
        ("1,left ribs,right", "expected one side, found 'left ribs' and 'right'"),
        ("1,sternum,left", "expected no side of sternum, found left"),
        ("1,ribs,both", "expected a side, left, right or midline, found 'both'"),
        ("256,skull,", "expected a label from 0 to 255, found '256'"),
        ("0,skull,", "expected label 0 for no bone"),
        ("1,none,", "expected names of bones, found none"),
        ("1,skull,\n1,sternum,", "row 3: expected each label once, found 1 again"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, row, message):
    path = tmp_path / "classes.csv"
    path.write_text(f"label,name,side\n{row}\n")
    with pytest.raises(UserError, match=message):
        read_classes(path)


def encode(mode):
    png = io.BytesIO()
    Image.new(mode, HW[::-1]).save(png, format="PNG")
    return png.getvalue()


@pytest.mark.parametrize(
    ("png", "message"),
    [
        (encode_grey(np.zeros((40, 21), np.uint8)), "40x20 pixels, found 40x21"),
        (encode("RGB"), "labels, found RGB pixels. Save the labels as grey values"),
        (encode("I;16"), "labels, found I;16 pixels"),
        (encode_grey(np.full(HW, 13, np.uint8)), "classes.csv, found 13"),
        (encode_grey(np.full(HW, 12, np.uint8)), "to tell left from right, found none"),
        (b"none", "found none that opens"),
    ],
)
def test_masks_that_cannot_be_used(folder, png, message):
    path = folder / "bones" / "wholeBodyANT" / "ant.png"
    path.write_bytes(png)
    with pytest.raises(UserError, match=message) as caught:
        read_bone_masks(folder).read("wholeBodyANT/ant", "anterior", HW)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_folder_without_table_or_masks_says_so(tmp_path):
    with pytest.raises(UserError, match=r"classes\.csv: expected a readable file"):
        read_bone_masks(tmp_path)
    (tmp_path / "bones").mkdir()
    (tmp_path / "bones" / "classes.csv").write_text("label,name\n1,skull\n")
    with pytest.raises(UserError, match="expected masks of bones"):
        read_bone_masks(tmp_path)


def test_places_in_a_palette_are_labels(folder):
    path = folder / "bones" / "wholeBodyANT" / "ant.png"
    grey = read_bone_masks(folder).read("wholeBodyANT/ant", "anterior", HW)
    with Image.open(path) as picture:
        coloured = picture.copy()
    coloured.putpalette(list(range(255, -1, -1)) * 3)
    assert coloured.mode == "P"
    coloured.save(path)
    read = read_bone_masks(folder).read("wholeBodyANT/ant", "anterior", HW)
    np.testing.assert_array_equal(read, grey)
