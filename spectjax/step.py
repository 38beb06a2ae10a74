"""The training step: the only state of a run, and how one batch changes it.

Imports jax, flax and optax only. Batch, height and width axes are B, H and W.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from spectjax.tasks import Batch, Segmentation


@struct.dataclass
class TrainState:
    """All that a run changes from step to step, and all that a checkpoint holds.

    Attributes:
        step: number of steps done, int32, ().
        params: the model's parameters, float32.
        batch_stats: its statistics of batch normalisation, float32; may be empty.
        opt_state: the optimizer's state.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any


def create_train_state(
    task: Segmentation,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    image_hw: tuple[int, int],
) -> TrainState:
    """Returns the state before the first step."""
    variables = task.init(key, image_hw)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
    )


def train_step(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    task: Segmentation,
    optimizer: optax.GradientTransformation,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Takes one step down the gradient of the batch's mean loss.

    Args:
        state: the state before.
        batch: what `task` learns from, each with a leading axis B.
        key: the run's key; the step draws from `fold_in(key, state.step)`.
        task: gives the loss and the sums.
        optimizer: turns gradients into updates.

    Returns:
        The state after, and the task's sums over the batch, taken before the update.
    """
    (_, (batch_stats, sums)), gradients = jax.value_and_grad(
        task.compute_loss, has_aux=True
    )(state.params, state.batch_stats, batch, jax.random.fold_in(key, state.step))
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    new_state = TrainState(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    return new_state, sums
