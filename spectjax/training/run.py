"""From a run's config to the state that it has reached."""

import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from spectjax.training.assembly import create_task
from spectjax.training.checkpoint import Checkpoints
from spectjax.training.optimizer import create_optimizer
from spectjax.training.step import TrainState, create_train_state


def restore_state(
    config: ConfigDict, workdir: pathlib.Path
) -> tuple[TrainState, bool | None]:
    """Returns the state that a run is judged by, and whether a digest was compared.

    It is the newest one, or the best if patients of their own pick it: nothing is ever
    selected on the held-out fold. A model without parameters needs no checkpoint.

    Returns:
        The state, of numpy arrays; then None if there is nothing to compare, since the
        model has no parameters.

    Raises:
        CheckpointError: if there is none or it cannot be read.
    """
    shapes = describe_state(config)
    if not has_variables(shapes):
        return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes), None
    with Checkpoints(workdir, read_only=True) as checkpoints:
        validated = config.data.validation_fold is not None
        step = checkpoints.best_step() if validated else None
        state, progress = checkpoints.restore(shapes, step)
    return state, progress.verified


def describe_state(config: ConfigDict) -> TrainState:
    """Returns the shapes and dtypes of a run's state, and computes nothing.

    Raises:
        ConfigError: if a value of `config` cannot be used.
    """
    task = create_task(config)
    optimizer = create_optimizer(config.optimizer, 1, tuple(config.frozen))
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


def describe_network(config: ConfigDict) -> dict[str, Any]:
    """Returns how large the model of a run is and how long it learned.

    Returns:
        `num_parameters`: how many numbers it learned; `num_epochs`; `image_hw`: pixels.
    """
    task = create_task(config)
    shapes = jax.eval_shape(
        lambda key: task.init(key, tuple(config.data.train_hw)), jax.random.key(0)
    )
    return {
        "num_parameters": sum(x.size for x in jax.tree.leaves(shapes["params"])),
        "num_epochs": config.num_epochs,
        "image_hw": list(config.data.train_hw),
    }
