"""Tests of `spectjax.inference.answers`."""

import numpy as np
import pytest

from spectjax.imaging.hotspots import Instances
from spectjax.inference.answers import measure_difference, take


def make_instances(*images, hw=(10, 20), depth=3):
    """Instances of images, each a list of (box, score, label); masks fill boxes."""
    n = len(images)
    boxes = np.zeros((n, depth, 4), np.float32)
    scores, labels = np.zeros((n, depth), np.float32), np.zeros((n, depth), np.int32)
    valid, masks = np.zeros((n, depth), bool), np.zeros((n, depth, *hw), bool)
    for i, image in enumerate(images):
        for k, (box, score, label) in enumerate(image):
            boxes[i, k], scores[i, k], labels[i, k] = box, score, label
            valid[i, k] = True
            y0, x0, y1, x1 = (int(side) for side in box)
            masks[i, k, y0:y1, x0:x1] = True
    return Instances(boxes, scores, labels, valid, masks)


A, B = ((1, 2, 4, 6), 0.75, 1), ((5, 5, 7, 9), 0.5, 1)


def test_take_gives_images_of_both_kinds_of_answer():
    probs = np.arange(24.0).reshape(3, 2, 4)
    np.testing.assert_array_equal(take(probs, 1), probs[1])
    instances = make_instances([A], [B])
    assert take(instances, slice(1, None)).scores.tolist() == [[0.5, 0, 0]]
    assert take(instances, 0).masks.shape == (3, 10, 20)


def test_difference_of_probabilities_is_the_largest():
    first = np.array([[0.25, 0.75], [0.5, 0.5]])
    assert measure_difference(first, first - [[0, 0], [0.125, 0.25]]) == 0.25
    assert np.isnan(measure_difference(first, first * [np.nan, 1]))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (A, 0),
        (((1, 2, 4, 6), 0.875, 1), 0.125),
        # A side of 20 px moved by 0.5 px within the same pixels.
        (((1, 2, 4, 6.5), 0.75, 1), 0.5 / 20),
        # A side of 10 px moved by 1 px, and 4 of 200 pixels: the side counts.
        (((1, 2, 5, 6), 0.75, 1), 1 / 10),
        (((1, 2, 4, 6), 0.75, 2), np.inf),
    ],
)
def test_difference_of_instances_is_that_of_score_box_or_mask(other, expected):
    first, second = make_instances([A]), make_instances([other])
    assert measure_difference(first, second) == pytest.approx(expected)
    assert measure_difference(second, first) == pytest.approx(expected)


def test_difference_counts_pixels_of_masks():
    first, second = make_instances([A]), make_instances([A])
    second.masks[0, 0, 0, :7] = True
    assert measure_difference(first, second) == pytest.approx(7 / 200)


def test_the_order_of_instances_makes_no_difference():
    assert measure_difference(make_instances([A, B]), make_instances([B, A])) == 0


def test_what_fills_up_the_rows_makes_no_difference():
    first, second = make_instances([A]), make_instances([A])
    second.boxes[0, 2], second.masks[0, 2] = 7, True
    assert measure_difference(first, second) == 0


def test_an_instance_more_is_as_far_as_its_nearest():
    # B is 5 px of 20 from the sides of A, 0.25 in score, and 4 of 10 rows below.
    assert measure_difference(make_instances([A]), make_instances([A, B])) == 0.4
    assert measure_difference(make_instances([A]), make_instances([])) == np.inf
    assert measure_difference(make_instances([]), make_instances([])) == 0


def test_difference_is_that_of_the_image_that_differs_most():
    near = ((1, 2, 4, 6), 0.8125, 1)
    first, second = make_instances([A], [B], []), make_instances([near], [B], [])
    assert measure_difference(first, second) == pytest.approx(0.0625)
    first.scores[1, 0] = np.nan
    assert np.isnan(measure_difference(first, second))
