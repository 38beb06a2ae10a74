"""Spots over their surroundings against Gaussians with means in closed form."""

import numpy as np
import pytest

from spectjax.tasks.hotspots.spots import measure_spots

ROW, COLUMN = np.mgrid[:101, :91]


def draw_spot(height, sigma):
    """A Gaussian spot in the middle of ten counts a pixel."""
    distance = (ROW - 50) ** 2 + (COLUMN - 45) ** 2
    return 10 + height * np.exp(-distance / (2 * sigma**2))


@pytest.mark.parametrize(("height", "sigma"), [(30, 2.0), (5, 3.0), (-8, 2.5)])
def test_a_spot_over_its_surroundings_is_the_ratio_of_two_blurred_gaussians(
    height, sigma
):
    # Of variance v, blurred by one of variance b, it has v / (v + b) of its height.
    spot, around = (
        10 + height * sigma**2 / (sigma**2 + blur**2) for blur in (1.5, 5.0)
    )
    found = measure_spots(draw_spot(height, sigma))
    assert found[50, 45] == pytest.approx(np.log(spot / around), abs=2e-3)


def test_what_is_cut_away_makes_no_spot_of_what_is_beside_it():
    counts = np.full((101, 91), 10.0)
    counts[:, :40] = 0
    found = measure_spots(counts)
    np.testing.assert_allclose(found[20:80, 43:80], 0, atol=1e-9)
    assert np.isnan(found[20:80, :43]).all()  # cut away, or at its rim


def test_pixels_without_a_count_are_part_of_a_body_but_not_of_its_mean():
    counts = np.full((101, 91), 10.0)
    counts[::2, ::2] = 0
    np.testing.assert_allclose(measure_spots(counts)[20:80, 20:70], 0, atol=1e-9)
    assert np.isnan(measure_spots(np.zeros((20, 20)))).all()


def test_how_much_of_nothing_is_around_a_body_changes_no_spot():
    counts = np.random.default_rng(0).poisson(8, (60, 40))
    alone = measure_spots(np.pad(counts, 20))
    wide = measure_spots(np.pad(counts, ((90, 31), (20, 77))))
    np.testing.assert_array_equal(wide[90:150, 20:60], alone[20:80, 20:60])
    assert np.isfinite(alone).any() and np.isnan(wide[:90]).all()
