"""Values of an image in ascending order, with exact sums of any run of them.

Values become whole numbers, levels, in steps of a power of two that is at most 2^-21 of
the image's range. Counts are exact then, and so is every sum: it depends neither on the
machine nor on what else is in a batch. float32 sums of 65536 values would lose digits.

The number of values is N, of edges E; an edge e lies behind the first e values. K of
the levels that differ are drawn R times.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

MAX_VALUES = 1 << 20  # whose sums of half a level stay within 32 bits
_LEVEL_BITS = 22
_HALF_BITS = 11
_LANES = 256


class SortedValues(NamedTuple):
    """The N values of an image: low + step * level.

    Attributes:
        unsorted: levels in the order of the values, int32, (N,).
        levels: the same, ascending.
        halves: sums of the upper and the lower half of the first 0, 1, ..., N levels,
            int32, (2, N + 1).
        low: the smallest value, float32, ().
        step: float32, ().
    """

    unsorted: jax.Array
    levels: jax.Array
    halves: jax.Array
    low: jax.Array
    step: jax.Array

    def to_values(self, levels: jax.Array) -> jax.Array:
        """Returns levels in the unit of the values, float32."""
        return self.low + self.step * levels

    def to_levels(self, values: jax.Array) -> jax.Array:
        """Returns values as levels, not rounded, float32."""
        return (values.astype(jnp.float32) - self.low) / self.step

    def find_edges(self, bounds: jax.Array) -> jax.Array:
        """Returns behind how many values each bound lies, int32, (E,).

        Args:
            bounds: highest levels that lie before an edge, int32, (E,).
        """
        return jnp.searchsorted(self.levels, bounds, side="right").astype(jnp.int32)

    def count_between(self, edges: jax.Array) -> jax.Array:
        """Returns how many values lie between edges and the ends, int32, (E + 1,)."""
        return jnp.diff(edges, prepend=0, append=self.levels.size).astype(jnp.int32)

    def sum_between(self, edges: jax.Array) -> jax.Array:
        """Returns sums of levels between edges and the ends, float32, (E + 1,)."""
        ends = self.halves[:, -1:]
        return _join(jnp.diff(self.halves[:, edges], prepend=0, append=ends))

    def sum_from_to(self, start: jax.Array, end: jax.Array) -> jax.Array:
        """Returns sums of levels from edges to others, negative if backwards, (E,)."""
        return _join(self.halves[:, end] - self.halves[:, start])

    def mean(self) -> jax.Array:
        """Returns the mean level, float32, ()."""
        return _join(self.halves[:, -1]) / self.levels.size


def sort_values(values: jax.Array) -> SortedValues:
    """Sorts the values of one image.

    Args:
        values: finite, any integer or float dtype, (N,), N < `MAX_VALUES`.
    """
    values = values.astype(jnp.float32)
    low = values.min()
    # The range is less than 2^exponent, the largest level less than 2^_LEVEL_BITS.
    _, exponent = jnp.frexp(values.max() - low)
    step = jnp.ldexp(jnp.float32(1), exponent - _LEVEL_BITS)
    unsorted = jnp.round((values - low) / step).astype(jnp.int32)
    # XLA:CPU sorts whole numbers five times as fast as floats.
    levels = jax.lax.sort(unsorted, is_stable=False)
    halves = jnp.stack([levels >> _HALF_BITS, levels & ((1 << _HALF_BITS) - 1)])
    sums = jnp.pad(jnp.cumsum(halves, axis=1), ((0, 0), (1, 0)))
    return SortedValues(unsorted, levels, sums, low, step)


def draw_levels(image: SortedValues, bits: jax.Array) -> jax.Array:
    """Returns different levels, ascending, for random bits (R, K), float32, (R, K)."""
    new = jnp.concatenate([jnp.ones(1, bool), jnp.diff(image.levels) > 0])
    ranks = jnp.cumsum(new)  # of each value among those that differ, from 1
    chosen = jax.vmap(partial(_draw_ranks, ranks[-1]))(bits)
    return image.levels[jnp.searchsorted(ranks, chosen + 1)].astype(jnp.float32)


def _draw_ranks(count: jax.Array, bits: jax.Array) -> jax.Array:
    """Returns K of the numbers below `count`, all subsets equally likely, ascending.

    Floyd's way: it needs no list of the numbers. If they are too few, `count` - 1 fills
    up.
    """
    num_clusters = bits.size

    def add(i: jax.Array, ranks: jax.Array) -> jax.Array:
        last = count - num_clusters + i
        rank = bits[i] % (jnp.maximum(last, 0) + 1).astype(bits.dtype)
        rank = rank.astype(count.dtype)
        rank = jnp.where((ranks == rank).any(), last, rank)
        return ranks.at[i].set(jnp.where(last < 0, count - 1, rank))

    ranks = jnp.full(num_clusters, -1, count.dtype)
    return jnp.sort(jax.lax.fori_loop(0, num_clusters, add, ranks))


def add_up(x: jax.Array) -> jax.Array:
    """Returns the sum of (N,), float32, in lanes first: one by one loses digits."""
    lanes = jnp.pad(x, (0, -x.size % _LANES)).reshape(-1, _LANES)
    return jnp.sum(jnp.sum(lanes, axis=0))


def _join(halves: jax.Array) -> jax.Array:
    """Returns the numbers whose halves are (2, ...), float32."""
    return halves[0] * jnp.float32(1 << _HALF_BITS) + halves[1]
