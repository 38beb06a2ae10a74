"""Which true box each box of a detector answers to.

Boxes are N, true boxes G, of which some rows may be padding.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from spectjax.ops.backend import find_platform

# One overlap may be computed twice, in different order, by a compiled program: equality
# would then miss a truth's best boxes.
_TIE = 1 - 1e-5


class Match(NamedTuple):
    """What boxes answer to; those neither foreground nor background are ignored.

    Attributes:
        index: of the true box that overlaps most, the first of several, 0 if there is
            no truth, int32, (N,).
        foreground: bool, (N,).
        background: bool, (N,).
    """

    index: jax.Array  # type: ignore[assignment]  # hides tuple.index
    foreground: jax.Array
    background: jax.Array


def match(
    iou: Callable[[jax.Array], jax.Array],
    valid: jax.Array,
    *,
    foreground_iou: float,
    background_iou: float,
    low_quality: bool,
    looped: bool | None = None,
) -> Match:
    """Divides boxes into foreground, background and ignored (Ren et al. 2015, 3.1.2).

    Foreground overlaps a true box by at least `foreground_iou`, background overlaps
    each by less than `background_iou`. With `low_quality` the boxes that overlap a true
    box most are foreground as well, all of several, so that every truth that any box
    touches has one; as in torchvision they answer to the truth that they themselves
    overlap most, which may be another one. (There, a truth that no box touches makes
    every box foreground; here it has none.) Without truth all boxes are background.

    Not differentiable.

    Args:
        iou: gives the intersection over union of all boxes, float32, (N,), with the
            true box of an index, int32, ().
        valid: which true boxes are truth and not padding, bool, (G,).
        foreground_iou: in (0, 1].
        background_iou: at most `foreground_iou`.
        low_quality: whether each truth also gets its best boxes.
        looped: take true boxes one after another, as many as the image has, which is
            faster on CPUs and their default, and not all at once: a GPU would wait for
            the host in each turn.
    """
    if looped is None:
        looped = find_platform() == "cpu"
    compare = _compare_one_by_one if looped else _compare_at_once
    index, largest, is_best = compare(iou, valid)
    foreground = largest >= foreground_iou
    if low_quality:
        foreground |= is_best
    return Match(index, foreground, (largest < background_iou) & ~foreground)


def _compare_at_once(
    iou: Callable[[jax.Array], jax.Array], valid: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns what `_compare_one_by_one` does."""

    def overlap(truths: jax.Array) -> jax.Array:
        return jnp.where(valid[:, None], jax.vmap(iou)(truths), -1.0)

    truths = jnp.arange(valid.size, dtype=jnp.int32)
    best = jnp.max(overlap(truths), axis=1, keepdims=True)
    # Computed anew, and all in one sum: else XLA writes the overlaps for its readers.
    truths, best = jax.lax.optimization_barrier((truths, best))
    overlaps = overlap(truths)
    is_best = (overlaps >= best * _TIE) & (best > 0)
    places = jax.lax.broadcasted_iota(jnp.int32, overlaps.shape, 0)
    return jax.lax.reduce(
        (places, overlaps, is_best),
        (jnp.int32(valid.size), jnp.float32(-jnp.inf), False),
        _choose,
        (0,),
    )


def _choose(
    a: tuple[jax.Array, ...], b: tuple[jax.Array, ...]
) -> tuple[jax.Array, ...]:
    """Returns index and overlap of the larger or first, and whether either is best."""
    first = (a[1] > b[1]) | ((a[1] == b[1]) & (a[0] < b[0]))
    index, largest = (jnp.where(first, x, y) for x, y in zip(a[:2], b[:2], strict=True))
    return index, largest, a[2] | b[2]


def _compare_one_by_one(
    iou: Callable[[jax.Array], jax.Array], valid: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns which true box overlaps each box most, how much, and who is best.

    Returns:
        Index of the true box, the first of several, int32, (N,); intersection over
        union with it, -1 without truth, float32, (N,); whether the box overlaps a true
        box most, all of several, bool, (N,).
    """
    n_boxes = jax.eval_shape(iou, jnp.int32(0)).size

    def take(
        g: jax.Array, state: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        index, largest, is_best = state
        of_truth = jnp.where(valid[g], iou(g), -1.0)
        best = jnp.max(of_truth)
        # Nothing is a best box of what no box touches.
        is_best |= (of_truth >= best * _TIE) & (best > 0)
        is_larger = of_truth > largest
        index = jnp.where(is_larger, g, index)
        return index, jnp.maximum(largest, of_truth), is_best

    return jax.lax.fori_loop(
        0,
        jnp.max(jnp.where(valid, jnp.arange(1, valid.size + 1), 0)),
        take,
        (
            jnp.zeros(n_boxes, jnp.int32),
            jnp.full(n_boxes, -1.0, jnp.float32),
            jnp.zeros(n_boxes, bool),
        ),
    )
