"""Which true box each box of a detector answers to.

Boxes are N, true boxes G, of which some rows may be padding.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

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
    iou: jax.Array,
    valid: jax.Array,
    *,
    foreground_iou: float,
    background_iou: float,
    low_quality: bool,
) -> Match:
    """Divides boxes into foreground, background and ignored (Ren et al. 2015, 3.1.2).

    Foreground overlaps a true box by at least `foreground_iou`, background overlaps
    each by less than `background_iou`. With `low_quality` the boxes that overlap a true
    box most are foreground as well, all of several, so that every truth that any box
    touches has one; as in torchvision they answer to the truth that they themselves
    overlap most, which may be another one. (There, a truth that no box touches makes
    every box foreground; here it has none.) Without truth all boxes are background.

    Args:
        iou: intersection over union, float32, (N, G).
        valid: which columns are truth and not padding, bool, (G,).
        foreground_iou: in (0, 1].
        background_iou: at most `foreground_iou`.
        low_quality: whether each truth also gets its best boxes.
    """
    iou = jnp.where(valid[None, :], iou, -1)
    best = jnp.max(iou, axis=0)
    # Nothing is a best box of what no box touches.
    enough = jnp.where(best > 0, best * _TIE, jnp.inf)
    # One truth after another, because XLA:CPU takes four times as long for an argmax.
    largest, is_best = iou[:, 0], iou[:, 0] >= enough[0]
    index = jnp.zeros(largest.shape, jnp.int32)
    for i in range(1, iou.shape[1]):
        is_larger = iou[:, i] > largest
        index = jnp.where(is_larger, i, index)
        largest = jnp.where(is_larger, iou[:, i], largest)
        is_best |= iou[:, i] >= enough[i]
    foreground = largest >= foreground_iou
    if low_quality:
        foreground |= is_best
    return Match(index, foreground, (largest < background_iou) & ~foreground)
