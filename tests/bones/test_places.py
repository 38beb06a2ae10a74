"""The place of a hotspot, on maps that are drawn by hand."""

import numpy as np
import pytest

from spectjax.bones.found import FoundBones
from spectjax.bones.places import place_hotspot
from spectjax.bones.regions import NAMES

MM = (2.0, 3.0)
HW = (60, 80)


def label(name):
    return NAMES.index(name) + 1


def box(y0, x0, y1, x1):
    mask = np.zeros(HW, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def draw(flags=None, **boxes):
    """The bones of an anterior view: regions that fill boxes."""
    regions = np.zeros(HW, np.uint8)
    for name, corners in boxes.items():
        regions[box(*corners)] = label(name.replace("_", " "))
    return FoundBones(regions, flags or {}, "by hand")


BODY = {
    "right_ribs": (10, 20, 30, 40),
    "thoracic_spine": (10, 40, 30, 46),
    "left_ribs": (10, 46, 30, 66),
}


def place(mask, bones, *, counts=None, spacing_mm=MM, marked=None):
    counts = np.ones(HW, np.float32) if counts is None else counts
    return place_hotspot(
        mask, bones, counts, spacing_mm, mask if marked is None else marked
    )


def test_a_hotspot_on_a_rib():
    """20 pixels of 6 mm2, on 400 pixels of ribs; 5 counts against 2 in the mirror."""
    counts = np.full(HW, 2.0, np.float32)
    mask = box(12, 50, 16, 55)
    counts[mask] = 5
    # The ribs' 46 to 65 are 39 to 20 in the mirror: of 50 to 54 it is 35 to 31.
    counts[12:16, 31:36] = 4
    found = place(mask, draw(**BODY), counts=counts)
    assert (found.region, found.side) == ("left ribs", "left")
    assert found.area_mm2 == 120
    assert found.counts == 100
    assert found.share == pytest.approx(20 / 400)
    assert found.on_bone == 1
    assert found.beside_mm == 0
    assert found.mirror_ratio == pytest.approx(5 / 4)
    assert found.mirror_note == found.in_doubt == ""


def test_the_other_side_may_lie_elsewhere_and_be_of_another_size():
    """A leg drawn up: rows 30 to 49 are 10 to 49 there, columns 5 to 8 are 77 to 70."""
    bones = draw(right_femur=(30, 5, 50, 9), left_femur=(10, 70, 50, 78))
    counts = np.ones(HW, np.float32)
    mask = box(30, 5, 35, 6)
    counts[mask] = 6
    counts[10:20, 76:78] = 3
    assert place(mask, bones, counts=counts).mirror_ratio == pytest.approx(2)


def test_the_region_that_it_covers_most_of_is_named():
    mask = box(12, 43, 14, 50)  # 3 columns of spine, 4 of ribs
    found = place(mask, draw(**BODY))
    assert found.region == "left ribs"
    assert found.on_bone == pytest.approx(4 / 7)
    assert found.share == pytest.approx(8 / 400)


@pytest.mark.parametrize(
    ("corners", "words"),
    [
        ((12, 46, 14, 51), "left ribs"),
        ((12, 45, 14, 50), "left ribs"),  # 4 of 5 columns are most of it
        ((12, 43, 14, 50), "left ribs, with 57 % of the hotspot"),
        ((12, 67, 14, 70), "none, beside the left ribs"),
        ((12, 72, 14, 75), "none"),
    ],
)
def test_words_do_not_give_a_bone_what_lies_elsewhere(corners, words):
    assert place(box(*corners), draw(**BODY)).words == words


def test_a_hotspot_beside_a_bone_is_of_the_nearest_one():
    """Two columns of 3 mm to the right of the ribs."""
    found = place(box(12, 67, 14, 70), draw(**BODY))
    assert found.region == "left ribs"
    assert found.beside_mm == pytest.approx(6)
    assert found.on_bone == found.share == 0
    assert found.mirror_note == "it lies beside the bone"


def test_pixels_are_not_square():
    """Five rows of 2 mm below are nearer than four columns of 3 mm beside."""
    bones = draw(left_ribs=(10, 46, 30, 66), left_humerus=(28, 69, 33, 74))
    assert place(box(34, 65, 35, 66), bones).region == "left ribs"


@pytest.mark.parametrize(
    ("spacing_mm", "column", "region"),
    [
        (MM, 68, "left ribs"),  # 9 mm
        (MM, 69, ""),  # 12 mm
        (None, 69, "left ribs"),  # 4 pixels
        (None, 70, ""),
    ],
)
def test_what_is_farther_away_is_on_no_bone(spacing_mm, column, region):
    found = place(box(12, column, 14, 75), draw(**BODY), spacing_mm=spacing_mm)
    assert found.region == region
    if not region:
        assert "no bone was found within" in found.in_doubt
        assert found.share is None
        assert found.mirror_ratio is None
        assert found.to_json()["region"] is None


def test_where_no_bone_was_found_none_is_named():
    assert place(box(12, 50, 16, 55), draw()).region == ""


def test_what_is_not_known_in_mm_is_not_stated_in_mm():
    found = place(box(12, 67, 14, 70), draw(**BODY), spacing_mm=None)
    assert found.area_mm2 is None
    assert found.beside_mm is None
    assert place(box(12, 50, 14, 54), draw(**BODY), spacing_mm=None).beside_mm == 0


def test_a_bone_in_the_middle_has_no_other_side():
    found = place(box(12, 41, 14, 43), draw(**BODY))
    assert (found.region, found.side) == ("thoracic spine", "")
    assert found.mirror_ratio is None
    assert "no other side" in found.mirror_note


def test_what_is_hot_on_both_sides_is_not_compared():
    mask = box(12, 50, 16, 55)
    marked = mask | box(12, 31, 13, 32)
    found = place(mask, draw(**BODY), marked=marked)
    assert found.mirror_ratio is None
    assert found.mirror_note == "the other side has a hotspot there"


def test_a_side_that_is_not_shown_is_not_compared():
    found = place(box(12, 50, 16, 55), draw(left_ribs=BODY["left_ribs"]))
    assert found.mirror_note == "the view does not show the right ribs"


def test_a_side_without_counts_is_not_compared():
    counts = np.zeros(HW, np.float32)
    found = place(box(12, 50, 16, 55), draw(**BODY), counts=counts)
    assert found.mirror_ratio is None
    assert found.mirror_note == "the other side has no counts there"


def test_the_other_side_may_have_no_such_place():
    """The ribs of one side have a hole where the hotspot of the other is."""
    bones = draw(**BODY)
    bones.regions[10:20, 22:38] = 0
    assert "no such place" in place(box(12, 50, 16, 55), bones).mirror_note
    bones = draw(**BODY)
    bones.regions[12:16] = np.where(
        bones.regions[12:16] == label("right ribs"), 0, bones.regions[12:16]
    )
    assert "no such place" in place(box(12, 50, 16, 55), bones).mirror_note


@pytest.mark.parametrize("doubted", ["left ribs", "right ribs"])
def test_sides_in_doubt_are_not_compared(doubted):
    found = place(box(12, 50, 16, 55), draw({doubted: "crop flagged"}, **BODY))
    assert found.region == "left ribs"
    assert found.in_doubt == ("crop flagged" if doubted == "left ribs" else "")
    assert found.mirror_ratio is None
    assert doubted in found.mirror_note


def test_a_document_says_none_for_what_is_empty():
    document = place(box(12, 50, 16, 55), draw(**BODY)).to_json()
    assert document["in_doubt"] is None
    assert document["mirror_note"] is None
    assert document["region"] == "left ribs"


def test_a_hotspot_without_pixels_is_refused():
    with pytest.raises(ValueError, match="Expected a hotspot"):
        place(box(0, 0, 0, 0), draw(**BODY))
