"""The five losses of Mask R-CNN (Ren et al., 2015; He et al., 2017).

Of B images with S sampled anchors, R regions of which the first F may hold lesions, and
K classes. Each is a sum over what was sampled in all images over its number, as in
torchvision, so an image without lesions teaches what background looks like.
"""

import jax
import jax.numpy as jnp
import optax

from spectjax.models.learning_targets import Training

_BETA = 1 / 9  # pixels of scaled deltas, as in torchvision


def compute_detection_losses(
    found: Training, valid: jax.Array, axis_name: str | None = None
) -> dict[str, jax.Array]:
    """Returns the five losses, whose sum is Mask R-CNN's, each float32, ().

    `rpn_objectness`: binary cross-entropy of the sampled anchors; `rpn_box`: smooth L1
    of the deltas of those that are lesions, over the number of all samples;
    `box_class`: cross-entropy of the regions; `box_delta`: smooth L1 of the deltas of
    those that are lesions, over the number of all regions; `mask`: binary cross-entropy
    of the pixels of their masks. A loss without samples is 0.

    Args:
        found: what they compare.
        valid: images that count, bool, (B,).
        axis_name: mapped axis over which the batch is split, if it is: the mean over it
            of what this returns is the loss of the whole batch.
    """
    sampled = found.anchors_valid & valid[:, None]
    positive = sampled & found.anchor_positive
    regions = found.regions_valid & valid[:, None]
    lesions = regions & (found.labels > 0)
    masks = lesions[:, : found.mask_logits.shape[1]]

    def average(losses: jax.Array, used: jax.Array, over: jax.Array) -> jax.Array:
        """Returns the sum of the used losses over a number of samples."""
        count = jnp.sum(over).astype(jnp.float32)
        if axis_name is not None:
            count = jax.lax.pmean(count, axis_name)
        # A part of one, where a device has fewer samples than there are devices.
        count = jnp.where(count > 0, count, 1.0)
        return jnp.sum(jnp.where(used, losses, 0.0)) / count

    classes = jax.nn.one_hot(found.labels, found.logits.shape[-1])
    return {
        "rpn_objectness": average(
            optax.sigmoid_binary_cross_entropy(found.objectness, positive),
            sampled,
            sampled,
        ),
        "rpn_box": average(
            smooth_l1(found.anchor_deltas, found.anchor_targets), positive, sampled
        ),
        "box_class": average(
            optax.softmax_cross_entropy(found.logits, classes), regions, regions
        ),
        "box_delta": average(smooth_l1(found.deltas, found.targets), lesions, regions),
        "mask": average(
            jnp.mean(
                optax.sigmoid_binary_cross_entropy(
                    found.mask_logits, found.mask_targets
                ),
                (-2, -1),
            ),
            masks,
            masks,
        ),
    }


def smooth_l1(deltas: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns Huber's loss over its width 1/9, summed over the four deltas of a box.

    Args:
        deltas: float32, (..., 4).
        targets: likewise.
    """
    # Not optax.huber_loss: its last bit differs, and trainings with it go other ways.
    distance = jnp.abs(deltas - targets)
    near = jnp.minimum(distance, _BETA)
    return jnp.sum(near * (distance - near / 2) / _BETA, axis=-1)
