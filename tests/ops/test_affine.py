"""Tests of `spectjax.ops.affine`, against scipy and against moves done by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from spectjax.imaging.geometry import GeometricCopy
from spectjax.imaging.geometry import warp as warp_one
from spectjax.ops.affine import encode_maps, warp

HW = (48, 64)
# Chosen such that no pixel comes from half-way between two.
LINEAR = {
    "quarter turn": [[0.0, 1.0], [-1.0, 0.0]],
    "turn and shrink": [[0.7071, 0.3137], [-0.2236, 0.8123]],
    "shear": [[1.0, 0.25], [0.0, 1.0]],
    "flip": [[1.0, 0.0], [0.0, -1.0]],
    "enlarge": [[2.5, 0.0], [0.0, 1.5]],
}


def make_images(n, hw=HW, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 5000, (n, *hw)).astype(np.uint16)
    return images, rng.integers(0, 4, (n, *hw)).astype(np.uint8)


def warp_all(images, masks, matrices, hw=None):
    maps = encode_maps(np.stack(matrices), images.shape[1:])
    moved = jax.jit(warp, static_argnums=3)(images, masks, maps, hw)
    return tuple(map(np.asarray, moved))


def homogeneous(linear, offset):
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, offset
    return matrix


def shifted(image, dx, dy):
    """The image moved right and down by slices, zeros behind it."""
    height, width = image.shape
    moved = np.zeros_like(image)
    moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = image[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return moved


def test_warp_mirrors_and_shifts_to_the_bit():
    moves = list(itertools.product((False, True), (-63, -3, 0, 2, 63), (-47, 0, 5)))
    images, masks = make_images(len(moves))
    matrices = [GeometricCopy(m, dx, dy).matrix(HW) for m, dx, dy in moves]
    counts, moved_masks = warp_all(images, masks, matrices)
    for i, (mirror, dx, dy) in enumerate(moves):
        image, mask = (a[i][:, :: -1 if mirror else 1] for a in (images, masks))
        np.testing.assert_array_equal(counts[i], shifted(image, dx, dy))
        np.testing.assert_array_equal(moved_masks[i], shifted(mask, dx, dy))
    assert counts.dtype == np.float32
    assert moved_masks.dtype == np.uint8


@pytest.mark.parametrize("name", LINEAR)
def test_warp_equals_scipy_for_any_affine_map(name):
    images, masks = make_images(1)
    matrix = homogeneous(LINEAR[name], (11.3, -7.9))
    counts, moved = warp_all(images, masks, [matrix])
    to_input = np.linalg.inv(matrix)
    rows_first = to_input[[1, 0, 2]][:, [1, 0, 2]]
    expected, expected_mask = (
        ndimage.affine_transform(
            a[0].astype(np.float64), rows_first, order=order, mode="grid-constant"
        )
        for a, order in ((images, 1), (masks, 0))
    )
    np.testing.assert_allclose(counts[0], expected, atol=5e-3)  # of 5000
    np.testing.assert_array_equal(moved[0], expected_mask)


def test_warp_of_a_whole_body_equals_scipy():
    hw = (1024, 256)
    images, masks = make_images(2, hw)
    stretch = homogeneous([[1.21, -0.16], [0.16, 0.79]], (11.3, -7.9))
    matrices = [stretch, GeometricCopy(True, -10, 4, 5).matrix(hw)]
    counts, moved_masks = warp_all(images, masks, matrices)
    for i, matrix in enumerate(matrices):
        expected = warp_one(images[i], matrix, order=1)
        np.testing.assert_allclose(counts[i], expected, atol=2e-2)  # of 5000
        np.testing.assert_array_equal(
            moved_masks[i], warp_one(masks[i], matrix, order=0)
        )


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shift", [(0, 0), (-10, 4), (7, -3)])
def test_warp_equals_the_builders_for_every_angle_of_the_copies(mirror, shift):
    # Every pixel that a mask of 256 x 256 can have, at every angle: no tie is missed.
    hw, angles = (256, 256), range(-5, 6)
    images, masks = make_images(len(angles), hw)
    matrices = [GeometricCopy(mirror, *shift, degrees).matrix(hw) for degrees in angles]
    counts, moved_masks = warp_all(images, masks, matrices)
    for i, matrix in enumerate(matrices):
        expected = warp_one(images[i], matrix, order=1)
        np.testing.assert_allclose(counts[i], expected, atol=5e-3)
        np.testing.assert_array_equal(
            moved_masks[i], warp_one(masks[i], matrix, order=0)
        )


def test_warp_keeps_the_central_part_of_the_whole_result():
    images, masks = make_images(2)
    matrices = [GeometricCopy(True, 3, -2, 5).matrix(HW), np.eye(3)]
    whole = warp_all(images, masks, matrices)
    part = warp_all(images, masks, matrices, (20, 40))
    for all_of_it, centre in zip(whole, part, strict=True):
        np.testing.assert_array_equal(centre, all_of_it[:, 14:34, 12:52])


def test_warp_gives_the_same_inside_a_loop_on_the_device():
    images, masks = make_images(6)
    matrices = np.stack(
        [GeometricCopy(i % 2 == 1, i, -i, i - 3).matrix(HW) for i in range(6)]
    )
    maps = jnp.asarray(encode_maps(matrices, HW))

    @jax.jit
    def run(images, masks):
        def body(i, moved):
            one = (jax.lax.dynamic_slice_in_dim(a, 2 * i, 2) for a in (images, masks))
            new = warp(*one, jax.lax.dynamic_slice_in_dim(maps, 2 * i, 2))
            return tuple(
                jax.lax.dynamic_update_slice_in_dim(a, b, 2 * i, 0)
                for a, b in zip(moved, new, strict=True)
            )

        start = jnp.zeros(images.shape, jnp.float32), jnp.zeros_like(masks)
        return jax.lax.fori_loop(0, 3, body, start)

    expected = warp_all(images, masks, matrices)
    counts, moved = run(jnp.asarray(images), jnp.asarray(masks))
    np.testing.assert_allclose(counts, expected[0], rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(moved, expected[1])


def test_encode_maps_is_exact_to_a_quarter_of_a_millionth_of_a_pixel():
    matrix = GeometricCopy(degrees=5).matrix((256, 256))
    (encoded,) = encode_maps(matrix[None], (256, 256)).astype(np.float64)
    point = np.array([255.0, 255.0, 1.0])
    row, column = encoded / [2.0**30, 2.0**30, 2.0**22] @ point
    x, y, _ = np.linalg.inv(matrix) @ point
    np.testing.assert_allclose((row, column), (y, x), rtol=0, atol=2**-22)


@pytest.mark.parametrize(
    "matrix",
    [
        GeometricCopy(dx=-460).matrix(HW),
        homogeneous([[0.5, 0.0], [0.0, 0.5]], (0.0, 0.0)),
    ],
    ids=["from too far away", "shrinks too much"],
)
def test_encode_maps_refuses_what_does_not_fit(matrix):
    with pytest.raises(ValueError, match="48x64 less than twofold"):
        encode_maps(matrix[None], HW)
