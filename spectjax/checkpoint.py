"""Checkpoints of a run, atomic and free of pickle: the only home of orbax."""

import contextlib
import dataclasses
import errno
import gc
import os
import pathlib
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint.checkpoint_managers import preservation_policy

from spectjax.messages import UserError

_METADATA_BYTES = 2**20  # more than orbax writes beside the arrays


class CheckpointError(UserError):
    """A checkpoint that cannot be written or read; one line for the user."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a run is, beside its state: what makes a resumed epoch whole.

    The order of the examples and all random draws follow from the run's config and the
    state's step, so neither needs to be kept.

    Attributes:
        data: fingerprint of the training data.
        sums: sums over the steps done of an epoch that is not complete; empty at its
            end.
        seconds: time spent on them.
    """

    data: str
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


class Checkpoints:
    """The last two checkpoints of a run and the best, `<workdir>/checkpoints/<step>`.

    A checkpoint takes its name only when it is complete, and an old one goes only when
    a newer one is complete. One process writes; others may read.
    """

    def __init__(self, workdir: pathlib.Path, *, read_only: bool = False) -> None:
        """Opens the folder, which need not exist.

        Args:
            workdir: folder of the run.
            read_only: change nothing there, since the run may still be training.

        Raises:
            CheckpointError: if there is nothing to read, or no folder can be made.
        """
        self._directory = (workdir / "checkpoints").absolute()
        if read_only and not self._directory.is_dir():
            raise CheckpointError(self._explain_absence())
        if not read_only:
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CheckpointError(
                    f"{self._directory}: cannot be made ({error.strerror}). Choose "
                    "another --workdir."
                ) from error
        with _silent_orbax():
            self._manager = ocp.CheckpointManager(
                self._directory, options=_choose_options(read_only)
            )

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, None if there is none."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """Returns the step of the one with the lowest loss, None if none has one."""
        with _silent_orbax():
            return self._manager.best_step()

    def save(
        self, step: int, state: Any, progress: Progress, loss: float | None = None
    ) -> None:
        """Writes a checkpoint in the background, unless this step is there already.

        Args:
            step: number of steps done.
            state: pytree of numpy arrays, which must not change until `wait` returns.
            progress: kept beside it.
            loss: by which the best is kept; None for one that does not compete.

        Raises:
            CheckpointError: if it, or the one before, cannot be written, for instance
                on a full disk.
        """
        if step == self.latest_step():
            return
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            progress=ocp.args.JsonSave(dataclasses.asdict(progress)),
        )
        metrics = None if loss is None else {"loss": loss}
        self.wait()
        with self._explain_write_errors(step):
            # Orbax would find out in several threads, and each would print about it.
            _check_space(self._directory, state)
            self._manager.save(step, args=arguments, metrics=metrics)
        self._unconfirmed = step

    def wait(self) -> None:
        """Waits until what was saved is complete.

        Raises:
            CheckpointError: if it cannot be written.
        """
        step, self._unconfirmed = self._unconfirmed, None
        if step is not None:
            with self._explain_write_errors(step):
                self._manager.wait_until_finished()

    _unconfirmed: int | None = None  # step whose writing has not been seen to end

    @contextlib.contextmanager
    def _explain_write_errors(self, step: int) -> Iterator[None]:
        try:
            with _silent_orbax():
                yield
        except Exception as error:  # orbax and tensorstore raise many types
            raise CheckpointError(
                f"{self._directory / str(step)}: cannot be written "
                f"({_summarise(error)}). Make room, then run the same command again: "
                "it goes on from the checkpoint before."
            ) from error

    def restore(
        self, abstract_state: Any, step: int | None = None
    ) -> tuple[Any, Progress]:
        """Returns a checkpoint.

        Args:
            abstract_state: pytree of `jax.ShapeDtypeStruct`: the structure, shapes and
                dtypes to expect.
            step: which one; None for the newest.

        Returns:
            The state, with numpy arrays, and what was kept beside it.

        Raises:
            CheckpointError: if there is none, or it is damaged, or of another model.
        """
        step = self.latest_step() if step is None else step
        if step is None:
            raise CheckpointError(self._explain_absence())
        # Arrays of one element each, which tell orbax to return numpy arrays.
        wanted = jax.tree.map(
            lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), abstract_state
        )
        arguments = ocp.args.Composite(
            state=ocp.args.StandardRestore(wanted), progress=ocp.args.JsonRestore()
        )
        try:
            with _silent_orbax():
                restored = self._manager.restore(step, args=arguments)
            return restored.state, Progress(**restored.progress)
        except Exception as error:  # orbax and tensorstore raise many types
            raise CheckpointError(
                f"{self._directory / str(step)}: damaged, or of another model "
                f"({_summarise(error)}). Remove this folder to go on from the "
                "checkpoint before, if there is one."
            ) from error

    def _explain_absence(self) -> str:
        return (
            f"{self._directory}: no checkpoint; train first with "
            "python -m spectjax.main."
        )

    def close(self) -> None:
        """Ends orbax's threads; what was saved is complete, or has been reported."""
        with _silent_orbax():
            self._manager.close()

    def __enter__(self) -> "Checkpoints":
        """Returns itself, to be closed at the end of a `with` block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits and closes; an error of the block comes before one of writing."""
        try:
            if kind is None:
                self.wait()
        finally:
            self.close()


def _choose_options(read_only: bool) -> ocp.CheckpointManagerOptions:
    process = jax.process_index()
    latest = preservation_policy.LatestN(2)
    best = preservation_policy.BestN(
        get_metric_fn=lambda metrics: -metrics["loss"],
        n=1,
        keep_checkpoints_without_metrics=False,
    )
    return ocp.CheckpointManagerOptions(
        # Without this function orbax would forget the losses when it is closed.
        best_fn=lambda metrics: metrics["loss"],
        best_mode="min",
        preservation_policy=preservation_policy.AnyPreservationPolicy([latest, best]),
        create=False,
        read_only=read_only,
        cleanup_tmp_directories=not read_only,
        enable_async_checkpointing=not read_only,
        atomicity_options=ocp.options.AtomicityOptions(
            mode=ocp.options.AtomicityMode.ATOMIC_RENAME
        ),
        # Processes share nothing but the folder: none waits for another.
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=process, active_processes={process}
        ),
    )


def _check_space(directory: pathlib.Path, state: Any) -> None:
    """Raises the system's own error if the disk has no room for `state`."""
    num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    if shutil.disk_usage(directory).free < num_bytes + _METADATA_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def _silent_orbax() -> Iterator[None]:
    """Keeps orbax from telling of an error that we report ourselves.

    Orbax logs its traceback, and of the arrays that it reads at the same time all but
    the first to fail report their own when they are collected as garbage: here and now,
    not when nobody expects it.
    """
    verbosity, hook = logging.get_verbosity(), sys.unraisablehook
    logging.set_verbosity(logging.FATAL)
    sys.unraisablehook = lambda _: None
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            traceback.clear_frames(cause.__traceback__)
            cause = cause.__cause__ or cause.__context__
        time.sleep(0.3)  # reads under way in other threads fail as well
        gc.collect()
        raise
    finally:
        logging.set_verbosity(verbosity)
        sys.unraisablehook = hook


def _summarise(error: Exception) -> str:
    """Returns the error's first line, or the system's words for a full disk."""
    if "No space left on device" in str(error):
        return "No space left on device"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:")[:200]
