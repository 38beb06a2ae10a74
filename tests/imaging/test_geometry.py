"""Tests of `spectjax.imaging.geometry`."""

import numpy as np
import pytest

from spectjax.imaging.geometry import GeometricCopy, warp

# Thirds, so that any interpolation shows; zeros beside counts, as in a scan.
IMAGE = np.random.default_rng(0).poisson(50, (6, 9)).astype(np.float32) / 3
IMAGE[::2, 3:6] = 0


def copy_of(image, order=1, **operations):
    return warp(image, GeometricCopy(**operations).matrix(image.shape), order=order)


def shifted(image, dx, dy):
    """By hand: the pixel of row r, column c goes to row r + dy, column c + dx."""
    result = np.zeros_like(image)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            to = row + dy, column + dx
            if 0 <= to[0] < image.shape[0] and 0 <= to[1] < image.shape[1]:
                result[to] = image[row, column]
    return result


def test_matrix_is_the_identity_without_operations():
    np.testing.assert_array_equal(GeometricCopy().matrix((6, 9)), np.eye(3))


def test_matrix_mirrors_the_first_column_to_the_last():
    matrix = GeometricCopy(mirror=True).matrix((6, 9))
    np.testing.assert_array_equal(matrix @ [0, 2, 1], [8, 2, 1])


def test_matrix_rotates_as_equation_4_prints_it():
    # About the centre (4, 2.5) of 6 x 9 pixels: [c s; -s c] maps (1, 0) to (c, -s).
    matrix = GeometricCopy(degrees=30).matrix((6, 9))
    expected = [4 + np.sqrt(3) / 2, 2.5 - 1 / 2, 1]
    np.testing.assert_allclose(matrix @ [5, 2.5, 1], expected, atol=1e-12)


def test_matrix_mirrors_before_it_rotates_and_translates_last():
    # In 5 x 5 pixels (4, 1) is mirrored to (0, 1), (-2, -1) from the centre. A quarter
    # turn, (x, y) -> (y, -x), makes it (-1, 2): the point (1, 4). Then (+10, -3).
    matrix = GeometricCopy(mirror=True, dx=10, dy=-3, degrees=90).matrix((5, 5))
    np.testing.assert_allclose(matrix @ [4, 1, 1], [11, 1, 1], atol=1e-12)


@pytest.mark.parametrize("order", [0, 1])
def test_warp_mirrors_bit_for_bit(order):
    np.testing.assert_array_equal(copy_of(IMAGE, order, mirror=True), IMAGE[:, ::-1])


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (-2, 1), (0, -4), (8, 5), (9, 0)])
def test_warp_shifts_bit_for_bit(dx, dy, order):
    np.testing.assert_array_equal(
        copy_of(IMAGE, order, dx=dx, dy=dy), shifted(IMAGE, dx, dy)
    )


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("side", [5, 6])
def test_warp_turns_by_90_degrees_counter_clockwise_bit_for_bit(side, order):
    square = IMAGE[:side, :side] if side < 6 else IMAGE[:, 2:8]
    np.testing.assert_array_equal(copy_of(square, order, degrees=90), np.rot90(square))


def test_warp_applies_all_operations_in_the_order_of_the_matrix():
    square = IMAGE[:, 1:7]
    expected = shifted(np.rot90(square[:, ::-1], -1), 2, -1)
    result = copy_of(square, mirror=True, degrees=-90, dx=2, dy=-1)
    np.testing.assert_array_equal(result, expected)


def test_warp_moves_a_mask_with_its_image():
    copy = GeometricCopy(mirror=True, dx=1, dy=2).matrix(IMAGE.shape)
    moved = warp(IMAGE > 16, copy, order=0)
    assert moved.dtype == bool
    np.testing.assert_array_equal(moved, warp(IMAGE, copy, order=1) > 16)


def test_warp_keeps_the_counts_of_a_spot_under_rotation():
    spot = np.zeros((41, 41), np.float32)
    spot[8:14, 22:30] = np.arange(48).reshape(6, 8)
    rotated = copy_of(spot, degrees=5)
    np.testing.assert_allclose(rotated.sum(), spot.sum(), rtol=0.01)

    def centroid(image):
        y, x = np.indices(image.shape)
        return np.array([(image * x).sum(), (image * y).sum(), image.sum()])

    # The spot's centroid moves as the matrix moves a point.
    start = centroid(spot) / spot.sum()
    expected = GeometricCopy(degrees=5).matrix(spot.shape) @ start
    np.testing.assert_allclose(centroid(rotated) / rotated.sum(), expected, atol=0.1)


def test_warp_returns_float32_counts_of_unsigned_images():
    counts = np.array([[0, 65535], [7, 1]], np.uint16)
    result = copy_of(counts, mirror=True)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[65535, 0], [1, 7]])


@pytest.mark.parametrize("order", [2, 3])
def test_warp_refuses_other_orders(order):
    with pytest.raises(ValueError, match="order 0 or 1"):
        warp(IMAGE, np.eye(3), order=order)


def test_warp_refuses_a_batch():
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        warp(IMAGE[None], np.eye(3), order=0)
