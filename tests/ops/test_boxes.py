"""Tests of `spectjax.ops.boxes`: numbers by hand, torchvision's and pycocotools'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops import boxes as ops

clip = jax.jit(ops.clip, static_argnums=1)
decode = jax.jit(ops.decode, static_argnums=2)
encode = jax.jit(ops.encode, static_argnums=2)
iou_matrix = jax.jit(ops.iou_matrix)

BOXES = np.array(
    [[3, 5, 9, 20], [100.5, 40.25, 131, 77], [10, 10, 11, 11], [0, 200, 40, 256]],
    np.float32,
)
ANCHORS = np.array(
    [[1, 4, 10, 15], [90, 50, 120, 90], [6, 6, 18, 18], [-8, 210, 24, 242]], np.float32
)
DELTAS = np.array(
    [[0.5, -0.25, 0.1, -0.3], [0, 0, 0, 0], [-2, 3, 5, 1], [1, -1, -4, 4.5]], np.float32
)
# What torchvision 0.28 gives for these: BoxCoder.encode_single and decode_single, whose
# columns are x before y. Two of the logarithms are cut off.
ENCODED = {
    (1, 1, 1, 1): [
        [0.05555556, 0.27272728, -0.40546507, 0.31015494],
        [0.35833332, -0.28437501, 0.01652929, -0.08474124],
        [-0.125, -0.125, -2.48490667, -2.48490667],
        [0.375, 0.0625, 0.22314355, 0.55961579],
    ],
    (10, 10, 5, 5): [
        [0.55555558, 2.72727275, -2.02732539, 1.55077469],
        [3.58333325, -2.84375, 0.08264643, -0.4237062],
        [-1.25, -1.25, -12.42453384, -12.42453384],
        [3.75, 0.625, 1.11571777, 2.79807901],
    ],
}
DECODED = {
    (1, 1, 1, 1): [
        [5.02673054, 2.67549992, 14.97326946, 10.82450008],
        [90.0, 50.0, 120.0, 90.0],
        [-387.00003052, 31.69030952, 363.00003052, 64.30969238],
        [39.70695114, -806.00006104, 40.29304886, 1194.0],
    ],
    (10, 10, 5, 5): [
        [1.35909367, 4.04529524, 10.54090595, 14.40470505],
        [90.0, 50.0, 120.0, 90.0],
        [-6.70969009, 8.27158356, 25.90969086, 22.92841721],
        [4.01073647, 183.44635010, 18.38926315, 262.15365601],
    ],
}


def draw_boxes(seed, n, side=60.0):
    draw = np.random.default_rng(seed)
    corner = draw.uniform(0, 100, (n, 2))
    return np.concatenate([corner, corner + draw.uniform(1, side, (n, 2))], axis=1)


def test_area_is_height_times_width_and_zero_for_empty_boxes():
    boxes = jnp.float32([[1, 2, 4, 7.5], [3, 3, 3, 9], [5, 5, 4, 4], [0, 0, 0, 0]])
    np.testing.assert_array_equal(ops.measure_area(boxes), [16.5, 0, 0, 0])


def test_overlap_and_iou_have_the_numbers_computed_by_hand():
    a = jnp.float32([[0, 0, 4, 6], [2, 2, 3, 3]])
    b = jnp.float32([[0, 0, 4, 6], [2, 3, 6, 9], [4, 0, 8, 6], [0, 0, 2, 3]])
    intersection, union = ops.measure_overlap(a, b)
    np.testing.assert_array_equal(intersection, [[24, 6, 0, 6], [1, 0, 0, 0]])
    np.testing.assert_array_equal(union, [[24, 42, 48, 24], [24, 25, 25, 7]])
    expected = [[1, 1 / 7, 0, 1 / 4], [1 / 24, 0, 0, 0]]
    np.testing.assert_allclose(iou_matrix(a, b), expected, rtol=1e-6)


def test_iou_of_empty_boxes_is_zero_also_with_themselves():
    empty = jnp.float32([[0, 0, 0, 0], [5, 5, 5, 9], [9, 9, 2, 2]])
    around = jnp.float32([[0, 0, 20, 20]])
    both = jnp.concatenate([empty, around])
    expected = np.zeros((4, 4))
    expected[3, 3] = 1
    np.testing.assert_array_equal(iou_matrix(both, both), expected)


def test_iou_equals_that_of_pycocotools():
    coco = pytest.importorskip("pycocotools.mask")
    a, b = draw_boxes(0, 60), draw_boxes(1, 40)

    def to_xywh(boxes):
        y0, x0, y1, x1 = boxes.T
        return np.ascontiguousarray(np.stack([x0, y0, x1 - x0, y1 - y0], axis=1))

    expected = coco.iou(to_xywh(a), to_xywh(b), [0] * len(b))
    found = iou_matrix(jnp.float32(a), jnp.float32(b))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_decode_has_the_numbers_computed_by_hand():
    anchor = jnp.float32([0, 0, 10, 20])
    deltas = jnp.float32([0.1, 0.2, np.log(2), -np.log(2)])
    # Centre (5, 10) moves by (1, 4); sides (10, 20) become (20, 10).
    np.testing.assert_allclose(decode(deltas, anchor), [-4, 9, 16, 19], rtol=1e-6)


@pytest.mark.parametrize("weights", ENCODED)
def test_encode_and_decode_equal_those_of_torchvision(weights):
    encoded = encode(jnp.asarray(BOXES), jnp.asarray(ANCHORS), weights)
    np.testing.assert_allclose(encoded, ENCODED[weights], rtol=1e-5, atol=1e-6)
    decoded = decode(jnp.asarray(DELTAS), jnp.asarray(ANCHORS), weights)
    np.testing.assert_allclose(decoded, DECODED[weights], rtol=1e-5, atol=1e-5)


def test_weights_belong_to_row_column_height_and_width():
    boxes, anchors = jnp.asarray(BOXES), jnp.asarray(ANCHORS)
    weighted = encode(boxes, anchors, (2, 3, 5, 7))
    plain = np.array(ENCODED[1, 1, 1, 1])
    np.testing.assert_allclose(weighted, plain * [2, 3, 5, 7], rtol=1e-5)
    np.testing.assert_allclose(
        decode(weighted, anchors, (2, 3, 5, 7)), BOXES, rtol=1e-5, atol=1e-4
    )


def test_decode_undoes_encode():
    boxes, anchors = draw_boxes(2, 200), draw_boxes(3, 200)
    deltas = encode(jnp.float32(boxes), jnp.float32(anchors), (10, 10, 5, 5))
    found = decode(deltas, jnp.float32(anchors), (10, 10, 5, 5))
    np.testing.assert_allclose(found, boxes, rtol=1e-5, atol=2e-4)


def test_decode_makes_no_side_longer_than_the_bound_and_none_infinite():
    anchor = jnp.float32([0, 0, 16, 16])
    found = decode(jnp.float32([0, 0, 1e4, 4.1]), anchor)
    height, width = found[2] - found[0], found[3] - found[1]
    np.testing.assert_allclose(height, 1000, rtol=1e-5)
    np.testing.assert_allclose(width, 16 * np.exp(4.1), rtol=1e-5)


def test_one_anchor_serves_many_offsets():
    deltas = jnp.zeros((3, 2, 4))
    found = decode(deltas, jnp.asarray(ANCHORS[:3])[:, None])
    np.testing.assert_allclose(found[:, 1], ANCHORS[:3])


def test_clip_cuts_boxes_to_the_image():
    boxes = jnp.float32([[-3, 2, 5, 400], [300, -9, 400, -1], [1, 2, 3, 4]])
    expected = [[0, 2, 5, 200], [100, 0, 100, 0], [1, 2, 3, 4]]
    np.testing.assert_array_equal(clip(boxes, (100, 200)), expected)


def test_empty_boxes_leave_offsets_and_all_gradients_finite():
    boxes = jnp.float32([[0, 0, 0, 0], [5, 5, 5, 9], [1, 1, 3, 3], [9, 9, 2, 2]])
    pairs = jnp.repeat(boxes, 4, axis=0), jnp.tile(boxes, (4, 1))

    def total(a, b):
        offsets = encode(a, b)
        return jnp.sum(jnp.sin(offsets)) + jnp.sum(decode(jnp.sin(offsets), b))

    value, gradients = jax.jit(jax.value_and_grad(total, (0, 1)))(*pairs)
    assert np.isfinite(encode(*pairs)).all() and np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)


def test_compiled_over_a_batch_they_give_what_single_images_give():
    a = jnp.float32(np.stack([draw_boxes(4, 7), draw_boxes(5, 7)]))
    b = a[:, ::-1] + 3

    def run(a, b):
        return iou_matrix(a, b[:5]), encode(a, b), decode(encode(a, b) / 9, a)

    for found, *single in zip(
        jax.jit(jax.vmap(run))(a, b), run(a[0], b[0]), run(a[1], b[1]), strict=True
    ):
        np.testing.assert_allclose(found, np.stack(single), rtol=1e-4, atol=1e-4)
