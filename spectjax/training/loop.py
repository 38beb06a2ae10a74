"""Training: the loop from the first step, or the last checkpoint, to the end."""

import dataclasses
import math
import pathlib
import signal
import sys
import time
from collections import Counter
from functools import partial

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from spectjax.config import ConfigError, check_config
from spectjax.input_pipeline import Examples, StoredExamples
from spectjax.ops.backend import describe_backend
from spectjax.ops.convolution import compiler_options
from spectjax.ops.host import compute_on_cpu, find_cpu
from spectjax.system.interruption import StopRequest
from spectjax.system.messages import Stop
from spectjax.system.paths import read_path
from spectjax.tasks.task import Task
from spectjax.training.assembly import create_task
from spectjax.training.checkpoint import CheckpointError, Checkpoints, Progress
from spectjax.training.feed import Feed, ResidentFeed, StreamedFeed
from spectjax.training.frozen import check_frozen
from spectjax.training.optimizer import create_optimizer
from spectjax.training.parallel import (
    LAYOUTS,
    Layout,
    ask_processes,
    check_batch_size,
    check_same,
    is_first_process,
)
from spectjax.training.program import compile_steps
from spectjax.training.recorder import Bar, EpochSums, Recorder
from spectjax.training.start import OwnWeights
from spectjax.training.step import (
    TrainState,
    choose_steps_per_dispatch,
    create_train_state,
)
from spectjax.weights.torchvision import load_pretrained

SHORT_SECONDS = 0.5  # a dispatch that takes less may have more steps


class Stopped(Stop):
    """Training was asked to stop, and has saved its state.

    Attributes:
        signal: number of the signal that asked.
    """

    def __init__(self, number: int, step: int) -> None:
        """Says after which step."""
        super().__init__(
            f"Stopped by {signal.Signals(number).name} after step {step}. The same "
            "command goes on from there.",
            128 + number,  # as shells tell of a signal
        )
        self.signal = number


