"""Non-maximum suppression: of boxes that overlap much, the best-scored stay.

Boxes are N.
"""

import jax
import jax.numpy as jnp

from spectjax.ops.boxes import measure_overlap


def suppress(
    boxes: jax.Array,
    valid: jax.Array,
    threshold: float,
    groups: jax.Array | None = None,
) -> jax.Array:
    """Returns which boxes greedy suppression keeps.

    A box is kept if no kept box before it overlaps it by more than the threshold. All
    boxes are tried at once and again with those that stayed, until nothing changes:
    each round settles at least the next link of every chain, so that the end is exactly
    what one box after another would give. It cannot be differentiated.

    Args:
        boxes: by falling score, float32, (N, 4).
        valid: which rows are boxes, bool, (N,); others are not kept and suppress none.
        threshold: intersection over union, in [0, 1].
        groups: boxes of different groups leave each other alone, int32, (N,).

    Returns:
        bool, (N,).
    """
    intersection, union = measure_overlap(boxes, boxes)
    # A quotient would be 0 / 0 for empty boxes.
    conflict = jnp.triu(intersection > threshold * union, k=1)
    if groups is not None:
        conflict &= groups[:, None] == groups[None, :]

    def is_unsettled(state: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.any(state[0] != state[1])

    def retry(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        kept = state[1]
        return kept, valid & ~jnp.any(conflict & kept[:, None], axis=0)

    return jax.lax.while_loop(is_unsettled, retry, (~valid, valid))[1]
