"""A class for each image ([P2]).

Batch, height, width and class axes are B, H, W and K.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from spectjax.tasks.task import Batch, LabelTask, Sums


class Classification(LabelTask):
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
