"""Tests of `tfds_spect.copies` and `tfds_spect.example`."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from spectjax.imaging.geometry import GeometricCopy, warp
from tfds_spect.copies import (
    CopyRule,
    draw_copies,
    list_copies,
    move_example,
    plan_copies,
    share_evenly,
)
from tfds_spect.example import ThoraxExample, encode_example, scale_counts


def make_example(
    patient="p0", view="anterior", source="0123456789abcdef", diagnosis="metastasis"
):
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
        diagnosis=diagnosis,
        mask_evidence="outlines",
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


def make_folds(numbers, diagnosis):
    """Originals of patients of their own, so many in each fold."""
    return [
        [
            make_example(f"p{fold}", source=f"{fold}{i:03d}", diagnosis=diagnosis)
            for i in range(n)
        ]
        for fold, n in enumerate(numbers)
    ]


@pytest.mark.parametrize(
    ("total", "n_shares", "expected"),
    [(12, 3, [4, 4, 4]), (5, 4, [1, 1, 1, 2]), (0, 2, [0, 0]), (0, 0, [])],
)
def test_share_evenly_adds_up_and_differs_by_one(total, n_shares, expected):
    assert share_evenly(total, n_shares) == expected


def test_plan_copies_gives_the_population_of_the_segmentation_paper():
    folds = make_folds([23, 23, 22, 22, 22], "metastasis")
    rule = CopyRule(("metastasis",), Fraction(2280, 112))
    n_copies = plan_copies(folds, [rule])
    assert sum(n_copies.values()) + 112 == 2280
    assert set(n_copies.values()) == {19, 20}


def test_plan_copies_gives_every_second_image_of_each_fold_its_copies():
    folds = make_folds([5, 3, 1, 2, 4], "normal")
    rule = CopyRule(("normal",), Fraction(3), every=2)
    n_copies = plan_copies(folds, [rule])
    assert sum(n_copies.values()) == 2 * 15
    given = [[n_copies[e.example_id] > 0 for e in fold] for fold in folds]
    assert given == [
        [True, False, True, False, True],
        [True, False, True],
        [True],
        [True, False],
        [True, False, True, False],
    ]
    assert {n for n in n_copies.values() if n} == {3, 4}  # 30 copies of 9 images


def test_plan_copies_follows_a_rule_for_each_diagnosis_and_none_for_others():
    folds = [
        [make_example("a", diagnosis="spinal metastasis")],
        [make_example("b", diagnosis="normal"), make_example("c")],
    ]
    rules = [
        CopyRule(("spinal metastasis",), Fraction(10)),
        CopyRule(("metastasis", "multiple bone metastasis"), Fraction(2)),
    ]
    ids = [example.example_id for fold in folds for example in fold]
    assert plan_copies(folds, rules) == dict(zip(ids, [9, 0, 1], strict=True))


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


def test_a_copy_keeps_the_diagnosis_even_if_its_lesion_left():
    original = make_example(diagnosis="spinal metastasis")
    only = replace(
        original, lesions=np.where(original.lesions == 1, 1, 0), labels=("metastasis",)
    )
    moved = move_example(only, GeometricCopy(dx=3), 0)
    assert moved.labels == ()
    assert moved.diagnosis == "spinal metastasis"


def test_scale_counts_spans_zero_to_one():
    scaled = scale_counts(np.array([[10, 20], [60, 110]], np.uint16))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[0, 0.1], [0.5, 1]], rtol=1e-6)
    assert (scaled.min(), scaled.max()) == (0, 1)
    assert not scale_counts(np.full((2, 2), 7, np.uint16)).any()


def test_encode_example_labels_by_diagnosis_and_scales_after_moving():
    copy = move_example(
        make_example(diagnosis="spinal metastasis"), GeometricCopy(degrees=5), 0
    )
    encoded = encode_example(copy, 3, normalised=True)
    assert encoded["label"] == "metastasis"
    assert encoded["diagnosis"] == "spinal metastasis"
    assert encoded["mask_evidence"] == "outlines"
    assert encoded["fold"] == 3
    # Turning blurs the hottest pixel, so scaling before would not reach 1.
    assert copy.counts.max() < 60000
    assert encoded["image"].max() == 1
    assert encode_example(copy, 3)["image"].dtype == np.uint16
    normal = replace(make_example(), diagnosis="normal")
    assert encode_example(normal, 0)["label"] == "normal"
