"""Tests of `spectjax.imaging.hotspots`."""

import numpy as np
import pytest

from spectjax.imaging.hotspots import (
    bound_mask,
    classify_pixels,
    decode_rle,
    encode_rle,
    find_hotspots,
)


def probs_from(metastasis):
    """Two-class probabilities (H, W, 2) from those of the hotspot class."""
    metastasis = np.asarray(metastasis, np.float32)
    return np.stack([1 - metastasis, metastasis], axis=-1)


# Two regions: three pixels that touch at corners only, and a single pixel.
PROBS = probs_from(
    [
        [0.9, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.6, 0.0, 0.0, 0.8],
        [0.75, 0.0, 0.5, 0.0, 0.0],
    ]
)
EVERYWHERE = np.ones((3, 5), dtype=bool)


def test_find_hotspots_joins_pixels_that_touch_at_corners():
    sure, diagonal = find_hotspots(PROBS, EVERYWHERE)
    assert np.argwhere(sure.mask).tolist() == [[1, 4]]
    assert np.argwhere(diagonal.mask).tolist() == [[0, 0], [1, 1], [2, 0]]


def test_find_hotspots_scores_by_the_mean_and_sorts_by_it():
    sure, diagonal = find_hotspots(PROBS, EVERYWHERE)
    assert sure.score == pytest.approx(0.8)
    assert diagonal.score == pytest.approx((0.9 + 0.6 + 0.75) / 3)
    assert diagonal.max_probability == pytest.approx(0.9)
    assert diagonal.category == "metastasis"


def test_find_hotspots_bounds_them_half_open():
    sure, diagonal = find_hotspots(PROBS, EVERYWHERE)
    assert sure.box == (1, 4, 2, 5)
    assert diagonal.box == (0, 0, 3, 2)


def test_find_hotspots_orders_equal_scores_by_area_then_position():
    probs = probs_from([[0.7, 0, 0.7, 0, 0.7], [0, 0, 0, 0, 0.7]])
    hotspots = find_hotspots(probs, np.ones((2, 5), dtype=bool))
    assert [h.box for h in hotspots] == [(0, 4, 2, 5), (0, 0, 1, 1), (0, 2, 1, 3)]


def test_find_hotspots_leaves_out_what_shows_no_patient():
    valid = EVERYWHERE.copy()
    valid[:, 0] = False
    boxes = [hotspot.box for hotspot in find_hotspots(PROBS, valid)]
    assert boxes == [(1, 4, 2, 5), (1, 1, 2, 2)]


def test_find_hotspots_keeps_touching_classes_apart():
    probs = np.array([[[0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]]])
    names = ("background", "metastasis", "arthritis")
    first, second = find_hotspots(probs, np.ones((1, 3), dtype=bool), names)
    assert (first.category, first.box) == ("metastasis", (0, 0, 1, 1))
    assert (second.category, second.box) == ("arthritis", (0, 1, 1, 2))


def test_find_hotspots_of_a_quiet_image_is_an_empty_list():
    assert find_hotspots(probs_from(np.full((3, 5), 0.5)), EVERYWHERE) == []


def test_find_hotspots_rejects_more_classes_than_names():
    with pytest.raises(ValueError, match="background, metastasis"):
        find_hotspots(np.full((3, 5, 3), 1 / 3), EVERYWHERE)


def test_classify_pixels_refuses_a_diverged_model():
    with pytest.raises(ValueError, match="diverged"):
        classify_pixels(np.full((2, 2, 2), np.nan))


def test_bound_mask_rejects_an_empty_mask():
    with pytest.raises(ValueError, match="at least one pixel"):
        bound_mask(np.zeros((2, 3), dtype=bool))


# Rows of a mask, and its runs read column by column, the first of zeros.
RLE_CASES = [
    (["0110", "0011"], [2, 1, 1, 2, 1, 1]),
    (["100", "110"], [0, 2, 1, 1, 2]),
    (["000", "000"], [6]),
    (["111", "111"], [0, 6]),
    (["001", "001"], [4, 2]),
]


@pytest.mark.parametrize(("rows", "counts"), RLE_CASES)
def test_encode_rle_reads_columns_and_starts_with_zeros(rows, counts):
    mask = np.array([[digit == "1" for digit in row] for row in rows])
    assert encode_rle(mask) == {"size": [2, len(rows[0])], "counts": counts}


@pytest.mark.parametrize(("rows", "counts"), RLE_CASES)
def test_decode_rle_undoes_encode_rle(rows, counts):
    mask = decode_rle({"size": [2, len(rows[0])], "counts": counts})
    assert ["".join("01"[int(value)] for value in row) for row in mask] == rows


@pytest.mark.parametrize("counts", [[5], [3, 4], [7, -1]])
def test_decode_rle_rejects_runs_that_do_not_fill_the_mask(counts):
    with pytest.raises(ValueError, match="add up to 2 x 3"):
        decode_rle({"size": [2, 3], "counts": counts})
