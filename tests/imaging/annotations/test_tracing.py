"""Tests of `spectjax.imaging.annotations.tracing`."""

import numpy as np
import pytest
from scipy import ndimage

from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.annotations.tracing import trace_edges, trace_polygons
from spectjax.imaging.hotspots import number_regions
from tests.support.labelme_files import picture


def fill(polygon, hw):
    return Region("", polygon, None).fill(hw)


def test_trace_polygons_of_one_pixel_is_the_diamond_in_it():
    (polygon,) = trace_polygons(picture("...", "..#"))
    assert polygon.tolist() == [[2.5, 1], [3, 1.5], [2.5, 2], [2, 1.5]]


def test_trace_polygons_keeps_regions_apart_and_corners_together():
    mask = picture("##....", "##....", "..#..#", ".....#")
    first, second = trace_polygons(mask)
    assert fill(first, mask.shape).tolist() == (mask & (np.arange(6) < 3)).tolist()
    assert fill(second, mask.shape)[:, 5].tolist() == [False, False, True, True]


def test_trace_polygons_fills_holes():
    ring = picture("###", "#.#", "###")
    (polygon,) = trace_polygons(ring)
    assert fill(polygon, ring.shape).all()


@pytest.mark.parametrize("seed", range(6))
def test_trace_polygons_enclose_the_pixels_of_any_region(seed):
    noise = np.random.default_rng(seed).normal(size=(24, 17))
    mask = ndimage.gaussian_filter(noise, seed % 3) > 0
    numbers, count = number_regions(mask)
    polygons = trace_polygons(mask)
    assert len(polygons) == count
    for number, polygon in enumerate(polygons, start=1):
        region = ndimage.binary_fill_holes(numbers == number)
        np.testing.assert_array_equal(fill(polygon, mask.shape), region)


def test_trace_polygons_of_a_disc_has_few_corners():
    y, x = np.mgrid[:20, :20]
    (polygon,) = trace_polygons((y - 9) ** 2 + (x - 9) ** 2 <= 36)
    assert len(polygon) <= 52 / 2  # sides of pixels


def measure_area(polygon):
    """Signed: positive if clockwise on a screen, where y grows downwards."""
    x, y = polygon.T
    return (x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2


def test_trace_edges_runs_on_the_edges_of_a_pixel():
    polygon = trace_edges(picture("...", "..#"))
    assert polygon.tolist() == [[2, 1], [3, 1], [3, 2], [2, 2], [2, 1]]


@pytest.mark.parametrize(
    ("rows", "corners"),
    [
        (["##", "##"], 5),
        (["#.", ".#"], 9),
        (["###", "#.#", "###"], 5 + 6),  # the hole, and the seam there and back
        (["#..#", "....", "...."], 5 + 6),
    ],
)
def test_trace_edges_hangs_holes_and_parts_on_seams(rows, corners):
    mask = picture(*rows)
    polygon = trace_edges(mask)
    assert measure_area(polygon) == mask.sum()
    assert len(polygon) == corners
    assert polygon[0].tolist() == polygon[-1].tolist()


@pytest.mark.parametrize("seed", range(6))
def test_trace_edges_has_as_much_area_as_any_mask_has_pixels(seed):
    noise = np.random.default_rng(seed).normal(size=(24, 17))
    mask = ndimage.gaussian_filter(noise, seed % 3) > 0
    polygon = trace_edges(mask)
    assert measure_area(polygon) == mask.sum()
    assert (polygon == polygon.round()).all()


def test_trace_edges_takes_the_shortest_seam():
    polygon = trace_edges(picture("....#", "#...."))
    assert np.abs(np.diff(polygon, axis=0)).sum() == 4 + 4 + 2 * 3
