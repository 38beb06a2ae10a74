"""Tests of `spectjax.ops.normalisation`."""

import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops.normalisation import (
    NORMALISATIONS,
    keep_images,
    normalise_by_range,
    normalise_by_root,
    scale_counts,
)

# Two images, so that one normalised by the other would show.
COUNTS = np.array([[[0, 2], [4, 10]], [[5, 0], [0, 0]]], np.uint16)[..., None]


def test_normalise_by_range_matches_hand_computation():
    expected = [[[0, 0.2], [0.4, 1]], [[1, 0], [0, 0]]]
    np.testing.assert_allclose(normalise_by_range(COUNTS)[..., 0], expected)


def test_normalise_by_range_takes_off_a_raised_background():
    counts = jnp.array([[[3.0, 4], [5, 7]]])[..., None]
    expected = [[[0, 0.25], [0.5, 1]]]
    np.testing.assert_allclose(normalise_by_range(counts)[..., 0], expected)


def test_normalise_by_root_matches_hand_computation():
    # Means of the positive counts: 16 / 3 and 5.
    expected = np.sqrt([[[0, 6 / 16], [12 / 16, 30 / 16]], [[1, 0], [0, 0]]])
    np.testing.assert_allclose(normalise_by_root(COUNTS)[..., 0], expected, rtol=1e-6)


def test_keep_images_changes_the_type_alone():
    kept = keep_images(COUNTS)
    assert kept.dtype == jnp.float32
    np.testing.assert_array_equal(kept, COUNTS)


def test_scale_counts_takes_the_same_factor_for_all_images():
    expected = np.array([[[0, 2], [4, 10]], [[5, 0], [0, 0]]]) / 255
    np.testing.assert_allclose(scale_counts(COUNTS)[..., 0], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["min_max", "square_root"])
def test_normalisations_do_not_depend_on_the_length_of_the_scan(name):
    normalise = NORMALISATIONS[name]
    np.testing.assert_allclose(normalise(5 * COUNTS), normalise(COUNTS), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(NORMALISATIONS))
def test_normalisations_take_uint16_and_float32_alike(name):
    normalise = NORMALISATIONS[name]
    result = normalise(COUNTS)
    assert result.dtype == jnp.float32
    np.testing.assert_array_equal(normalise(COUNTS.astype(np.float32)), result)


@pytest.mark.parametrize("name", sorted(NORMALISATIONS))
def test_normalisations_of_an_empty_image_are_zero(name):
    # Black, to a network of photographs, is -0.449 / 0.226.
    black = -1.98672566 if name == "imagenet" else 0.0
    result = NORMALISATIONS[name](jnp.zeros((1, 2, 2, 1), jnp.uint16))
    np.testing.assert_allclose(result, black, rtol=1e-6)


@pytest.mark.parametrize("name", ["min_max", "square_root"])
def test_normalisations_take_the_largest_counts_of_uint16(name):
    counts = jnp.full((1, 256, 256, 1), 65535, jnp.uint16).at[0, 0, 0].set(0)
    np.testing.assert_allclose(NORMALISATIONS[name](counts)[0, 1, 1], 1, rtol=1e-5)
