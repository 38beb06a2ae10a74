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
    """

    model: nn.Module
    loss: Callable[[jax.Array, jax.Array], jax.Array]
    normalise: Callable[[jax.Array], jax.Array]

    def init(self, key: jax.Array, image_hw: tuple[int, int]) -> Variables:
        """Returns the model's initial variables, `params` and perhaps `batch_stats`."""
        images = jnp.zeros((1, *image_hw, 1))
        return dict(self.model.init(key, images, train=False))

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
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        losses = self.loss(logits, labels)
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
        return cast(jax.Array, self.model.apply(variables, inputs, train=False))

    def predict(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Returns probabilities (B, ..., K), float32, for counts (B, H, W, 1)."""
        return jax.nn.softmax(self.predict_logits(variables, images))

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


class Classification(Task):
    """Gives each image a class: `labels`, int32, (B,)."""

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
