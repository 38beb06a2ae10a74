"""When an index is told and when it is withheld, on maps of a few pixels."""

import json

import numpy as np
import pytest

from spectjax.bones.agreement import WHY
from spectjax.bones.burden import BurdenView, measure_burden
from spectjax.bones.found import FoundBones
from spectjax.bones.regions import NAMES, REGIONS, THORAX
from spectjax.bones.repeatability import Repeatability
from tests.support.bone_maps import TABLE

NOTHING_MEASURED = Repeatability((), {})
# Row by row a region, of 10 pixels; row 0 is no bone.
MAP = np.repeat(np.arange(len(NAMES) + 1, dtype=np.uint8)[:, None], 10, axis=1)


def row_of(name):
    return NAMES.index(name) + 1


def make_view(view, marked=(), flags=(), **changes):
    """A view that shows every region; of each (name, pixels) so many are marked."""
    hotspots = np.zeros(MAP.shape, bool)
    for name, pixels in marked:
        hotspots[row_of(name), :pixels] = True
    fields = {
        "view": view,
        "bones": FoundBones(MAP, dict(flags), "a map of rows"),
        "hotspots": hotspots,
        "read": np.ones(MAP.shape, bool),
        "counts": 1e6,
    }
    return BurdenView(**(fields | changes))


def measure(front, back, extent="thorax", table=TABLE):
    return measure_burden([front, back], extent, table)


def codes_of(burden):
    return [(r.code, r.view, r.regions) for r in burden.reasons]


def withhold(burden):
    """The codes of the reasons, once no number is left that could be an index."""
    assert burden.index is None and burden.interval is None
    said = burden.to_json()
    assert not [value for value in said.values() if isinstance(value, float | dict)]
    assert said["percent"] is said["interval"] is said["mass_percent"] is None
    assert all(text in burden.sentence for text in (r.text for r in burden.reasons))
    return codes_of(burden)


def test_an_index_has_its_constants_and_the_scatter_of_repeated_scans():
    """4 of 10 pixels of the left ribs in front, 2 behind; the femur is not thorax."""
    front = make_view("anterior", [("left ribs", 4), ("left femur", 10)])
    burden = measure(front, make_view("posterior", [("left ribs", 2)]))
    said = json.loads(json.dumps(burden.to_json()))
    assert said["name"] == "thoracic bone involvement (planar)"
    assert said["masses"] == "Spiers 1968"
    assert said["percent"] == pytest.approx(2.2 * 0.3)
    assert said["views"] == pytest.approx({"anterior": 0.88, "posterior": 0.44})
    assert said["regions"]["left ribs"] == pytest.approx(
        {"percent": 0.66, "share": 0.3}
    )
    mass = sum(r.percent for r in REGIONS if r.kind in THORAX)
    assert said["mass_percent"] == pytest.approx(mass) == pytest.approx(11.688)
    assert said["interval"] == pytest.approx([0.66 - 0.277186, 0.66 + 0.277186])
    assert said["withheld"] == []
    assert "0.66 % of the skeleton's mass (Spiers 1968)" in burden.sentence
    assert "0.38 to 0.94 in 95 % of repeated scans" in burden.sentence


def test_the_whole_body_has_another_name_and_all_bones():
    burden = measure(
        make_view("anterior", [("left femur", 10)]),
        make_view("posterior", [("left femur", 5)]),
        "whole body",
    )
    assert burden.title == "planar bone scan index"
    assert burden.index.percent == pytest.approx(8.9 * 0.75)
    assert burden.index.mass_percent == pytest.approx(100.1)


@pytest.mark.parametrize(
    ("marked", "table", "note"),
    [
        ([("sternum", 1)], NOTHING_MEASURED, "No interval is known"),
        ([], TABLE, "Nothing is marked in these bones, which does not mean"),
    ],
)
def test_no_interval_is_made_up(marked, table, note):
    front = make_view("anterior", marked)
    burden = measure(front, make_view("posterior"), table=table)
    assert burden.index is not None
    assert burden.interval is None and burden.to_json()["interval"] is None
    assert burden.interval_note.startswith(note)
    assert burden.interval_note in burden.sentence


def test_views_of_other_sizes_have_an_index_too():
    small = make_view("posterior")
    bones = FoundBones(MAP[:, :4], {}, "a map of rows")
    changes = {"bones": bones, "hotspots": MAP[:, :4] == row_of("sternum")}
    back = make_view("posterior", read=small.read[:, :4], **changes)
    assert measure(make_view("anterior"), back).index.percent == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"counts": 499_999}, "few_counts"),
        ({"counts": None}, "no_counts"),
        ({"crop_doubts": ("no neck",)}, "crop_in_doubt"),
        ({"view_doubt": "file name"}, "view_in_doubt"),
        ({"bones": None, "not_found": "no body"}, "no_bones"),
    ],
)
def test_a_view_in_doubt_leaves_no_number(changes, code):
    back = make_view("posterior", [("sternum", 5)], **changes)
    burden = measure(make_view("anterior", [("sternum", 5)]), back)
    assert withhold(burden) == [(code, "posterior", ())]


