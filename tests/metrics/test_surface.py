"""Tests of `spectjax.metrics.surface`, against MONAI, MedPy and distances by hand."""

import math

import numpy as np
import pytest

from spectjax.metrics.surface import find_outline, hausdorff95, measure_directed


def mask_from(text):
    return np.array([[c == "#" for c in row] for row in text.split()])


ONE = mask_from(
    """
    ............
    ..###.......
    ..#######...
    ..###.......
    ..###.......
    ..###.......
    ...#........
    ............
    ............
    """
)
# Touches the border of the image in two places.
OTHER = mask_from(
    """
    ...........#
    ............
    ............
    .....###....
    ....####....
    ....####....
    ....####....
    ....####....
    ##..........
    """
)


# MONAI 1.6.1: compute_hausdorff_distance(percentile=95, spacing=...).
@pytest.mark.parametrize(
    ("spacing_mm", "monai"),
    [((1, 1), 3.605551), ((2, 3.5), 10.309026), ((3.5, 2), 9.219544)],
)
def test_hausdorff95_is_that_of_monai(spacing_mm, monai):
    assert hausdorff95(ONE, OTHER, spacing_mm) == pytest.approx(monai, abs=1e-5)
    assert hausdorff95(OTHER, ONE, spacing_mm) == pytest.approx(monai, abs=1e-5)


# MedPy 0.5.2: hd95 and asd of the same masks; it pools the two directions.
@pytest.mark.parametrize(
    ("spacing_mm", "hd95", "mean_distances"),
    [
        ((2, 3.5), 9.6097722866464, (4.420037190989223, 5.048699977112861)),
        ((3.5, 2), 9.2195444572928, (4.223622391340897, 5.092007314446076)),
    ],
)
def test_measure_directed_gives_the_distances_of_medpy(
    spacing_mm, hd95, mean_distances
):
    there = measure_directed(ONE, OTHER, spacing_mm)
    back = measure_directed(OTHER, ONE, spacing_mm)
    assert (there.mean(), back.mean()) == pytest.approx(mean_distances)
    assert np.percentile([*there, *back], 95) == pytest.approx(hd95)


def test_hausdorff95_takes_rows_before_columns():
    one, other = np.zeros((2, 8, 9), bool)
    one[1, 2], other[1 + 3, 2 + 5] = True, True
    assert hausdorff95(one, other, (2, 1)) == pytest.approx(math.hypot(6, 5))


def test_hausdorff95_is_the_larger_percentile_between_neighbours():
    one, other = np.zeros((2, 3, 40), bool)
    one[1, 0] = True
    other[1, 0:21] = True
    # Distances 0 to 20 from `other`, 21 of them; the 95th percentile is the 20th.
    assert hausdorff95(one, other, (1, 1)) == 19
    other[1, 21] = True  # 22: rank 0.95 * 21 = 19.95
    assert hausdorff95(one, other, (1, 1)) == pytest.approx(19.95)


def test_hausdorff95_of_a_mask_and_itself_is_0():
    assert hausdorff95(OTHER, OTHER, (2.4, 2.4)) == 0


def test_hausdorff95_is_undefined_without_a_mask_or_a_spacing():
    nothing = np.zeros_like(ONE)
    assert math.isnan(hausdorff95(ONE, nothing, (1, 1)))
    assert math.isnan(hausdorff95(nothing, nothing, (1, 1)))
    assert math.isnan(hausdorff95(ONE, OTHER, (math.nan, math.nan)))


def test_hausdorff95_rejects_masks_of_unlike_shape():
    with pytest.raises(ValueError, match=r"\(9, 12\) and \(12, 9\)"):
        hausdorff95(ONE, ONE.T, (1, 1))


def test_find_outline_has_the_pixels_with_a_free_edge():
    mask = mask_from("###### ###### ###### .#####")
    # The pixel whose lower left corner alone is free is not of the outline; those at
    # the border of the image are.
    outline = mask_from("###### #....# #....# .#####")
    assert find_outline(mask).tolist() == outline.tolist()
