"""Tests of `spectjax.imaging.diagnosis`, on cases that were decided by hand."""

import pathlib

import numpy as np
import pytest

from spectjax.imaging.annotations.consensus import (
    agree,
    crop_hotspots,
    diagnose,
    is_abnormal,
    name_kind,
    translate_words,
)
from spectjax.imaging.annotations.labelme import Annotation
from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.diagnosis import DIAGNOSES, LABELS, label_diagnosis
from spectjax.imaging.thorax.transform import CropTransform

# A frame of 20 x 10 pixels; the thorax is its rows 4 to 11.
THORAX = CropTransform(box=(4, 0, 12, 10), frame_hw=(20, 10), canvas_hw=(12, 12))
SPINAL, OUTSIDE, UNSTATED = (
    "spinal metastasis",
    "metastasis outside spine",
    "metastasis",
)


def outline(row, label=UNSTATED, column=1):
    """A square of 2 x 2 pixels whose first row and column are given."""
    corners = [[column, row], [column + 2, row], [column + 2, row + 2]]
    return Region(label, np.array([*corners, [column, row + 2]], np.float64), None)


def reader(name, *regions):
    return Annotation(
        path=pathlib.Path(name, "P_anterior.json"),
        reader=name,
        image_name="P_anterior",
        image_hw=(20, 10),
        regions=regions,
    )


def diagnose_readers(*drawn):
    annotations = [reader(f"r{i}", *regions) for i, regions in enumerate(drawn)]
    hotspots = crop_hotspots(agree(annotations, THORAX.frame_hw), THORAX)
    return diagnose(annotations, hotspots, THORAX)


def test_the_classes_are_those_of_the_paper_and_one_for_an_unstated_kind():
    assert LABELS == ("normal", "metastasis")
    assert DIAGNOSES == (
        "normal",
        "multiple bone metastasis",
        "spinal metastasis",
        "metastasis outside spine",
        "metastasis",
    )
    assert [label_diagnosis(each) for each in DIAGNOSES] == [
        "normal",
        *["metastasis"] * 4,
    ]
    with pytest.raises(ValueError, match="'benign'"):
        label_diagnosis("benign")


@pytest.mark.parametrize(
    ("sites", "kind"),
    [
        ([], UNSTATED),
        ([UNSTATED], UNSTATED),
        ([SPINAL], SPINAL),
        ([OUTSIDE], OUTSIDE),
        ([SPINAL, SPINAL, SPINAL], SPINAL),
        ([SPINAL, OUTSIDE], "multiple bone metastasis"),
        ([OUTSIDE, OUTSIDE], "multiple bone metastasis"),
        # One is outside the spine and there are two: the other's site changes nothing.
        ([UNSTATED, OUTSIDE], "multiple bone metastasis"),
        # Spinal if the unstated one is spinal, else multiple.
        ([SPINAL, UNSTATED], UNSTATED),
        ([UNSTATED, UNSTATED], UNSTATED),
    ],
)
def test_name_kind_takes_what_the_sites_leave_no_doubt_about(sites, kind):
    assert name_kind(sites) == kind


@pytest.mark.parametrize(
    ("row", "expected"), [(2, False), (3, True), (6, True), (11, True), (12, False)]
)
def test_an_outline_counts_if_it_has_a_pixel_in_the_crop(row, expected):
    assert is_abnormal(reader("r", outline(row)), THORAX) is expected


def test_a_reader_without_outlines_calls_an_image_normal():
    assert not is_abnormal(reader("r"), THORAX)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([[], [], []], "normal"),
        ([[outline(6)], [], []], "normal"),
        ([[outline(6)], [outline(6)], []], UNSTATED),
        ([[outline(6)], []], "normal"),  # half of the readers are no majority
        ([[outline(6, OUTSIDE)]], OUTSIDE),
        ([[outline(1)], [outline(1)], [outline(6)]], "normal"),  # two below the crop
        # All see something, no two the same: abnormal, and nothing to tell its kind.
        ([[outline(4)], [outline(7)], [outline(10)]], UNSTATED),
        (
            [
                [outline(6, SPINAL), outline(6, OUTSIDE, column=7)],
                [outline(6, SPINAL), outline(6, OUTSIDE, column=7)],
                [outline(9, SPINAL)],
            ],
            "multiple bone metastasis",
        ),
        # The hotspot outside the spine lies outside the crop too.
        ([[outline(6, SPINAL), outline(15, OUTSIDE)]], SPINAL),
    ],
)
def test_diagnose_follows_the_majority_of_readers_and_their_hotspots(drawn, expected):
    assert diagnose_readers(*drawn) == expected


def test_diagnose_needs_a_reader():
    with pytest.raises(ValueError, match="at least one reader"):
        diagnose([], agree([reader("r")], THORAX.frame_hw), THORAX)


def test_translate_words_renames_drops_and_leaves_alone():
    drawn = reader(
        "r", outline(5, " Hot  spot "), outline(7, "Artifact"), outline(9, "Metastasis")
    )
    translated = translate_words(drawn, {"hot spot": SPINAL, "artifact": ""})
    assert [region.label for region in translated.regions] == [SPINAL, UNSTATED]
    np.testing.assert_array_equal(
        translated.regions[1].polygon_xy, drawn.regions[2].polygon_xy
    )
    assert [region.label for region in drawn.regions][0] == " Hot  spot "
