"""What a run notes while it trains: sums, files, and how far it is."""

import contextlib
import io
import os
import pathlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from spectjax.config import save_config
from spectjax.input_pipeline import Examples, StoredExamples
from spectjax.system.files import write_file
from spectjax.tasks.task import Task
from spectjax.training.checkpoint import Checkpoints, Progress
from spectjax.training.checkpoint_writer import CheckpointWriter
from spectjax.training.feed import Dispatch
from spectjax.training.log import TrainingLog
from spectjax.training.parallel import Layout, is_first_process, wait_for_all
from spectjax.training.sessions import note_session

LONG_HOURS = 1  # of training on a CPU, from which on the program names :quick


class EpochSums:
    """Adds up the sums of an epoch's steps, one dispatch behind the devices."""

    def __init__(
        self,
        progress: Progress,
        examples: Examples | StoredExamples,
        workdir: pathlib.Path,
        bar: "Bar",
    ) -> None:
        """Begins with what `progress` says about the steps done before.

        Args:
            progress: where the epoch was stopped, or its beginning.
            examples: what is trained on.
            workdir: folder of the run, for a batch that is not finite.
            bar: learns of every dispatch.
        """
        self._totals: Counter[str] = Counter(progress.sums)
        self._start = time.perf_counter() - progress.seconds
        self._examples, self._workdir, self._bar = examples, workdir, bar
        self._pending: tuple[Dispatch, Any, int] | None = None

    def add(self, dispatch: Dispatch, sums: Any, done: int) -> None:
        """Takes what a dispatch will have computed; reads the one before."""
        self.read()
        self._pending = dispatch, sums, done

    def read(self) -> None:
        """Waits for the last dispatch and adds its sums.

        Raises:
            FloatingPointError: if a step of it was not finite.
        """
        if self._pending is None:
            return
        dispatch, step_sums, done = self._pending
        self._pending = None
        sums = _read_sums(step_sums)
        not_finite = sums.pop("not_finite")
        for i in range(dispatch.num_steps):
            if not_finite[i]:
                self._stop(dispatch.examples[i], sums["loss"][i], done + i + 1)
            self._totals.update({name: values[i] for name, values in sums.items()})
        last = dispatch.num_steps - 1
        self._bar.advance(dispatch.num_steps, sums["loss"][last] / sums["images"][last])

    def describe(self) -> Callable[[], Progress | None]:
        """Returns what waits for the last dispatch and tells what to save beside it.

        That is None if a step of it was not finite.
        """
        return partial(
            _describe,
            self._pending,
            Counter(self._totals),
            self._examples.fingerprint,
            time.perf_counter() - self._start,
        )

    def summarise(self, task: Task) -> dict[str, float]:
        """Returns the scores of the epoch, and how fast it was."""
        self.read()
        seconds = time.perf_counter() - self._start
        speed = self._totals["images"] / seconds
        return task.summarise(self._totals) | {
            "seconds": seconds,
            "images_per_second": speed,
        }

    def _stop(self, examples: np.ndarray, loss: float, step: int) -> None:
        """Saves a batch whose loss or gradient is not finite, and raises."""
        path = self._workdir / "not_finite" / f"step_{step}.npz"
        content = io.BytesIO()
        batch = self._examples.read(examples) | {"examples": examples}
        if isinstance(self._examples, Examples):
            batch["example_ids"] = np.array(self._examples.example_ids)[examples]
        np.savez_compressed(content, allow_pickle=False, **batch)
        if is_first_process():
            write_file(path, content.getvalue())
        raise FloatingPointError(
            f"At step {step} the loss was {loss:g} and it or its gradient is not "
            f"finite; the batch is in {path}. Look at it; if nothing is wrong there, "
            "lower --config.optimizer.learning_rate and choose another --workdir."
        )


def _read_sums(step_sums: Any) -> dict[str, list[float]]:
    return {name: x.tolist() for name, x in jax.device_get(step_sums).items()}


def _describe(
    pending: tuple[Dispatch, Any, int] | None,
    totals: Counter[str],
    fingerprint: str,
    seconds: float,
) -> Progress | None:
    """See `EpochSums.describe`; `totals` are those before the last dispatch."""
    if pending is not None:
        dispatch, step_sums, _ = pending
        sums = _read_sums(step_sums)
        if any(sums.pop("not_finite")):
            return None
        for i in range(dispatch.num_steps):
            totals.update({name: values[i] for name, values in sums.items()})
    return Progress(data=fingerprint, sums=dict(totals), seconds=seconds)


