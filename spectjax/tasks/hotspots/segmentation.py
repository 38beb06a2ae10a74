"""U-Nets and K-means: a class for each pixel ([P1]).

Batch, height, width and class axes are B, H, W and K.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from spectjax.tasks.hotspots.image_scores import NONE, image_cross_entropy
from spectjax.tasks.task import Batch, LabelTask, Sums, Variables


@dataclasses.dataclass(frozen=True)
class Segmentation(LabelTask):
    """Gives each pixel a class: `masks`, uint8, (B, H, W), are the labels.

    Attributes:
        image_score: how an image that nobody outlined learns from its label instead,
            see `image_scores.pool_logits`; "none": its mask is taken as it is.
    """

    image_score: str = NONE

    @property
    def told(self) -> bool:
        """Whether images without outlines learn from their labels."""
        return self.image_score != NONE

    def judge(
        self, logits: jax.Array, auxiliary: Variables, batch: Batch
    ) -> tuple[jax.Array, jax.Array]:
        """Returns losses, (B,), and classes of pixels, -1 in images without outlines.

        See `LabelTask`; the batch tells by `outlined`, bool, (B,).
        """
        losses, labels = super().judge(logits, auxiliary, batch)
        if not self.told:
            return losses, labels
        outlined = batch["outlined"]
        said = image_cross_entropy(logits, batch["labels"], self.image_score)
        return (
            jnp.where(outlined, losses, said),
            jnp.where(outlined[:, None, None], labels, -1),
        )

    def sum_losses(
        self, logits: jax.Array, auxiliary: Variables, labels: jax.Array
    ) -> jax.Array:
        """Returns the loss of each image, (B,), those of coarse logits among it.

        The weights halve with each resolution and add up to 1, as in nnU-Net. A coarse
        pixel has the class that its finer ones have most of: in a tie of 2x2, the
        larger number, so that small hotspots stay.

        Args:
            logits: (B, H, W, K).
            auxiliary: logits (B, H / 2^i, W / 2^i, K) under "logits{i}", i >= 1; or
                nothing.
            labels: int32, (B, H, W).
        """
        weight, total = 1.0, 1.0
        losses = self.loss(logits, labels)
        for name in sorted(auxiliary):
            (coarse,) = auxiliary[name]
            weight /= 2
            total += weight
            losses += weight * self.loss(coarse, coarsen(labels, coarse.shape))
        return losses / total

    def mirror(self, logits: jax.Array) -> jax.Array:
        """Returns logits (B, H, W, K) mirrored, columns in reverse."""
        return jnp.flip(logits, axis=2)

    def find_labels(self, batch: Batch) -> jax.Array:
        """Returns the class of each pixel, int32, (B, H, W)."""
        return batch["masks"].astype(jnp.int32)

    def sum_scores(
        self, logits: jax.Array, labels: jax.Array, losses: jax.Array, valid: jax.Array
    ) -> Sums:
        """Returns sums over the valid images, each (); of pixels that have a label."""
        predictions = choose_classes(logits)
        found, true = predictions > 0, labels > 0
        counted = valid[:, None, None] & (labels >= 0)
        return {
            "images": jnp.sum(valid),
            "loss": jnp.sum(jnp.where(valid, losses, 0)),
            "pixels": jnp.sum(counted),
            "correct_pixels": jnp.sum((predictions == labels) & counted),
            "overlap_pixels": jnp.sum(found & true & counted),
            "union_pixels": jnp.sum((found | true) & counted),
        }

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Returns the training scores of one epoch: loss, PA and IoU ([P1] Eq. 8, 11).

        The IoU pools the foreground pixels of all images; it is 1 if there are none.
        Both are NaN where nothing was outlined.
        """
        union, pixels = sums["union_pixels"], sums["pixels"]
        if not pixels:
            loss = sums["loss"] / sums["images"]
            return {"loss": loss, "PA": float("nan"), "IoU": float("nan")}
        return {
            "loss": sums["loss"] / sums["images"],
            "PA": sums["correct_pixels"] / pixels,
            "IoU": sums["overlap_pixels"] / union if union else 1.0,
        }


def choose_classes(logits: jax.Array) -> jax.Array:
    """Returns the most probable class of each pixel, the first of equal ones.

    What `jnp.argmax` does, which reduces: for two classes that took GPUs eight times as
    long as reading them.

    Args:
        logits: (B, H, W, K).

    Returns:
        int32, (B, H, W).
    """
    best, classes = logits[..., 0], jnp.zeros(logits.shape[:-1], jnp.int32)
    for k in range(1, logits.shape[-1]):
        classes = jnp.where(logits[..., k] > best, k, classes)
        best = jnp.maximum(logits[..., k], best)
    return classes


def coarsen(labels: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Returns the commonest class of each block of pixels, the larger one in a tie.

    Args:
        labels: class indices, int32, (B, H, W).
        shape: (B, H', W', K), H' and W' dividing H and W.

    Returns:
        int32, (B, H', W').
    """
    batch, height, width, classes = shape
    blocks = labels.reshape(
        batch, height, labels.shape[1] // height, width, labels.shape[2] // width
    )
    counts = jnp.sum(jax.nn.one_hot(blocks, classes), axis=(2, 4))
    return classes - 1 - jnp.argmax(counts[..., ::-1], axis=-1).astype(jnp.int32)
