"""Tests of `spectjax.metrics.curves`, by hand and against scikit-learn."""

import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from spectjax.metrics.curves import (
    area_under_roc,
    average_precision,
    precision_recall_curve,
    roc_curve,
)

# From the top: metastasis, a tie of one metastasis and two normal images, metastasis,
# normal image.
LABELS = np.array([0, 1, 1, 0, 1, 0])
SCORES = np.array([1.0, 3.0, 1.0, -2.0, 0.5, 1.0])


def draw_tied(seed):
    """Labels and integer scores, so that most scores occur several times."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 80)
    return labels, np.round(2 * (rng.normal(size=80) + labels)).astype(np.float32)


def test_roc_curve_merges_equal_scores():
    curve = roc_curve(LABELS, SCORES)
    assert curve.thresholds.tolist() == [math.inf, 3, 1, 0.5, -2]
    assert curve.tpr == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert curve.fpr == pytest.approx([0, 0, 2 / 3, 2 / 3, 1])


def test_area_under_roc_counts_ties_half():
    # The metastases beat 3, 1 + 2/2 and 1 of the 3 normal images.
    assert area_under_roc(LABELS, SCORES) == 6 / 9


def test_precision_recall_curve_merges_equal_scores_and_adds_no_point():
    curve = precision_recall_curve(LABELS, SCORES)
    assert curve.thresholds.tolist() == [3, 1, 0.5, -2]
    assert curve.recall == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert curve.precision == pytest.approx([1, 2 / 4, 3 / 5, 3 / 6])


def test_average_precision_sums_steps():
    assert average_precision(LABELS, SCORES) == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]])
def test_areas_do_not_depend_on_the_order_of_the_images(order):
    assert area_under_roc(LABELS[order], SCORES[order]) == 6 / 9
    assert average_precision(LABELS[order], SCORES[order]) == pytest.approx(0.7)


def test_areas_of_scores_that_say_nothing():
    assert area_under_roc(LABELS, np.zeros(6)) == 0.5
    assert average_precision(LABELS, np.zeros(6)) == 0.5  # the share of metastases


def test_areas_depend_on_the_order_of_scores_only():
    labels, scores = draw_tied(0)
    for area in (area_under_roc, average_precision):
        assert area(labels, scores.astype(np.float64) * 1e300) == area(labels, scores)
        assert area(labels, np.sinh(scores)) == area(labels, scores)


def test_area_under_roc_of_turned_scores_is_the_rest():
    labels, scores = draw_tied(1)
    turned = area_under_roc(labels, -scores)
    assert area_under_roc(labels, scores) + turned == pytest.approx(1)


def test_area_under_roc_is_the_area_under_the_curve():
    labels, scores = draw_tied(2)
    curve = roc_curve(labels, scores)
    assert area_under_roc(labels, scores) == pytest.approx(
        np.trapezoid(curve.tpr, curve.fpr)
    )


@pytest.mark.parametrize("seed", range(5))
def test_curves_and_areas_equal_those_of_scikit_learn(seed):
    labels, scores = draw_tied(seed)
    ours = roc_curve(labels, scores)
    theirs = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False)
    for mine, other in zip((ours.fpr, ours.tpr, ours.thresholds), theirs, strict=True):
        assert mine == pytest.approx(other)
    assert area_under_roc(labels, scores) == pytest.approx(
        sklearn_metrics.roc_auc_score(labels, scores), rel=1e-12
    )

    # Theirs rises with the threshold and ends in a point (0, 1) that no score gives.
    ours = precision_recall_curve(labels, scores)
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(
        labels, scores
    )
    assert ours.precision == pytest.approx(precision[-2::-1])
    assert ours.recall == pytest.approx(recall[-2::-1])
    assert ours.thresholds == pytest.approx(thresholds[::-1])
    assert average_precision(labels, scores) == pytest.approx(
        sklearn_metrics.average_precision_score(labels, scores), rel=1e-12
    )


def test_one_class_leaves_undefined_what_is_undefined():
    scores = np.array([2.0, 1.0, 1.0])
    normal, metastases = np.zeros(3, int), np.ones(3, int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(area_under_roc(normal, scores))
        assert np.isnan(area_under_roc(metastases, scores))
        assert np.isnan(average_precision(normal, scores))
        assert average_precision(metastases, scores) == 1
        assert np.isnan(roc_curve(normal, scores).tpr).all()
        assert roc_curve(normal, scores).fpr == pytest.approx([0, 1 / 3, 1])
        assert np.isnan(roc_curve(metastases, scores).fpr).all()
        assert np.isnan(precision_recall_curve(normal, scores).recall).all()
