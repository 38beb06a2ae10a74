"""From what the heads say of proposals to detections, and its mirror image.

Of B images: level l has N_l anchors, P proposals are looked at, D detections are kept,
classes are K, background included. Boxes are in pixels of the network.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from spectjax.models.proposals import Proposals
from spectjax.ops import boxes as box_ops
from spectjax.ops.nms import suppress

# What deltas of the box head are multiplied with: they have a spread of about 1 then.
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
_MIN_SIZE = 1e-2  # height and width of a detection, pixels, as in torchvision
_CANDIDATES = 1000  # of an image that the last suppression looks at


class Detections(NamedTuple):
    """The lesions that are found in B images, by falling score.

    Attributes:
        boxes: pixels of the images, float32, (B, D, 4).
        scores: probability of the class, float32, (B, D).
        labels: class, 1 to K - 1, int32, (B, D).
        valid: whether there are so many, bool, (B, D).
        masks: probability of the lesion in each of 28x28 parts of its box, float32,
            (B, D, 28, 28).
    """

    boxes: jax.Array
    scores: jax.Array
    labels: jax.Array
    valid: jax.Array
    masks: jax.Array


def choose_detections(
    logits: jax.Array,
    deltas: jax.Array,
    found: Proposals,
    hw: tuple[int, int],
    *,
    min_score: float,
    nms_iou: float,
    count: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Returns the detections of one image, by falling score.

    Each proposal stands once for each class but background.

    Args:
        logits: of the proposals, float32, (P, K).
        deltas: of each class, float32, (P, K, 4).
        found: the proposals.
        hw: height and width of the image.
        min_score: probability that a detection exceeds.
        nms_iou: of two detections of a class with a larger IoU the surer one is kept.
        count: D, the most that are kept.

    Returns:
        Boxes (D, 4), scores (D,), labels, int32, (D,), and validity, bool, (D,).
    """
    scores = jax.nn.softmax(logits)[:, 1:]
    boxes = box_ops.decode(deltas[:, 1:], found.boxes[:, None], BOX_WEIGHTS)
    boxes = box_ops.clip(boxes, hw).reshape(-1, 4)
    large = jnp.all(boxes[:, 2:] - boxes[:, :2] >= _MIN_SIZE, axis=-1)
    sure = (scores > min_score) & found.valid[:, None]
    order = jnp.where(sure.ravel() & large, scores.ravel(), -jnp.inf)
    order, index = jax.lax.top_k(order, min(_CANDIDATES, len(order)))
    boxes, labels = boxes[index], 1 + index % scores.shape[1]
    kept = suppress(boxes, order > -jnp.inf, nms_iou, labels)
    order, best = jax.lax.top_k(jnp.where(kept, order, -jnp.inf), min(count, len(kept)))
    valid = order > -jnp.inf

    def fill(values: jax.Array) -> jax.Array:
        shape = (len(valid),) + (1,) * (values.ndim - 1)
        values = jnp.where(valid.reshape(shape), values, jnp.zeros_like(values))
        return jnp.pad(
            values, ((0, count - len(valid)),) + ((0, 0),) * (values.ndim - 1)
        )

    return fill(boxes[best]), fill(order), fill(labels[best]), fill(valid)


def mirror_anchors(
    objectness: jax.Array, deltas: jax.Array, level: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns what is said of the anchors of mirrored images for the images themselves.

    Args:
        objectness: logits, (B, N_l).
        deltas: (B, N_l, 4).
        level: the map that they are of, (B, H_l, W_l, C).
    """
    places = (*level.shape[:3], -1)
    return (
        objectness.reshape(places)[:, :, ::-1].reshape(objectness.shape),
        mirror_deltas(deltas.reshape(*places, 4)[:, :, ::-1].reshape(deltas.shape)),
    )


def mirror_boxes(boxes: jax.Array, width: int) -> jax.Array:
    """Returns boxes (..., 4) where they lie in mirror images of that width."""
    y0, x0, y1, x1 = jnp.moveaxis(boxes, -1, 0)
    return jnp.stack([y0, width - x1, y1, width - x0], axis=-1)


def mirror_deltas(deltas: jax.Array) -> jax.Array:
    """Returns deltas (..., 4) between boxes as those between their mirror images."""
    dy, dx, dh, dw = jnp.moveaxis(deltas, -1, 0)
    return jnp.stack([dy, -dx, dh, dw], axis=-1)
