"""Tests of `spectjax.metrics.calibration`, by hand and against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from spectjax.metrics.calibration import (
    MAX_SHIFT,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    brier_score,
    expected_calibration_error,
    fit_shift,
    fit_temperature,
    reliability,
)

# log 3 is a probability of 3/4.
LABELS = np.array([0, 1, 1, 1, 0])
SCORES = math.log(3) * np.array([-1, -1, 1, 1, 1])


def draw(seed, n, temperature=1.0):
    """Scores, and labels that come true at these log-odds over the temperature."""
    rng = np.random.default_rng(seed)
    scores = 4 * rng.normal(size=n) + 1
    labels = (rng.random(n) < 1 / (1 + np.exp(-scores / temperature))).astype(int)
    return labels, scores


def mean_loss(labels, scores, inverse):
    return np.mean(np.logaddexp(0, np.where(labels == 1, -1, 1) * scores * inverse))


def test_reliability_bins_the_probability_of_metastasis():
    table = reliability(LABELS, SCORES, bins=2)
    assert table.edges.tolist() == [0, 0.5, 1]
    assert table.count.tolist() == [2, 3]
    assert table.mean_prob == pytest.approx([0.25, 0.75])
    assert table.fraction == pytest.approx([1 / 2, 2 / 3])


def test_reliability_puts_an_edge_into_the_upper_bin_and_1_into_the_last():
    labels, scores = np.array([1, 1, 0]), np.array([0.0, 1e4, -1e4])
    table = reliability(labels, scores, bins=4)
    assert table.count.tolist() == [1, 0, 1, 1]
    assert table.mean_prob[[0, 2, 3]].tolist() == [0, 0.5, 1]
    assert np.isnan(table.mean_prob[1]) and np.isnan(table.fraction[1])


def test_reliability_needs_a_bin():
    with pytest.raises(ValueError, match="at least one bin, got 0"):
        reliability(LABELS, SCORES, bins=0)


def test_expected_calibration_error_weighs_gaps_by_images():
    # Gaps of 1/4 in a bin of two images and of 1/12 in one of three.
    ece = expected_calibration_error(LABELS, SCORES, bins=2)
    assert ece == pytest.approx(2 / 5 / 4 + 3 / 5 / 12)


def test_expected_calibration_error_of_one_bin_is_the_gap_of_the_means():
    ece = expected_calibration_error(LABELS, SCORES, bins=1)
    assert ece == pytest.approx(3 / 5 - (2 * 0.25 + 3 * 0.75) / 5)


def test_expected_calibration_error_passes_over_empty_bins():
    certain = np.where(LABELS == 1, 1e4, -1e4)
    assert expected_calibration_error(LABELS, certain) == 0
    assert expected_calibration_error(LABELS, -certain) == 1


def test_brier_score_is_the_mean_square():
    assert brier_score(LABELS, SCORES) == pytest.approx((3 / 16 + 2 * 9 / 16) / 5)
    assert brier_score(LABELS, np.zeros(5)) == 0.25
    assert brier_score(LABELS, np.where(LABELS == 1, 1e4, -1e4)) == 0


@pytest.mark.parametrize("seed", range(3))
def test_calibration_equals_that_of_scikit_learn(seed):
    labels, scores = draw(seed, 300)
    probs = 1 / (1 + np.exp(-scores))
    assert brier_score(labels, scores) == pytest.approx(
        sklearn_metrics.brier_score_loss(labels, probs)
    )
    fraction, mean_prob = calibration_curve(labels, probs, n_bins=10)
    ours = reliability(labels, scores)
    filled = ours.count > 0
    assert ours.fraction[filled] == pytest.approx(fraction)
    assert ours.mean_prob[filled] == pytest.approx(mean_prob)


@pytest.mark.parametrize("size", [0.02, 2.0, 100.0])
def test_fit_temperature_turns_equal_scores_into_their_success_rate(size):
    # Right in 8 of 10 images: the best probability is 0.8, at size / T = log 4.
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 1])
    signs = np.array([1, 1, 1, 1, -1, -1, -1, -1, 1, -1])
    fitted = fit_temperature(labels, size * signs)
    expected = max(size / math.log(4), MIN_TEMPERATURE)
    assert fitted == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fit_temperature_recovers_the_one_that_made_the_labels(temperature):
    labels, scores = draw(7, 20_000, temperature)
    assert fit_temperature(labels, scores) == pytest.approx(temperature, rel=0.05)


def test_fit_temperature_stands_where_the_slope_is_0():
    labels, scores = draw(3, 200, 2.5)
    inverse, step = 1 / fit_temperature(labels, scores), 1e-4
    losses = [mean_loss(labels, scores, inverse + k * step) for k in (-1, 0, 1)]
    assert (losses[2] - losses[0]) / (2 * step) == pytest.approx(0, abs=1e-8)
    assert losses[0] > losses[1] < losses[2]


@pytest.mark.parametrize("seed", range(3))
def test_fit_temperature_equals_logistic_regression_of_scikit_learn(seed):
    labels, scores = draw(seed, 200, 2.0)
    model = LogisticRegression(
        C=np.inf, fit_intercept=False, solver="newton-cholesky", tol=1e-12
    ).fit(scores[:, None], labels)
    assert fit_temperature(labels, scores) == pytest.approx(1 / model.coef_.item())


def test_fit_temperature_goes_with_the_unit_of_the_scores():
    labels, scores = draw(4, 200)
    fitted = fit_temperature(labels, scores)
    assert fit_temperature(labels, 8 * scores) == pytest.approx(8 * fitted)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4, 1e300])
def test_fit_temperature_stops_at_its_bounds(size):
    labels = np.array([1, 1, 0, 0])
    right = size * np.array([1, 2, -1, 0])
    assert fit_temperature(labels, right) == MIN_TEMPERATURE
    assert fit_temperature(labels, -right) == MAX_TEMPERATURE
    # More wrong than right, and by as much.
    mixed = size * np.array([-1, -1, 1, -1])
    assert fit_temperature(labels, mixed) == MAX_TEMPERATURE


def test_fit_temperature_of_sizes_far_beyond_its_bound():
    labels, scores = draw(5, 200)
    assert fit_temperature(labels, 1e4 * scores) == MAX_TEMPERATURE
    assert fit_temperature(labels, 1e-4 * scores) == MIN_TEMPERATURE


def test_fit_temperature_of_scores_of_0_changes_nothing():
    assert fit_temperature(np.array([0, 1]), np.zeros(2)) == 1


def test_fit_temperature_of_one_class_weighs_its_right_against_its_wrong():
    # d/db [log(1 + e^-2b) + log(1 + e^b)] = 0 has e^b = x with 2/(1 + x^2) = x/(1 + x):
    # x^3 - x - 2 = 0.
    root = 1.5213797068045676
    fitted = fit_temperature(np.array([1, 1]), np.array([2.0, -1.0]))
    assert root**3 - root - 2 == pytest.approx(0, abs=1e-12)
    assert fitted == pytest.approx(1 / math.log(root))


def test_fit_shift_makes_probabilities_add_up_to_the_metastases():
    labels, scores = draw(6, 200)
    shift = fit_shift(labels, scores - 1.5)
    assert np.sum(1 / (1 + np.exp(1.5 - scores - shift))) == pytest.approx(labels.sum())
    # A score of ln 3 is three to one; half of the images are metastases.
    assert fit_shift(np.array([0, 1]), np.full(2, np.log(3))) == pytest.approx(
        -np.log(3)
    )


@pytest.mark.parametrize("label", [0, 1])
def test_fit_shift_of_one_class_stops_at_its_bound(label):
    shift = fit_shift(np.array([label, label]), np.array([0.5, -0.5]))
    assert shift == pytest.approx(MAX_SHIFT if label else -MAX_SHIFT)
