"""The program that trains: what a config asks for, compiled for a layout's devices."""

from functools import partial
from typing import Any

import optax
from ml_collections import ConfigDict

from spectjax.tasks.task import Task
from spectjax.training.augment import augment
from spectjax.training.parallel import AXIS, Layout
from spectjax.training.step import Augment, run_steps, train_step


def compile_steps(
    config: ConfigDict,
    task: Task,
    optimizer: optax.GradientTransformation,
    layout: Layout,
    *,
    split_data: bool,
) -> Any:
    """Returns `step.run_steps` of the run that `config` describes.

    Args:
        config: of the run.
        task: its task.
        optimizer: its optimizer.
        layout: over what the steps are spread.
        split_data: see `Layout.compile`.
    """
    online = config.data.augmentation == "online"
    step = partial(
        train_step,
        task=task,
        optimizer=optimizer,
        augment=_create_augment(task, config) if online else None,
        decay=config.optimizer.average,
        frozen=tuple(config.frozen),
        axis_name=AXIS,
    )
    return layout.compile(
        partial(run_steps, step=step, axis_name=AXIS), split_data=split_data
    )


def _create_augment(task: Task, config: ConfigDict) -> Augment:
    if task.augment is not None:
        return task.augment
    return partial(
        augment,
        hw=tuple(config.data.train_hw),
        count_level=config.data.count_level,
        contrast=config.data.contrast,
        randomisation=config.data.randomisation,
    )
