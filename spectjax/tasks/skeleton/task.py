"""The skeleton's regions: a class for each pixel of both views of an examination.

Batch, height, width and class axes are B, H, W and K; a sheet has two halves, see
`spectjax.bones.sheet`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spectjax.bones.regions import NAMES, swap_sides
from spectjax.bones.sheet import UNKNOWN
from spectjax.tasks.skeleton.variation import vary_sheets
from spectjax.tasks.task import Batch, LabelTask, Sums, Variables

CLASS_NAMES = ("none", *NAMES)


@dataclasses.dataclass(frozen=True)
class Skeleton(LabelTask):
    """Gives each pixel of a sheet a region: `masks`, uint8, (B, H, W), has the labels.

    Pixels of which nothing is known, `UNKNOWN`, neither teach nor count.
    """

    augment = staticmethod(vary_sheets)

    @classmethod
    def create(
        cls, *, loss: str, class_weights: tuple[float, ...], **fields: Any
    ) -> Self:
        """Returns a task, see `Task`; it has one loss alone."""
        return cls(loss=partial(measure_loss, class_weights=class_weights), **fields)

    def predict_logits(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Returns logits (B, H, W, K), float32, for sheets (B, H, W, 1)."""
        inputs = self.normalise(images)
        logits = cast(jax.Array, self.model.apply(variables, inputs, train=False))
        if not self.mirrored:
            return logits
        others = self.model.apply(variables, _mirror(inputs), train=False)
        return (logits + self.mirror(cast(jax.Array, others))) / 2

    def mirror(self, logits: jax.Array) -> jax.Array:
        """Returns the logits of mirrored bodies as those of the bodies themselves."""
        return _mirror(logits)[..., np.asarray(swap_sides())]

    def find_labels(self, batch: Batch) -> jax.Array:
        """Returns the class of each pixel, -1 where it is unknown, int32, (B, H, W)."""
        masks = batch["masks"].astype(jnp.int32)
        return jnp.where(masks == UNKNOWN, -1, masks)

    def sum_scores(
        self, logits: jax.Array, labels: jax.Array, losses: jax.Array, valid: jax.Array
    ) -> Sums:
        """Returns sums over the valid images, each (); of pixels that are known."""
        found = jnp.argmax(logits, axis=-1)
        counted = valid[:, None, None] & (labels >= 0)
        right = (found == labels) & counted
        return {
            "images": jnp.sum(valid),
            "loss": jnp.sum(jnp.where(valid, losses, 0)),
            "pixels": jnp.sum(counted),
            "right": jnp.sum(right),
            "overlap": jnp.sum(right & (labels > 0)),
            "areas": jnp.sum((found > 0) & counted) + jnp.sum((labels > 0) & counted),
        }

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Returns the training scores of one epoch: loss, pixels right, pooled Dice."""
        return {
            "loss": sums["loss"] / sums["images"],
            "PA": sums["right"] / max(sums["pixels"], 1),
            "Dice": 2 * sums["overlap"] / max(sums["areas"], 1),
        }


def measure_loss(
    logits: jax.Array, labels: jax.Array, *, class_weights: Sequence[float] = ()
) -> jax.Array:
    """Returns cross-entropy plus one minus Dice of each sheet, float32, (B,).

        L_b = -sum w log softmax(logits)[label] / sum w
              + 1 - mean_vk (2 sum p t + 1) / (sum p + sum t + 1)

    over pixels whose label is known, and over those regions k > 0 of each view v that
    it shows. p are probabilities, t is 1 where a pixel has that label.

    Args:
        logits: (B, H, W, K).
        labels: in [0, K), -1 where it is unknown, int32, (B, H, W).
        class_weights: w > 0 of each class; (): all 1.
    """
    known = labels >= 0
    weights = jnp.array(class_weights or (1.0,) * logits.shape[-1], jnp.float32)
    weights = jnp.where(known, weights[jnp.maximum(labels, 0)], 0)
    losses = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.maximum(labels, 0)
    )
    each = jnp.sum(weights * losses, axis=(1, 2))
    entropy = each / jnp.maximum(jnp.sum(weights, axis=(1, 2)), 1e-6)

    batch, height, width, classes = logits.shape
    probs = jax.nn.softmax(logits) * known[..., None]
    truth = jax.nn.one_hot(labels, classes)

    def add(values: jax.Array) -> jax.Array:
        """Returns sums over each view, (B, 2, K - 1)."""
        halves = values.reshape(batch, height, 2, width // 2, classes)
        return jnp.sum(halves, axis=(1, 3))[..., 1:]

    areas = add(truth)
    dice = (2 * add(probs * truth) + 1) / (add(probs) + areas + 1)
    shown = areas > 0
    missed = jnp.sum(jnp.where(shown, 1 - dice, 0), axis=(1, 2))
    return entropy + missed / jnp.maximum(jnp.sum(shown, axis=(1, 2)), 1)


def _mirror(sheets: jax.Array) -> jax.Array:
    """Returns sheets (B, H, W, C) in which each half is mirrored."""
    batch, height, width, channels = sheets.shape
    halves = sheets.reshape(batch, height, 2, width // 2, channels)
    return halves[:, :, :, ::-1].reshape(sheets.shape)
