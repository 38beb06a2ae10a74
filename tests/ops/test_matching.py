"""Tests of `spectjax.ops.matching`: a loop over Ren's rules, and torchvision."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops import matching


@pytest.fixture(params=[True, False], ids=["one by one", "at once"])
def match(request):
    """Matches by a table of all overlaps."""

    @functools.partial(jax.jit, static_argnames="low_quality")
    def match(iou, valid, **options):
        return matching.match(
            lambda g: iou[:, g], valid, looped=request.param, **options
        )

    return match


def match_by_rule(iou, valid, foreground_iou, background_iou, low_quality):
    """Ren et al. 2015, 3.1.2, one box after another; -1 background, -2 ignored."""
    n, g = iou.shape
    kinds, index = [], []
    for i in range(n):
        of_box = [iou[i, j] if valid[j] else -1 for j in range(g)]
        largest = max(of_box)
        index.append(of_box.index(largest))
        if largest >= foreground_iou:
            kinds.append(index[-1])
        else:
            kinds.append(-1 if largest < background_iou else -2)
    if low_quality:
        for j in range(g):
            best = iou[:, j].max()
            if valid[j] and best > 0:
                for i in np.flatnonzero(iou[:, j] == best):
                    kinds[i] = index[i]
    return np.array(kinds)


def to_kinds(result):
    """The same numbers from a `Match`."""
    index, foreground, background = (np.asarray(x) for x in result)
    assert index.dtype == np.int32 and not (foreground & background).any()
    return np.where(foreground, index, np.where(background, -1, -2))


def draw_ious(seed, n=40, g=5):
    """Multiples of 1/16, so that many are equal, and truth that few boxes touch."""
    draw = np.random.default_rng(seed)
    iou = draw.integers(0, 17, (n, g)) / 16 * (draw.random((n, g)) < 0.4)
    return np.minimum(iou, draw.choice([0, 0.25, 0.5, 1], g)).astype(np.float32)


@pytest.mark.parametrize("low_quality", [False, True])
def test_match_follows_the_rule(low_quality, match):
    draw = np.random.default_rng(0)
    for seed in range(60):
        iou, valid = draw_ious(seed), draw.random(5) < 0.7
        foreground, background = ((0.7, 0.3), (0.5, 0.25), (0.5, 0.5))[seed % 3]
        found = match(
            jnp.asarray(iou),
            jnp.asarray(valid),
            foreground_iou=foreground,
            background_iou=background,
            low_quality=low_quality,
        )
        expected = match_by_rule(iou, valid, foreground, background, low_quality)
        np.testing.assert_array_equal(to_kinds(found), expected)


# Truth 2 and 3 have no good box. 12 boxes; torchvision 0.28 gives what follows for
# Matcher(0.75, 0.375, allow_low_quality_matches).
EIGHTHS = np.array(
    [
        [7, 5, 2, 2],
        [2, 0, 0, 0],
        [1, 7, 2, 3],
        [4, 5, 2, 3],
        [5, 4, 2, 3],
        [0, 0, 0, 0],
        [3, 7, 2, 0],
        [6, 6, 2, 1],
        [0, 7, 0, 3],
        [0, 2, 2, 3],
        [3, 0, 0, 1],
        [0, 6, 2, 3],
    ]
)
TORCHVISION = {
    False: [0, -1, 1, -2, -2, -1, 1, 0, 1, -2, -2, 1],
    True: [0, -1, 1, 1, 0, -1, 1, 0, 1, 3, -2, 1],
}


@pytest.mark.parametrize("low_quality", [False, True])
def test_match_equals_that_of_torchvision(low_quality, match):
    found = match(
        jnp.float32(EIGHTHS / 8),
        jnp.ones(4, bool),
        foreground_iou=0.75,
        background_iou=0.375,
        low_quality=low_quality,
    )
    np.testing.assert_array_equal(to_kinds(found), TORCHVISION[low_quality])


@pytest.mark.parametrize("low_quality", [False, True])
def test_match_equals_the_matcher_of_an_installed_torchvision(low_quality, match):
    torch = pytest.importorskip("torch")
    detection = pytest.importorskip("torchvision.models.detection._utils")
    matcher = detection.Matcher(0.5, 0.25, low_quality)
    for seed in range(20):
        iou = draw_ious(seed, 60, 4)
        iou[0] = np.maximum(iou[0], 1 / 16)  # with a truth that no box touches we part
        found = match(
            jnp.asarray(iou),
            jnp.ones(4, bool),
            foreground_iou=0.5,
            background_iou=0.25,
            low_quality=low_quality,
        )
        expected = matcher(torch.from_numpy(iou.T.copy())).numpy()
        np.testing.assert_array_equal(to_kinds(found), expected)


def test_thresholds_belong_to_the_better_kind(match):
    iou = jnp.float32([[0.5], [0.4999], [0.25], [0.2499]])
    found = match(
        iou,
        jnp.ones(1, bool),
        foreground_iou=0.5,
        background_iou=0.25,
        low_quality=False,
    )
    np.testing.assert_array_equal(to_kinds(found), [0, -2, -2, -1])


def test_best_boxes_may_differ_by_rounding_and_by_no_more(match):
    iou = jnp.float32([[0.2], [0.2 * (1 - 3e-6)], [0.2 * (1 - 1e-4)], [0]])
    found = match(
        iou,
        jnp.ones(1, bool),
        foreground_iou=0.5,
        background_iou=0.3,
        low_quality=True,
    )
    np.testing.assert_array_equal(to_kinds(found), [0, 0, -1, -1])


@pytest.mark.parametrize("iou", [0, 0.9])
def test_without_truth_all_boxes_are_background(iou, match):
    found = match(
        jnp.full((7, 3), iou, jnp.float32),
        jnp.zeros(3, bool),
        foreground_iou=0.5,
        background_iou=0.3,
        low_quality=True,
    )
    np.testing.assert_array_equal(to_kinds(found), np.full(7, -1))
    np.testing.assert_array_equal(found.index, np.zeros(7))


def test_a_truth_that_no_box_touches_takes_none(match):
    found = match(
        jnp.float32([[0, 0.6], [0, 0], [0, 0.1]]),
        jnp.ones(2, bool),
        foreground_iou=0.5,
        background_iou=0.3,
        low_quality=True,
    )
    np.testing.assert_array_equal(to_kinds(found), [1, -1, -1])


def test_compiled_over_a_batch_it_gives_what_single_images_give(match):
    ious = np.stack([draw_ious(seed) for seed in range(3)])
    valid = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)
    found = jax.jit(
        jax.vmap(
            lambda iou, valid: match(
                iou,
                valid,
                foreground_iou=0.5,
                background_iou=0.25,
                low_quality=True,
            )
        )
    )(ious, valid)
    for i in range(3):
        expected = match_by_rule(ious[i], valid[i], 0.5, 0.25, True)
        single = jax.tree.map(lambda x, i=i: x[i], found)
        np.testing.assert_array_equal(to_kinds(single), expected)


def test_one_by_one_is_the_choice_on_cpus_alone():
    def trace():
        def choose(iou, valid):
            return matching.match(
                lambda g: iou[:, g],
                valid,
                foreground_iou=0.5,
                background_iou=0.3,
                low_quality=True,
            )

        shapes = (
            jax.ShapeDtypeStruct((3, 2), jnp.float32),
            jax.ShapeDtypeStruct((2,), bool),
        )
        return str(jax.make_jaxpr(choose)(*shapes))

    assert "while[" in trace()
    with jax.default_device("gpu"):
        assert "while[" not in trace()
