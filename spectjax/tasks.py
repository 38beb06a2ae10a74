"""What tasks differ in: the loss, the predictions and the sums behind their scores.

Batch, height, width and class axes are B, H, W and K.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

Batch = Mapping[str, jax.Array]
Variables = dict[str, Any]
Sums = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Task:
    """A model, what it learns from and how it is scored while it trains.

    Attributes:
        model: maps inputs (B, H, W, 1) to logits (B, ..., K).
        loss: maps logits and labels (B, ...) to one value for each image, (B,).
        normalise: maps counts (B, H, W, 1) to inputs, float32, (B, H, W, 1).
        mirrored: predict from an image and its mirror image: the mean of their logits.
    """

    model: nn.Module
    loss: Callable[[jax.Array, jax.Array], jax.Array]
    normalise: Callable[[jax.Array], jax.Array]
    mirrored: bool = False

    def init(self, key: jax.Array, image_hw: tuple[int, int]) -> Variables:
        """Returns the model's initial variables, `params` and perhaps `batch_stats`.

        `params` is empty if there is nothing to learn.
        """
        images = jnp.zeros((1, *image_hw, 1))
        return {"params": {}, **self.model.init(key, images, train=False)}

    def compute_loss(
        self, params: Any, batch_stats: Any, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Sums]]:
        """Returns the batch's mean loss, the new batch statistics and the sums.

        Args:
            params: the model's parameters.
            batch_stats: its statistics of batch normalisation.
            batch: `images`, counts, (B, H, W, 1), and the labels of the task.
            key: for dropout, the same on every device.

        Returns:
            The loss, (); then the new `batch_stats` and the sums for `summarise`.
        """
        labels = self.find_labels(batch)
        logits, updates = self.model.apply(
            {"params": params, "batch_stats": batch_stats},
            self.normalise(batch["images"]),
            train=True,
            mutable=["batch_stats", "auxiliary"],
            rngs={"dropout": key},
        )
        losses = self.sum_losses(logits, updates.get("auxiliary", {}), labels)
        sums = self.sum_scores(logits, labels, losses, jnp.ones(losses.shape, bool))
        return jnp.mean(losses), (updates.get("batch_stats", {}), sums)

    def compute_sums(self, variables: Variables, batch: Batch) -> Sums:
        """Returns the sums for `summarise` of a batch that is not trained on.

        Args:
            variables: the model's `params` and `batch_stats`.
            batch: as for `compute_loss`, with `valid`, bool, (B,): images to count.
        """
        labels = self.find_labels(batch)
        logits = self.predict_logits(variables, batch["images"])
        return self.sum_scores(
            logits, labels, self.loss(logits, labels), batch["valid"]
        )

    def predict_logits(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Returns logits (B, ..., K), float32, for counts (B, H, W, 1)."""
        inputs = self.normalise(images)
        logits = cast(jax.Array, self.model.apply(variables, inputs, train=False))
        if not self.mirrored:
            return logits
        others = self.model.apply(variables, inputs[:, :, ::-1], train=False)
        return (logits + self.mirror(cast(jax.Array, others))) / 2

    def predict(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Returns probabilities (B, ..., K), float32, for counts (B, H, W, 1)."""
        return jax.nn.softmax(self.predict_logits(variables, images))

    def sum_losses(
        self, logits: jax.Array, auxiliary: Variables, labels: jax.Array
    ) -> jax.Array:
        """Returns the loss of each image, (B,), of all that the model says in training.

        Args:
            logits: (B, ..., K).
            auxiliary: what the model adds to them; empty for most.
            labels: int32, (B, ...).
        """
        return self.loss(logits, labels)

    def mirror(self, logits: jax.Array) -> jax.Array:
        """Returns the logits of mirrored images as those of the images themselves."""
        raise NotImplementedError

    def find_labels(self, batch: Batch) -> jax.Array:
        """Returns what the logits should say, int32, (B, ...)."""
        raise NotImplementedError

    def sum_scores(
        self, logits: jax.Array, labels: jax.Array, losses: jax.Array, valid: jax.Array
    ) -> Sums:
        """Returns sums over the valid images, each ()."""
        raise NotImplementedError

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Returns the training scores of one epoch."""
        raise NotImplementedError


class Segmentation(Task):
    """Gives each pixel a class: `masks`, uint8, (B, H, W), are the labels."""

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
        return logits[:, :, ::-1]

    def find_labels(self, batch: Batch) -> jax.Array:
        """Returns the class of each pixel, int32, (B, H, W)."""
        return batch["masks"].astype(jnp.int32)

    def sum_scores(
        self, logits: jax.Array, labels: jax.Array, losses: jax.Array, valid: jax.Array
    ) -> Sums:
        """Returns sums over the valid images, each ()."""
        predictions = jnp.argmax(logits, axis=-1)
        found, true = predictions > 0, labels > 0
        counted = valid[:, None, None]
        return {
            "images": jnp.sum(valid),
            "loss": jnp.sum(jnp.where(valid, losses, 0)),
            "pixels": jnp.sum(valid) * labels[0].size,
            "correct_pixels": jnp.sum((predictions == labels) & counted),
            "overlap_pixels": jnp.sum(found & true & counted),
            "union_pixels": jnp.sum((found | true) & counted),
        }

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Returns the training scores of one epoch: loss, PA and IoU ([P1] Eq. 8, 11).

        The IoU pools the foreground pixels of all images; it is 1 if there are none.
        """
        union = sums["union_pixels"]
        return {
            "loss": sums["loss"] / sums["images"],
            "PA": sums["correct_pixels"] / sums["pixels"],
            "IoU": sums["overlap_pixels"] / union if union else 1.0,
        }


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


class Classification(Task):
    """Gives each image a class: `labels`, int32, (B,)."""

    def mirror(self, logits: jax.Array) -> jax.Array:
        """Returns logits (B, K) as they are: a class has no sides."""
        return logits

    def find_labels(self, batch: Batch) -> jax.Array:
        """Returns the class of each image, int32, (B,)."""
        return batch["labels"]

    def sum_scores(
        self, logits: jax.Array, labels: jax.Array, losses: jax.Array, valid: jax.Array
    ) -> Sums:
        """Returns sums over the valid images, each ()."""
        correct = jnp.argmax(logits, axis=-1) == labels
        return {
            "images": jnp.sum(valid),
            "loss": jnp.sum(jnp.where(valid, losses, 0)),
            "correct": jnp.sum(correct & valid),
        }

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Returns the training scores of one epoch: loss and Acc ([P2] Eq. 4)."""
        return {
            "loss": sums["loss"] / sums["images"],
            "Acc": sums["correct"] / sums["images"],
        }


TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "segmentation": Segmentation,
}
