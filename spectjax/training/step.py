"""The training step: the only state of a run, and how batches change it.

Imports jax, flax and optax only. The number of images is N, of images in a batch B, of
a batch's images on one device b, of the batches in a table R; height and width are H
and W.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from spectjax.ops.backend import choose_backend, find_platform
from spectjax.tasks.task import Batch, Task, Variables
from spectjax.training.frozen import hold_still, mark_frozen, still_statistics

MAX_STEPS_PER_DISPATCH = 32
Augment = Callable[[Batch, jax.Array], Batch]


@struct.dataclass
class TrainState:
    """All that a run changes from step to step, and all that a checkpoint holds.

    Attributes:
        step: number of steps done, int32, ().
        params: the model's parameters, float32.
        batch_stats: its statistics of batch normalisation, float32; may be empty.
        opt_state: the optimizer's state.
        average: moving averages of `params` and `batch_stats` under these names, or
            empty if none are kept.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    average: Any

    @property
    def variables(self) -> Variables:
        """What the model is scored and used with: the averages where there are any."""
        if self.average:
            return dict(self.average)
        return {"params": self.params, "batch_stats": self.batch_stats}


def create_train_state(
    task: Task,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    image_hw: tuple[int, int],
    *,
    averaged: bool = False,
) -> TrainState:
    """Returns the state before the first step, with averages or without."""
    variables = task.init(key, image_hw)
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=optimizer.init(params),
        average={"params": params, "batch_stats": batch_stats} if averaged else {},
    )


def train_step(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    task: Task,
    optimizer: optax.GradientTransformation,
    augment: Augment | None = None,
    decay: float = 0.0,
    frozen: tuple[str, ...] = (),
    axis_name: str | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Takes one step down the gradient of the batch's mean loss.

    Args:
        state: the state before.
        batch: what `task` learns from, each with a leading axis b.
        key: the run's key. What is drawn for an image depends on it, on `state.step`
            and on the image's place in the whole batch: not on how that is spread.
        task: gives the loss and the sums.
        optimizer: turns gradients into updates.
        augment: changes the batch first, with one key for each image, (b,).
        decay: of the moving averages, if the state has any, see `update_average`.
        frozen: stages that stay as they are, their statistics among them; the
            optimizer has to know of them as well.
        axis_name: the axis of devices over which gradients and sums are made global,
            where this runs on each of several devices with its part of the batch.

    Returns:
        The state after, and the task's sums over the whole batch, taken before the
        update, with `not_finite`: 1 if its loss or its gradient has a NaN or an
        infinity, else 0.
    """
    step_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step))
    if augment is not None:
        count = batch["images"].shape[0]
        first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * count
        places = first + jnp.arange(count)
        batch = augment(batch, jax.vmap(partial(jax.random.fold_in, step_key))(places))
    with still_statistics(frozen):
        (_, (batch_stats, sums)), gradients = jax.value_and_grad(
            lambda params, *rest: task.compute_loss(hold_still(params, frozen), *rest),
            has_aux=True,
        )(state.params, state.batch_stats, batch, dropout_key)
    if axis_name is not None:
        gradients = jax.lax.pmean(gradients, axis_name)
        sums = jax.lax.psum(sums, axis_name)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params, average = optax.apply_updates(state.params, updates), {}
    if state.average:
        new = {"params": params, "batch_stats": batch_stats}
        average = update_average(state.average, new, state.step, decay)
        # d x + (1 - d) x may round to another x.
        average = jax.tree.map(
            lambda mean, old, frozen: old if frozen else mean,
            average,
            state.average,
            {name: mark_frozen(tree, frozen) for name, tree in average.items()},
        )
    new_state = TrainState(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        average=average,
    )
    finite = jnp.isfinite(sums["loss"]) & _is_finite(gradients)
    return new_state, sums | {"not_finite": 1 - finite.astype(jnp.int32)}


def update_average(average: Any, new: Any, step: jax.Array, decay: float) -> Any:
    """Returns d average + (1 - d) new, with d = min(decay, (1 + step) / (10 + step)).

    Early steps weigh less than `decay` says, so that the random first parameters are
    soon forgotten.

    Args:
        average: a tree of arrays.
        new: one of the same structure.
        step: number of steps done before, int32, ().
        decay: d after many steps, in [0, 1).
    """
    kept = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    # With the two swapped, 1 - (1 - d) would round to another d.
    return optax.incremental_update(average, new, step_size=kept)


def _is_finite(gradients: Any) -> jax.Array:
    """Returns whether no number of a tree of arrays is a NaN or an infinity, ()."""
    # Sums as products with ones: XLA:CPU would compile two programs for each array, and
    # the first would write as much as the array holds.
    sums = [
        jnp.ones(x.size // x.shape[-1]) @ x.reshape(-1, x.shape[-1])
        if x.ndim > 1
        else x.reshape(-1)
        for x in jax.tree.leaves(gradients)
    ]
    return jnp.isfinite(jnp.concatenate(sums)).all()


def run_steps(
    state: TrainState,
    data: Batch,
    rows: jax.Array,
    num_steps: jax.Array,
    key: jax.Array,
    *,
    step: Callable[..., tuple[TrainState, dict[str, jax.Array]]],
    axis_name: str,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Takes the next steps without asking the host, on one of several devices.

    The number of steps is not compiled in: one program serves a whole dispatch and the
    rest of an epoch, so that where a run was stopped never changes its numbers.

    Args:
        state: the state before.
        data: images and what belongs to them on this device, each with a leading axis.
        rows: which of them make up each batch, int32, (R, B); this device takes its b
            of the B columns.
        num_steps: how many batches to take from the top, int32, (), at most R.
        key: see `train_step`.
        step: `train_step` of a task.
        axis_name: the axis of devices.

    Returns:
        The state after, and the sums of each step, (R,), 0 where none was taken. A step
        that is not finite is the last one.
    """
    count = rows.shape[1] // jax.lax.axis_size(axis_name)
    first = jax.lax.axis_index(axis_name) * count

    def take(i: jax.Array) -> Batch:
        here = jax.lax.dynamic_slice(rows, (i, first), (1, count))[0]
        return {name: values[here] for name, values in data.items()}

    def is_unfinished(carry: tuple[jax.Array, TrainState, Any]) -> jax.Array:
        i, _, sums = carry
        return (i < num_steps) & (sums["not_finite"].sum() == 0)

    def advance(
        carry: tuple[jax.Array, TrainState, Any],
    ) -> tuple[jax.Array, TrainState, Any]:
        i, state, sums = carry
        state, step_sums = step(state, take(i), key)
        sums = {name: sums[name].at[i].set(step_sums[name]) for name in sums}
        return i + 1, state, sums

    start = jnp.zeros((), jnp.int32)
    if rows.shape[0] == 1:
        # XLA:CPU convolves ten times as slowly inside a loop.
        state, sums = step(state, take(start), key)
        return state, {name: x[None] for name, x in sums.items()}
    shapes = jax.eval_shape(lambda: step(state, take(start), key)[1])
    sums = {name: jnp.zeros(rows.shape[:1], x.dtype) for name, x in shapes.items()}
    _, state, sums = jax.lax.while_loop(is_unfinished, advance, (start, state, sums))
    return state, sums


def choose_steps_per_dispatch() -> int:
    """Returns how many steps `run_steps` may take at once without losing speed.

    XLA:CPU convolves ten times as slowly in a loop; oneDNN does not mind.
    """
    loops = find_platform() != "cpu" or choose_backend() == "onednn"
    return MAX_STEPS_PER_DISPATCH if loops else 1
