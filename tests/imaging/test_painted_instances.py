"""The map of probabilities that instances give."""

import jax.numpy as jnp
import numpy as np

from spectjax.imaging.hotspots import Instances, paint_probs

MASKS = np.zeros((1, 3, 2, 3), bool)
MASKS[0, 0, 0, :2] = True
MASKS[0, 1, :, 1] = True
MASKS[0, 2] = True  # covers all, and is not valid
FOUND = Instances(
    boxes=np.zeros((1, 3, 4), np.float32),
    scores=np.array([[0.75, 0.25, 0.125]], np.float32),
    labels=np.array([[2, 1, 1]], np.int32),
    valid=np.array([[True, True, False]]),
    masks=MASKS,
)
BACKGROUND = [[0.25, 0.25, 1], [1, 0.75, 1]]
FIRST = [[0, 0, 0], [0, 0.25, 0]]
SECOND = [[0.75, 0.75, 0], [0, 0, 0]]


def test_each_pixel_has_the_class_and_score_of_the_surest_instance():
    probs = paint_probs(FOUND, 3)
    assert probs.dtype == np.float32
    np.testing.assert_array_equal(probs[0, ..., 0], BACKGROUND)
    np.testing.assert_array_equal(probs[0, ..., 1], FIRST)
    np.testing.assert_array_equal(probs[0, ..., 2], SECOND)


def test_jax_and_numpy_paint_alike():
    found = paint_probs(Instances(*map(jnp.asarray, FOUND)), 3)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, paint_probs(FOUND, 3))


def test_a_threshold_gives_the_union_of_the_surer_masks():
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.random((2, 6), np.float32), axis=1)
    masks = rng.random((2, 6, 5, 4)) < 0.4
    found = Instances(
        np.zeros((2, 6, 4), np.float32),
        scores,
        np.ones((2, 6), np.int32),
        np.arange(6)[None] < np.array([[6], [3]]),
        masks,
    )
    hotspots = paint_probs(found, 2)[..., 1]
    for t in (0.0, 0.2, 0.5, 0.8):
        for image in range(2):
            union = np.zeros((5, 4), bool)
            for d in range(6):
                if found.valid[image, d] and scores[image, d] > t:
                    union |= masks[image, d]
            np.testing.assert_array_equal(hotspots[image] > t, union)


def test_no_instance_leaves_background_alone():
    none = FOUND._replace(valid=np.zeros((1, 3), bool))
    np.testing.assert_array_equal(paint_probs(none, 3)[..., 0], 1)
