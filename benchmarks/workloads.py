"""What is measured: every registered model, and residual stages of ResNet-34's sizes.

Imports jax, flax, optax and numpy only, so that a machine without the rest of the
project's requirements can measure. Batch, height, width and channel axes are B, H, W
and C.
"""

import dataclasses
import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks import arrays
from benchmarks.flops import Flops, count_flops
from spectjax.models import MODELS, create_model
from spectjax.models.unet import ConvBlock
from spectjax.ops.backend import plain_operations
from spectjax.ops.normalisation import normalise_by_range
from spectjax.tasks import TASKS
from spectjax.tasks.task import Batch, Task, Variables

# Values of the fields that a model's class leaves to its user.
_REQUIRED = {"num_classes": 2}


class Stage(nn.Module):
    """Residual blocks of two 3x3 convolutions with batch normalisation and ReLU.

    Attributes:
        features: channels C of input and output.
        blocks: number of blocks.
        dtype: type in which to convolve.
    """

    features: int
    blocks: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (B, H, W, C) to (B, H, W, C)."""
        for i in range(self.blocks):
            x = ConvBlock(
                self.features,
                residual=True,
                batch_norm=True,
                dtype=self.dtype,
                name=f"block{i}",
            )(x, train=train)
        return x


# ResNet-34's widths, and the height and width that 256x256 pixels have shrunk to.
STAGES = {"stage_64": 64, "stage_128": 32, "stage_256": 16, "stage_512": 8}


@dataclasses.dataclass(frozen=True)
class StandIn(Task):
    """Trains any model whose output is an array or a tree of arrays.

    The loss is the mean square of the outputs: it costs next to nothing and sends a
    gradient through the whole model.

    Attributes:
        channels: C of the model's input.
    """

    channels: int = 1

    def init(self, key: jax.Array, image_hw: tuple[int, int]) -> Variables:
        """Returns the model's initial variables."""
        images = jnp.zeros((1, *image_hw, self.channels))
        return dict(self.model.init(key, images, train=False))

    def compute_loss(
        self, params: Any, batch_stats: Any, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        """Returns the loss, the new batch statistics and the loss as the only sum."""
        outputs, updates = self.model.apply(
            {"params": params, "batch_stats": batch_stats},
            self.normalise(batch["images"]),
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        loss = jnp.zeros(())
        for y in jax.tree.leaves(outputs):
            if jnp.issubdtype(y.dtype, jnp.inexact):
                loss += jnp.mean(jnp.square(y.astype(jnp.float32)))
        return loss, (updates.get("batch_stats", {}), {"loss": loss})

    def predict(self, variables: Variables, images: jax.Array) -> Any:
        """Returns the model's outputs."""
        return self.model.apply(variables, self.normalise(images), train=False)


@dataclasses.dataclass(frozen=True)
class Workload:
    """A model and all that a step of it needs.

    Attributes:
        name: the model's name in `MODELS`, or that of a stage.
        fields: the model's fields, `dtype` left out; what JSON can hold.
        task: gives loss and predictions.
        image_hwc: height, width and channels of an image.
        task_name: of `task`, whose loss is cross-entropy; None for a model that no task
            names.
        parameters: number of trained parameters.
    """

    name: str
    fields: dict[str, Any]
    task: Task
    image_hwc: tuple[int, int, int]
    task_name: str | None
    parameters: int

    def variables(self) -> Variables:
        """Returns the shapes and dtypes of the model's variables."""
        init = functools.partial(self.task.init, image_hw=self.image_hwc[:2])
        return jax.eval_shape(init, jax.random.key(0))

    def draw_variables(self) -> Variables:
        """Returns variables of these shapes.

        Drawn by numpy: on a CPU the model's own initialisers would take longer to
        compile than its training step.
        """
        return jax.tree.map(
            lambda leaf: jnp.array(arrays.draw_parameter(leaf.shape, leaf.dtype)),
            self.variables(),
        )

    def count_flops(self, batch_size: int) -> dict[str, int]:
        """Returns the operations of an `inference` and of a `train`ing step.

        Raises:
            UncountableError: if they cannot be counted.
        """
        variables = self.variables()
        batch = arrays.synthesise(self.image_hwc, batch_size)
        # Custom calls hide what they do.
        with plain_operations():
            inference = count_flops(self.task.predict, variables, batch["images"])
            training: Flops = count_flops(
                self.task.compute_loss,
                variables["params"],
                variables.get("batch_stats", {}),
                batch,
                jax.random.key(0),
            )
        return {"inference": inference.forward, "train": training.training}


def names() -> list[str]:
    """Returns the names of what can be measured: all networks, then the stages.

    K-means, which multiplies no matrices, and Mask R-CNN have scripts of their own.
    """
    others = ("kmeans", "mask_rcnn", "mask_rcnn_att")
    return [*(name for name in MODELS if name not in others), *STAGES]


def field_names(models: Iterable[str]) -> set[str]:
    """Returns the fields that some of these models have."""
    return {field.name for m in models if m in MODELS for field in _fields_of(m)}


def create(
    name: str, overrides: Mapping[str, Any], dtype: str, image_hw: tuple[int, int]
) -> Workload:
    """Builds the workload `name`; `overrides` that its model lacks are left out.

    Raises:
        ValueError: if there is no such workload, or a field of the model has no value.
    """
    if name in STAGES:
        features, size = int(name.removeprefix("stage_")), STAGES[name]
        stage = StandIn(
            Stage(features, dtype=jnp.dtype(dtype)),
            lambda images: images,
            channels=features,
        )
        fields = {"features": features, "blocks": stage.model.blocks}
        return _describe(name, fields, stage, (size, size, features), None)
    fields = model_fields(name, overrides)
    known = inspect.signature(MODELS[name]).parameters
    typed = {"dtype": jnp.dtype(dtype)} if "dtype" in known else {}
    model = create_model(name, {**fields, **typed})
    task_name = next((t for t, row in TASKS.items() if name in row.models), None)
    task: Task = StandIn(model, normalise_by_range)
    if task_name:
        task = (
            TASKS[task_name]
            .learn()
            .create(
                model=model,
                normalise=normalise_by_range,
                loss="cross_entropy",
                class_weights=(),
            )
        )
    return _describe(name, fields, task, (*image_hw, 1), task_name)


def _describe(
    name: str,
    fields: dict[str, Any],
    task: Task,
    image_hwc: tuple[int, int, int],
    task_name: str | None,
) -> Workload:
    workload = Workload(name, fields, task, image_hwc, task_name, 0)
    leaves = jax.tree.leaves(workload.variables()["params"])
    parameters = sum(leaf.size for leaf in leaves)
    return dataclasses.replace(workload, parameters=parameters)


def model_fields(name: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all fields of the model `name` that are plain values, `dtype` left out.

    Raises:
        ValueError: if there is no such model, or one of its fields has no value.
    """
    if name not in MODELS:
        raise ValueError(f"Unknown model {name!r}; known: {', '.join(MODELS)}.")
    fields = {}
    for field in _fields_of(name):
        value = overrides.get(field.name, field.default)
        if isinstance(value, list):  # as JSON has it; flax wants what can be hashed
            value = tuple(value)
        if value is field.empty:
            value = _REQUIRED.get(field.name, value)
        if value is field.empty:
            raise ValueError(
                f"Model {name!r} has no default for {field.name!r}; give one with "
                f"--set model.{field.name}=VALUE."
            )
        if isinstance(value, bool | int | float | str | tuple):
            fields[field.name] = value
    return fields


def _fields_of(name: str) -> list[inspect.Parameter]:
    fields = inspect.signature(MODELS[name]).parameters.values()
    return [f for f in fields if f.name not in ("parent", "name", "dtype")]
