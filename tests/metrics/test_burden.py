"""Tests of `spectjax.metrics.burden`: printed figures and hand-made cases."""

import math

import numpy as np
import pytest

from spectjax.metrics.burden import find_marked, measure_agreement, measure_burden

# Peak flow of 17 subjects by two meters, l/min: Bland and Altman, Lancet 1986, Table 1.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259]
WRIGHT, MINI = np.array([*WRIGHT, 423, 427.0]), np.array([*MINI, 350, 451.0])


def test_measure_agreement_gives_the_printed_bias_and_deviation():
    agreement = measure_agreement(MINI, WRIGHT)
    assert agreement.n == 17
    assert round(agreement.bias, 1) == -2.1
    assert round(agreement.sd, 1) == 38.8
    assert agreement.low == pytest.approx(-2.1 - 1.96 * 38.8, abs=0.2)
    assert agreement.high == pytest.approx(-2.1 + 1.96 * 38.8, abs=0.2)


def test_measure_agreement_is_of_the_prediction_less_the_truth():
    agreement = measure_agreement(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0]))
    assert (agreement.bias, agreement.sd) == (1, 0)
    assert (agreement.low, agreement.high) == (1, 1)
    # Lin: 2 * 2/3 / (2/3 + 2/3 + 1).
    assert agreement.concordance == pytest.approx(4 / 7)


def test_measure_agreement_leaves_out_where_nothing_is_marked_or_known():
    truth = np.array([0.0, 5.0, 0.0, math.nan, 9.0])
    predicted = np.array([0.0, 0.0, 4.0, math.nan, 9.0])
    assert find_marked(truth, predicted).tolist() == [False, True, True, False, True]
    agreement = measure_agreement(truth, predicted)
    assert agreement.n == 3
    assert agreement.bias == pytest.approx(-1 / 3)
    # Differences -5, 4, 0: their squares about the mean add up to 41 - 1/3.
    assert agreement.sd == pytest.approx(math.sqrt((41 - 1 / 3) / 2))


@pytest.mark.parametrize(("values", "bias"), [([], math.nan), ([7.0], 0.0)])
def test_measure_agreement_of_one_pair_or_none_has_no_limits(values, bias):
    agreement = measure_agreement(np.array(values), np.array(values))
    assert agreement.n == len(values)
    assert agreement.bias == pytest.approx(bias, nan_ok=True)
    assert math.isnan(agreement.sd)
    assert math.isnan(agreement.low)
    assert math.isnan(agreement.concordance)


def test_measure_agreement_of_a_constant_has_no_concordance():
    agreement = measure_agreement(np.array([3.0, 3.0]), np.array([3.0, 3.0]))
    assert agreement.bias == 0
    assert math.isnan(agreement.concordance)


def test_measure_burden_multiplies_pixels_by_their_area_and_adds_counts():
    masks = np.array([[[0, 2, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]])
    predicted = np.array([[[0, 1, 0], [0, 0, 0]], [[1, 1, 1], [0, 0, 1]]])
    counts = np.array([[[50000, 40000, 30000], [1, 1, 1]], [[1, 2, 4], [8, 16, 32]]])
    spacing_mm = np.array([[2.0, 3.0], [math.nan, math.nan]])
    burden = measure_burden(predicted, masks, counts.astype(np.uint16), spacing_mm)
    assert burden.lesion_mm2[0] == 12
    assert burden.predicted_mm2[0] == 6
    assert np.isnan([burden.lesion_mm2[1], burden.predicted_mm2[1]]).all()
    assert burden.lesion_counts.tolist() == [70000, 0]
    assert burden.predicted_counts.tolist() == [40000, 39]


def test_measure_burden_rejects_shapes_that_do_not_match():
    image = np.zeros((1, 2, 3))
    with pytest.raises(ValueError, match=r"\(1, 2, 3\), \(1, 2, 3\) and \(2,\)"):
        measure_burden(image, image, image, np.ones(2))
