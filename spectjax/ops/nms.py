"""Non-maximum suppression: of boxes that overlap much, the best-scored stay.

Boxes are N.
"""

import jax
import jax.numpy as jnp

from spectjax.ops.boxes import measure_overlap

_TOGETHER = 32  # boxes that are settled in a turn, one bit of a word each


def suppress(
    boxes: jax.Array,
    valid: jax.Array,
    threshold: float,
    groups: jax.Array | None = None,
) -> jax.Array:
    """Returns which boxes greedy suppression keeps.

    A box is kept if no kept box before it overlaps it by more than the threshold. The
    number of turns depends on N alone: a GPU would wait for the host in each turn of a
    loop whose end depends on the boxes. It cannot be differentiated.

    Args:
        boxes: by falling score, float32, (N, 4).
        valid: which rows are boxes, bool, (N,); others are not kept and suppress none.
        threshold: intersection over union, in [0, 1].
        groups: boxes of different groups leave each other alone, int32, (N,).

    Returns:
        bool, (N,).
    """
    count = len(boxes)
    rest = -count % _TOGETHER
    boxes, left = jnp.pad(boxes, ((0, rest), (0, 0))), jnp.pad(valid, (0, rest))
    intersection, union = measure_overlap(boxes, boxes)
    # A quotient would be 0 / 0 for empty boxes.
    conflict = jnp.triu(intersection > threshold * union, k=1)
    if groups is not None:
        groups = jnp.pad(groups, (0, rest))
        conflict &= groups[:, None] == groups[None, :]

    def settle(turn: jax.Array, left: jax.Array) -> jax.Array:
        first = turn * _TOGETHER
        of_turn = jax.lax.dynamic_slice_in_dim(conflict, first, _TOGETHER)
        within = jax.lax.dynamic_slice_in_dim(of_turn, first, _TOGETHER, axis=1)
        here = jax.lax.dynamic_slice_in_dim(left, first, _TOGETHER)
        kept = _settle_word(here, within)
        return left & ~jnp.any(of_turn & kept[:, None], axis=0)

    return jax.lax.fori_loop(0, len(left) // _TOGETHER, settle, left)[:count]


def _settle_word(left: jax.Array, conflict: jax.Array) -> jax.Array:
    """Returns which of 32 boxes are kept, one after another, in one kernel of a GPU.

    Args:
        left: those that no box before them suppresses, bool, (32,).
        conflict: whether a box, in rows, suppresses a later one, bool, (32, 32).
    """
    place = jnp.arange(_TOGETHER, dtype=jnp.uint32)
    words = jnp.sum(
        conflict.astype(jnp.uint32) << place[None, :], axis=1, dtype=jnp.uint32
    )
    kept = jnp.sum(left.astype(jnp.uint32) << place, dtype=jnp.uint32)
    for box in range(_TOGETHER):
        kept &= ~(words[box] * ((kept >> box) & 1))
    return (kept >> place) & 1 != 0
