"""What a run notes while it trains: sums, files, and how far it is."""

import contextlib
import io
import os
import pathlib
import sys
import time
from collections import Counter
from collections.abc import Sequence
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
        self._read()
        self._pending = dispatch, sums, done

    def _read(self) -> None:
        if self._pending is None:
            return
        dispatch, step_sums, done = self._pending
        self._pending = None
        sums = {name: x.tolist() for name, x in jax.device_get(step_sums).items()}
        not_finite = sums.pop("not_finite")
        for i in range(dispatch.num_steps):
            if not_finite[i]:
                self._stop(dispatch.examples[i], sums["loss"][i], done + i + 1)
            self._totals.update({name: values[i] for name, values in sums.items()})
        last = dispatch.num_steps - 1
        self._bar.advance(dispatch.num_steps, sums["loss"][last] / sums["images"][last])

    def describe(self) -> Progress:
        """Returns what to save within an epoch."""
        self._read()
        return Progress(
            data=self._examples.fingerprint,
            sums=dict(self._totals),
            seconds=time.perf_counter() - self._start,
        )

    def summarise(self, task: Task) -> dict[str, float]:
        """Returns the scores of the epoch, and how fast it was."""
        self._read()
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
        self._checkpoints: Checkpoints | None = None
        self._log: TrainingLog | None = None
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> "Recorder":
        """Opens the files.

        Raises:
            CheckpointError: if there can be no checkpoints.
            WriteError: if a file cannot be written.
        """
        if is_first_process():
            self._checkpoints = self._exits.enter_context(Checkpoints(self._workdir))
            save_config(self._config, self._workdir / "config.json")
            note_session(self._workdir, self._epoch, self._notes)
            self._log = TrainingLog(self._workdir, epoch=self._epoch)
        self._saved = time.monotonic()
        return self

    def is_due(self) -> bool:
        """Returns whether the last checkpoint is too long ago."""
        age = time.monotonic() - self._saved
        return self._checkpoints is not None and (
            age >= 60 * self._config.checkpoint_every_minutes
        )

    def save(
        self,
        step: int,
        layout: Layout,
        state: Any,
        progress: Progress,
        loss: float | None = None,
    ) -> None:
        """Starts to write a checkpoint."""
        if self._checkpoints is not None:
            self._checkpoints.save(step, layout.fetch(state), progress, loss)
        self._saved = time.monotonic()

    def log(self, epoch: int, scores: dict[str, float]) -> None:
        """Writes the scores of an epoch."""
        if self._log is not None:
            self._log.write(epoch, scores)

    def finish(self) -> None:
        """Waits until all that was saved is complete."""
        if self._checkpoints is not None:
            self._checkpoints.wait()

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
