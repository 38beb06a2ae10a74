"""Tests of `spectjax.metrics.lesions`: cases by hand, and every pixel by a slow way."""

import dataclasses
import math

import numpy as np
import pytest

from spectjax.metrics.lesions import (
    HALF,
    LOG_ODDS,
    THRESHOLDS,
    Froc,
    Regions,
    false_at,
    find_best,
    froc,
    measure_contrast,
    measure_lesions,
    sensitivity_at,
    threshold_at,
)

NONE = np.full((1, 2), math.nan)


def digits_from(text):
    """One image, (1, H, W), of the digits of a drawing; a dot is 0."""
    rows = [[int(c) for c in row.replace(".", "0")] for row in text.split()]
    return np.array(rows)[None]


def measure(prob, mask, spacing_mm=NONE, counts=None):
    counts = np.ones(mask.shape) if counts is None else counts
    return measure_lesions(prob, mask, counts, np.asarray(spacing_mm))


def measure_at_half(predicted, mask):
    """Found lesions, all and false regions when the model is sure of its marks."""
    lesions, regions = measure(0.9 * digits_from(predicted), digits_from(mask))
    found = lesions.found[:, HALF].tolist()
    return found, int(regions.total[0, HALF]), int(regions.false[0, HALF])


def test_pixels_that_touch_by_a_corner_are_one_lesion():
    lesions, _ = measure(np.zeros((1, 3, 6)), digits_from("11..1. 1....1 .1...2"))
    assert lesions.area_px.tolist() == [4, 3]
    assert lesions.row.tolist() == [0.75, 1]
    assert lesions.column.tolist() == pytest.approx([0.5, 14 / 3])


def test_a_region_must_cover_a_tenth_of_the_union():
    assert measure_at_half("1111111111.", "...1.......") == ([True], 1, 0)
    assert measure_at_half("11111111111", "...1.......") == ([False], 1, 1)
    assert measure_at_half("1..........", "1111111111.") == ([True], 1, 0)
    # 3 of 30 pixels: a tenth that floating point must not round away.
    assert measure_at_half("1" * 16 + "." * 14, "." * 13 + "1" * 17) == ([True], 1, 0)


def test_touching_is_not_meeting():
    assert measure_at_half("11....", "..11..") == ([False], 1, 1)


def test_one_region_may_find_two_lesions_and_two_regions_one():
    assert measure_at_half("111111", "11..11") == ([True, True], 1, 0)
    assert measure_at_half("11..11", "111111") == ([True], 2, 0)
    assert measure_at_half("11.1..", "11...1") == ([True, False], 2, 1)


def test_a_fragment_of_a_lesion_is_false():
    mask = "1111111111 1111111111"
    assert measure_at_half("1......... ..........", mask) == ([False], 1, 1)
    assert measure_at_half("111....1.. 111.......", mask) == ([True], 2, 1)


def test_a_probability_must_exceed_the_threshold():
    # log(0.3 / 0.7) = -0.85: seen at the thresholds up to -1.
    lesions, regions = measure(np.array([[[0.3, 0.0, 0.5]]]), np.array([[[1, 0, 1]]]))
    assert lesions.found[0].tolist() == (LOG_ODDS <= -1).tolist()
    assert lesions.found[1].tolist() == (LOG_ODDS <= -0.5).tolist()
    assert (
        regions.total[0].tolist()
        == ((LOG_ODDS <= -1).astype(int) + (LOG_ODDS <= -0.5)).tolist()
    )
    assert not regions.false.any()


def test_thresholds_hold_one_half_and_are_even_in_log_odds():
    assert THRESHOLDS[HALF] == 0.5
    assert np.log(THRESHOLDS / (1 - THRESHOLDS)) == pytest.approx(LOG_ODDS)
    assert np.diff(LOG_ODDS) == pytest.approx(0.5)


def test_a_lesion_is_lost_where_regions_run_together():
    prob = np.full((1, 4, 8), 0.1)
    prob[0, 1, 1:3] = 0.9
    mask = (prob > 0.5).astype(int)
    lesions, regions = measure(prob, mask)
    at_low, at_half = LOG_ODDS == -3, LOG_ODDS == 0  # 0.047, 0.5
    assert lesions.found[0, at_low].tolist() == [False]  # 2 of 32 pixels
    assert lesions.found[0, at_half].tolist() == [True]
    assert regions.false[0, at_low].tolist() == [1]
    assert regions.false[0, at_half].tolist() == [0]


def find_components(pixels):
    """8-connected components of a set of (row, column)."""
    left, components = set(pixels), []
    while left:
        component, edge = set(), {left.pop()}
        while edge:
            component |= edge
            edge = {
                (y + dy, x + dx)
                for y, x in edge
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
            } & left
            left -= edge
        components.append(component)
    return components


