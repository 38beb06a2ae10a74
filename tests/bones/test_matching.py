"""Tests of `matching` on skeletons of rectangles, whose maps are known by hand."""

import dataclasses

import numpy as np
import pytest

from spectjax.bones import matching
from spectjax.bones.carrying import SeenSide, SkeletonMap
from spectjax.bones.matching import compare_views, may_be_one
from tests.support.box_bones import BONES, draw_boxes, paint

SPOT = (200, 80, 220, 100)  # in the right ribs


def make_side(*spots, pixel_mm=2.0, hw=(240, 140), shift=(0, 0), bones=None, **more):
    """A view with these hotspots, boxes in mm, all of it moved by a shift in mm."""
    side = SeenSide(
        draw_boxes(BONES | (bones or {}), hw, pixel_mm, shift),
        [paint(box, hw, pixel_mm, shift) for box in spots],
        np.ones(hw, bool),
        np.zeros(hw, bool),
        (pixel_mm, pixel_mm),
    )
    return dataclasses.replace(side, **more)


def grow(box, mm):
    y0, x0, y1, x1 = box
    return y0 - mm, x0 - mm, y1 + mm, x1 + mm


def centre_of(points):
    return np.asarray(points).mean(axis=0)


OTHER = {"pixel_mm": 4.0, "hw": (150, 100), "shift": (60, 40)}


def test_a_place_is_carried_over_shift_and_pixel_size():
    one, other = make_side(SPOT), make_side(SPOT, **OTHER)
    place = SkeletonMap(one, other).find(one.hotspots[0])
    np.testing.assert_allclose(place.matrix, np.eye(2) / 2, atol=1e-2)
    found = centre_of(place.carry_points(one.hotspots[0]))
    np.testing.assert_allclose(found, centre_of(np.argwhere(other.hotspots[0])), atol=1)
    carried = place.carry(one.hotspots[0], other.regions.shape)
    np.testing.assert_array_equal(carried, other.hotspots[0])


def test_an_arm_takes_its_hotspot_along_where_the_trunk_stays():
    spot, moved = (240, 44, 260, 60), (240, 8, 260, 24)
    arm = {"right humerus": (152, 4, 332, 28)}  # 36 mm further out
    one, other = make_side(spot), make_side(moved, bones=arm)
    place = SkeletonMap(one, other).find(one.hotspots[0])
    found = centre_of(place.carry_points(one.hotspots[0]))
    # The ribs are 20 mm away and take a small part; the trunk's map would err by 36 mm.
    np.testing.assert_allclose(found, centre_of(np.argwhere(other.hotspots[0])), atol=8)
    (change,) = compare_views(one, other)
    assert (change.kind, change.region) == ("unchanged", "right humerus")


@pytest.mark.parametrize(
    ("mm", "kind", "growth"),
    [(0, "unchanged", 1), (2, "unchanged", 1.44), (4, "larger", 1.96)],
)
def test_growth_beyond_what_a_repeated_scan_shows_has_a_name(mm, kind, growth):
    small, large = make_side(SPOT), make_side(grow(SPOT, mm))
    (change,) = compare_views(small, large)
    assert (change.kind, change.before, change.after) == (kind, (0,), (0,))
    assert change.growth == pytest.approx(growth) and change.why == ""
    (back,) = compare_views(large, small)
    assert back.kind == {"larger": "smaller"}.get(kind, kind)
    assert back.growth == pytest.approx(1 / growth)


def test_what_only_one_study_has_is_new_or_gone_and_has_a_place_in_the_other():
    there, spine = (240, 172, 260, 192), (200, 132, 220, 152)
    one, other = make_side(SPOT, spine), make_side(there, spine, **OTHER)
    gone, same, new = compare_views(one, other)
    assert (gone.kind, gone.before, gone.after) == ("gone", (0,), ())
    assert (new.kind, new.before, new.after) == ("new", (), (0,))
    assert (same.kind, same.before, same.after) == ("unchanged", (1,), (1,))
    assert (gone.region, new.region) == ("right ribs", "left ribs")
    np.testing.assert_array_equal(gone.place, make_side(SPOT, **OTHER).hotspots[0])
    np.testing.assert_array_equal(new.place, make_side(there).hotspots[0])


def test_what_splits_or_merges_is_one_and_its_areas_are_added():
    whole = (200, 80, 220, 110)
    parts = (200, 80, 220, 90), (200, 98, 220, 110)
    split, alone = make_side(*parts), make_side(whole)
    (change,) = compare_views(alone, split)
    assert (change.kind, change.before, change.after) == ("unchanged", (0,), (0, 1))
    assert change.growth == pytest.approx((5 + 6) / 15)
    (merged,) = compare_views(split, alone)
    assert (merged.before, merged.after) == ((0, 1), (0,))


