"""K-means clusters of brightness ([P1] Eq. 7), of many images at once.

Lloyd's algorithm on numbers: clusters of a line are intervals between the midpoints of
neighbouring centroids. So the values of an image are sorted once, with sums over the
first 1, 2, ... of them; then an iteration seeks K - 1 bounds and reads K sums, and its
cost hardly depends on the number of values.

The number of images is B, of values in each N, of clusters K, of restarts R, of
iterations T.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from spectjax.ops.sorted_values import (
    MAX_VALUES,
    SortedValues,
    add_up,
    sort_values,
)
from spectjax.system.messages import UserError

# Why a search ended: the numbers of the criteria in [P1].
SAME_POINTS, SAME_OBJECTIVE, MAX_ITERATIONS = 1, 2, 3
# Of the sum of squares about the image's mean: what float32 can tell at best.
_RESOLUTION = 2.0**-23


@struct.dataclass
class Clusters:
    """The clusters of B images, numbered from dark to bright.

    A cluster that has lost all of its values is empty: its size is 0 and its centroid
    nan. Empty clusters stand between the darkest and the second darkest one that has
    values: the darkest is 0, and if there are two, the brightest is K - 1. All values
    of a constant image are in cluster 0.

    Attributes:
        labels: the cluster of each value, int32, (B, N).
        centroids: in the unit of the values, float32, (B, K).
        sizes: numbers of values, int32, (B, K).
        objective: sum of squared distances to the nearest centroid ([P1] Eq. 7),
            float32, (B,).
        initial: the centroids that the search began with, ascending, float32, (B, K).
        iterations: how many it took, int32, (B,).
        stop: `SAME_POINTS`, `SAME_OBJECTIVE` or `MAX_ITERATIONS`, int32, (B,).
    """

    labels: jax.Array
    centroids: jax.Array
    sizes: jax.Array
    objective: jax.Array
    initial: jax.Array
    iterations: jax.Array
    stop: jax.Array


def find_clusters(
    values: jax.Array,
    key: jax.Array,
    *,
    num_clusters: int,
    restarts: int = 10,
    max_iterations: int = 300,
) -> Clusters:
    """Returns the best clusters of each image that random beginnings lead to.

    [P1] initialises centroids randomly, and does not say how; see `choose_centroids`.
    Of several searches the one with the lowest objective is kept, of equal ones the
    first.

    Args:
        values: finite, any integer or float dtype, (B, N).
        key: what is drawn for an image depends on it and on that image only.
        num_clusters: K >= 2.
        restarts: R >= 1, how many searches.
        max_iterations: T >= 1, of each of them.

    Raises:
        ValueError: if the shape or a number cannot be used.
    """
    _check(values, num_clusters, restarts=restarts, max_iterations=max_iterations)
    bits = jax.random.bits(key, (restarts, num_clusters))

    def find(values: jax.Array) -> Clusters:
        image = sort_values(values)
        return _refine(image, _draw(image, bits), max_iterations)

    return jax.vmap(find)(values)


def choose_centroids(
    values: jax.Array, key: jax.Array, *, num_clusters: int, restarts: int
) -> jax.Array:
    """Returns K different values of each image, drawn R times, as first centroids.

    Each of the values that occur in an image is equally likely, however often it does:
    most pixels of a scan are empty, and most centroids would lie among them. An image
    with fewer than K values gives all of them, and its largest as often as needed; the
    copies begin, and stay, empty.

    Args:
        values: finite, (B, N).
        key: what is drawn for an image depends on it and on that image only.
        num_clusters: K >= 2.
        restarts: R >= 1.

    Returns:
        Ascending, float32, (B, R, K).

    Raises:
        ValueError: if the shape or a number cannot be used.
    """
    _check(values, num_clusters, restarts=restarts)
    bits = jax.random.bits(key, (restarts, num_clusters))

    def draw(values: jax.Array) -> jax.Array:
        image = sort_values(values)
        return image.to_values(_draw(image, bits))

    return jax.vmap(draw)(values)


def refine_clusters(
    values: jax.Array, initial: jax.Array, *, max_iterations: int = 300
) -> Clusters:
    """Returns the best clusters of each image that given centroids lead to.

    A value in the middle between two centroids belongs to the darker one. An empty
    cluster keeps its centroid, and may get values again. A search ends as [P1] says:

        1. no value changes its cluster;
        2. the objective does not change: it falls by no more than 2^-23 of the sum of
           squares about the image's mean;
        3. after `max_iterations`.

    Args:
        values: finite, (B, N).
        initial: R sets of centroids for each image, (B, R, K).
        max_iterations: T >= 1.

    Raises:
        ValueError: if the shapes or a number cannot be used.
    """
    _check(values, initial.shape[-1], max_iterations=max_iterations)

    def refine(values: jax.Array, initial: jax.Array) -> Clusters:
        image = sort_values(values)
        return _refine(image, jnp.sort(image.to_levels(initial)), max_iterations)

    return jax.vmap(refine)(values, initial)


def trace_centroids(
    values: jax.Array, initial: jax.Array, *, max_iterations: int
) -> jax.Array:
    """Returns the centroids of one image before and after each iteration.

    Args:
        values: finite, (N,).
        initial: (K,).
        max_iterations: T >= 1.

    Returns:
        Ascending in each row, float32, (T + 1, K); the last ones again after the end.

    Raises:
        ValueError: if the shapes or a number cannot be used.
    """
    _check(values[None], initial.shape[-1], max_iterations=max_iterations)
    image = sort_values(values)
    first = jnp.sort(image.to_levels(initial))
    unchanged = _find_resolution(image)

    def advance(state: _Search, _: None) -> tuple[_Search, jax.Array]:
        new = _iterate(image, state, unchanged, max_iterations)
        state = jax.tree.map(lambda a, b: jnp.where(state.stop > 0, a, b), state, new)
        return state, state.centroids

    _, rows = jax.lax.scan(advance, _begin(first), length=max_iterations)
    return image.to_values(jnp.concatenate([first[None], rows]))


class _Search(NamedTuple):
    """Where a search is, in levels.

    Attributes:
        centroids: ascending, float32, (K,).
        edges: how many values the clusters below each bound had, int32, (K - 1,).
        iterations: int32, ().
        stop: 0 while it goes on, int32, ().
    """

    centroids: jax.Array
    edges: jax.Array
    iterations: jax.Array
    stop: jax.Array


def _draw(image: SortedValues, bits: jax.Array) -> jax.Array:
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


def _refine(image: SortedValues, initial: jax.Array, max_iterations: int) -> Clusters:
    """Returns the best clusters that R sets of centroids (R, K), in levels, lead to."""
    unchanged = _find_resolution(image)

    def search(centroids: jax.Array) -> _Search:
        return jax.lax.while_loop(
            lambda state: state.stop == 0,
            lambda state: _iterate(image, state, unchanged, max_iterations),
            _begin(centroids),
        )

    found = jax.vmap(search)(initial)
    best = jnp.argmax(jax.vmap(partial(_separate, image))(found))
    kept = jax.tree.map(lambda x: x[best], found)
    labels, centroids, sizes = _number(image, kept.centroids)
    return Clusters(
        labels=labels,
        centroids=image.to_values(centroids),
        sizes=sizes,
        objective=_measure(image, kept.centroids) * image.step**2,
        initial=image.to_values(initial[best]),
        iterations=kept.iterations,
        stop=kept.stop,
    )


def _find_resolution(image: SortedValues) -> jax.Array:
    """Returns by how much an objective may fall and count as the same, ()."""
    return _RESOLUTION * add_up(jnp.square(image.levels - image.mean()))


def _begin(centroids: jax.Array) -> _Search:
    nowhere = jnp.full(centroids.size - 1, -1, jnp.int32)
    zero = jnp.zeros((), jnp.int32)
    return _Search(centroids, nowhere, zero, zero)


def _iterate(
    image: SortedValues, state: _Search, unchanged: jax.Array, max_iterations: int
) -> _Search:
    """Attributes each value to the closest cluster, and moves clusters to the means."""
    edges = image.find_edges(_bound(state.centroids))
    sizes = image.count_between(edges)
    means = image.sum_between(edges) / jnp.maximum(sizes, 1)
    centroids = jnp.where(sizes > 0, means, state.centroids)
    fall = _measure_fall(image, state, edges, centroids)
    iterations = state.iterations + 1
    criteria = (
        (edges == state.edges).all(),
        # The first centroids are no means: there is no objective to compare with.
        (iterations > 1) & (fall <= unchanged),
        iterations == max_iterations,
    )
    reasons = jnp.array([SAME_POINTS, SAME_OBJECTIVE, MAX_ITERATIONS], jnp.int32)
    met = jnp.stack(criteria)
    stop = jnp.where(met.any(), reasons[jnp.argmax(met)], 0)
    return _Search(centroids, edges, iterations, stop)


def _bound(centroids: jax.Array) -> jax.Array:
    """Returns the highest level of each cluster but the brightest, int32, (K - 1,)."""
    return jnp.floor((centroids[1:] + centroids[:-1]) / 2).astype(jnp.int32)


def _measure_fall(
    image: SortedValues, state: _Search, edges: jax.Array, centroids: jax.Array
) -> jax.Array:
    """Returns by how much an iteration lowers the objective, ().

    The objective itself would lose, in float32, the digits that matter. It falls where
    values cross a bound between centroids a < b, each x from b to a by

        (x - b)^2 - (x - a)^2 = (a - b) (2 x - a - b),

    and where n values get a new mean m for the centroid c, by n (m - c)^2.
    """
    a, b = state.centroids[:-1], state.centroids[1:]
    start = jnp.maximum(state.edges, 0)
    crossing = (a - b) * (
        2 * image.sum_from_to(start, edges) - (edges - start) * (a + b)
    )
    moving = image.count_between(edges) * jnp.square(centroids - state.centroids)
    return jnp.sum(crossing) + jnp.sum(moving)


def _separate(image: SortedValues, state: _Search) -> jax.Array:
    """Returns the sum of squares between the clusters, ().

    It and the objective add up to the sum of squares about the image's mean, so the
    objective is lowest where it is highest.
    """
    sizes = image.count_between(state.edges)
    return jnp.sum(sizes * jnp.square(state.centroids - image.mean()))


def _measure(image: SortedValues, centroids: jax.Array) -> jax.Array:
    """Returns the sum of squared distances to the nearest centroid, ()."""
    distances = jnp.square(image.unsorted - centroids[0])
    for k in range(1, centroids.size):
        distances = jnp.minimum(distances, jnp.square(image.unsorted - centroids[k]))
    return add_up(distances)


def _number(
    image: SortedValues, centroids: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns labels (N,), centroids (K,) and sizes (K,), empty clusters moved."""
    bounds = _bound(centroids)
    sizes = image.count_between(image.find_edges(bounds))
    filled = sizes > 0
    darkest = filled & (jnp.cumsum(filled) == 1)
    order = jnp.argsort(jnp.where(darkest, 0, jnp.where(filled, 2, 1)), stable=True)
    numbers = jnp.argsort(order).astype(jnp.int32)
    labels = jnp.full(image.unsorted.shape, numbers[0])
    for k in range(1, centroids.size):
        labels = jnp.where(image.unsorted > bounds[k - 1], numbers[k], labels)
    return labels, jnp.where(filled, centroids, jnp.nan)[order], sizes[order]


def _check(values: jax.Array, num_clusters: int, **numbers: int) -> None:
    if values.ndim != 2 or not 0 < values.shape[1] < MAX_VALUES:
        raise ValueError(
            f"Expected values (B, N) with 0 < N < {MAX_VALUES}, got {values.shape}."
        )
    if num_clusters < 2:
        raise UserError(f"Expected 2 clusters or more, got {num_clusters}.")
    for name, number in numbers.items():
        if number < 1:
            raise UserError(f"Expected {name} of 1 or more, got {number}.")