def test_measure_lesions_does_what_going_through_every_pixel_does():
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(3, 8, 9)).repeat(2, axis=1).repeat(2, axis=2)
    prob = 1 / (1 + np.exp(-3 * coarse - rng.normal(size=coarse.shape)))
    masks = (coarse[:, ::-1] + 0.5 * rng.normal(size=coarse.shape) > 1).astype(int)
    lesions, regions = measure_lesions(prob, masks, masks, np.ones((3, 2)))
    row = 0
    for i in range(3):
        true = find_components(map(tuple, np.argwhere(masks[i])))
        # The order of lesions is that of their first pixels.
        true.sort(key=min)
        for t, threshold in enumerate(THRESHOLDS):
            marked = find_components(map(tuple, np.argwhere(prob[i] > threshold)))
            meets = np.array(
                [[len(a & b) / len(a | b) >= 0.1 for b in marked] for a in true]
            ).reshape(len(true), len(marked))
            found = lesions.found[row : row + len(true), t]
            assert found.tolist() == meets.any(axis=1).tolist()
            assert regions.total[i, t] == len(marked)
            assert regions.false[i, t] == np.sum(~meets.any(axis=0))
            if t == HALF:
                for k, lesion in enumerate(true):
                    union = set().union(
                        *(b for b, m in zip(marked, meets[k], strict=True) if m)
                    )
                    dice = 2 * len(lesion & union) / (len(lesion) + len(union))
                    expected = dice if union else math.nan
                    assert lesions.dice[row + k] == pytest.approx(expected, nan_ok=True)
        row += len(true)
    assert row == len(lesions) > 10
    assert 0 < lesions.found[:, HALF].sum() < row
    assert regions.false[:, HALF].sum() > 0


def test_outlines_are_compared_with_the_regions_that_meet_the_lesion():
    mask = digits_from("...... .1111. .1111. ......")
    prob = 0.9 * digits_from("11.... 11..1. .1.... .....1")
    # Two regions meet it: of 5 pixels with 2 inside, and of one. (3, 5) lies apart.
    lesions, regions = measure(prob, mask, spacing_mm=[[2.0, 3.0]])
    assert regions.false[0, HALF] == 1
    assert lesions.dice.tolist() == pytest.approx([2 * 3 / (8 + 6)])
    # From regions to lesion 0, 0, 0, 2, 3 and hypot(2, 3); from lesion to regions
    # 0, 0, 0, 2, 3, 3, 3 and hypot(2, 3), whose percentile is smaller.
    assert lesions.hausdorff95_mm[0] == pytest.approx(3 + 0.75 * (math.hypot(2, 3) - 3))


def test_outlines_of_a_lesion_that_is_not_found_are_undefined():
    lesions, _ = measure(np.full((1, 1, 3), 0.4), digits_from(".1."), [[1.0, 1.0]])
    assert np.isnan([lesions.dice[0], lesions.hausdorff95_mm[0]]).all()
    found, _ = measure(np.full((1, 1, 3), 0.6), digits_from(".1."))
    assert found.dice[0] == 0.5
    assert np.isnan(found.hausdorff95_mm[0])  # its spacing is not known


def test_sizes_are_in_mm():
    mask = digits_from("111111 111111")
    lesions, _ = measure(0.0 * mask, mask, [[2.0, 3.0]])
    assert lesions.area_mm2.tolist() == [72]
    assert lesions.diameter_mm.tolist() == pytest.approx([2 * math.sqrt(72 / math.pi)])
    # scikit-image 0.26: regionprops(..., spacing=2.4).equivalent_diameter_area
    lesions, _ = measure(0.0 * mask, mask, [[2.4, 2.4]])
    assert lesions.diameter_mm.tolist() == pytest.approx([9.381168228536])
    unknown, _ = measure(0.0 * mask, mask)
    assert np.isnan([unknown.area_mm2[0], unknown.diameter_mm[0]]).all()
    assert unknown.area_px.tolist() == [12]


def test_counts_are_added_without_overflow():
    counts = np.full((1, 1, 3), 60000, np.uint16)
    lesions, _ = measure(np.zeros((1, 1, 3)), digits_from("11."), counts=counts)
    assert lesions.counts.tolist() == [120000]


@pytest.mark.parametrize(
    ("offset", "in_ring"),
    [((0, 3), True), ((2, 2), False), ((8, 0), True), ((8, -1), False)],
)
def test_measure_contrast_takes_a_ring_of_3_to_8_pixels(offset, in_ring):
    counts, lesions = np.zeros((25, 25)), np.zeros((25, 25), int)
    lesions[10, 10] = 1
    counts[10, 10], counts[14, 13], counts[6, 7] = 12, 4, 4
    counts[10 + offset[0], 10 + offset[1]] = 10
    assert measure_contrast(counts, lesions, 1) == 12 / 4  # the median of 4, 4 and 10
    counts[6, 7] = 0  # outside the body
    assert measure_contrast(counts, lesions, 1) == (12 / 7 if in_ring else 3)


