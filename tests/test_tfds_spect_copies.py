"""Tests of `tfds_spect.copies`, `tfds_spect.folds` and `tfds_spect.example`."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from spectjax.imaging.geometry import GeometricCopy, warp
from tfds_spect.copies import (
    count_copies,
    draw_copies,
    list_copies,
    move_all,
    move_example,
)
from tfds_spect.errors import PrepareError
from tfds_spect.example import ThoraxExample
from tfds_spect.folds import check_folds, deal_folds


def make_example(patient="p0", view="anterior", source="0123456789abcdef"):
    """Two lesions: one at the right edge, one of 2 x 3 pixels off the centre."""
    counts = np.zeros((256, 256), np.uint16)
    counts[100:102, 60:63] = [[1000, 2000, 3000], [4000, 5000, 60000]]
    lesions = np.zeros((256, 256), np.uint16)
    lesions[40:45, 253:256] = 1
    lesions[100:102, 60:63] = 2
    return ThoraxExample(
        counts=counts,
        lesions=lesions,
        labels=("metastasis", "metastasis"),
        patient=patient,
        view=view,
        spacing_mm=(2.4, 2.3),
        crop_box=(150, 20, 400, 230),
        frame_hw=(1024, 256),
        source=source,
        synthetic=True,
    )


def test_an_example_id_names_patient_view_image_and_copy():
    original = make_example("ab12", "posterior")
    assert original.example_id == "ab12_posterior_01234567"
    copy = move_example(original, GeometricCopy(dx=1), 7)
    assert copy.example_id == "ab12_posterior_01234567_copy07"


def test_masks_and_boxes_are_those_of_the_lesions_in_order():
    example = make_example()
    assert example.masks.sum(axis=(1, 2)).tolist() == [15, 6]
    assert example.boxes.tolist() == [[40, 253, 45, 256], [100, 60, 102, 63]]
    assert example.boxes.dtype == np.float32


def test_masks_and_boxes_of_an_image_without_lesions_are_empty():
    none = replace(make_example(), lesions=np.zeros((256, 256), np.uint16), labels=())
    assert none.masks.shape == (0, 256, 256)
    assert none.boxes.shape == (0, 4)


def test_list_copies_has_every_copy_of_the_paper_but_the_original():
    copies = list_copies()
    assert len(set(copies)) == len(copies) == 2 * 21 * 9 * 11 - 1
    assert GeometricCopy() not in copies
    assert {c.dx for c in copies} == set(range(-10, 11))
    assert {c.dy for c in copies} == set(range(-4, 5))
    assert {c.degrees for c in copies} == set(range(-5, 6))


def test_count_copies_gives_the_population_of_the_paper():
    counts = count_copies(112, Fraction(2280, 112))
    assert sum(counts) + 112 == 2280
    assert set(counts) == {19, 20}


@pytest.mark.parametrize(
    ("n", "ratio", "expected"),
    [(3, Fraction(5), [4, 4, 4]), (4, Fraction(9, 4), [1, 1, 1, 2])],
)
def test_count_copies_shares_evenly(n, ratio, expected):
    assert count_copies(n, ratio) == expected


def test_draw_copies_are_different_and_depend_on_the_id_alone():
    copies = draw_copies("a", 20)
    assert len(set(copies)) == 20
    assert GeometricCopy() not in copies
    assert draw_copies("a", 20) == copies
    assert draw_copies("b", 20) != copies


def test_draw_copies_mirror_half_of_the_images():
    drawn = [copy for name in range(100) for copy in draw_copies(f"{name}", 20)]
    assert 0.45 < np.mean([copy.mirror for copy in drawn]) < 0.55


def test_move_example_moves_counts_and_lesions_together():
    moved = move_example(make_example(), GeometricCopy(dx=-5, dy=2), 0)
    assert moved.counts[102:104, 55:58].tolist() == [
        [1000, 2000, 3000],
        [4000, 5000, 60000],
    ]
    assert moved.counts.dtype == np.uint16
    assert moved.counts.sum() == make_example().counts.sum()
    assert moved.boxes.tolist() == [[42, 248, 47, 251], [102, 55, 104, 58]]


def test_move_example_mirrors_left_to_right():
    moved = move_example(make_example(), GeometricCopy(mirror=True), 0)
    assert moved.counts[100, 193:196].tolist() == [3000, 2000, 1000]
    assert moved.boxes.tolist() == [[40, 0, 45, 3], [100, 193, 102, 196]]


def test_move_example_drops_a_lesion_that_leaves_and_keeps_the_order_of_the_rest():
    moved = move_example(make_example(), GeometricCopy(dx=3), 0)
    assert moved.labels == ("metastasis",)
    assert moved.boxes.tolist() == [[100, 63, 102, 66]]
    assert set(np.unique(moved.lesions)) == {0, 1}


def test_move_example_rounds_interpolated_counts():
    counts = np.random.default_rng(0).poisson(9, (256, 256)).astype(np.uint16)
    copy = GeometricCopy(dx=1, degrees=5)
    moved = move_example(replace(make_example(), counts=counts), copy, 0)
    exact = warp(counts, copy.matrix((256, 256)), order=1)
    assert 0.49 < np.abs(moved.counts - exact).max() <= 0.5


def test_move_all_gives_each_original_its_copies_in_order():
    one, two = make_example("a"), make_example("b", source="f" * 16)
    n_copies = {one.example_id: 2, two.example_id: 1}
    ids = [example.example_id for example in move_all([one, two], n_copies)]
    assert ids == [
        "a_anterior_01234567_copy00",
        "a_anterior_01234567_copy01",
        "b_anterior_ffffffff_copy00",
    ]


def make_patients(n):
    return [
        make_example(f"p{i}", view, f"{i:08x}{view[:4]}")
        for i in range(n)
        for view in ("anterior", "posterior")
    ]


def test_deal_folds_keeps_the_images_of_a_patient_together():
    folds = deal_folds(make_patients(7))
    assert [[e.patient for e in fold] for fold in folds] == [
        ["p0", "p0", "p5", "p5"],
        ["p1", "p1", "p6", "p6"],
        ["p2", "p2"],
        ["p3", "p3"],
        ["p4", "p4"],
    ]
    check_folds(folds)


def test_deal_folds_does_not_depend_on_the_order_of_images():
    examples = make_patients(7)
    backwards = deal_folds(examples[::-1])
    for fold, other in zip(deal_folds(examples), backwards, strict=True):
        assert {e.example_id for e in fold} == {e.example_id for e in other}


def test_check_folds_finds_a_patient_on_both_sides():
    folds = [[make_example("a")], [make_example("a", "posterior", "f" * 16)]]
    with pytest.raises(PrepareError, match="fold 0 and in fold 1"):
        check_folds(folds)


def test_check_folds_finds_an_image_that_is_there_twice():
    twice = [make_example("a"), make_example("a", "posterior")]
    with pytest.raises(PrepareError, match="twice"):
        check_folds([twice])
