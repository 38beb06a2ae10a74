"""Tests of what a follow-up takes from two readings, by numbers worked out by hand."""

import numpy as np
import pytest

from spectjax.bones.burden import Burden, Reason
from spectjax.bones.found import FoundBones
from spectjax.bones.index import Index
from spectjax.follow_up.comparison import compare_index, show
from spectjax.imaging.hotspots import Instances
from spectjax.tasks.views import Finding, MarkedHotspot, Reading, SeenView
from tests.support.bone_maps import TABLE
from tests.support.tiny_scans import crop_stub, make_scan

FLAT = np.full((12, 6), 1e4, np.float32)  # 0.72 million counts
BONES = FoundBones(np.ones((12, 6), np.uint8), {"skull": "why"}, "hand")


def see(answer=None, *, flags=(), zoom=1.0, hotspots=(), bones=BONES, **changes):
    """A view whose crop holds rows 3-9, columns 1-5, and what is said of it."""
    answer = np.zeros((8, 8, 2), np.float32) if answer is None else answer
    scan = make_scan(**{"counts": FLAT} | changes)
    view = SeenView("x", crop_stub(flags)(scan), (8, 8), answer, zoom)
    marked = tuple(MarkedHotspot({}, mask) for mask in hotspots)
    document = {"bones": {"not_found": "nobody looked"}}
    return view, Finding(document, None, "", hotspots=marked, bones=bones)


def rectangle(y0, x0, y1, x1):
    mask = np.zeros((12, 6), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_show_tells_what_the_model_looked_at():
    np.testing.assert_array_equal(show(*see()).seen, rectangle(3, 1, 9, 5))
    # Twice as large, only 4 x 4 pixels in the middle fit into what it takes.
    seen = show(*see(zoom=2.0)).seen
    np.testing.assert_array_equal(seen, rectangle(4, 1, 8, 5))


def test_show_keeps_what_the_model_takes_for_more_than_background():
    probs = np.zeros((8, 8, 2), np.float32)
    probs[1, 2, 1], probs[1, 3, 1], probs[2, 2, 1], probs[0, 0, 1] = 0.9, 0.11, 0.1, 1
    marked = rectangle(3, 1, 4, 2)  # pixel (1, 2) of the canvas
    faint = show(*see(probs, hotspots=[marked])).faint
    np.testing.assert_array_equal(faint, rectangle(3, 2, 4, 3))
    masks = np.zeros((2, 8, 8), bool)
    masks[0, 1, 2], masks[1, 1, 4] = True, True
    instances = Instances(
        np.zeros((2, 4)),
        np.array([0.3, 0.2]),
        np.ones(2),
        np.array([True, False]),
        masks,
    )
    np.testing.assert_array_equal(show(*see(instances)).faint, marked)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"counts": FLAT / 2}, "360000 counts, fewer than 500000"),
        ({"counts": FLAT / 2, "notes": ("grey values as counts",)}, ""),
        ({"flags": ("odd", "wide")}, "the crop is in doubt: odd; wide"),
        ({"view_evidence": "WARNING: a"}, "the view is in doubt: WARNING: a"),
        ({"bones": None}, "no bones were found: nobody looked"),
    ],
)
def test_show_tells_why_nothing_can_be_said_of_what_is_not_marked(changes, why):
    side = show(*see(**changes))
    assert side.unfit == why
    assert side.doubts == ({} if changes.get("bones", 1) is None else {"skull": "why"})


def test_show_tells_that_grey_values_have_no_sizes():
    assert show(*see()).unsized == ""
    assert "grey values" in show(*see(notes=("grey values as counts",))).unsized


def read(regions, *, reasons=(), extent="thorax", **changes):
    """A reading with an index of these parts, None if it is withheld."""
    index = regions and Index(sum(regions.values()), {}, regions, {}, 10.0)
    burden = Burden(extent, index, tuple(reasons), None, "", {})
    return Reading([see(**changes)], (), burden)


@pytest.mark.parametrize(
    ("after", "beyond", "words"),
    [
        (1.38, False, "1.00 -> 1.38, within what a repeated scan shows."),
        (1.40, True, "1.00 -> 1.40, beyond what a repeated scan shows."),
        (101.0, None, "1.00 -> 101.00, and nobody measured what a repeated scan"),
    ],
)
def test_a_change_is_beyond_1_96_standard_deviations_or_not(after, beyond, words):
    change = compare_index(read({"skull": 1.0}), read({"skull": after}), TABLE)
    assert change.percents == (1.0, after) and change.beyond is beyond
    assert (
        f"Change of the thoracic bone involvement (planar): {words}" in change.sentence
    )


def test_an_index_is_compared_over_the_regions_that_both_studies_show():
    before = read({"skull": 1.0, "sternum": 2.0})
    after = read({"skull": 1.1, "sacrum": 5.0})
    change = compare_index(before, after, TABLE)
    assert change.percents == (1.0, 1.1) and change.beyond is False
    assert "without what one study alone shows: sacrum, sternum" in change.sentence


def test_an_index_that_either_study_withholds_or_of_another_part_has_no_change():
    whole = read({"skull": 1.0})
    without = read(None, reasons=[Reason("few_counts", "Few counts.")])
    for pair, who in (((whole, without), "AFTER"), ((without, whole), "BEFORE")):
        change = compare_index(*pair, TABLE)
        assert (change.percents, change.beyond) == (None, None)
        assert change.withheld == (f"{who}: Few counts.",)
        assert change.sentence.endswith(f"withheld. {who}: Few counts.")
    other = read({"skull": 1.0}, extent="whole body")
    assert "other parts" in compare_index(whole, other, TABLE).withheld[0]


@pytest.mark.parametrize(
    ("spacings", "why"),
    [
        (((2.0, 2.0), (2.4, 2.4)), ""),
        (((2.0, 2.0), (2.42, 2.42)), "Pixels of 2.0 and of 2.4 mm"),
        (((4.7, 4.7), (2.3, 2.3)), "Pixels of 2.3 and of 4.7 mm"),
        (((2.0, 2.0), None), "The size of a pixel is unknown"),
    ],
)
def test_an_index_on_other_pixels_has_no_change(spacings, why):
    pair = [read({"skull": 1.0}, spacing_mm=spacing) for spacing in spacings]
    change = compare_index(*pair, TABLE)
    assert (change.percents is None) == bool(why)
    assert [text.startswith(why) for text in change.withheld] == [True] * bool(why)
