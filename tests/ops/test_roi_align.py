"""Tests of `spectjax.ops.roi_align`, against loops over samples and torchvision."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops import roi_at_once
from spectjax.ops.backend import plain_operations
from spectjax.ops.roi_align import assign_levels, roi_align

STRIDES = (1, 4)
# Larger than two and than one block of the loop, and smaller than one.
HWS = ((40, 24), (10, 6))
IMAGE_HW = np.array((40.0, 24.0))
BOXES = np.array(
    [
        (3.2, 4.1, 9.7, 15.3),
        (0.0, 0.0, 40.0, 24.0),
        (-6.5, -3.0, 31.0, 9.0),  # partly outside
        (20.0, 10.0, 47.3, 26.5),
        (5.0, 2.0, 39.0, 4.0),  # long and narrow
        (11.3, 7.7, 11.35, 7.8),  # tiny
        (39.5, 23.5, 40.0, 24.0),
        (0.0, 0.0, 0.0, 0.0),  # padding
    ],
    np.float32,
)


def make_features(channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(*hw, channels)).astype(np.float32) for hw in HWS]


def interpolate(values, y, x, cut):
    """The value of (H, W, C) at a point, moved onto the rectangle of the centres.

    It is 0 from more than a cell beyond on if `cut`, as in torchvision's compiled code.
    """
    height, width = values.shape[:2]
    if cut and not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    a, b = y - top, x - left
    return (
        (1 - a) * ((1 - b) * values[top, left] + b * values[top, right])
        + a * (1 - b) * values[bottom, left]
        + a * b * values[bottom, right]
    )


def pool_by_loops(values, box, stride, size, ratio, aligned):
    """He et al. 2017, Sec. 3, bin after bin and sample after sample, in float64."""
    values = values.astype(np.float64)
    y0, x0, y1, x1 = (float(c) / stride - (0.5 if aligned else 0.0) for c in box)
    height, width = y1 - y0, x1 - x0
    if not aligned:
        height, width = max(height, 1.0), max(width, 1.0)
    bins = np.zeros((size, size, values.shape[-1]))
    for i, j in itertools.product(range(size), repeat=2):
        for m, n in itertools.product(range(ratio), repeat=2):
            y = y0 + height / size * (i + (m + 0.5) / ratio)
            x = x0 + width / size * (j + (n + 0.5) / ratio)
            bins[i, j] += interpolate(values, y, x, not aligned) / ratio**2
    return bins


@functools.partial(jax.jit, static_argnames=("size", "ratio", "aligned", "looped"))
def align_batch(features, boxes, levels, size, ratio=2, aligned=True, looped=None):
    def align(features, boxes, levels):
        return roi_align(
            features,
            boxes,
            levels,
            STRIDES,
            size,
            ratio=ratio,
            aligned=aligned,
            looped=looped,
        )

    return jax.vmap(align)(features, boxes, levels)


def align_all_levels(features, boxes, size=3, **settings):
    """The bins of boxes of one image, first on level 0, then on level 1."""
    levels = np.repeat(np.arange(2), len(boxes))
    boxes = np.tile(boxes, (2, 1)).astype(np.float32)
    features = [f[None] for f in features]
    return align_batch(features, boxes[None], levels[None], size, **settings)[0]


def make_batch():
    """Two images, all boxes on all levels, in another order on the second."""
    pairs = zip(make_features(), make_features(seed=1), strict=True)
    features = [np.stack(pair) for pair in pairs]
    boxes = np.tile(BOXES, (2, 1))
    levels = np.repeat(np.arange(2, dtype=np.int32), len(BOXES))
    order = np.random.default_rng(2).permutation(len(boxes))
    batch = np.stack([boxes, boxes[order]]), np.stack([levels, levels[order]])
    return features, *map(jnp.asarray, batch)


@pytest.mark.parametrize("looped", [True, False])
@pytest.mark.parametrize(
    ("size", "ratio", "aligned"), [(3, 2, True), (4, 1, True), (3, 2, False)]
)
def test_roi_align_equals_loops_over_bins_and_samples(size, ratio, aligned, looped):
    features, boxes, levels = make_batch()
    bins = align_batch(features, boxes, levels, size, ratio, aligned, looped)
    assert bins.dtype == jnp.float32
    boxes, levels = np.asarray(boxes), np.asarray(levels)
    for index in np.ndindex(levels.shape):
        level = levels[index]
        values, stride = features[level][index[0]], STRIDES[level]
        expected = pool_by_loops(values, boxes[index], stride, size, ratio, aligned)
        np.testing.assert_allclose(bins[index], expected, atol=2e-5)


# torchvision 0.28, ops.roi_align._roi_align with a scale of 0.5 and two by two bins, of
# the features and boxes in the test: the bins of each of three boxes.
TORCHVISION = {
    (True, 1): [
        [6.50586, 6.15625, 6.25195, 6.39648],
        [1.25, 2.5, 6.0, 5.44531],
        [7.0918, 6.93164, 7.58008, 7.33398],
    ],
    (True, 2): [
        [3.8811, 4.19788, 6.4497, 5.14172],
        [2.5, 3.1875, 4.76318, 5.09082],
        [7.0918, 6.93164, 7.58008, 7.33398],
    ],
    (False, 1): [
        [6.34375, 6.71875, 4.84375, 5.21875],
        [2.5, 1.25, 5.25, 4.0],
        [2.5, 2.5, 0.5, 0.5],
    ],
    (False, 2): [
        [4.02417, 3.72021, 5.34534, 5.82959],
        [3.39844, 2.71094, 4.90088, 5.25537],
        [2.875, 2.5, 0.875, 0.5],
    ],
}


@pytest.mark.parametrize(("aligned", "ratio"), TORCHVISION)
def test_roi_align_equals_torchvision(aligned, ratio):
    y, x = np.mgrid[:9, :12]
    features = ((7 * y + 3 * x * x) % 11).astype(np.float32)[..., None]
    boxes = np.array(
        [(1.5, 2.25, 14, 20.5), (-3, -2, 6.5, 25), (8.25, 9.5, 8.75, 9.75)], np.float32
    )
    levels = np.zeros(3, np.int32)
    looped = ratio == 2  # either form once for each alignment
    bins = jax.jit(
        lambda *arrays: roi_align(
            *arrays, [2], 2, ratio=ratio, aligned=aligned, looped=looped
        )
    )([features], boxes, levels)
    expected = np.reshape(TORCHVISION[aligned, ratio], (3, 2, 2, 1))
    np.testing.assert_allclose(bins, expected, atol=1e-4)


@pytest.mark.parametrize("looped", [True, False])
def test_roi_align_gives_a_linear_ramp_exactly_at_the_centres_of_bins(looped):
    # All numbers are sums of few powers of two: no rounding is excused.
    ramp = [
        np.add.outer(
            3 * stride * (np.arange(h) + 0.5), -0.5 * stride * (np.arange(w) + 0.5)
        )[..., None].astype(np.float32)
        for stride, (h, w) in zip(STRIDES, HWS, strict=True)
    ]
    boxes = np.array([(2, 3, 34, 19), (4, 2, 6, 18), (8.5, 7.25, 24.5, 15.25)], "f4")
    step = (np.arange(4) + 0.5) / 4
    y = boxes[:, :1] + step * (boxes[:, 2:3] - boxes[:, :1])
    x = boxes[:, 1:2] + step * (boxes[:, 3:] - boxes[:, 1:2])
    expected = 3 * y[:, :, None] - 0.5 * x[:, None, :]
    bins = align_all_levels(ramp, boxes, size=4, looped=looped)
    np.testing.assert_array_equal(bins[..., 0], np.tile(expected, (2, 1, 1)))


@pytest.mark.parametrize("aligned", [True, False])
def test_moving_image_and_boxes_together_changes_nothing(aligned):
    features = make_features()
    moved = [np.roll(f, 4 // s, axis=0) for f, s in zip(features, STRIDES, strict=True)]
    boxes = np.array([(6.1, 4.3, 30.2, 19.9), (8.7, 5.5, 14.1, 9.0)])
    bins = align_all_levels(features, boxes, aligned=aligned)
    again = align_all_levels(moved, boxes + (4, 0, 4, 0), aligned=aligned)
    np.testing.assert_allclose(again, bins, atol=1e-5)


def test_mirroring_image_and_boxes_mirrors_the_bins_only_if_aligned():
    features = make_features()
    mirrored = [f[:, ::-1] for f in features]
    width = IMAGE_HW[1]
    boxes = BOXES[:2].astype(np.float64)
    mirrored_boxes = boxes[:, [0, 3, 2, 1]] * (1, -1, 1, -1) + (0, width, 0, width)
    for aligned in (True, False):
        bins = align_all_levels(features, boxes, aligned=aligned)
        again = align_all_levels(mirrored, mirrored_boxes, aligned=aligned)
        again = again[:, :, ::-1]
        difference = jnp.abs(again - bins).max()
        assert difference < 1e-5 if aligned else difference > 0.5


@pytest.mark.parametrize("looped", [True, False])
@pytest.mark.parametrize("aligned", [True, False])
def test_the_gradient_is_that_of_differences_of_the_loops(looped, aligned):
    rng = np.random.default_rng(3)
    hws = ((19, 4), (9, 2))
    features = [rng.normal(size=(*hw, 1)).astype(np.float32) for hw in hws]
    boxes = np.array(
        [(0, 0.4, 19, 3.9), (2.2, 1, 3, 2.5), (1.5, 0.3, 17, 4.9), (4, 1, 4.1, 1.1)],
        np.float32,
    )
    levels = np.array([0, 0, 1, 1])
    dy = rng.normal(size=(4, 3, 3, 1)).astype(np.float32)

    def loss(features, boxes):
        bins = roi_align(
            features, boxes, levels, (1, 2), 3, aligned=aligned, looped=looped
        )
        return (bins * dy).sum()

    gradient, by_boxes = jax.jit(jax.grad(loss, (0, 1)))(features, boxes)
    for level, hw in enumerate(hws):
        expected = np.zeros((*hw, 1))
        # The bins are linear in the features: a difference is exact for a step of one.
        for cell in np.ndindex(*hw):
            unit = np.zeros((*hw, 1))
            unit[cell] = 1
            for i in np.flatnonzero(levels == level):
                bins = pool_by_loops(unit, boxes[i], 2**level, 3, 2, aligned)
                expected[cell] += (bins * dy[i]).sum()
        np.testing.assert_allclose(gradient[level], expected, atol=1e-5)
    np.testing.assert_array_equal(by_boxes, 0)


def test_both_forms_have_the_same_gradient_for_batches_of_batches():
    features, boxes, levels = make_batch()
    one = [f[0] for f in features]
    dy = np.random.default_rng(4).normal(size=(2, 2, 8, 3, 3, 3)).astype(np.float32)
    boxes, levels = boxes.reshape(2, 2, 8, 4), levels.reshape(2, 2, 8)

    def loss(features, looped):
        def align(boxes, levels):
            return roi_align(features, boxes, levels, STRIDES, 3, looped=looped)

        # The features have no axis of their own here.
        return (jax.vmap(jax.vmap(align))(boxes, levels) * dy).sum()

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    for a, b in zip(gradient(one, True), gradient(one, False), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


STRIPS_STRIDES = (2, 4, 8)
WIDE_HWS, NARROW_HWS = ((40, 70), (20, 35), (10, 18)), ((32, 16), (16, 8), (8, 4))


def make_short_boxes():
    """Boxes of any size on the levels that they are assigned, and some not used."""
    rng = np.random.default_rng(5)
    # As long as may be, from every place of a strip on, at both edges and beyond.
    boxes = [(3, 2 * x, 9, 2 * x + 28) for x in np.arange(-2.0, 58.0, 0.75)]
    boxes += [(y, 0, y + 28, 2) for y in (-1.0, 0.5, 52.0, 60.0)]
    boxes += [(0, 0, 80, 140), (30, 1, 31, 139), (0, 0, 0, 0), (80, 140, 80, 140)]
    corner = rng.uniform(-10, 130, (30, 2))
    sizes = rng.uniform(0, 1, (30, 2)) ** 2 * 120
    boxes = np.concatenate([boxes, np.hstack([corner, corner + sizes])])
    boxes = boxes.astype(np.float32)
    levels = assign_levels(boxes, STRIPS_STRIDES, torchvision=False)
    assert set(np.asarray(levels)) == {0, 1, 2}
    return boxes, levels.at[::7].set(3)


def differentiate_short_boxes(hws, dtype, size, **settings):
    boxes, levels = make_short_boxes()
    rng = np.random.default_rng(6)
    dy = rng.normal(size=(len(boxes), size, size, 3)).astype(np.float32)
    dy[3] *= 100  # a hot one

    def loss(features):
        bins = roi_align(features, boxes, levels, STRIPS_STRIDES, size, **settings)
        return (bins.astype(jnp.float32) * dy).sum()

    gradient = jax.jit(jax.grad(loss))([jnp.zeros((*hw, 3), dtype) for hw in hws])
    return [g.astype(jnp.float32) for g in gradient]


@pytest.mark.parametrize(("size", "aligned"), [(7, True), (14, True), (7, False)])
@pytest.mark.parametrize("hws", [WIDE_HWS, NARROW_HWS])
@pytest.mark.parametrize("strips", [(16, 2), (70, 1)])
def test_the_gradient_is_the_same_in_strips_of_any_width(
    strips, hws, size, aligned, monkeypatch
):
    monkeypatch.setattr(
        roi_at_once, "choose_strips", lambda *_, **__: roi_at_once.Strips(*strips)
    )
    found, expected = (
        differentiate_short_boxes(hws, "float32", size, aligned=aligned, looped=looped)
        for looped in (False, True)
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_strips_are_narrow_where_short_boxes_fit_and_products_are_fast():
    def choose(hws, dtype="bfloat16", short=True):
        return roi_at_once.choose_strips(hws, jnp.dtype(dtype), short=short)

    assert choose(WIDE_HWS) == (16, 2)
    # The last level takes boxes of any size.
    assert choose(WIDE_HWS[:2]) == (70, 1)
    assert choose(WIDE_HWS, short=False) == (70, 1)
    assert choose(WIDE_HWS, dtype="float32") == (70, 1)


def test_the_gradient_of_short_boxes_in_bfloat16_is_close_to_the_loops():
    found = differentiate_short_boxes(WIDE_HWS, "bfloat16", 7, short=True, looped=False)
    exact = differentiate_short_boxes(WIDE_HWS, "float32", 7, looped=True)
    for ours, theirs in zip(found, exact, strict=True):
        # Weights, what lies along rows and the result are rounded to 8 bits.
        np.testing.assert_allclose(ours, theirs, atol=0.02 * jnp.abs(theirs).max())


def traced(looped, plain=False):
    features, boxes, levels = make_batch()

    def loss(features):
        # A new function each time, for jax remembers what it has traced.
        align = functools.partial(
            roi_align, strides=STRIDES, size=3, ratio=2, looped=looped
        )
        return jax.vmap(align)(features, boxes, levels).sum()

    if plain:
        with plain_operations():
            return str(jax.make_jaxpr(jax.grad(loss))(features))
    return str(jax.make_jaxpr(jax.grad(loss))(features))


def test_the_loop_is_the_choice_on_cpus_but_not_in_plain_programs():
    assert "while" in traced(None)
    assert "while" not in traced(None, plain=True)


def test_without_the_loop_the_gradient_scatters_nothing():
    assert "scatter" not in traced(False)
    assert "dot_general" in traced(False)


@pytest.mark.parametrize("looped", [True, False])
def test_bfloat16_stays_bfloat16_and_is_close(looped):
    features, boxes, levels = make_batch()
    halves = [jnp.asarray(f, jnp.bfloat16) for f in features]
    exact = [np.asarray(f, np.float32) for f in halves]
    bins = align_batch(halves, boxes, levels, 3, looped=looped)
    assert bins.dtype == jnp.bfloat16
    expected = align_batch(exact, boxes, levels, 3, looped=looped)
    np.testing.assert_allclose(bins.astype(jnp.float32), expected, atol=0.02)


@pytest.mark.parametrize("looped", [True, False])
def test_a_box_that_is_no_number_ends_and_spoils_no_other(looped):
    features, boxes, levels = make_batch()
    spoilt = boxes.at[0, 1].set(np.nan)
    expected = np.asarray(align_batch(features, boxes, levels, 3, looped=looped))
    bins = np.array(align_batch(features, spoilt, levels, 3, looped=looped))
    bins[0, 1] = expected[0, 1]
    np.testing.assert_array_equal(bins, expected)


def test_assign_levels_takes_the_finest_on_which_a_box_spans_14_cells():
    sides = [(3, 28), (28, 28), (28.5, 5), (56, 2), (2, 57), (112, 1), (113, 1), (0, 0)]
    boxes = np.array([(4, 5, 4 + h, 5 + w) for h, w in sides], np.float32)
    levels = assign_levels(boxes, (2, 4, 8), torchvision=False)
    np.testing.assert_array_equal(levels, [0, 0, 1, 1, 2, 2, 2, 0])
    assert levels.dtype == jnp.int32


def test_assign_levels_equals_torchvision():
    sides = [(112, 111.9), (112, 112), (56, 224), (60, 300), (224, 224), (448, 448)]
    sides += [(2, 2), (1200, 1200)]
    boxes = np.array([(0, 0, h, w) for h, w in sides], np.float32)
    # torchvision 0.28, ops.poolers.LevelMapper(2, 5).
    expected = [0, 1, 1, 1, 2, 3, 0, 3]
    levels = assign_levels(boxes, (4, 8, 16, 32), torchvision=True)
    np.testing.assert_array_equal(levels, expected)
    empty = assign_levels(np.zeros((1, 4), "f4"), (4, 8, 16, 32), torchvision=True)
    np.testing.assert_array_equal(empty, [0])


@pytest.mark.parametrize("looped", [True, False])
def test_boxes_that_are_not_used_have_no_features_and_no_gradient(looped):
    features = [jnp.asarray(values) for values in make_features()]
    boxes = jnp.asarray(BOXES[:4])

    @jax.jit
    def pool(features, levels):
        def total(features):
            found = roi_align(features, boxes, levels, STRIDES, 2, looped=looped)
            return jnp.sum(found**2), found

        return jax.grad(total, has_aux=True)(features)

    # There are two levels.
    gradients, found = pool(features, jnp.array([0, 2, 1, 2]))
    both = [
        pool(features, jnp.array(levels)) for levels in ([0, 2, 2, 2], [2, 2, 1, 2])
    ]
    np.testing.assert_array_equal(found[1::2], 0)
    assert found[0].any()
    assert found[2].any()
    # Each box adds what it adds alone.
    np.testing.assert_allclose(found, both[0][1] + both[1][1], atol=1e-6)
    for whole, first, second in zip(gradients, both[0][0], both[1][0], strict=True):
        np.testing.assert_allclose(whole, first + second, atol=1e-5)