def test_measure_contrast_is_the_mean_over_the_median_without_other_lesions():
    counts = np.array([[8, 4, 9, 9, 9, 0, 2, 3, 7, 50, 60]])
    lesions = np.array([[1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2]])
    # Ring of lesion 1: columns 4 to 9, less an empty and a lesion's pixel.
    assert measure_contrast(counts, lesions, 1) == 6 / np.median([9, 2, 3, 7])
    # Of lesion 2, cut off by the border: columns 1 to 6, less two of them.
    assert measure_contrast(counts, lesions, 2) == 55 / 9


def test_measure_contrast_without_surroundings_is_undefined():
    lesions = np.ones((2, 2), int)
    assert math.isnan(measure_contrast(lesions, lesions, 1))
    assert math.isnan(measure_contrast(np.zeros((9, 9)), np.eye(9, dtype=int), 1))


def test_images_without_lesion_or_mark_have_scores():
    prob = np.zeros((3, 2, 5))
    prob[1, 0, 0] = prob[1, 0, 4] = 0.9  # two false marks
    masks = np.zeros((3, 2, 5), int)
    masks[2, 1, 1] = 1  # a lesion that is missed
    lesions, regions = measure_lesions(prob, masks, masks, np.ones((3, 2)))
    assert lesions.image.tolist() == [2]
    curve = froc(lesions, regions)
    assert curve.sensitivity[HALF] == 0
    assert curve.false_per_image[HALF] == pytest.approx(2 / 3)


def test_scores_without_any_lesion_are_undefined():
    lesions, regions = measure(np.full((1, 2, 2), 0.9), np.zeros((1, 2, 2)))
    assert len(lesions) == 0
    assert lesions.found.shape == (0, len(THRESHOLDS))
    curve = froc(lesions, regions)
    assert np.isnan(curve.sensitivity).all()
    assert curve.false_per_image[HALF] == 1
    assert math.isnan(sensitivity_at(curve, 1))
    assert math.isnan(false_at(curve, 0))


def test_froc_of_chosen_lesions_keeps_all_false_regions():
    lesions, regions = measure(
        0.9 * digits_from("11..1.1"), digits_from("11.1..."), [[1.0, 1.0]]
    )
    assert froc(lesions, regions).sensitivity[HALF] == 0.5
    small = froc(lesions, regions, lesions.area_px < 2)
    assert small.sensitivity[HALF] == 0
    assert small.false_per_image[HALF] == 2


# Neither sensitivity nor false regions rise one by one.
CURVE = Froc(
    thresholds=np.array([0.1, 0.2, 0.3, 0.4]),
    sensitivity=np.array([0.7, 0.9, 0.5, 0.6]),
    false_per_image=np.array([4.0, 2.0, 0.5, 1.0]),
)


def test_sensitivity_at_is_the_best_within_the_limit():
    limits = [0.4, 0.5, 0.9, 1, 2, 9]
    expected = [0, 0.5, 0.5, 0.6, 0.9, 0.9]
    assert [sensitivity_at(CURVE, limit) for limit in limits] == expected
    both = np.stack([CURVE.sensitivity, np.full(4, math.nan)])
    best = find_best(both, np.stack([CURVE.false_per_image] * 2), np.array(limits))
    assert best[0].tolist() == expected
    assert np.isnan(best[1]).all()


def test_threshold_at_is_the_highest_that_finds_as_much():
    found = [threshold_at(CURVE, limit) for limit in (0.5, 0.9, 1, 2, 9)]
    assert found == [0.3, 0.3, 0.4, 0.2, 0.2]
    twice = dataclasses.replace(CURVE, sensitivity=np.array([0.7, 0.9, 0.6, 0.6]))
    assert threshold_at(twice, 1) == 0.4
    assert threshold_at(twice, 0.5) == 0.3
    assert math.isnan(threshold_at(CURVE, 0.4))
    nothing = dataclasses.replace(CURVE, sensitivity=np.full(4, math.nan))
    assert math.isnan(threshold_at(nothing, 1))


def test_false_at_is_the_fewest_that_reach_the_sensitivity():
    assert [false_at(CURVE, s) for s in (0, 0.55, 0.6, 0.65, 0.9)] == [0.5, 1, 1, 2, 2]
    assert math.isnan(false_at(CURVE, 0.95))


def test_measure_lesions_rejects_what_does_not_fit():
    image = np.zeros((1, 2, 3))
    with pytest.raises(ValueError, match=r"\(1, 2, 3\), \(1, 3, 2\)"):
        measure_lesions(image, image.transpose(0, 2, 1), image, NONE)
    with pytest.raises(ValueError, match="finite"):
        measure(np.full((1, 2, 3), math.nan), image)
    with pytest.raises(ValueError, match="at least one image"):
        nothing = np.zeros((0, len(THRESHOLDS)))
        froc(measure(image, image)[0], Regions(nothing, nothing))
