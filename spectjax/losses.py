"""Losses: pure functions from logits and labels to one value for each image.

Batch, height, width and class axes are B, H, W and K; class 0 is background. A loss
has shape (B,), so that the caller can leave out padded images before it averages.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the cross-entropy of each image, averaged over its pixels if they count.

        L_b = -mean_hw log softmax(logits)[label]

    [P1] does not name its loss; this is the one of the U-Net that it builds on. [P2]
    speaks of the training error e (Eq. 3) of a network that ends in a soft-max.

    Args:
        logits: unnormalised scores, float, (B, H, W, K) or (B, K).
        labels: class indices in [0, K), integer, (B, H, W) or (B,).

    Returns:
        Loss in nats, float32, (B,).

    Raises:
        ValueError: if the shapes do not match or K < 2.
    """
    _check_shapes(logits, labels)
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    targets = jax.nn.one_hot(labels, logits.shape[-1])
    losses = -jnp.sum(targets * log_probs, axis=-1)
    return jnp.mean(losses.reshape(losses.shape[0], -1), axis=1)


def soft_dice(
    logits: jax.Array, labels: jax.Array, *, smooth: float = 1.0
) -> jax.Array:
    """Returns one minus the soft Dice coefficient, averaged over foreground classes.

    With p = softmax(logits) and t = one_hot(labels),

        L_b = 1 - mean_{k>0} (2 sum_hw p t + s) / (sum_hw p + sum_hw t + s)

    The sums run within an image: its loss does not depend on the rest of the batch.

    Args:
        logits: unnormalised scores, float, (B, H, W, K).
        labels: class indices in [0, K), integer, (B, H, W).
        smooth: s, in pixels; keeps the ratio defined when a class is absent.

    Returns:
        Loss in [0, 1), float32, (B,).

    Raises:
        ValueError: if the shapes do not match or K < 2.
    """
    _check_shapes(logits, labels)
    probs = jax.nn.softmax(logits.astype(jnp.float32))[..., 1:]
    targets = jax.nn.one_hot(labels, logits.shape[-1])[..., 1:]
    overlap = jnp.sum(probs * targets, axis=(1, 2))  # (B, K-1)
    total = jnp.sum(probs + targets, axis=(1, 2))  # (B, K-1)
    dice = (2 * overlap + smooth) / (total + smooth)
    return 1 - jnp.mean(dice, axis=-1)


def dice_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns `cross_entropy` + `soft_dice`, float32, (B,)."""
    return cross_entropy(logits, labels) + soft_dice(logits, labels)


def _check_shapes(logits: jax.Array, labels: jax.Array) -> None:
    if logits.shape[:-1] != labels.shape or logits.shape[-1] < 2:
        raise ValueError(
            "Expected logits (B, ..., K>=2) and labels (B, ...), got "
            f"{logits.shape} and {labels.shape}."
        )


LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "cross_entropy": cross_entropy,
    "dice_cross_entropy": dice_cross_entropy,
}
# Those that fit the logits of each task.
LOSSES_OF = {
    "classification": ("cross_entropy",),
    "segmentation": ("cross_entropy", "dice_cross_entropy"),
}
