"""Which anchors and regions Mask R-CNN learns from, and what they should become.

Of each of B images: N anchors of which S are sampled, P proposals, R sampled regions of
which the first F may hold lesions, at most G lesions; K classes, background included.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from spectjax.models.detections import BOX_WEIGHTS
from spectjax.models.proposals import Proposals
from spectjax.ops import boxes as box_ops
from spectjax.ops.instances import Truth
from spectjax.ops.matching import match
from spectjax.ops.sampling import sample


class Training(NamedTuple):
    """What the five losses of B images compare; boxes in pixels of the network.

    Attributes:
        objectness: logits of the sampled anchors, float32, (B, S).
        anchor_positive: whether they are lesions, bool, (B, S).
        anchors_valid: whether there are so many, bool, (B, S).
        anchor_deltas: float32, (B, S, 4).
        anchor_targets: deltas to the matched lesion, float32, (B, S, 4).
        logits: of the regions, float32, (B, R, K).
        labels: their classes, 0 is background, int32, (B, R).
        regions_valid: whether there are so many, bool, (B, R).
        deltas: for the region's true class, float32, (B, R, 4).
        targets: deltas to the matched lesion, float32, (B, R, 4).
        mask_logits: for the true class, float32, (B, F, 28, 28).
        mask_targets: part of each pixel that is lesion, float32, (B, F, 28, 28).
        lesions: number of lesions of each image, int32, (B,).
        covered: those that a proposal meets with an IoU of 0.5, int32, (B,).
        left_out: lesions beyond G, which nothing is learnt from, int32, (B,).
    """

    objectness: jax.Array
    anchor_positive: jax.Array
    anchors_valid: jax.Array
    anchor_deltas: jax.Array
    anchor_targets: jax.Array
    logits: jax.Array
    labels: jax.Array
    regions_valid: jax.Array
    deltas: jax.Array
    targets: jax.Array
    mask_logits: jax.Array
    mask_targets: jax.Array
    lesions: jax.Array
    covered: jax.Array
    left_out: jax.Array


class Anchors(NamedTuple):
    """Anchors of one image to learn from, those of lesions first.

    Attributes:
        index: of the anchor, int32, (S,).
        positive: whether it is a lesion, bool, (S,).
        valid: bool, (S,).
        targets: deltas to the matched lesion, 0 for background, float32, (S, 4).
    """

    index: jax.Array  # type: ignore[assignment]  # hides tuple.index
    positive: jax.Array
    valid: jax.Array
    targets: jax.Array


class Regions(NamedTuple):
    """Regions of one image to learn from, those of lesions first.

    Attributes:
        boxes: pixels of the network, float32, (R, 4).
        labels: class of the matched lesion, 0 for background, int32, (R,).
        targets: deltas to it, float32, (R, 4).
        numbers: its number in the map of instances, int32, (R,).
        valid: bool, (R,).
    """

    boxes: jax.Array
    labels: jax.Array
    targets: jax.Array
    numbers: jax.Array
    valid: jax.Array


def choose_anchors(
    key: jax.Array,
    anchors: jax.Array,
    truth: Truth,
    *,
    foreground_iou: float,
    background_iou: float,
    count: int,
    max_positive: int,
) -> Anchors:
    """Returns which anchors to learn from, and where they should go.

    Args:
        key: typed PRNG key.
        anchors: float32, (N, 4).
        truth: the lesions.
        foreground_iou: an anchor with such an IoU with a lesion is one.
        background_iou: an anchor below this with all of them is background; others are
            ignored, but each lesion's best anchor is a lesion anyway.
        count: S.
        max_positive: the most of them that may be lesions.
    """
    matched = match(
        lambda g: box_ops.iou_matrix(anchors, truth.boxes[g][None])[:, 0],
        truth.valid,
        foreground_iou=foreground_iou,
        background_iou=background_iou,
        low_quality=True,
    )
    index, positive, valid = sample(
        key, matched.foreground, matched.background, count, max_positive
    )
    targets = box_ops.encode(truth.boxes[matched.index[index]], anchors[index])
    return Anchors(index, positive, valid, jnp.where(positive[:, None], targets, 0.0))


def choose_regions(
    key: jax.Array,
    found: Proposals,
    truth: Truth,
    *,
    foreground_iou: float,
    count: int,
    max_positive: int,
) -> tuple[Regions, jax.Array]:
    """Returns regions to learn from, and how many lesions are among the proposals.

    The lesions' own boxes are added: early proposals meet none.

    Args:
        key: typed PRNG key.
        found: the proposals.
        truth: the lesions.
        foreground_iou: IoU with a lesion from which on a region is one.
        count: R.
        max_positive: the most of them that may be lesions.

    Returns:
        The regions, and the number of lesions that a proposal meets, int32, ().
    """
    boxes = jnp.concatenate([found.boxes, truth.boxes])
    valid = jnp.concatenate([found.valid, truth.valid])
    iou = box_ops.iou_matrix(boxes, truth.boxes)
    proposed = jnp.where(found.valid[:, None], iou[: len(found.boxes)], 0.0)
    covered = truth.valid & (jnp.max(proposed, axis=0) >= foreground_iou)
    matched = match(
        lambda g: iou[:, g],
        truth.valid,
        foreground_iou=foreground_iou,
        background_iou=foreground_iou,
        low_quality=False,
    )
    index, positive, taken = sample(
        key, matched.foreground & valid, matched.background & valid, count, max_positive
    )
    lesion, boxes = matched.index[index], boxes[index]
    targets = box_ops.encode(truth.boxes[lesion], boxes, BOX_WEIGHTS)
    return Regions(
        boxes=boxes,
        labels=jnp.where(positive, truth.labels[lesion], 0),
        targets=jnp.where(positive[:, None], targets, 0.0),
        numbers=jnp.where(positive, truth.numbers[lesion], 0),
        valid=taken,
    ), jnp.sum(covered)
