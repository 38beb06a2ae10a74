"""Tests of `spectjax.imaging.annotations.voc`."""

import numpy as np
import pytest

from spectjax.imaging.annotations.files import find_annotations
from spectjax.imaging.annotations.labelme import AnnotationError
from spectjax.imaging.annotations.voc import read_boxes

HW = (9, 6)
SIZE = "<size><width>6</width><height>9</height><depth>1</depth></size>"


def box(x0, y0, x1, y1, name="Abnormal"):
    corners = {"xmin": x0, "ymin": y0, "xmax": x1, "ymax": y1}
    sides = "".join(f"<{side}>{at}</{side}>" for side, at in corners.items())
    return f"<object><name>{name}</name><bndbox>{sides}</bndbox></object>"


def write(path, *things, size=SIZE):
    inside = "<filename>1.jpg</filename>" + size + "".join(things)
    path.write_text(f"<annotation>{inside}</annotation>")
    return path


def pixels(region):
    return set(zip(*map(list, np.nonzero(region.fill(HW))), strict=True))


def test_read_boxes_counts_pixels_from_0_and_takes_the_last_one_in(tmp_path):
    # Rows 3 and 4 of columns 1 to 3, by hand.
    things = box(1, 3, 3, 4), box(0, 0, 0, 0, "Normal")
    first, second = read_boxes(write(tmp_path / "1.xml", *things), HW)
    assert pixels(first) == {(y, x) for y in (3, 4) for x in (1, 2, 3)}
    assert (first.label, second.label) == ("Abnormal", "Normal")
    assert pixels(second) == {(0, 0)}


def test_read_boxes_cuts_a_box_that_ends_with_the_frame(tmp_path):
    # 5 and 6 are both written for the last of 6 columns.
    for x1, y1 in ((5, 8), (6, 9)):
        (region,) = read_boxes(write(tmp_path / "1.xml", box(4, 8, x1, y1)), HW)
        assert pixels(region) == {(8, 4), (8, 5)}
        assert region.polygon_xy.max(axis=0).tolist() == [6, 9]


def test_read_boxes_takes_whole_pixels_of_fractions(tmp_path):
    (region,) = read_boxes(write(tmp_path / "1.xml", box(1.9, 2.2, 2.5, 2.9)), HW)
    assert pixels(region) == {(2, 1), (2, 2)}


def test_read_boxes_needs_no_box_and_no_size(tmp_path):
    assert read_boxes(write(tmp_path / "1.xml", size=""), HW) == ()


BOMB = '<!DOCTYPE a [<!ENTITY b "c">]><annotation><object><name>&b;</name></object>'


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        (box(1, 3, 7, 4), "x from 1 to 7"),
        (box(-1, 3, 3, 4), "x from -1 to 3"),
        (box(3, 3, 1, 4), "x from 3 to 1"),
        (box(6, 3, 6, 4), "none at"),
        (box(1, 3, 3, "nan"), "found 'nan'"),
        (box(1, 3, 3, "1e999"), "found '1e999'"),
        (box(1, 3, 3, ""), "as <ymax>"),
        (box(1, 2, 3, 4, name=" "), "one without"),
        ("<object><name>A</name><polygon/></object>", "as <xmin>"),
        ("<size><width>9</width><height>6</height></size>", "found 6x9"),
        ("<size><width>6</width></size>", "found ?x6"),
    ],
)
def test_read_boxes_refuses_what_does_not_fit(tmp_path, contents, found):
    path = write(tmp_path / "1.xml", contents, size="")
    with pytest.raises(AnnotationError) as caught:
        read_boxes(path, HW)
    text = str(caught.value)
    assert text.startswith(f"{path}: expected ") and found in text
    assert text.isprintable() and text.endswith(" Correct the boxes.")


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"no XML",
        b"<annotation><object>",
        b"<html/>",
        BOMB.encode() + b"</annotation>",
        b"\xff\xfe" + "<annotation/>".encode("utf-16-le")[:-3],
        b'<?xml version="1.0" encoding="klingon"?><annotation/>',
        b"<annotation>" + b" " * 1_100_000 + b"</annotation>",
        b'<?xml version="1.0" encoding="shift_jis"?><annotation/>',
        b"<a>" * 100_000 + b"</a>" * 100_000,
    ],
    ids=["empty", "text", "cut", "html", "bomb", "utf16", "codec", "many bytes"]
    + ["huge", "deep"],
)
def test_read_boxes_refuses_hostile_files_in_one_line(tmp_path, contents):
    path = tmp_path / "1.xml"
    path.write_bytes(contents)
    with pytest.raises(AnnotationError) as caught:
        read_boxes(path, HW)
    text = str(caught.value)
    assert text.startswith(f"{path}: expected ") and text.isprintable()
    assert len(text) < 400


def test_read_boxes_refuses_a_folder_and_nothing(tmp_path):
    for path in (tmp_path, tmp_path / "missing.xml"):
        with pytest.raises(AnnotationError, match="a readable file"):
            read_boxes(path, HW)


def test_boxes_in_a_folder_are_not_taken_for_labelme_and_are_listed(tmp_path):
    # Both formats are XML called <annotation>, with <filename> and <object>.
    write(tmp_path / "1.xml", box(1, 3, 3, 4), size="")
    write(tmp_path / "2.xml")
    by_image, unused = find_annotations([tmp_path])
    assert by_image == {} and all("images.csv" in str(file) for file in unused)
    assert [file.path.name for file in unused] == ["1.xml", "2.xml"]


def test_read_boxes_refuses_an_object_where_nobody_looks(tmp_path):
    path = write(tmp_path / "1.xml", f"<objects>{box(1, 3, 3, 4)}</objects>")
    with pytest.raises(AnnotationError, match="found a <object> in another place"):
        read_boxes(path, HW)
