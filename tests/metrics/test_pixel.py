"""Tests of `spectjax.metrics.pixel`: every number is worked out by hand."""

import math

import numpy as np
import pytest

from spectjax.metrics.pixel import (
    PixelCounts,
    count_pixels,
    imply_iou,
    score_pixels,
    summarise_pixels,
)

# Three images of 2x4 pixels: one with hits and misses of unlike number, one where
# neither readers nor model marked anything, one with a false alarm.
LABELS = np.array(
    [
        [[0, 1, 1, 1], [0, 0, 1, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
    ]
)
PREDICTIONS = np.array(
    [
        [[1, 1, 0, 0], [0, 0, 1, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 1], [0, 0, 0, 1]],
    ]
)


def counts_of(tp, fp, fn, tn):
    return PixelCounts(*(np.array([n]) for n in (tp, fp, fn, tn)))


def test_count_pixels_tells_the_four_outcomes_apart():
    counts = count_pixels(PREDICTIONS, LABELS)
    assert counts.tp.tolist() == [2, 0, 0]
    assert counts.fp.tolist() == [1, 0, 2]
    assert counts.fn.tolist() == [2, 0, 0]
    assert counts.tn.tolist() == [3, 8, 6]


def test_count_pixels_takes_every_class_but_background_as_hotspot():
    counts = count_pixels(np.array([[[0, 2, 1]]]), np.array([[[0, 1, 3]]]))
    assert (counts.tp.item(), counts.tn.item()) == (2, 1)


def test_score_pixels_matches_equations_8_to_11():
    scores = score_pixels(counts_of(tp=2, fp=1, fn=2, tn=3))
    assert scores["PA"] == pytest.approx(5 / 8)
    assert scores["CPA"] == pytest.approx(2 / 3)
    assert scores["Rec"] == pytest.approx(2 / 4)
    assert scores["IoU"] == pytest.approx(2 / 5)
    assert scores["Dice"] == pytest.approx(4 / 7)


def test_score_pixels_of_an_empty_image_left_empty_is_a_correct_reading():
    scores = score_pixels(counts_of(tp=0, fp=0, fn=0, tn=8))
    assert scores["PA"] == scores["IoU"] == scores["Dice"] == 1
    assert np.isnan(scores["CPA"]) and np.isnan(scores["Rec"])


def test_score_pixels_of_a_false_alarm_has_no_recall():
    scores = score_pixels(counts_of(tp=0, fp=2, fn=0, tn=6))
    assert scores["CPA"] == scores["IoU"] == scores["Dice"] == 0
    assert np.isnan(scores["Rec"])


def test_score_pixels_of_a_missed_lesion_has_no_precision():
    scores = score_pixels(counts_of(tp=0, fp=0, fn=3, tn=5))
    assert scores["Rec"] == scores["IoU"] == scores["Dice"] == 0
    assert np.isnan(scores["CPA"])


def test_summarise_pixels_pools_sums_before_it_divides():
    pooled = summarise_pixels(count_pixels(PREDICTIONS, LABELS))["pooled"]
    # Sums: TP 2, FP 3, FN 2, TN 17.
    assert [pooled[name] for name in ("TP", "FP", "FN", "TN")] == [2, 3, 2, 17]
    assert pooled["PA"] == pytest.approx(19 / 24)
    assert pooled["CPA"] == pytest.approx(2 / 5)
    assert pooled["Rec"] == pytest.approx(2 / 4)
    assert pooled["IoU"] == pytest.approx(2 / 7)
    assert pooled["Dice"] == pytest.approx(4 / 9)


def test_summarise_pixels_averages_defined_scores_and_says_over_how_many():
    per_image = summarise_pixels(count_pixels(PREDICTIONS, LABELS))["per_image"]
    assert per_image["PA"] == pytest.approx((5 / 8 + 1 + 6 / 8) / 3)
    assert per_image["CPA"] == pytest.approx((2 / 3 + 0) / 2)
    assert per_image["Rec"] == pytest.approx(1 / 2)
    assert per_image["IoU"] == pytest.approx((2 / 5 + 1 + 0) / 3)
    assert per_image["Dice"] == pytest.approx((4 / 7 + 1 + 0) / 3)
    assert per_image["n_averaged"] == {"PA": 3, "CPA": 2, "Rec": 1, "IoU": 3, "Dice": 3}


def test_summarise_pixels_without_any_prediction_has_no_precision():
    summary = summarise_pixels(count_pixels(np.zeros_like(LABELS), LABELS))
    assert math.isnan(summary["pooled"]["CPA"])
    assert math.isnan(summary["per_image"]["CPA"])
    assert summary["per_image"]["n_averaged"]["CPA"] == 0


def test_imply_iou_follows_from_precision_and_recall_of_the_same_pixels():
    assert imply_iou(cpa=2 / 3, rec=2 / 4) == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("predictions", "labels"),
    [
        (LABELS, LABELS[:2]),
        (LABELS, LABELS[..., np.newaxis]),
        (LABELS[0], LABELS[0]),
        (LABELS[:0], LABELS[:0]),
    ],
)
def test_count_pixels_rejects_shapes_that_do_not_match(predictions, labels):
    with pytest.raises(ValueError, match=r"one shape \(N, H, W\)"):
        count_pixels(predictions, labels)
