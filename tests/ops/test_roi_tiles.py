"""Tests of `spectjax.ops.roi_tiles`: the gradient of the loop over boxes, exactly."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops import roi_align as module
from spectjax.ops.roi_align import assign_levels, roi_align

STRIDES = (1, 2, 4)
# The last tile of each level is a part of one; the last level has two.
HWS = ((90, 70), (45, 35), (23, 18))


def draw_boxes():
    """Boxes of all sizes on all levels, beyond all borders, some without a size."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(-3, (92, 72), (60, 2))
    sides = np.concatenate([rng.uniform(0, 14, (40, 2)), rng.uniform(14, 90, (20, 2))])
    sides[:5] = 0
    # 14 cells, which the finest level may hold at most, from every column of a tile on.
    edges = np.array([(3, 16 + i / 2, 17, 30 + i / 2) for i in range(64)])
    whole = [(0, 0, 90, 70), (80, 60, 90, 70), (0, 0, 0, 0), (90, 70, 90, 70)]
    boxes = [np.concatenate([corner, corner + sides], axis=1), edges, whole]
    return np.concatenate(boxes).astype(np.float32)


@pytest.mark.parametrize(("size", "dtype"), [(7, "float32"), (14, "bfloat16")])
def test_the_gradient_is_that_of_the_loop_over_boxes(size, dtype):
    boxes = draw_boxes()
    levels = assign_levels(boxes, STRIDES, torchvision=False)
    assert set(np.unique(levels)) == {0, 1, 2}
    levels = levels.at[::9].set(len(STRIDES))  # not used
    # Bins of a size that bfloat16 gives exactly; one box is a thousand times as hot.
    rng = np.random.default_rng(1)
    dy = rng.integers(-8, 9, (len(boxes), size, size, 2)).astype(np.float32)
    dy[30] *= 1024
    features = [jnp.zeros((*hw, 2), dtype) for hw in HWS]

    @functools.partial(jax.jit, static_argnames=("looped", "fitted"))
    def find_gradient(looped, fitted):
        def total(features):
            bins = roi_align(
                features, boxes, levels, STRIDES, size, looped=looped, fitted=fitted
            )
            return jnp.sum(bins * dy)

        return jax.grad(total)(features)

    tolerance = 1e-6 if dtype == "float32" else 2**-6  # of the largest
    for tiled, whole, looped in zip(
        find_gradient(False, True),
        find_gradient(False, False),
        find_gradient(True, False),
        strict=True,
    ):
        assert tiled.dtype == dtype
        largest = float(jnp.abs(looped).max())
        for other in (whole, looped):
            np.testing.assert_allclose(
                tiled.astype("float32"),
                other.astype("float32"),
                atol=tolerance * largest,
            )


@pytest.mark.parametrize(
    ("width", "fitted", "narrow"),
    # Beyond two tiles a box of the last level may touch a third.
    [(32, True, True), (33, True, False), (32, False, False)],
)
def test_tiles_are_taken_where_every_box_touches_two_at_most(width, fitted, narrow):
    features = [jnp.zeros((8, width, 3))]
    boxes, levels = np.array([(0, 0, 4, width)], np.float32), np.array([0])

    def total(features):
        return roi_align(
            features, boxes, levels, (1,), 2, looped=False, fitted=fitted
        ).sum()

    program = str(jax.make_jaxpr(jax.grad(total))(features))
    # Of one box two rows of bins, and along them three channels of each column.
    assert ("f32[1,2,32,3]" in program) == (narrow or width == 32)
    assert ("f32[1,2,2,48]" in program) == narrow


def test_boxes_that_fit_span_no_more_than_tiles_hold():
    assert module._SPAN <= module.roi_tiles.LONGEST