def test_a_near_one_is_the_same_and_a_far_one_is_not():
    def kinds(gap_mm):
        moved = np.add(SPOT, (20 + gap_mm, 0) * 2)
        return [c.kind for c in compare_views(make_side(SPOT), make_side(moved))]

    assert matching.NEAR_MM == 8
    assert kinds(4) == ["unchanged"] and kinds(12) == ["gone", "new"]


def test_arm_and_ribs_lie_side_by_side_and_have_no_hotspot_in_common():
    close = {"right humerus": (152, 48, 332, 72)}
    on_arm, on_ribs = (200, 60, 220, 72), (200, 72, 220, 84)
    one, other = make_side(on_arm, bones=close), make_side(on_ribs, bones=close)
    assert [c.kind for c in compare_views(one, other)] == ["gone", "new"]


@pytest.mark.parametrize(
    ("region", "other", "one"),
    [
        ("left ribs", "left ribs", True),
        ("left ribs", "", True),
        ("left ribs", "thoracic spine", True),
        ("left ribs", "left scapula", True),
        ("left ribs", "right scapula", False),
        ("left ribs", "right ribs", False),
        ("left ribs", "left humerus", False),
        ("left hip bone", "right hip bone", True),
        ("left femur", "left forearm and hand", False),
    ],
)
def test_may_be_one_knows_which_bones_meet(region, other, one):
    assert may_be_one(region, other) is one is may_be_one(other, region)


HW = (240, 140)
UPPER = np.arange(HW[0])[:, None].repeat(HW[1], 1) < 108  # cuts 4 mm off SPOT


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"doubts": {"right ribs": "cut"}}, "the right ribs is in doubt: cut"),
        ({"unfit": "too few counts"}, "too few counts"),
        ({"seen": UPPER}, "the other study was not looked at there"),
        ({"faint": paint(SPOT, HW, 2.0)}, "may have it, too faint to be marked"),
        ({"bones": {"right ribs": (0, 0, 0, 0)}}, "is not shown alike in both"),
        ({"bones": {"right ribs": (152, 72, 192, 124)}}, "is not shown alike in both"),
        ({"shift": (0, -90)}, "is not shown alike in both"),
        ({"shift": (-205, 0)}, "is not shown alike in both"),
    ],
)
def test_what_could_not_be_looked_for_is_neither_gone_nor_new(changes, why):
    full, other = make_side(SPOT), make_side(**changes)
    for pair, numbers in (((full, other), ((0,), ())), ((other, full), ((), (0,)))):
        (change,) = compare_views(*pair)
        assert change.kind == "cannot tell" and why in change.why
        assert (change.before, change.after) == numbers


def test_a_hotspot_on_no_bone_cannot_be_told_of():
    beside = make_side((200, 5, 220, 15))
    (change,) = compare_views(beside, make_side())
    assert (change.kind, change.region) == ("cannot tell", "")


def test_a_region_that_the_frame_cuts_is_no_guide_to_a_place():
    # Of the ribs 4 mm are cut, and the hotspot with them.
    one, other = make_side((200, 72, 220, 76)), make_side(shift=(0, -76))
    (change,) = compare_views(one, other)
    assert change.kind == "cannot tell" and "right ribs" in change.why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"doubts": {"right ribs": "cut"}}, "in doubt"),
        ({"unfit": "too few counts"}, "too few counts"),
        ({"unsized": "grey"}, "grey"),
        ({"seen": UPPER}, "cut off by the edge"),
    ],
)
def test_a_size_that_is_in_doubt_is_not_compared(changes, why):
    small, large = make_side(SPOT), make_side(grow(SPOT, 6), **changes)
    for pair in ((small, large), (large, small)):
        (change,) = compare_views(*pair)
        assert (change.kind, change.before, change.after) == ("cannot tell", (0,), (0,))
        assert why in change.why


def test_the_bones_of_every_piece_count():
    # Two pieces, in the ribs and in the spine beside them; the spine alone is in doubt.
    pieces = (200, 104, 220, 124), (200, 124, 220, 132)
    one, other = make_side((200, 104, 220, 132)), make_side(*pieces)
    assert [c.kind for c in compare_views(one, other)] == ["unchanged"]
    doubted = dataclasses.replace(other, doubts={"thoracic spine": "bent"})
    for pair in ((one, doubted), (doubted, one)):
        (change,) = compare_views(*pair)
        assert change.why == "the thoracic spine is in doubt: bent"


def test_where_the_size_of_pixels_is_unknown_the_bones_tell_it():
    one = make_side(SPOT, spacing_mm=None)
    other = make_side(SPOT, **OTHER)
    (change,) = compare_views(one, other)
    assert change.kind == "unchanged"
    assert change.growth == pytest.approx(1, rel=0.05)


def test_no_bones_and_no_hotspots_say_nothing():
    empty = make_side(regions=np.zeros(HW, np.uint8))
    assert compare_views(empty, empty) == []
    (change,) = compare_views(make_side(SPOT), empty)
    assert change.kind == "cannot tell" and change.place is None
