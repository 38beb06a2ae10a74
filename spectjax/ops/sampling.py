"""Draws of foreground and background boxes for the losses of a detector.

Ren et al. 2015, 3.1.3: a fixed number of boxes of an image, of which foreground fills
at most a share; background takes what foreground leaves. Every box of a kind is equally
likely. Of N boxes S are drawn.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Sample(NamedTuple):
    """Boxes that are drawn, in S rows: foreground, background, and rows without a box.

    Attributes:
        index: of the box, 0 in rows without one, int32, (S,).
        foreground: bool, (S,).
        valid: whether the row holds a box, bool, (S,).
    """

    index: jax.Array  # type: ignore[assignment]  # hides tuple.index
    foreground: jax.Array
    valid: jax.Array


def sample(
    key: jax.Array,
    foreground: jax.Array,
    background: jax.Array,
    count: int,
    max_foreground: int,
) -> Sample:
    """Returns which boxes are drawn, none of them twice.

    Args:
        key: of this image alone.
        foreground: bool, (N,).
        background: bool, (N,), nowhere true together with `foreground`.
        count: S; it may exceed N.
        max_foreground: rows of foreground, at most `count`.
    """
    # One number serves both kinds, as no box is of both.
    numbers = _draw_numbers(key, foreground.size)
    first, n_first = _take_largest(numbers, foreground, max_foreground)
    others, n_others = _take_largest(numbers, background, count)
    row = jnp.arange(count, dtype=jnp.int32)
    # Background fills what foreground leaves, which may be all.
    index = jnp.where(
        row < n_first,
        first[jnp.minimum(row, first.size - 1)],
        others[jnp.clip(row - n_first, 0, others.size - 1)],
    )
    valid = row < n_first + n_others
    return Sample(jnp.where(valid, index, 0), row < n_first, valid)


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
    numbers: jax.Array, eligible: jax.Array, most: int
) -> tuple[jax.Array, jax.Array]:
    """Returns which eligible elements have the largest numbers, and how many they are.

    Args:
        numbers: positive, float32, (N,).
        eligible: bool, (N,).
        most: how many to take at most.

    Returns:
        Indices, of which so many count, int32, (min(most, N),); their number, int32,
        ().
    """
    chosen = jnp.where(eligible, numbers, 0)
    values, index = jax.lax.top_k(chosen, min(most, eligible.size))
    return index, jnp.sum(values > 0, dtype=jnp.int32)
