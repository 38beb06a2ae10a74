"""Tests of `spectjax.imaging.annotations.tracing`."""

import numpy as np
import pytest
from scipy import ndimage

from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.annotations.tracing import trace_polygons
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
