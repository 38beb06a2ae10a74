"""Images on other pixels than a model's: enlarged, answered, carried back."""

import numpy as np
import pytest

from spectjax.inference.pixels import PixelFit, carry_back, choose_zoom, enlarge


@pytest.mark.parametrize(
    ("spacing_mm", "pixel_mm", "zoom"),
    [
        ((2.3, 2.3), 2.3, 1),
        ((1.9, 1.9), 2.3, 1),  # among the sizes that the model has seen
        ((2.9, 2.9), 2.3, 1),
        ((4.6, 4.6), 2.3, 2),
        ((1.15, 1.15), 2.3, 0.5),
        (None, 2.3, 1),
        ((4.6, 4.6), None, 1),
    ],
)
def test_only_pixels_that_the_model_has_not_seen_are_changed(
    spacing_mm, pixel_mm, zoom
):
    assert choose_zoom(spacing_mm, pixel_mm) == pytest.approx(zoom)


def test_a_lesion_of_coarse_pixels_is_as_large_as_in_fine_ones_and_comes_back():
    y, x = np.indices((208, 160))
    coarse = np.hypot(y - 80, x - 90) <= 4.0
    fine = enlarge(coarse, 2.0) > 0.5
    assert fine.sum() == pytest.approx(4 * coarse.sum(), rel=0.06)
    # About the middle of the image: (103.5, 79.5).
    centre = [axis[fine].mean() for axis in (y, x)]
    assert centre == pytest.approx([103.5 - 2 * 23.5, 79.5 + 2 * 10.5], abs=0.1)
    answer = np.stack([1 - fine, fine], axis=-1).astype(np.float32)
    back = carry_back(answer, 2.0)
    np.testing.assert_allclose(back.sum(axis=-1), 1, atol=1e-6)
    assert ((back[..., 1] > 0.5) == coarse).mean() > 0.9995


def test_what_the_model_did_not_see_is_background():
    back = carry_back(np.stack([np.zeros((8, 8)), np.ones((8, 8))], axis=-1), 2.0)
    assert back[0, 0].tolist() == [1, 0]
    assert back[4, 4].tolist() == [0, 1]


def test_images_of_a_batch_are_shown_as_one_by_one_and_only_where_they_differ():
    spacing_mm = np.array([[2.3, 2.3], [4.6, 4.6], [np.nan, np.nan]])
    fit = PixelFit.create(spacing_mm, 2.3)
    images = np.random.default_rng(0).poisson(9, (3, 16, 12, 1)).astype(np.uint16)
    shown = fit.enter(slice(1, 3), images[1:])
    np.testing.assert_array_equal(shown[0, :, :, 0], enlarge(images[1, :, :, 0], 2.0))
    np.testing.assert_array_equal(shown[1], images[2])
    answer = np.random.default_rng(1).uniform(size=(4, 16, 12, 2)).astype(np.float32)
    back = fit.leave(slice(1, 3), answer)  # its last rows fill the batch up
    np.testing.assert_array_equal(back[0], carry_back(answer[0], 2.0))
    np.testing.assert_array_equal(back[1:], answer[1:])
    assert PixelFit.create(spacing_mm[::2], 2.3) is None
    assert PixelFit.create(spacing_mm, None) is None
