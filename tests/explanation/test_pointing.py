"""Tests of `spectjax.explanation.pointing`, with games that can be counted."""

import numpy as np
import pytest

from spectjax.explanation.pointing import (
    box_cell,
    find_cells,
    find_peak,
    score_pointing,
)


def mark(hw, *pixels):
    mask = np.zeros(hw, bool)
    for pixel in pixels:
        mask[pixel] = True
    return mask


def test_find_peak_of_a_map_and_of_none():
    assert find_peak(np.array([[0.0, 1.0, 3.0], [2.0, 0.0, 0.0]])) == (0, 2)
    assert find_peak(np.zeros((2, 3))) is None


def test_box_cell_gives_the_pixels_of_a_cell():
    assert box_cell((1, 2), (8, 8), (256, 256)) == (32, 64, 64, 96)
    # 10 rows to 4 cells: of rows 2.5 to 5 those whose upper edge lies inside.
    assert box_cell((1, 0), (4, 1), (10, 7)) == (3, 0, 5, 7)


def test_cells_share_out_all_pixels():
    image_hw, map_hw = (10, 7), (4, 3)
    covered = np.zeros(image_hw, int)
    for cell in np.ndindex(map_hw):
        y0, x0, y1, x1 = box_cell(cell, map_hw, image_hw)
        covered[y0:y1, x0:x1] += 1
        assert find_cells(mark(image_hw, (y0, x0)), map_hw)[cell]
        assert find_cells(mark(image_hw, (y1 - 1, x1 - 1)), map_hw)[cell]
    assert (covered == 1).all()


def test_find_cells_marks_each_cell_that_holds_a_pixel():
    mask = mark((8, 8), (0, 0), (3, 3), (4, 3))
    assert find_cells(mask, (2, 2)).tolist() == [[True, False], [True, False]]


def test_score_pointing_counts_hits_and_chance():
    counts = np.zeros((4, 8, 8))
    counts[:, :, :4] = 1  # the patient fills the left half: 2 of 4 cells
    counts[:, 7, 0] = 5  # the brightest pixel, lower left
    masks = np.zeros((4, 8, 8), bool)
    masks[0, 0, 0] = masks[1, 0, 0] = masks[2, 7, 3] = masks[3, 1, 1] = True
    maps = np.zeros((4, 2, 2))
    maps[0, 0, 0] = maps[2, 1, 0] = 0.5  # on the hotspot
    maps[1, 0, 1] = 3.0  # beside the patient; the fourth map is zero
    assert score_pointing(maps, masks, counts) == {
        "n_images": 4,
        "n_without_map": 1,
        "hits": 0.5,
        "chance": 0.5,
        "brightest_pixel": 0.25,
    }


def test_a_random_peak_hits_as_often_as_chance_says():
    rng = np.random.default_rng(0)
    n, hw = 500, (16, 16)
    masks = draw_squares(rng, n, hw)
    maps = rng.random((n, 4, 4))
    score = score_pointing(maps, masks, np.ones((n, *hw)))
    spread = np.sqrt(score["chance"] * (1 - score["chance"]) / n)
    assert score["hits"] == pytest.approx(score["chance"], abs=4 * spread)


def draw_squares(rng, n, hw):
    """A square of 3x3 pixels in each image."""
    masks = np.zeros((n, *hw), bool)
    for mask, (y, x) in zip(masks, rng.integers(0, hw[0] - 3, (n, 2)), strict=True):
        mask[y : y + 3, x : x + 3] = True
    return masks


def test_score_pointing_without_an_image_is_no_score():
    score = score_pointing(
        np.empty((0, 2, 2)), np.empty((0, 4, 4), bool), np.empty((0, 4, 4))
    )
    assert (score["n_images"], score["hits"], score["chance"]) == (0, None, None)
