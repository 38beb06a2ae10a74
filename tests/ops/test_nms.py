"""Tests of `spectjax.ops.nms`: greedy suppression, one box after another, in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops import nms

suppress = jax.jit(nms.suppress)

N = 120
THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


def iou_of(a, b):
    """Of one box with many, in float64; 0 for empty boxes."""
    low, high = np.maximum(a[:2], b[:, :2]), np.minimum(a[2:], b[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(a[2:] - a[:2]) + np.prod(b[:, 2:] - b[:, :2], axis=1) - common
    return np.divide(common, union, out=np.zeros(len(b)), where=union > 0)


def suppress_greedily(boxes, valid, threshold, groups):
    """Takes the best box that is left and throws out what it overlaps, until none."""
    boxes = boxes.astype(np.float64)
    left, kept = valid.copy(), np.zeros(len(boxes), bool)
    while left.any():
        best = np.flatnonzero(left)[0]
        kept[best] = True
        overlaps = iou_of(boxes[best], boxes) > threshold
        left &= ~(overlaps & (groups == groups[best]))
        left[best] = False
    return kept


def scattered(draw, _):
    corners = draw.uniform(0, 60, (N, 2))
    return np.concatenate([corners, corners + draw.uniform(5, 25, (N, 2))], axis=1)


def clustered(draw, _):
    truth = scattered(draw, _)[:8]
    return truth[draw.integers(0, 8, N)] + draw.normal(0, 1.5, (N, 4))


def chain(_, threshold):
    """Each box overlaps the next too much and the one after that too little."""
    step = 9 * (1 - threshold) / (1 + threshold)
    left = step * np.arange(N)
    return np.stack([0 * left, left, 0 * left + 10, left + 10], axis=1)


def shuffled_chain(draw, threshold):
    return draw.permutation(chain(draw, threshold))


def nested(draw, _):
    """Boxes around one centre, of falling and rising sizes in turn."""
    half = draw.uniform(1, 30, (N, 1))
    return np.concatenate([40 - half, 40 - half, 40 + half, 40 + half], axis=1)


def repeated(draw, _):
    """Every box three times, at different places in the order."""
    return draw.permutation(np.repeat(scattered(draw, _)[: N // 3], 3, axis=0))


KINDS = (scattered, clustered, chain, shuffled_chain, nested, repeated)


def draw_case(kind, threshold, seed=0):
    draw = np.random.default_rng(seed)
    boxes = kind(draw, threshold).astype(np.float32)
    return boxes, draw.random(N) < 0.9, draw.integers(0, 3, N).astype(np.int32)


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_same_boxes_stay_as_one_after_another(kind, threshold):
    boxes, valid, groups = draw_case(kind, threshold)
    for some, group in (
        (np.ones(N, bool), np.zeros(N, np.int32)),
        (valid, np.zeros(N, np.int32)),
        (valid, groups),
    ):
        found = suppress(boxes, some, threshold, group)
        expected = suppress_greedily(boxes, some, threshold, group)
        np.testing.assert_array_equal(found, expected)


def test_kept_boxes_are_apart_and_each_other_one_has_a_reason():
    for seed in range(40):
        threshold = 0.1 + 0.02 * seed
        kind = (scattered, clustered, nested)[seed % 3]
        boxes, valid, groups = draw_case(kind, threshold, seed)
        kept = np.asarray(suppress(boxes, valid, threshold, groups))
        assert not (kept & ~valid).any()
        for i in np.flatnonzero(valid):
            overlaps = iou_of(boxes[i].astype(np.float64), boxes.astype(np.float64))
            rivals = kept & (groups == groups[i]) & (np.arange(N) < i)
            assert (overlaps[rivals] > threshold).any() == (not kept[i])


def test_a_chain_keeps_every_other_box():
    for threshold in THRESHOLDS:
        boxes = jnp.asarray(chain(None, threshold), jnp.float32)
        kept = suppress(boxes, jnp.ones(N, bool), threshold)
        np.testing.assert_array_equal(kept, np.arange(N) % 2 == 0)


def test_an_overlap_as_large_as_the_threshold_is_allowed():
    boxes = jnp.float32(
        [[0, 0, 4, 4], [0, 0, 4, 2], [0, 0, 4, 2.01]]
    )  # 1/2 of the first
    kept = suppress(boxes, jnp.ones(3, bool), 0.5)
    np.testing.assert_array_equal(kept, [1, 1, 0])


def test_of_equal_boxes_the_first_stays():
    boxes = jnp.tile(jnp.float32([[1, 2, 5, 9]]), (5, 1))
    valid = jnp.array([False, True, True, False, True])
    for threshold in THRESHOLDS:
        kept = suppress(boxes, valid, threshold)
        np.testing.assert_array_equal(kept, [0, 1, 0, 0, 0])


def test_empty_boxes_and_rows_that_are_not_valid_suppress_nothing():
    boxes = jnp.float32(
        [[0, 0, 9, 9], [0, 0, 0, 0], [0, 0, 0, 0], [5, 5, 5, 8], [0, 0, 9, 8]]
    )
    kept = suppress(boxes, jnp.array([False, True, True, True, True]), 0.3)
    np.testing.assert_array_equal(kept, [0, 1, 1, 1, 1])


def test_without_valid_boxes_none_is_kept():
    boxes = jnp.asarray(scattered(np.random.default_rng(0), 0), jnp.float32)
    assert not suppress(boxes, jnp.zeros(N, bool), 0.5).any()


def test_compiled_over_a_batch_it_gives_what_single_images_give():
    # A chain takes many rounds, the others are done long before.
    cases = [draw_case(kind, 0.5, 7) for kind in (chain, clustered, nested)]
    boxes, valid, groups = (np.stack(column) for column in zip(*cases, strict=True))
    valid[2] = False
    found = jax.jit(jax.vmap(lambda b, v, g: nms.suppress(b, v, 0.5, g)))(
        boxes, valid, groups
    )
    for i in range(3):
        expected = suppress_greedily(boxes[i], valid[i], 0.5, groups[i])
        np.testing.assert_array_equal(found[i], expected)