def test_enough_counts_are_enough():
    front = make_view("anterior", counts=500_000)
    assert measure(front, make_view("posterior")).index is not None


def test_a_missing_view_and_one_too_many_leave_no_number():
    front = make_view("anterior")
    assert withhold(measure(front, front)) == [
        ("several_views", "anterior", ()),
        ("missing_view", "posterior", ()),
    ]


def test_a_region_in_doubt_counts_only_where_it_counts():
    flags = {"left femur": "too small", "sternum": "apart", "left ribs": "apart"}
    front, back = make_view("anterior", flags=flags), make_view("posterior")
    apart = ("region_in_doubt", "anterior", ("sternum", "left ribs"))
    assert withhold(measure(front, back)) == [apart]
    whole = withhold(measure(front, back, "whole body"))
    assert whole == [apart, ("region_in_doubt", "anterior", ("left femur",))]


@pytest.mark.parametrize(("front", "back", "told"), [(2, 0, 0), (1, 0, 1), (9, 4, 1)])
def test_views_that_contradict_each_other_leave_no_number(front, back, told):
    """A femur is worth 8.9: of its 10 pixels so many are marked."""
    marks = [[("left femur", pixels)] for pixels in (front, back)]
    views = map(make_view, ("anterior", "posterior"), marks)
    burden = measure(*views, "whole body")
    if told:
        assert burden.index.percent == pytest.approx(8.9 * (front + back) / 20)
    else:
        assert withhold(burden) == [("views_differ", None, ())]
        assert "1.78 anterior, 0.00 posterior" in burden.sentence


def disagree(name, marked):
    """A front view whose other map has a region in row 0 of the map; marks of both.

    Its own row has 10 pixels, of which `marked` are marked; row 0 has no mark.
    """
    other = np.where(MAP == row_of(name), 0, MAP)
    other[0] = row_of(name)
    bones = FoundBones(MAP, {name: WHY}, "a map of rows", other)
    return make_view("anterior", [(name, marked), ("sternum", 5)], bones=bones)


def test_a_region_that_is_seen_in_two_places_counts_if_the_index_depends_on_it():
    """0.3 x 5 / 10 / 2 of the sternum, and 3.3 x 0.1 / 2 of a marked humerus."""
    back = make_view("posterior")
    settled = measure(disagree("left humerus", 0), back, "whole body")
    assert settled.index.percent == pytest.approx(0.075)
    assert settled.unsettled == ("left humerus",)
    assert settled.to_json()["unsettled"] == ["left humerus"]
    assert "in doubt, but worth at most 0.1 together: left humerus" in settled.sentence
    moved = measure(disagree("left humerus", 1), back, "whole body")
    apart = ("region_in_doubt", "anterior", ("left humerus",))
    assert withhold(moved) == [apart]
    # A clavicle is worth 0.5: with 4 of its pixels the index moves by 0.1.
    assert measure(disagree("left clavicle", 4), back).unsettled == ("left clavicle",)
    assert withhold(measure(disagree("left clavicle", 5), back))


def test_what_nobody_else_looked_for_stays_in_doubt():
    flags = {"left humerus": WHY}
    bones = FoundBones(MAP, flags, "a map of rows")
    front, back = make_view("anterior", bones=bones), make_view("posterior")
    apart = ("region_in_doubt", "anterior", ("left humerus",))
    assert withhold(measure(front, back, "whole body")) == [apart]


def test_what_was_not_looked_at_is_not_free_of_marks():
    """One of ten pixels of the left scapula may lie outside of the crop, not two."""
    read = np.ones(MAP.shape, bool)
    read[row_of("left scapula"), 0] = False
    front = make_view("anterior", [("left scapula", 4)], read=read)
    # 3 marked of the 9 that were looked at, and none of 10 behind.
    burden = measure(front, make_view("posterior"))
    assert burden.index.percent == pytest.approx(1.5 * (1 / 3) / 2)
    read[row_of("left scapula"), 1] = False
    burden = measure(front, make_view("posterior"))
    assert withhold(burden) == [("region_not_read", "anterior", ("left scapula",))]
    assert "80 %" in burden.sentence


def test_a_region_that_nobody_sees_is_told():
    """Hands and feet may lie outside of a frame, whoever flags that; a spine not."""

    def hide(name):
        flags = {name: "not shown"}
        bones = FoundBones(np.where(MAP == row_of(name), 0, MAP), flags, "rows")
        both = (make_view(v, bones=bones) for v in ("anterior", "posterior"))
        return measure(*both, "whole body")

    burden = hide("left lower leg and foot")
    assert burden.to_json()["not_shown"] == ["left lower leg and foot"]
    assert burden.index.mass_percent == pytest.approx(100.1 - 12.2)
    assert "not counted: left lower leg and foot" in burden.sentence
    missing = ("region_not_shown", None, ("lumbar spine",))
    assert withhold(hide("lumbar spine")) == [missing]
