"""Tests of `spectjax.ops.sampling`: how many, none unwanted, all equally likely."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops import sampling

sample = jax.jit(sampling.sample, static_argnums=(3, 4))

N, TURNS = 40, 4000
FOREGROUND = np.arange(N) % 4 == 1  # 10
BACKGROUND = np.arange(N) % 4 >= 2  # 20


def first(n):
    return np.arange(N) < n


def last(n):
    return np.arange(N) >= N - n


@pytest.mark.parametrize(
    ("n_foreground", "n_background", "drawn"),
    [
        (10, 20, (4, 8)),
        (2, 20, (2, 10)),  # background takes what foreground leaves
        (0, 20, (0, 12)),
        (10, 3, (4, 3)),  # foreground has its share and no more
        (10, 0, (4, 0)),
        (2, 3, (2, 3)),
        (0, 0, (0, 0)),
    ],
)
def test_as_many_are_drawn_as_shares_and_boxes_allow(n_foreground, n_background, drawn):
    key = jax.random.key(0)
    kinds = first(n_foreground), last(n_background)
    index, positive, valid = map(np.asarray, sample(key, *kinds, 12, 4))
    assert (positive.sum(), (valid & ~positive).sum()) == drawn
    assert kinds[0][index[positive]].all()
    assert kinds[1][index[valid & ~positive]].all()
    # Those of lesions come first, rows without a box last.
    rank = valid.astype(int) + positive
    assert (np.diff(rank) <= 0).all() and not index[~valid].any()


def test_more_rows_than_boxes_are_filled_with_rows_that_are_not_valid(key):
    foreground = jnp.array([False, True, False, False])
    background = jnp.array([True, False, False, True])
    index, positive, valid = sample(key, foreground, background, 7, 3)
    np.testing.assert_array_equal(positive, [1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(valid, [1, 1, 1, 0, 0, 0, 0])
    assert index[0] == 1 and set(np.asarray(index[1:3])) == {0, 3}
    np.testing.assert_array_equal(index[3:], np.zeros(4))


@pytest.fixture(scope="module")
def samples():
    """What 4000 keys draw."""
    kinds = jnp.asarray(FOREGROUND), jnp.asarray(BACKGROUND)
    run = jax.jit(jax.vmap(lambda key: sampling.sample(key, *kinds, 12, 4)))
    return tuple(map(np.asarray, run(jax.random.split(jax.random.key(0), TURNS))))


def test_only_wanted_boxes_are_drawn_foreground_first_and_none_twice(samples):
    index, positive, valid = samples
    assert index.dtype == np.int32 and valid.all()
    np.testing.assert_array_equal(positive, np.tile(np.arange(12) < 4, (TURNS, 1)))
    assert FOREGROUND[index[:, :4]].all() and BACKGROUND[index[:, 4:]].all()
    assert np.diff(np.sort(index, axis=1), axis=1).all()


@pytest.mark.parametrize("kind", ["foreground", "background"])
def test_every_box_and_every_pair_of_a_kind_is_equally_likely(kind, samples):
    index, positive, _ = samples
    eligible, k = (FOREGROUND, 4) if kind == "foreground" else (BACKGROUND, 8)
    chosen = index[positive == (kind == "foreground")].reshape(TURNS, k)
    rows = np.zeros((TURNS, N), int)
    np.put_along_axis(rows, chosen, 1, axis=1)
    rows, n = rows[:, eligible], eligible.sum()
    # Under equal chances the sum has n - 1 degrees of freedom: 3.5 sigma.
    p = k / n
    squares = (rows.sum(axis=0) - TURNS * p) ** 2 / (TURNS * p * (1 - p))
    assert abs(squares.sum() * (n - 1) / n - (n - 1)) < 3.5 * np.sqrt(2 * (n - 1))
    p = k * (k - 1) / (n * (n - 1))
    both = (rows.T @ rows)[np.triu_indices(n, 1)]
    assert np.abs(both - TURNS * p).max() < 4.5 * np.sqrt(TURNS * p * (1 - p))


def test_the_place_of_an_anchor_does_not_matter_among_a_hundred_thousand(key):
    size, turns = 130560, 40
    background = np.arange(size) % (size // 100) > 0
    run = jax.vmap(lambda key: sampling.sample(key, ~background, background, 256, 50))
    index, positive, valid = map(np.asarray, jax.jit(run)(jax.random.split(key, turns)))
    assert valid.all() and (positive.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(background[index], ~positive)
    assert np.diff(np.sort(index, axis=1), axis=1).all()
    eighths = np.histogram(index[~positive], bins=8, range=(0, size))[0]
    expected = turns * 206 / 8
    assert np.abs(eighths - expected).max() < 4 * np.sqrt(expected)


def test_the_same_key_draws_the_same_and_another_key_something_else():
    def draw(seed):
        index, positive, _ = sample(jax.random.key(seed), FOREGROUND, BACKGROUND, 12, 4)
        return [set(np.asarray(index[kind])) for kind in (positive, ~positive)]

    assert draw(0) == draw(0)
    for seed in range(1, 6):
        assert all(a != b for a, b in zip(draw(0), draw(seed), strict=True))


def test_compiled_over_a_batch_it_gives_what_single_images_give(key):
    keys = jax.random.split(key, 3)
    foreground = jnp.asarray(np.stack([FOREGROUND, first(1), first(0)]))
    background = jnp.asarray(np.stack([BACKGROUND, last(5), last(30)]))

    def run(key, foreground, background):
        return sampling.sample(key, foreground, background, 12, 4)

    batch = jax.jit(jax.vmap(run))(keys, foreground, background)
    for i in range(3):
        single = run(keys[i], foreground[i], background[i])
        for found, expected in zip(batch, single, strict=True):
            np.testing.assert_array_equal(found[i], expected)