class Recorder:
    """Writes a run's files; in all processes but the first it writes nothing."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: pathlib.Path,
        epoch: int,
        notes: Sequence[str] = (),
    ) -> None:
        """Takes the run's config and folder, the epochs done, what its weights are."""
        self._config, self._workdir, self._epoch = config, workdir, epoch
        self._notes = notes
        self._writer: CheckpointWriter | None = None
        self._log: TrainingLog | None = None
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> "Recorder":
        """Opens the files.

        Raises:
            CheckpointError: if there can be no checkpoints.
            WriteError: if a file cannot be written.
        """
        if is_first_process():
            checkpoints = self._exits.enter_context(Checkpoints(self._workdir))
            self._writer = self._exits.enter_context(CheckpointWriter(checkpoints))
            save_config(self._config, self._workdir / "config.json")
            note_session(self._workdir, self._epoch, self._notes)
            self._log = TrainingLog(self._workdir, epoch=self._epoch)
        return self

    def is_due(self) -> bool:
        """Returns whether to save within an epoch."""
        seconds = 60 * self._config.checkpoint_every_minutes
        return self._writer is not None and self._writer.is_due(seconds)

    def is_due_after_epoch(self, loss: float) -> bool:
        """Returns whether to save at the end of an epoch that is not the last.

        Patients who pick the best model have to find it: the best so far always is.
        """
        if self._writer is None:
            return False
        seconds = 60 * self._config.checkpoint_every_minutes
        picked = self._config.data.validation_fold is not None
        return self._writer.is_due_after_epoch(seconds, loss if picked else None)

    def save(
        self,
        step: int,
        layout: Layout,
        state: Any,
        describe: Callable[[], Progress | None],
        loss: float | None = None,
    ) -> None:
        """Begins to write a checkpoint, see `CheckpointWriter.save`."""
        if self._writer is not None:
            self._writer.save(step, layout.begin_fetch(state), describe, loss)

    def log(self, epoch: int, scores: dict[str, float]) -> None:
        """Writes the scores of an epoch."""
        if self._log is not None:
            self._log.write(epoch, scores)

    def finish(self) -> None:
        """Waits until all that was saved is complete."""
        if self._writer is not None:
            self._writer.wait()

    def __exit__(self, *error: Any) -> None:
        """Closes the files; at a good end, waits for all processes."""
        self._exits.__exit__(*error)
        if error[0] is None:
            wait_for_all("trained")


class Bar(contextlib.AbstractContextManager["Bar"]):
    """Shows how far training is, in the first process."""

    def __init__(self, num_steps: int, done: int, batch_size: int) -> None:
        """Takes the number of steps in all and of those done before."""
        self._num_steps, self._done, self._batch_size = num_steps, done, batch_size
        self._start: tuple[float, int] | None = None  # when the first dispatch ended
        self._advised = jax.default_backend() != "cpu" or not is_first_process()
        self._bar = tqdm(
            total=num_steps * batch_size,
            initial=done * batch_size,
            unit=" images",
            dynamic_ncols=True,
            disable=not is_first_process(),
            # A line twice a minute where each one stays, as in the log of a batch job.
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )

    def __exit__(self, *_: object) -> None:
        """Leaves the bar where it is."""
        self._bar.close()

    def set_epoch(self, epoch: int, last: int) -> None:
        """Says which epoch it is, counted from 1."""
        self._bar.set_description(f"epoch {epoch}/{last}", refresh=False)

    def advance(self, steps: int, loss: float) -> None:
        """Says that so many more steps are done."""
        self._done += steps
        self._bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        self._bar.update(steps * self._batch_size)
        if self._start is None:  # what came before includes compiling
            self._start = time.perf_counter(), self._done
        elif not self._advised:
            self._advised = True
            start, done = self._start
            seconds = (time.perf_counter() - start) / (self._done - done)
            hours = seconds * (self._num_steps - self._done) / 3600
            if hours > LONG_HOURS:
                self._bar.write(
                    f"This will take about {hours:.0f} h on {os.cpu_count()} CPU "
                    "cores. With :quick after the config file's name it takes minutes."
                )
