"""Tests of `spectjax.ops.mask_paste`, against scipy, PyTorch and sums by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from spectjax.ops.mask_paste import crop_masks, paste_masks

crop = jax.jit(crop_masks, static_argnames=("size", "torchvision"))
paste = jax.jit(paste_masks, static_argnames=("hw", "torchvision"))


def boxes_of(*boxes):
    return np.array(boxes, np.float32)


def make_boxes(n, hw, seed=0, smallest=0.3):
    """Boxes on an image, of all sizes alike."""
    rng = np.random.default_rng(seed)
    extent = np.exp(rng.uniform(np.log(smallest), np.log(hw), (n, 2)))
    low = rng.uniform(0, 1, (n, 2)) * (np.array(hw) - extent)
    return np.concatenate([low, low + extent], axis=1).astype(np.float32)


def sample(mask, rows, columns):
    """The mask interpolated at points; outside it its border, and zero one pixel on."""
    points = np.meshgrid(rows, columns, indexing="ij")
    image = mask.astype(float)
    values = ndimage.map_coordinates(image, points, order=1, mode="nearest")
    inside = [(p >= -1) & (p <= n) for p, n in zip(points, mask.shape, strict=True)]
    return values * inside[0] * inside[1]


def average(samples, size):
    n, m = (count // size for count in samples.shape)
    return samples.reshape(size, n, size, m).mean(axis=(1, 3))


def crop_with_scipy(mask, box, size, torchvision):
    """ROIAlign of a mask, with pixel i at i if torchvision's, otherwise at i + 0.5."""
    points = []
    for low, high in ((box[0], box[2]), (box[1], box[3])):
        extent = max(high - low, np.float32(1)) if torchvision else high - low
        count = int(np.ceil(extent / np.float32(size))) if torchvision else 2
        parts = (np.arange(size * count) + 0.5) / (size * count)
        points.append(low + parts * extent - (0 if torchvision else 0.5))
    return average(sample(mask, *points), size)


def test_crop_of_a_square_lesion_by_hand():
    instances = np.zeros((4, 6), np.uint8)
    instances[1:3, 2:4] = 1
    # Samples lie at 1.25, 1.75, 2.25 and 2.75 of the rows: a quarter of a pixel before
    # the centre of the lesion's first pixel, 1.5, the mask is 0.75.
    masks = crop(instances, np.array([1]), boxes_of((1, 2, 3, 4)), 2)
    np.testing.assert_allclose(masks, np.full((1, 2, 2), 0.875**2), atol=1e-6)
    # One row of cells inside, the other one pixel below: 0.875 and 0.125.
    masks = crop(instances, np.array([1]), boxes_of((2, 2, 4, 4)), 2)
    np.testing.assert_allclose(
        masks[0], 0.875 * np.array([[0.875] * 2, [0.125] * 2]), atol=1e-6
    )


def test_a_crop_holds_its_own_lesion_only():
    instances = np.zeros((8, 8), np.uint8)
    instances[:, :4], instances[:, 4:] = 1, 7
    box = boxes_of((2, 1, 6, 7))
    left, right = (crop(instances, np.array([n]), box, 6)[0] for n in (1, 7))
    np.testing.assert_allclose(left + right, 1, atol=1e-6)
    np.testing.assert_array_equal(left, right[:, ::-1])
    np.testing.assert_array_equal(crop(instances, np.array([3]), box, 6), 0)


@pytest.mark.parametrize("torchvision", [False, True])
def test_a_lesion_everywhere_gives_ones_everywhere(torchvision):
    boxes = make_boxes(30, (40, 24), smallest=1)
    instances = np.full((40, 24), 5, np.uint8)
    masks = crop(instances, np.full(30, 5), boxes, 7, torchvision=torchvision)
    np.testing.assert_allclose(masks, 1, atol=1e-5)


