"""What tasks differ in: the loss, the predictions and the sums behind their scores.

Batch, height, width and class axes are B, H, W and K.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from spectjax.detection_losses import compute_detection_losses
from spectjax.instances import Instances, paint_probs
from spectjax.models.detections import Detections
from spectjax.models.learning_targets import Training
from spectjax.models.mask_rcnn import MaskRCNN
from spectjax.ops.instances import find_boxes
from spectjax.ops.mask_paste import paste_masks

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
    """

    model: nn.Module
    normalise: Callable[[jax.Array], jax.Array]
    mirrored: bool = False
    numbered: ClassVar[bool] = False

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

    def predict(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Returns probabilities (B, ..., K), float32, for counts (B, H, W, 1)."""
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

    def compute_loss(
        self, params: Any, batch_stats: Any, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Sums]]:
        """Returns loss, batch statistics and sums, see `Task`; the key is dropout's."""
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
        """Returns the sums of a batch that is not trained on, see `Task`."""
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


class Segmentation(LabelTask):
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


class InstanceSegmentation(Task):
    """Finds lesions one by one: `instances`, uint8, (B, H, W), has their numbers.

    The classes are those of `masks`, uint8, (B, H, W).
    """

    numbered = True

    def compute_loss(
        self, params: Any, batch_stats: Any, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Sums]]:
        """Returns loss, batch statistics and sums, see `Task`.

        What is sampled of an image depends on the key and on its place in the whole
        batch: not on how that is spread.
        """
        count, axis_name = len(batch["images"]), self._model.axis_name
        first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * count
        found, updates = self._ask(
            {"params": params, "batch_stats": batch_stats}, batch, key, first, True
        )
        valid = jnp.ones(count, bool)
        losses = compute_detection_losses(found, valid, axis_name)
        sums = self.sum_scores(found, losses, valid)
        return sum(losses.values(), jnp.zeros(())), (
            updates.get("batch_stats", {}),
            sums,
        )

    def compute_sums(self, variables: Variables, batch: Batch) -> Sums:
        """Returns the sums of a batch that is not trained on, see `Task`.

        The samples of an image are the same each time.
        """
        found, _ = self._ask(variables, batch, jax.random.key(0), 0, False)
        losses = compute_detection_losses(found, batch["valid"])
        return self.sum_scores(found, losses, batch["valid"])

    def predict(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Returns probabilities (B, H, W, K), float32, see `paint_probs`."""
        instances = self.predict_instances(variables, images)
        return paint_probs(instances, self._model.num_classes)

    def predict_instances(self, variables: Variables, images: jax.Array) -> Instances:
        """Returns the lesions that are found in counts (B, H, W, 1)."""
        inputs, model = self.normalise(images), self._model
        found = cast(
            Detections,
            model.apply(variables, inputs, train=False, mirrored=self.mirrored),
        )
        hw = (images.shape[1], images.shape[2])
        paste = partial(paste_masks, hw=hw, torchvision=model.torchvision)
        probs = jax.vmap(paste)(found.masks, found.boxes)
        return Instances(*found[:-1], masks=(probs >= 0.5) & _wide(found.valid))

    @property
    def _model(self) -> MaskRCNN:
        return cast(MaskRCNN, self.model)

    def _ask(
        self,
        variables: Variables,
        batch: Batch,
        key: jax.Array,
        first: jax.Array | int,
        train: bool,
    ) -> tuple[Training, Variables]:
        """Returns what the losses compare, and what changed in the model."""
        places = first + jnp.arange(len(batch["images"]))
        truth = jax.vmap(partial(find_boxes, max_instances=self._model.max_instances))(
            batch["instances"], batch["masks"]
        )
        found, updates = self.model.apply(
            variables,
            self.normalise(batch["images"]),
            train=train,
            truth=truth,
            instances=batch["instances"],
            keys=jax.vmap(partial(jax.random.fold_in, key))(places),
            mutable=["batch_stats"],
        )
        return cast(Training, found), cast(Variables, updates)

    def sum_scores(
        self, found: Training, losses: Mapping[str, jax.Array], valid: jax.Array
    ) -> Sums:
        """Returns sums over the valid images, each ()."""
        images = jnp.sum(valid)
        sums = {f"loss_{name}": images * loss for name, loss in losses.items()}
        return {
            "images": images,
            "loss": sum(sums.values(), jnp.zeros(())),
            **sums,
            "lesions": jnp.sum(jnp.where(valid, found.lesions, 0)),
            "covered": jnp.sum(jnp.where(valid, found.covered, 0)),
            "left_out": jnp.sum(jnp.where(valid, found.left_out, 0)),
        }

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Returns the training scores of one epoch: the loss and its five parts.

        `proposal_recall` is the part of the lesions that a proposal meets with an IoU
        of 0.5, 1 if there are none; `left_out` counts lesions beyond the model's
        `max_instances`, which it did not learn from.
        """
        lesions = sums["lesions"]
        losses = [name for name in sums if name.startswith("loss")]
        return {
            **{name: sums[name] / sums["images"] for name in losses},
            "proposal_recall": sums["covered"] / lesions if lesions else 1.0,
            "left_out": sums["left_out"],
        }


def _wide(valid: jax.Array) -> jax.Array:
    """Returns (B, D) as (B, D, 1, 1)."""
    return valid[:, :, None, None]


TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "segmentation": Segmentation,
    "instance_segmentation": InstanceSegmentation,
}
