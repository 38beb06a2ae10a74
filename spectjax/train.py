"""Training: the state, the step, and the way from a config to a trained run.

Batch, height, width and class axes are B, H, W and K.
"""

import dataclasses
import math
import os
import pathlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Sharding, SingleDeviceSharding
from ml_collections import ConfigDict
from tqdm import tqdm

import spectjax
from spectjax.checkpoint import CheckpointError, Checkpoints
from spectjax.config import ConfigError, load_config, save_config
from spectjax.input_pipeline import (
    NORMALISATIONS,
    Examples,
    crop_centre,
    iterate_batches,
)
from spectjax.losses import LOSSES
from spectjax.models import create_model
from spectjax.ops.convolution import compiler_options, measure_convolution_rate
from spectjax.parallel import (
    check_batch_size,
    compile_step,
    create_mesh,
    create_replicated,
)
from spectjax.report.training_log import TrainingLog
from spectjax.step import TrainState, create_train_state, train_step
from spectjax.tasks import TASKS, Segmentation

WARMUP_FRACTION = 0.05  # of all steps, when the schedule is "cosine"


def create_task(config: ConfigDict) -> Segmentation:
    """Builds the task that `config` describes, with its model and loss.

    Raises:
        ConfigError: if a name in `config` is not known or a model field is not.
    """
    _check_name("task", config.task, TASKS)
    _check_name("loss", config.loss, LOSSES)
    _check_name("data.normalisation", config.data.normalisation, NORMALISATIONS)
    _check_name("dtype", config.dtype, ("float32", "bfloat16"))
    fields = config.model.to_dict()
    try:
        model = create_model(fields.pop("name"), fields | {"dtype": config.dtype})
    except ValueError as error:
        raise ConfigError(f"--config.model: {error}") from error
    return TASKS[config.task](
        model=model,
        loss=LOSSES[config.loss],
        normalise=NORMALISATIONS[config.data.normalisation],
    )


def create_optimizer(
    config: ConfigDict, num_steps: int
) -> optax.GradientTransformation:
    """Builds the optimizer that `config`, the section of that name, describes.

    The schedule "cosine" rises linearly over the first 5 % of `num_steps` and falls to
    zero along half a cosine.

    Raises:
        ConfigError: if its name or its schedule is not known.
    """
    _check_name("optimizer.name", config.name, ("sgd", "adamw"))
    _check_name("optimizer.schedule", config.schedule, ("constant", "cosine"))
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


def _check_name(key: str, name: str, known: Any) -> None:
    if name not in known:
        raise ConfigError(f"--config.{key}={name!r}: known are {', '.join(known)}.")


def is_due(done: int, every: int, last: int) -> bool:
    """Returns whether what happens every so many epochs happens after `done` ones."""
    return done % every == 0 or done == last


def train(config: ConfigDict, workdir: pathlib.Path, examples: Examples) -> None:
    """Trains in `workdir` from its newest checkpoint, if it has one, to the end.

    Writes `config.json` once all is known to fit, then `train.csv`, `tensorboard/` and
    `checkpoints/` as it goes.

    Raises:
        ConfigError: if a value of `config` cannot be used with these examples.
        CheckpointError: if a checkpoint cannot be read or written.
        FloatingPointError: if the loss is not finite any more.
    """
    batch_size, hw = config.data.batch_size, tuple(config.data.train_hw)
    steps_per_epoch = len(examples) // batch_size
    if not steps_per_epoch:
        raise ConfigError(
            f"{examples.name}: {len(examples)} training examples do not fill a batch; "
            f"lower --config.data.batch_size={batch_size}."
        )
    mesh = create_mesh()
    check_batch_size(batch_size, mesh)
    examples = crop_centre(examples, hw)
    task = create_task(config)
    optimizer = create_optimizer(config.optimizer, config.num_epochs * steps_per_epoch)
    init_key, step_key = jax.random.split(jax.random.key(config.seed))
    state = create_replicated(
        lambda key: create_train_state(task, optimizer, key, hw), init_key, mesh
    )
    step = compile_step(partial(train_step, task=task, optimizer=optimizer), mesh)
    batches = partial(iterate_batches, examples, batch_size, seed=config.seed)

    with Checkpoints(workdir) as checkpoints:
        if checkpoints.latest_step() is not None:
            state = checkpoints.restore(_describe_arrays(state))
        epochs_done, rest = divmod(int(state.step), steps_per_epoch)
        if rest or epochs_done > config.num_epochs:
            raise CheckpointError(
                f"{workdir}: its checkpoint of step {int(state.step)} does not fit "
                f"{config.num_epochs} epochs of {steps_per_epoch} steps: it was made "
                "with other training data. Choose another --workdir."
            )
        if epochs_done == config.num_epochs:
            return
        if jax.default_backend() == "cpu":
            lowered = step.lower(state, next(batches(epoch=0)), step_key)
            flops = lowered.cost_analysis()["flops"] * steps_per_epoch
            _print_estimate(config, flops * (config.num_epochs - epochs_done))

        save_config(config, workdir / "config.json")
        log = TrainingLog(workdir, epoch=epochs_done)
        bar = tqdm(
            total=config.num_epochs * steps_per_epoch * batch_size,
            initial=epochs_done * steps_per_epoch * batch_size,
            unit=" images",
            dynamic_ncols=True,
            # A line twice a minute where each one stays, as in the log of a batch job.
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )
        with bar:
            for epoch in range(epochs_done, config.num_epochs):
                bar.set_description(f"epoch {epoch + 1}/{config.num_epochs}", False)
                start = time.perf_counter()
                state, sums = _train_epoch(
                    step, state, step_key, batches(epoch=epoch), bar
                )
                seconds = time.perf_counter() - start
                speed = {
                    "seconds": seconds,
                    "images_per_second": steps_per_epoch * batch_size / seconds,
                }
                log.write(epoch + 1, task.summarise(sums) | speed)
                if is_due(epoch + 1, config.checkpoint_every_epochs, config.num_epochs):
                    checkpoints.save(int(state.step), state)


