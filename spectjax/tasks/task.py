"""What tasks differ in: the loss, the predictions and the sums behind their scores.

Batch, height, width and class axes are B, H, W and K.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Self, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from spectjax.tasks.losses import LOSSES

Batch = Mapping[str, jax.Array]
Variables = dict[str, Any]
Sums = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Task:
    """A model, what it learns from and how it is scored while it trains.

    Attributes:
        model: maps inputs (B, H, W, 1) to what it says of them.
        normalise: maps counts (B, H, W, 1) to inputs, float32, (B, H, W, 1).
        mirrored: predict from an image and its mirror image: the mean of what is said
            of both.
        numbered: whether it learns from `instances`, numbers of lesions, as well.
        augment: changes a batch, given one key for each image, before it is learned
            from; None: as `spectjax.training.augment` does.
        told: whether it asks for `outlined`, bool, (B,): images whose lesions somebody
            outlined, if there are any.
    """

    model: nn.Module
    normalise: Callable[[jax.Array], jax.Array]
    mirrored: bool = False
    numbered: ClassVar[bool] = False
    augment: ClassVar[Callable[..., Any] | None] = None

    @property
    def told(self) -> bool:
        """Whether it asks which images were outlined, see `Task`."""
        return False

    @classmethod
    def create(
        cls, *, loss: str, class_weights: tuple[float, ...], **fields: Any
    ) -> Self:
        """Returns a task.

        Args:
            loss: a name of the task's losses, see its row in `spectjax.tasks`.
            class_weights: of the cross-entropy, one for each class; (): all 1.
            **fields: the attributes that all tasks have.
        """
        return cls(**fields)

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
            key: for what is drawn at random, the same on every device.

        Returns:
            The loss, (); then the new `batch_stats` and the sums for `summarise`.
        """
        raise NotImplementedError

    def compute_sums(self, variables: Variables, batch: Batch) -> Sums:
        """Returns the sums for `summarise` of a batch that is not trained on.

        Args:
            variables: the model's `params` and `batch_stats`.
            batch: as for `compute_loss`, with `valid`, bool, (B,): images to count.
        """
        raise NotImplementedError

    def predict(self, variables: Variables, images: jax.Array) -> Any:
        """Returns what the model says of counts (B, H, W, 1).

        Returns:
            Probabilities (B, ..., K), float32, or `hotspots.Instances`.
        """
        raise NotImplementedError

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Returns the training scores of one epoch, the loss among them."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class LabelTask(Task):
    """Gives each image, or each of its pixels, one class.

    Attributes:
        loss: maps logits (B, ..., K) and labels (B, ...) to one value for each image,
            (B,).
    """

    loss: Callable[[jax.Array, jax.Array], jax.Array] = dataclasses.field(kw_only=True)

    @classmethod
    def create(
        cls, *, loss: str, class_weights: tuple[float, ...], **fields: Any
    ) -> Self:
        """Returns a task, see `Task`."""
        function = LOSSES[loss]
        if class_weights:
            function = partial(function, class_weights=class_weights)
        return cls(loss=function, **fields)

    def compute_loss(
        self, params: Any, batch_stats: Any, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Sums]]:
        """Returns loss, batch statistics and sums, see `Task`; the key is dropout's."""
        logits, updates = self.model.apply(
            {"params": params, "batch_stats": batch_stats},
            self.normalise(batch["images"]),
            train=True,
            mutable=["batch_stats", "auxiliary"],
            rngs={"dropout": key},
        )
        losses, labels = self.judge(logits, updates.get("auxiliary", {}), batch)
        sums = self.sum_scores(logits, labels, losses, jnp.ones(losses.shape, bool))
        return jnp.mean(losses), (updates.get("batch_stats", {}), sums)

    def compute_sums(self, variables: Variables, batch: Batch) -> Sums:
        """Returns the sums of a batch that is not trained on, see `Task`."""
        logits = self.predict_logits(variables, batch["images"])
        losses, labels = self.judge(logits, {}, batch)
        return self.sum_scores(logits, labels, losses, batch["valid"])

    def predict_logits(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Returns logits (B, ..., K), float32, for counts (B, H, W, 1)."""
        inputs = self.normalise(images)
        logits = cast(jax.Array, self.model.apply(variables, inputs, train=False))
        if not self.mirrored:
            return logits
        others = self.model.apply(variables, jnp.flip(inputs, axis=2), train=False)
        return (logits + self.mirror(cast(jax.Array, others))) / 2

    def predict(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Returns probabilities (B, ..., K), float32, for counts (B, H, W, 1)."""
        return jax.nn.softmax(self.predict_logits(variables, images))

    def judge(
        self, logits: jax.Array, auxiliary: Variables, batch: Batch
    ) -> tuple[jax.Array, jax.Array]:
        """Returns the loss of each image, (B,), and the labels that score it.

        Args:
            logits: (B, ..., K).
            auxiliary: see `sum_losses`.
            batch: see `compute_loss`.
        """
        labels = self.find_labels(batch)
        return self.sum_losses(logits, auxiliary, labels), labels

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
