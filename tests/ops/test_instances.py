"""Tests of `spectjax.ops.instances`: boxes by hand, and those of scipy."""

import jax
import numpy as np
from scipy import ndimage

from spectjax.ops import instances

find_boxes = jax.jit(instances.find_boxes, static_argnums=2)

# Lesion 4 has 5 pixels, 1 and 7 have 2, 9 has 1; there is no 2. 7 lies on two sides.
INSTANCES = np.array(
    [
        [7, 0, 0, 0, 4, 0],
        [0, 0, 0, 4, 4, 0],
        [0, 0, 0, 4, 4, 0],
        [0, 9, 0, 0, 0, 1],
        [7, 0, 0, 0, 0, 1],
    ],
    np.uint8,
)
CLASSES = np.choose(INSTANCES, [0, 1, 0, 0, 2, 0, 0, 1, 0, 3]).astype(np.uint8)
BOXES = {4: [0, 3, 3, 5], 1: [3, 5, 5, 6], 7: [0, 0, 5, 1], 9: [3, 1, 4, 2]}


def test_lesions_have_the_boxes_and_classes_found_by_hand_the_largest_first():
    truth = jax.tree.map(np.asarray, find_boxes(INSTANCES, CLASSES, 6))
    np.testing.assert_array_equal(truth.numbers, [4, 1, 7, 9, 0, 0])
    np.testing.assert_array_equal(truth.labels, [2, 1, 1, 3, 0, 0])
    np.testing.assert_array_equal(truth.valid, [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(truth.boxes[:4], [BOXES[i] for i in (4, 1, 7, 9)])
    np.testing.assert_array_equal(truth.boxes[4:], np.zeros((2, 4)))
    assert truth.left_out == 0 and truth.boxes.dtype == np.float32


def test_of_too_many_lesions_the_smallest_are_left_out_and_counted():
    truth = find_boxes(INSTANCES, CLASSES, 2)
    np.testing.assert_array_equal(truth.numbers, [4, 1])
    np.testing.assert_array_equal(truth.boxes, [BOXES[4], BOXES[1]])
    assert np.all(truth.valid) and truth.left_out == 2


def test_an_image_without_lesions_has_no_valid_row():
    truth = find_boxes(0 * INSTANCES, 0 * CLASSES, 6)
    assert not np.any(truth.valid) and truth.left_out == 0
    for column in (truth.numbers, truth.boxes, truth.labels):
        assert not np.any(column)


def test_a_lesion_may_fill_the_image_and_have_the_last_number():
    full = np.full((5, 6), 255, np.uint8)
    truth = find_boxes(full, np.ones((5, 6), np.uint8), 2)
    np.testing.assert_array_equal(truth.numbers, [255, 0])
    np.testing.assert_array_equal(truth.boxes[0], [0, 0, 5, 6])


def test_random_lesions_have_the_boxes_of_scipy():
    max_instances, numbers_found = 24, []
    for seed in range(8):
        draw = np.random.default_rng(seed)
        # Numbers have gaps and are in no order.
        numbers = draw.permutation(np.arange(1, 256))
        regions, n = ndimage.label(
            ndimage.gaussian_filter(draw.standard_normal((60, 90)), 2)
            > 0.1 + 0.02 * seed,
            np.ones((3, 3)),
        )
        numbered = np.append(0, numbers)[regions].astype(np.uint8)
        classes = np.append(0, draw.integers(1, 4, 255))[regions].astype(np.uint8)
        area = np.bincount(numbered.ravel(), minlength=256)[1:]
        expected = np.argsort(-area, kind="stable")[: min(n, max_instances)] + 1
        truth = jax.tree.map(np.asarray, find_boxes(numbered, classes, max_instances))
        assert np.sum(truth.valid) == len(expected) > 0
        assert truth.left_out == n - len(expected)
        numbers_found.append(n)
        slices = ndimage.find_objects(numbered)
        for i, number in enumerate(expected):
            rows, columns = slices[number - 1]
            assert truth.numbers[i] == number
            assert truth.labels[i] == classes[numbered == number][0]
            np.testing.assert_array_equal(
                truth.boxes[i], [rows.start, columns.start, rows.stop, columns.stop]
            )
    assert min(numbers_found) < max_instances < max(numbers_found)


def test_compiled_over_a_batch_it_gives_what_single_images_give():
    maps = np.stack([INSTANCES, 0 * INSTANCES, INSTANCES[::-1, ::-1]])
    classes = np.stack([CLASSES, 0 * CLASSES, CLASSES[::-1, ::-1]])
    found = jax.jit(jax.vmap(lambda i, c: instances.find_boxes(i, c, 3)))(maps, classes)
    found = jax.tree.map(np.asarray, found)
    np.testing.assert_array_equal(found.numbers, [[4, 1, 7], [0, 0, 0], [4, 1, 7]])
    np.testing.assert_array_equal(found.left_out, [1, 0, 1])
    # Turned by half a circle.
    np.testing.assert_array_equal(found.boxes[2, 0], [2, 1, 5, 3])
    assert not np.any(found.valid[1])