def _train_epoch(
    step: Callable[..., tuple[TrainState, dict[str, jax.Array]]],
    state: TrainState,
    key: jax.Array,
    batches: Iterator[dict[str, np.ndarray]],
    bar: tqdm,
) -> tuple[TrainState, Counter[str]]:
    """Returns the state after one epoch and the task's sums over it."""
    totals: Counter[str] = Counter()
    for batch in batches:
        state, step_sums = step(state, batch, key)
        sums = {name: total.item() for name, total in jax.device_get(step_sums).items()}
        if not math.isfinite(sums["loss"]):
            raise FloatingPointError(
                f"The loss became {sums['loss']} at step {int(state.step)}. Lower "
                "--config.optimizer.learning_rate and choose another --workdir."
            )
        totals.update(sums)
        bar.set_postfix(loss=f"{sums['loss'] / sums['images']:.4f}", refresh=False)
        bar.update(sums["images"])
    return state, totals


def _print_estimate(config: ConfigDict, flops: float) -> None:
    """Says how long that many operations will take on this CPU."""
    # The largest images have the fewest channels, twice as many after a skip.
    rate = measure_convolution_rate(2 * min(config.model.features))
    hours = flops / rate / 3600
    duration = f"{hours:.0f} h" if hours > 2 else f"{max(60 * hours, 1):.0f} min"
    message = f"Training on {os.cpu_count()} CPU cores will take about {duration}."
    if hours > 1:
        message += " With :quick after the config file's name it takes minutes."
    print(message, flush=True)


def _describe_arrays(state: Any, sharding: Sharding | None = None) -> Any:
    """Returns the shapes and dtypes in `state`, to be placed as `sharding` says.

    Without one, the arrays keep the sharding that they have.
    """
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            x.shape, x.dtype, sharding=sharding or x.sharding
        ),
        state,
    )


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A run's model as it was when last saved.

    Attributes:
        config: the run's config.
        predict_probs: maps counts, uint16 or float32, (B, H, W, 1), to class
            probabilities, float32, (B, H, W, K); compiles anew for each shape.
        info: where the model comes from, for reports.
    """

    config: ConfigDict
    predict_probs: Callable[[np.ndarray], np.ndarray]
    info: dict[str, Any]


def restore_model(workdir: pathlib.Path) -> TrainedModel:
    """Reads the newest checkpoint of a run.

    Raises:
        ConfigError: if `workdir` does not hold a run.
        CheckpointError: if it holds no checkpoint or one that cannot be read.
    """
    config = load_config(workdir / "config.json")
    task = create_task(config)
    state = _restore_state(config, workdir)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    predict = jax.jit(task.predict, compiler_options=compiler_options())
    return TrainedModel(
        config=config,
        predict_probs=lambda counts: np.asarray(predict(variables, counts)),
        info={
            "model": config.model.name,
            "data": config.data.name,
            "held_out_fold": config.data.fold,
            "step": int(state.step),
            "spectjax_version": spectjax.__version__,
        },
    )


def _restore_state(config: ConfigDict, workdir: pathlib.Path) -> TrainState:
    """Returns the newest state of a run, on one device, whatever trained it."""
    task = create_task(config)
    optimizer = create_optimizer(config.optimizer, num_steps=1)
    hw = tuple(config.data.train_hw)
    shapes = jax.eval_shape(
        lambda key: create_train_state(task, optimizer, key, hw), jax.random.key(0)
    )
    device = SingleDeviceSharding(jax.devices()[0])
    with Checkpoints(workdir, read_only=True) as checkpoints:
        return checkpoints.restore(_describe_arrays(shapes, device))
