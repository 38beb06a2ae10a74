"""From a run's config to its parts: task, optimizer, and the model it has trained.

Batch, height, width and class axes are B, H, W and K.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

import spectjax
from spectjax.checkpoint import Checkpoints
from spectjax.config import ConfigError, check_name, load_config
from spectjax.input_pipeline import LEAKING
from spectjax.instances import Instances
from spectjax.losses import LOSSES, LOSSES_OF
from spectjax.models import create_model
from spectjax.models.mask_rcnn import MaskRCNN
from spectjax.normalisation import NORMALISATIONS
from spectjax.ops.convolution import compiler_options
from spectjax.parallel import AXIS
from spectjax.step import TrainState, create_train_state
from spectjax.tasks import TASKS, InstanceSegmentation, LabelTask, Task, Variables

WARMUP_FRACTION = 0.05  # of all steps, when the schedule is "cosine"


def create_task(config: ConfigDict) -> Task:
    """Builds the task that `config` describes, with its model and loss.

    Raises:
        ConfigError: if a name in `config` is not known or a model field is not.
    """
    check_name("task", config.task, TASKS)
    check_name("loss", config.loss, LOSSES_OF[config.task])
    check_name("data.normalisation", config.data.normalisation, NORMALISATIONS)
    check_name("dtype", config.dtype, ("float32", "bfloat16"))
    fields = config.model.to_dict()
    if not isinstance(fields.get("name"), str):
        raise ConfigError("--config.model.name: expected a model's name, found none.")
    try:
        model = create_model(
            fields.pop("name"), fields | {"dtype": config.dtype, "axis_name": AXIS}
        )
    except ValueError as error:
        raise ConfigError(f"--config.model: {error}") from error
    kind, normalise = TASKS[config.task], NORMALISATIONS[config.data.normalisation]
    if isinstance(model, MaskRCNN) != (kind is InstanceSegmentation):
        raise ConfigError(
            f"--config.model.name={config.model.name!r}: not a model for "
            f"--config.task={config.task!r}."
        )
    if not issubclass(kind, LabelTask):
        _check_instances(config)
        return kind(model=model, normalise=normalise, mirrored=config.test_mirroring)
    loss = LOSSES[config.loss]
    if config.class_weights:
        _check_class_weights(config)
        loss = partial(loss, class_weights=tuple(config.class_weights))
    return kind(
        model=model, normalise=normalise, loss=loss, mirrored=config.test_mirroring
    )


def _check_instances(config: ConfigDict) -> None:
    """Raises ConfigError for keys that instance segmentation cannot follow."""
    if config.class_weights:
        raise ConfigError(
            f"--config.class_weights={tuple(config.class_weights)}: leave it out for "
            f"--config.task={config.task!r}, which has no such weights."
        )
    if config.test_mirroring and config.model.to_dict().get("torchvision"):
        raise ConfigError(
            "--config.test_mirroring=True: torchvision's anchors are not symmetric; "
            "leave it out, or take --config.model.torchvision=False."
        )


def _check_class_weights(config: ConfigDict) -> None:
    weights, classes = config.class_weights, config.model.num_classes
    if len(weights) != classes or min(weights) <= 0:
        raise ConfigError(
            f"--config.class_weights={tuple(weights)}: expected {classes} numbers "
            "above 0, one for each class."
        )


def check_augmentation(config: ConfigDict) -> None:
    """Checks the keys that say how training images are changed.

    Raises:
        ConfigError: if one cannot be used, or not with the others.
    """
    data = config.data
    check_name("data.augmentation", data.augmentation, ("copies", "online"))
    if not 0 < data.count_level <= 1 or data.contrast < 0:
        raise ConfigError(
            "Expected --config.data.count_level in (0, 1] and --config.data.contrast "
            f"of at least 0, found {data.count_level} and {data.contrast}."
        )
    thinned = data.count_level < 1 or data.contrast > 0
    if thinned and data.augmentation != "online":
        raise ConfigError(
            "--config.data.count_level and --config.data.contrast change images on the "
            "device: they need --config.data.augmentation=online."
        )


def create_optimizer(
    config: ConfigDict, num_steps: int
) -> optax.GradientTransformation:
    """Builds the optimizer that `config`, the section of that name, describes.

    The schedule "cosine" rises linearly over the first 5 % of `num_steps` and falls to
    zero along half a cosine.

    Raises:
        ConfigError: if its name or its schedule is not known, or a number is out of
            range.
    """
    check_name("optimizer.name", config.name, ("sgd", "adamw"))
    check_name("optimizer.schedule", config.schedule, ("constant", "cosine"))
    if not 0 <= config.average < 1:
        raise ConfigError(
            f"Expected --config.optimizer.average in [0, 1), found {config.average}."
        )
    learning_rate: float | optax.Schedule = config.learning_rate
    if config.schedule == "cosine":
        learning_rate = optax.warmup_cosine_decay_schedule(
            init_value=0.0,
            peak_value=config.learning_rate,
            warmup_steps=round(WARMUP_FRACTION * num_steps),
            decay_steps=num_steps,
        )
    if config.name == "adamw":
        return optax.adamw(
            learning_rate,
            b1=config.momentum,
            weight_decay=config.weight_decay,
            mask=_find_kernels,
        )
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, mask=_find_kernels),
        optax.sgd(learning_rate, momentum=config.momentum or None),
    )


def _find_kernels(params: Any) -> Any:
    """Marks the parameters that weight decay acts on: not biases, not norms."""
    return jax.tree.map(lambda x: x.ndim > 1, params)


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A run's model as it was when last saved.

    Attributes:
        config: the run's config.
        predict_probs: maps counts, uint16 or float32, (B, H, W, 1), to class
            probabilities, float32, (B, ..., K); compiles anew for each shape.
        predict_logits: the same before the softmax; None of a model of instances.
        predict_instances: maps counts to what such a model finds, numpy arrays; None
            of any other.
        variables: its `params` and `batch_stats`.
        info: where the model comes from, for reports.
    """

    config: ConfigDict
    predict_probs: Callable[[np.ndarray], np.ndarray]
    predict_logits: Callable[[np.ndarray], np.ndarray] | None
    predict_instances: Callable[[np.ndarray], Instances] | None
    variables: Variables
    info: dict[str, Any]


