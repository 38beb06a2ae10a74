"""Draws of foreground and background boxes for the losses of a detector.

Ren et al. 2015, 3.1.3: a fixed number of boxes of an image, of which foreground fills
at most a share; background takes what foreground leaves. Every box of a kind is equally
likely. Anchors are N, proposals M.
"""

import jax
import jax.numpy as jnp


def sample_anchors(
    key: jax.Array,
    foreground: jax.Array,
    background: jax.Array,
    count: int,
    max_foreground: int,
) -> tuple[jax.Array, jax.Array]:
    """Returns which anchors are drawn as foreground and as background.

    Args:
        key: of this image alone.
        foreground: bool, (N,).
        background: bool, (N,), nowhere true together with `foreground`.
        count: of anchors drawn; fewer only if there are not as many.
        max_foreground: of them, at most `count`.

    Returns:
        Each bool, (N,).
    """
    # One number serves both kinds, as no anchor is of both.
    numbers = _draw_numbers(key, foreground.size)
    drawn = _take_largest(numbers, foreground, max_foreground)
    # Background fills what foreground leaves, which may be all.
    left = count - jnp.sum(drawn, dtype=jnp.int32)
    return drawn, _take_largest(numbers, background, count, left)


def sample_rois(
    key: jax.Array,
    foreground: jax.Array,
    background: jax.Array,
    count: int,
    max_foreground: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns which proposals are drawn, foreground first.

    Args:
        key: of this image alone.
        foreground: bool, (M,).
        background: bool, (M,), nowhere true together with `foreground`.
        count: of rows of the result, R, more than M if need be.
        max_foreground: rows of foreground, at most `count`.

    Returns:
        Index of the proposal, int32, (R,), 0 in rows that are not valid; whether it is
        foreground, bool, (R,); whether the row holds a proposal, bool, (R,).
    """
    drawn, others = sample_anchors(key, foreground, background, count, max_foreground)
    rank = jnp.where(drawn, 2.0, jnp.where(others, 1.0, 0.0))
    rank, index = jax.lax.top_k(rank, min(count, rank.size))
    rank, index = (jnp.pad(x, (0, count - x.size)) for x in (rank, index))
    valid = rank > 0
    return jnp.where(valid, index, 0), rank > 1, valid


def _draw_numbers(key: jax.Array, size: int) -> jax.Array:
    """Returns positive random numbers of which any order is equally likely, (size,).

    They are floats because XLA:CPU finds the largest of them 70 times as fast as of
    integers, and made of 30 random bits because those of `jax.random.uniform` have 23:
    of 100,000 anchors the last one drawn and the next would be equal in one image of a
    hundred, and the order of the anchors would decide.
    """
    bits = jax.random.bits(key, (size,), jnp.uint32) >> 2
    smallest = jnp.uint32(1 << 23)  # bits of the first float that is not subnormal
    return jax.lax.bitcast_convert_type(bits + smallest, jnp.float32)


def _take_largest(
    numbers: jax.Array,
    eligible: jax.Array,
    most: int,
    quota: jax.Array | int | None = None,
) -> jax.Array:
    """Returns the eligible elements whose numbers are largest.

    Args:
        numbers: positive, float32, (N,).
        eligible: bool, (N,).
        most: how many to take at most.
        quota: the same, if it is not known before, int32, ().

    Returns:
        bool, (N,).
    """
    most = min(most, eligible.size)
    values, index = jax.lax.top_k(jnp.where(eligible, numbers, 0), most)
    taken = values > 0
    if quota is not None:
        taken &= jnp.arange(most, dtype=jnp.int32) < quota
    return jnp.zeros_like(eligible).at[index].set(taken, unique_indices=True)