@pytest.mark.parametrize("torchvision", [False, True])
def test_crop_masks_equals_scipy(torchvision):
    rng = np.random.default_rng(1)
    hw = (40, 24)
    instances = rng.integers(0, 4, (2, *hw)).astype(np.uint8)
    boxes = np.stack([make_boxes(12, hw, seed) for seed in (2, 3)])
    numbers = rng.integers(1, 4, (2, 12))
    masks = jax.jit(
        jax.vmap(lambda *x: crop_masks(*x, 5, torchvision=torchvision)),
    )(instances, numbers, boxes)
    assert masks.dtype == jnp.float32
    for index in np.ndindex(2, 12):
        mask = instances[index[0]] == numbers[index]
        expected = crop_with_scipy(mask, boxes[index], 5, torchvision)
        np.testing.assert_allclose(masks[index], expected, atol=2e-5)


def test_crop_masks_equals_torchvision():
    y, x = np.mgrid[:9, :12]
    instances = ((y // 3 + x // 4) % 3).astype(np.uint8)
    boxes = boxes_of((0, 0, 9, 12), (2.5, 1.25, 7.75, 9.5), (5.25, 7.5, 5.5, 7.75))
    masks = crop(instances, np.array([1, 2, 2]), boxes, 3, torchvision=True)
    # torchvision 0.28: roi_heads.project_masks_on_boxes with roi_align._roi_align.
    expected = [
        [[0.25, 0.72917, 0], [0.72917, 0.02083, 0.16667], [0, 0.125, 1]],
        [[0.17491, 0.96875, 0.27865], [0.36024, 0.71875, 0.18967], [0.81944, 0, 0]],
        [[0.19444, 0, 0], [0.08333, 0, 0], [0, 0, 0]],
    ]
    np.testing.assert_allclose(masks, expected, atol=1e-5)


# Three by three cells and, transposed, on a box that is partly outside.
PROBS = np.array([[0.1, 0.6, 0.225], [0.725, 0.35, 0.85], [0.475, 0.1, 0.6]], "f4")
PASTED_BOXES = boxes_of((1.3, 0.6, 4.9, 3.2), (-1.5, 2.5, 2.25, 6.5))


def test_paste_masks_equals_grid_sample():
    # PyTorch 2.13, nn.functional.grid_sample(align_corners=False) at the centres of
    # pixels; rows that are not here are zero.
    expected = np.zeros((2, 6, 5))
    expected[0, 1:5] = [
        [0.025641, 0.246154, 0.226923, 0.023077, 0],
        [0.158654, 0.446154, 0.518269, 0.082692, 0],
        [0.246795, 0.439744, 0.612821, 0.117948, 0],
        [0.152244, 0.227564, 0.371795, 0.076923, 0],
    ]
    expected[1, :3] = [
        [0, 0, 0.28125, 0.521875, 0.4],
        [0, 0, 0.13125, 0.396875, 0.8],
        [0, 0, 0.03375, 0.114375, 0.255],
    ]
    pasted = paste(np.stack([PROBS, PROBS.T]), PASTED_BOXES, hw=(6, 5))
    assert pasted.dtype == jnp.float32
    np.testing.assert_allclose(pasted, expected, atol=2e-6)


def test_paste_masks_equals_torchvision():
    # torchvision 0.28, roi_heads.paste_masks_in_image; other rows are zero.
    expected = np.zeros((2, 6, 5))
    expected[0, 1:] = [
        [0, 0.057143, 0.342857, 0.128571, 0],
        [0, 0.278572, 0.528571, 0.403572, 0],
        [0, 0.725, 0.35, 0.85, 0],
        [0, 0.546429, 0.171429, 0.671429, 0],
        [0, 0.271429, 0.057143, 0.342857, 0],
    ]
    expected[1, :3] = [
        [0, 0, 0.22381, 0.424405, 0.50625],
        [0, 0, 0.253571, 0.476488, 0.558333],
        [0, 0, 0.096429, 0.302679, 0.6375],
    ]
    probs = np.stack([PROBS, PROBS.T])
    pasted = paste(probs, PASTED_BOXES, hw=(6, 5), torchvision=True)
    np.testing.assert_allclose(pasted, expected, atol=2e-6)


def test_paste_masks_equals_scipy_for_a_batch():
    hw = (40, 24)
    boxes = np.stack([make_boxes(8, hw, seed) for seed in (4, 5)])
    boxes[0] += 5  # beyond the edges
    probs = np.random.default_rng(6).uniform(size=(2, 8, 7, 7)).astype(np.float32)
    pasted = jax.jit(jax.vmap(lambda p, b: paste_masks(p, b, hw)))(probs, boxes)
    for index in np.ndindex(2, 8):
        y0, x0, y1, x1 = boxes[index].astype(float)
        rows = (np.arange(hw[0]) + 0.5 - y0) / (y1 - y0) * 7 - 0.5
        columns = (np.arange(hw[1]) + 0.5 - x0) / (x1 - x0) * 7 - 0.5
        expected = ndimage.map_coordinates(
            probs[index].astype(float),
            np.meshgrid(rows, columns, indexing="ij"),
            order=1,
            mode="grid-constant",
        )
        np.testing.assert_allclose(pasted[index], expected, atol=1e-4)


def areas_of_full_masks(smallest, largest, torchvision):
    """Pixels at 0.5 and above of pasted masks of ones, and the areas of their boxes."""
    rng = np.random.default_rng(7)
    extent = rng.uniform(smallest, largest, (200, 2))
    low = rng.uniform(2, 60 - extent)
    boxes = np.concatenate([low, low + extent], axis=1).astype(np.float32)
    ones = np.ones((200, 28, 28), np.float32)
    pasted = paste(ones, boxes, hw=(64, 64), torchvision=torchvision)
    return np.asarray(pasted >= 0.5).sum(axis=(1, 2)), extent


@pytest.mark.parametrize(("smallest", "largest"), [(3, 6), (6, 12), (12, 40)])
def test_a_full_mask_covers_its_box_and_no_more(smallest, largest):
    pixels, extent = areas_of_full_masks(smallest, largest, torchvision=False)
    # A side of h pixels holds the centres of h rounded up or down. At the corners the
    # hats of rows and columns multiply, which costs at most a pixel each.
    fewest, most = np.floor(extent).prod(axis=1) - 4, np.ceil(extent).prod(axis=1)
    assert (fewest <= pixels).all() and (pixels <= most).all()
    assert 0.95 < pixels.sum() / extent.prod(axis=1).sum() < 1.02


def test_torchvision_enlarges_small_masks():
    for (smallest, largest), factor in {(3, 6): 1.4, (6, 12): 1.2}.items():
        pixels, extent = areas_of_full_masks(smallest, largest, torchvision=True)
        assert pixels.sum() / extent.prod(axis=1).sum() > factor


def test_what_is_cropped_and_pasted_is_the_lesion():
    y, x = np.mgrid[:48, :64] + 0.5
    instances = np.zeros((48, 64), np.uint8)
    instances[3:6, 50:54] = 1
    instances[((y - 14) / 8) ** 2 + ((x - 15) / 5) ** 2 < 1] = 2
    instances[((y - 30) / 14) ** 2 + ((x - 42) / 19) ** 2 < 1] = 3
    numbers = np.array([1, 2, 3])
    masks = instances == numbers[:, None, None]
    boxes = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        boxes.append((rows.min(), columns.min(), rows.max() + 1, columns.max() + 1))
    cropped = crop(instances, numbers, boxes_of(*boxes), 28)
    pasted = np.asarray(paste(cropped, boxes_of(*boxes), hw=(48, 64))) >= 0.5
    wrong = (pasted != masks).sum(axis=(1, 2))
    assert wrong[0] == 0
    assert (wrong <= 0.02 * masks.sum(axis=(1, 2))).all()


@pytest.mark.parametrize("torchvision", [False, True])
def test_empty_boxes_and_boxes_without_a_lesion_give_zeros(torchvision):
    instances = np.ones((16, 16), np.uint8)
    instances[:4] = 0
    boxes = boxes_of((0, 0, 0, 0), (5, 6, 5, 9), (9, 6, 7, 9), (0, 0, 16, 16))
    numbers = np.array([1, 1, 1, 0])
    masks = crop(instances, numbers, boxes, 7, torchvision=torchvision)
    np.testing.assert_array_equal(masks, 0)
    probs = np.ones((4, 7, 7), np.float32)
    pasted = paste(probs, boxes, hw=(16, 16), torchvision=torchvision)
    np.testing.assert_array_equal(pasted[:3], 0)
    assert (pasted[3, 4:12, 4:12] == 1).all()