def restore_model(workdir: pathlib.Path) -> TrainedModel:
    """Reads the model of a run, see `restore_state`.

    Raises:
        ConfigError: if `workdir` does not hold a run.
        CheckpointError: if it holds no checkpoint or one that cannot be read.
    """
    config = load_config(workdir / "config.json")
    task = create_task(config)
    state = restore_state(config, workdir)
    variables = state.variables
    options = compiler_options()

    def compile_for(predict: Callable[..., Any]) -> Callable[[np.ndarray], Any]:
        compiled = jax.jit(predict, compiler_options=options)
        return lambda counts: jax.tree.map(np.asarray, compiled(variables, counts))

    return TrainedModel(
        config=config,
        predict_probs=compile_for(task.predict),
        predict_logits=compile_for(task.predict_logits)
        if isinstance(task, LabelTask)
        else None,
        predict_instances=compile_for(task.predict_instances)
        if isinstance(task, InstanceSegmentation)
        else None,
        variables=variables,
        info={
            "model": config.model.name,
            "data": config.data.name,
            "data_fingerprint": config.data.fingerprint,
            "held_out_fold": None if LEAKING in config.data.name else config.data.fold,
            "step": int(state.step),
            "spectjax_version": spectjax.__version__,
        },
    )


def restore_state(config: ConfigDict, workdir: pathlib.Path) -> TrainState:
    """Returns the state that a run is judged by, with numpy arrays.

    It is the newest one, or the best if patients of their own pick it: nothing is ever
    selected on the held-out fold. A model without parameters needs no checkpoint.

    Raises:
        CheckpointError: if there is none or it cannot be read.
    """
    shapes = describe_state(config)
    if not has_variables(shapes):
        return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    with Checkpoints(workdir, read_only=True) as checkpoints:
        validated = config.data.validation_fold is not None
        step = checkpoints.best_step() if validated else None
        return checkpoints.restore(shapes, step)[0]


def describe_state(config: ConfigDict) -> TrainState:
    """Returns the shapes and dtypes of a run's state, and computes nothing.

    Raises:
        ConfigError: if a value of `config` cannot be used.
    """
    task = create_task(config)
    optimizer = create_optimizer(config.optimizer, num_steps=1)
    return jax.eval_shape(
        lambda key: create_train_state(
            task,
            optimizer,
            key,
            tuple(config.data.train_hw),
            averaged=config.optimizer.average > 0,
        ),
        jax.random.key(0),
    )


def has_variables(state: TrainState) -> bool:
    """Returns whether a model learns anything; K-means does not."""
    return bool(jax.tree.leaves((state.params, state.batch_stats)))