def train(
    config: ConfigDict,
    workdir: pathlib.Path,
    examples: Examples | StoredExamples,
    validation: Examples | None = None,
    start: OwnWeights | None = None,
) -> None:
    """Trains in `workdir` from its newest checkpoint, if it has one, to the end.

    Writes `config.json` once all is known to fit, then `train.csv`, `tensorboard/` and
    `checkpoints/` as it goes. SIGTERM and SIGINT end it after the steps under way, with
    a checkpoint.

    Args:
        config: see `spectjax.config.base_config`.
        workdir: folder of the run.
        examples: what to train on; streamed if it is on disk.
        validation: whose loss picks the best checkpoint; None: the training loss does.
        start: weights of ours that `config.pretrained` names, to begin with; None: if
            it names any, they are PyTorch's.

    Raises:
        ConfigError: if a value of `config` cannot be used with these examples.
        WeightsError: if the weights to begin with cannot be used.
        CheckpointError: if a checkpoint cannot be read or written.
        FloatingPointError: if the loss is not finite any more.
        Stopped: if a signal asked for it.
    """
    check_config(config)
    batch_size, hw = config.data.batch_size, tuple(config.data.train_hw)
    steps_per_epoch = len(examples) // batch_size
    if not steps_per_epoch:
        raise ConfigError(
            f"{examples.name}: {len(examples)} training examples do not fill a batch; "
            f"lower --config.data.batch_size={batch_size}."
        )
    layout = LAYOUTS[config.parallel]()
    check_batch_size(batch_size, layout.num_devices)
    cropped = examples.crop_centre(hw)
    # What lies outside of the crop may move into it.
    online = config.data.augmentation == "online"
    examples = examples if online else cropped
    task = create_task(config)
    examples = dataclasses.replace(examples, numbered=task.numbered, told=task.told)
    frozen = tuple(config.frozen)
    optimizer = create_optimizer(
        config.optimizer, config.num_epochs * steps_per_epoch, frozen
    )
    init_key, step_key = jax.random.split(jax.random.key(config.seed))
    decay = config.optimizer.average
    create = partial(create_train_state, image_hw=hw, averaged=decay > 0)
    first = compute_on_cpu(partial(create, task, optimizer))(init_key)
    check_frozen(frozen, first.params)
    host_state, progress = _restore(workdir, examples, first)
    notes: list[str] = []
    if host_state is first:
        host_state, notes = _take_weights(config, optimizer, first, start)
    done = int(host_state.step)
    if done == config.num_epochs * steps_per_epoch:
        return
    state = layout.place(host_state)
    feed = _create_feed(config, examples, layout)
    run = compile_steps(config, task, optimizer, layout, split_data=feed.split_data)
    validate = None if validation is None else _Validation(task, config, validation)
    then = -math.inf  # when the last dispatch began

    def say() -> tuple[bool, bool]:
        return stop.signal > 0, time.perf_counter() - then > SHORT_SECONDS

    with (
        Recorder(config, workdir, done // steps_per_epoch, notes) as recorder,
        Bar(config.num_epochs * steps_per_epoch, done, batch_size) as bar,
        StopRequest() as stop,
    ):
        for epoch in range(done // steps_per_epoch, config.num_epochs):
            bar.set_epoch(epoch + 1, config.num_epochs)
            sums = EpochSums(progress, examples, workdir, bar)
            for dispatch in feed.dispatches(epoch, done % steps_per_epoch):
                ask = ask_processes(say)
                then = time.perf_counter()
                state, step_sums = run(
                    state, dispatch.data, dispatch.rows, dispatch.num_steps, step_key
                )
                sums.add(dispatch, layout.view(step_sums), done)
                done += dispatch.num_steps
                if done % steps_per_epoch == 0:
                    break
                stop_now, long = ask()
                if not long:
                    feed.steps = min(2 * feed.steps, feed.max_steps)
                if stop_now:
                    sums.read()  # whose error is worth more
                if stop_now or recorder.is_due():
                    recorder.save(done, layout, state, sums.describe())
                if stop_now:
                    recorder.finish()
                    raise Stopped(stop.signal or signal.SIGTERM, done)

            scores = sums.summarise(task)
            loss = scores["loss"]
            if validate is not None:
                held_back = validate(layout.view(state))
                loss = held_back["loss"]
                scores |= {f"validation_{name}": x for name, x in held_back.items()}
            recorder.log(epoch + 1, scores)
            progress = Progress(data=examples.fingerprint)
            stop_now, _ = ask()
            last, every = epoch + 1 == config.num_epochs, config.checkpoint_every_epochs
            due = (epoch + 1) % every == 0 and recorder.is_due_after_epoch(loss)
            if due or last or stop_now:
                whole = partial(Progress, examples.fingerprint)
                recorder.save(done, layout, state, whole, loss)
            if stop_now and not last:
                recorder.finish()
                raise Stopped(stop.signal or signal.SIGTERM, done)


def _take_weights(
    config: ConfigDict,
    optimizer: optax.GradientTransformation,
    first: TrainState,
    start: OwnWeights | None,
) -> tuple[TrainState, list[str]]:
    """Returns the state before the first step, with weights from `config.pretrained`.

    If it names any; and, a sentence each, what the run's user should know of them.

    Raises:
        WeightsError: if they cannot be read or do not fit the model.
    """
    state, notes = first, list[str]()
    if find_cpu() is None:
        notes.append(
            f"The first weights were drawn on {jax.devices()[0].device_kind}, for "
            "JAX_PLATFORMS leaves the CPU out: elsewhere they differ by rounding."
        )
    if config.pretrained is not None:
        state, read = _fill(config, optimizer, first, start)
        notes += read
    if is_first_process():
        for note in notes:
            print(note, flush=True)
    return state, notes


def _fill(
    config: ConfigDict,
    optimizer: optax.GradientTransformation,
    first: TrainState,
    start: OwnWeights | None,
) -> tuple[TrainState, list[str]]:
    """See `_take_weights`."""
    drawn = {"params": first.params, "batch_stats": first.batch_stats}
    if start is not None:
        variables, notes = start.fill(config, drawn)
    else:
        path = read_path(config.pretrained, "--config.pretrained")
        variables, notes = load_pretrained(path, config.model.name, drawn)
    state = dataclasses.replace(
        first,
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        average=variables if first.average else {},
        # Some optimizers keep what they began with.
        opt_state=compute_on_cpu(optimizer.init)(variables["params"]),
    )
    return state, notes


def _restore(
    workdir: pathlib.Path, examples: Examples | StoredExamples, first: TrainState
) -> tuple[TrainState, Progress]:
    """Returns the newest state of a run and its progress, or the first ones."""
    state, progress = first, Progress(data=examples.fingerprint)
    if (workdir / "checkpoints").is_dir():
        with Checkpoints(workdir, read_only=True) as checkpoints:
            if checkpoints.latest_step() is not None:
                state, progress = checkpoints.restore(first)
    check_same(
        f"step {int(state.step)} of {progress.data}",
        f"The processes of this run do not see the same checkpoint in {workdir} or the "
        "same training data: --workdir and --data_dir must name folders that all share",
    )
    _check_examples(workdir, examples, int(state.step), progress.data)
    return state, progress


def _check_examples(
    workdir: pathlib.Path, examples: Examples | StoredExamples, step: int, found: str
) -> None:
    """Checks the fingerprint that a checkpoint holds.

    Raises:
        CheckpointError: if it is not that of the examples.
    """
    if found == examples.fingerprint:
        return
    if found != examples.older_fingerprint:
        raise CheckpointError(
            f"{workdir}: its checkpoint of step {step} was made with other training "
            f"data than {examples.name} has: images, outlines, labels or names "
            "differ. Choose another --workdir, or the --data_dir of before."
        )
    if is_first_process():
        print(
            f"{workdir}: its checkpoint of step {step} is older than fingerprints of "
            f"content: {examples.name} has as many examples of the same size in all; "
            "whether they are the same was not checked.",
            file=sys.stderr,
            flush=True,
        )


def _create_feed(
    config: ConfigDict, examples: Examples | StoredExamples, layout: Layout
) -> Feed:
    """Returns the feed for examples in memory or on disk, and says which."""
    batch_size, seed = config.data.batch_size, config.seed
    feed: Feed
    if isinstance(examples, StoredExamples):
        feed = StreamedFeed(examples, layout, batch_size=batch_size, seed=seed)
        where = "streamed from disk"
    else:
        most = config.steps_per_dispatch or choose_steps_per_dispatch()
        feed = ResidentFeed(
            examples, layout, batch_size=batch_size, seed=seed, max_steps=most
        )
        where = f"kept in memory, up to {most} steps per dispatch"
    if is_first_process():
        kind = jax.devices()[0].device_kind
        print(
            f"Training on {layout.num_devices} x {kind} ({config.parallel}, "
            f"{config.dtype}): {len(examples)} examples, {where}.",
            flush=True,
        )
        if jax.default_backend() == "cpu":
            print(describe_backend(), flush=True)
    return feed


class _Validation:
    """Scores the state of a run on patients that neither train nor test it."""

    def __init__(self, task: Task, config: ConfigDict, examples: Examples) -> None:
        self._task = task
        self._examples = dataclasses.replace(
            examples.crop_centre(tuple(config.data.train_hw)),
            numbered=task.numbered,
            told=task.told,
        )
        self._batch_size = config.data.batch_size
        self._compute = jax.jit(task.compute_sums, compiler_options=compiler_options())

    def __call__(self, state: TrainState) -> dict[str, float]:
        variables = state.variables
        totals: Counter[str] = Counter()
        for start in range(0, len(self._examples), self._batch_size):
            rows = np.arange(start, start + self._batch_size)
            valid = rows < len(self._examples)
            batch = self._examples.read(np.where(valid, rows, start))
            sums = jax.device_get(self._compute(variables, batch | {"valid": valid}))
            totals.update({name: float(total) for name, total in sums.items()})
        return self._task.summarise(totals)
