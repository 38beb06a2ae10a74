"""Tests of `spectjax.tasks.hotspots.comparison`, with answers that are written."""

import numpy as np
import pytest

from spectjax.metrics import intervals
from spectjax.metrics.lesions import HALF, THRESHOLDS
from spectjax.tasks.hotspots.comparison import (
    compare_false_regions,
    compare_segmentation,
)
from tests.support.segmentation_answers import make_answers

ALL = len(THRESHOLDS)
PATIENTS = ["a", "b", "c", "d"]
# The last image has no lesion. IoU of the first model: 3/4, 1/2, 1, 1; of the second
# 1/2, 1/4, 3/4, 0.
FIRST = make_answers(
    PATIENTS,
    tp=[3, 2, 4, 0],
    fp=[0, 1, 0, 0],
    fn=[1, 1, 0, 0],
    found=[ALL, HALF + 1, HALF - 4, None],
    false=[HALF - 4, HALF - 4, HALF - 4, HALF - 4],
)
SECOND = make_answers(
    PATIENTS,
    tp=[2, 1, 3, 0],
    fp=[0, 1, 1, 5],
    fn=[2, 2, 0, 0],
    found=[ALL, HALF + 3, 0, None],
    false=[ALL, ALL, ALL, HALF + 1],
)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 200)


def test_compare_segmentation_subtracts_scores():
    (found,) = compare_segmentation({"first": FIRST, "second": SECOND})
    assert found["models"] == ["first", "second"]
    assert found["differences"] == pytest.approx(
        {
            # 9 of 9 + 1 + 2 pixels, 6 of 6 + 7 + 4.
            "pooled_IoU": 9 / 12 - 6 / 17,
            "per_image_IoU": (3.25 - 1.5) / 4,
            "with_lesion_IoU": 0.25,
            # Never more than one false region: the lowest threshold finds all, or two.
            "sensitivity_at_1": 1 - 2 / 3,
        }
    )


def test_compare_segmentation_draws_the_same_patients_for_both():
    (found,) = compare_segmentation({"first": FIRST, "second": SECOND})
    # Both scores vary from image to image, their difference does not.
    assert found["intervals"]["with_lesion_IoU"] == pytest.approx([0.25, 0.25])
    low, high = found["intervals"]["per_image_IoU"]
    assert low == pytest.approx(0.25) and high > 0.4375


def test_compare_segmentation_takes_all_pairs_in_order():
    found = compare_segmentation({"x": FIRST, "y": SECOND, "z": FIRST})
    assert [each["models"] for each in found] == [["x", "y"], ["x", "z"], ["y", "z"]]
    assert set(found[1]["differences"].values()) == {0.0}
    assert found[1]["intervals"]["pooled_IoU"] == [0.0, 0.0]


def test_compare_false_regions_seeks_the_sensitivity_of_the_reference():
    found = compare_false_regions({"net": FIRST, "kmeans": SECOND}, "kmeans")
    # At 0.5 the reference finds two of three, with a false region in every image; the
    # other one finds two at 0.5 as well, with none.
    assert (found["reference"], found["sensitivity"]) == (
        "kmeans",
        pytest.approx(2 / 3),
    )
    assert found["false_per_image"] == 1.0
    assert list(found["models"]) == ["net"]
    assert found["models"]["net"]["false_per_image"] == 0.0
    assert found["models"]["net"]["fraction"] == 0.0


def test_compare_false_regions_lowers_the_threshold_until_enough_is_found():
    found = compare_false_regions({"net": SECOND, "other": FIRST}, "other")
    # The reference marks nothing false at 0.5: no fraction of it can be given.
    assert np.isnan(found["models"]["net"]["fraction"])
    thrifty = make_answers(
        PATIENTS,
        tp=[1, 1, 1, 0],
        fp=[0, 0, 0, 0],
        fn=[0, 0, 0, 0],
        found=[HALF - 2, HALF - 3, 2, None],
        false=[HALF - 2, 0, 0, 0],
    )
    found = compare_false_regions({"net": thrifty, "kmeans": SECOND}, "kmeans")
    # Two of three are found from level HALF - 4 down, where one image of four has a
    # false region.
    assert found["models"]["net"]["fraction"] == 0.25
    low, high = found["models"]["net"]["interval"]
    assert 0 <= low <= 0.25 <= high <= 1


def test_compare_false_regions_counts_resamples_that_do_not_reach_it():
    blind = make_answers(
        PATIENTS,
        tp=[0, 1, 1, 0],
        fp=[0, 0, 0, 0],
        fn=[1, 0, 0, 0],
        found=[0, ALL, ALL, None],
        false=[1, 1, 1, 1],
    )
    found = compare_false_regions({"net": blind, "kmeans": SECOND}, "kmeans")
    # Without c but with a, the reference finds all and the other does not.
    assert found["models"]["net"]["fraction"] == 0.0
    assert 20 < found["models"]["net"]["n_unreached"] < 150
