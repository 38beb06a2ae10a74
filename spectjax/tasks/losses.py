"""Losses: pure functions from logits and labels to one value for each image.

Batch, height, width and class axes are B, H, W and K; class 0 is background. A loss
has shape (B,), so that the caller can leave out padded images before it averages.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from spectjax.system.messages import UserError


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: Sequence[float] | None = None,
) -> jax.Array:
    """Returns the cross-entropy of each image, averaged over its pixels if they count.

        L_b = -sum_hw w[label] log softmax(logits)[label] / sum_hw w[label]

    where all w are 1 unless they are given. Of a label of the whole image the loss is
    -w[label] log softmax(logits)[label].

    [P1] does not name its loss; this is the one of the U-Net that it builds on. [P2]
    speaks of the training error e (Eq. 3) of a network that ends in a soft-max.

    Args:
        logits: unnormalised scores, float, (B, H, W, K) or (B, K).
        labels: class indices in [0, K), integer, (B, H, W) or (B,).
        class_weights: w > 0, K numbers.

    Returns:
        Loss in nats, float32, (B,).

    Raises:
        ValueError: if the shapes do not match, K < 2, or w has not K numbers above 0.
    """
    _check_shapes(logits, labels)
    targets = jax.nn.one_hot(labels, logits.shape[-1])
    losses = optax.softmax_cross_entropy(logits.astype(jnp.float32), targets)
    if class_weights is None:
        return jnp.mean(losses.reshape(losses.shape[0], -1), axis=1)
    if len(class_weights) != logits.shape[-1] or min(class_weights) <= 0:
        raise UserError(
            f"Expected {logits.shape[-1]} class weights above 0, got {class_weights}."
        )
    weights = targets @ jnp.array(class_weights, jnp.float32)
    if labels.ndim == 1:
        return weights * losses
    within = tuple(range(1, labels.ndim))
    return jnp.sum(weights * losses, within) / jnp.sum(weights, within)


def soft_dice(
    logits: jax.Array, labels: jax.Array, *, smooth: float = 1.0
) -> jax.Array:
    """Returns one minus the soft Dice coefficient, averaged over the lesions' classes.

    With p = softmax(logits) and t = one_hot(labels),

        L_b = 1 - mean_k (2 sum_hw p t + s) / (sum_hw p + sum_hw t + s)

    over the classes k > 0 that the image's labels hold; 0 if they hold none. The sums
    run within an image: its loss does not depend on the rest of the batch. Overlap with
    a class that is not there has no meaning, and asking for it would make a model that
    learns from many images without lesion mark nothing at all; false pixels are left
    to the cross-entropy.

    Args:
        logits: unnormalised scores, float, (B, H, W, K).
        labels: class indices in [0, K), integer, (B, H, W).
        smooth: s, in pixels; softens the ratio of the smallest lesions.

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
    present = jnp.any(targets > 0, axis=(1, 2))  # (B, K-1)
    missed = 1 - (2 * overlap + smooth) / (total + smooth)
    n_present = jnp.sum(present, axis=-1)
    return jnp.sum(jnp.where(present, missed, 0), -1) / jnp.maximum(n_present, 1)


def dice_cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: Sequence[float] | None = None,
) -> jax.Array:
    """Returns `cross_entropy` + `soft_dice`, float32, (B,)."""
    return cross_entropy(logits, labels, class_weights=class_weights) + soft_dice(
        logits, labels
    )


def _check_shapes(logits: jax.Array, labels: jax.Array) -> None:
    if logits.shape[:-1] != labels.shape or logits.shape[-1] < 2:
        raise ValueError(
            "Expected logits (B, ..., K>=2) and labels (B, ...), got "
            f"{logits.shape} and {labels.shape}."
        )


# That of instances has five parts, see `spectjax.tasks.hotspots.detection_losses`.
LOSSES: dict[str, Callable[..., jax.Array]] = {
    "cross_entropy": cross_entropy,
    "dice_cross_entropy": dice_cross_entropy,
}
