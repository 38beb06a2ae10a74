"""Mask R-CNNs: lesions one by one ([P1]).

Batch, height, width and class axes are B, H, W and K.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp

from spectjax.imaging.hotspots import Instances
from spectjax.models.detections import Detections
from spectjax.models.learning_targets import Training
from spectjax.models.mask_rcnn import MaskRCNN
from spectjax.ops.instances import find_boxes
from spectjax.ops.mask_paste import paste_masks
from spectjax.tasks.hotspots.detection_losses import compute_detection_losses
from spectjax.tasks.task import Batch, Sums, Task, Variables


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

    def predict(self, variables: Variables, images: jax.Array) -> Instances:
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
