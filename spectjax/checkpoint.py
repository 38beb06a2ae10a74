"""Checkpoints of a run, atomic and free of pickle: the only home of orbax."""

import contextlib
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
import orbax.checkpoint as ocp
from absl import logging

_METADATA_BYTES = 2**20  # more than orbax writes beside the arrays


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or read; one line for the user."""


class Checkpoints:
    """The last two checkpoints of a run, `<workdir>/checkpoints/<step>`.

    A checkpoint takes its name only when it is complete, and an old one goes only when
    a newer one is complete.
    """

    def __init__(self, workdir: pathlib.Path, *, read_only: bool = False) -> None:
        """Opens the folder, which need not exist.

        Args:
            workdir: folder of the run.
            read_only: change nothing there, since the run may still be training.

        Raises:
            CheckpointError: if there is nothing to read.
        """
        self._directory = (workdir / "checkpoints").absolute()
        if read_only and not self._directory.is_dir():
            raise CheckpointError(self._explain_absence())
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2,
            create=not read_only,
            read_only=read_only,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=not read_only,
        )
        with _silent_orbax():
            self._manager = ocp.CheckpointManager(self._directory, options=options)

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, None if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any) -> None:
        """Writes `state`, a pytree of arrays, unless this step is there already.

        Raises:
            CheckpointError: if it cannot be written, for instance on a full disk.
        """
        if step == self.latest_step():
            return
        try:
            # Orbax would find out in several threads, and each would print about it.
            _check_space(self._directory, state)
            with _silent_orbax():
                self._manager.save(step, args=ocp.args.StandardSave(state))
        except Exception as error:  # orbax and tensorstore raise many types
            raise CheckpointError(
                f"{self._directory / str(step)}: cannot be written "
                f"({_summarise(error)}). Make room, then run the same command again: "
                "it goes on from the checkpoint before."
            ) from error

    def restore(self, abstract_state: Any) -> Any:
        """Returns the newest checkpoint.

        Args:
            abstract_state: pytree of `jax.ShapeDtypeStruct` with shardings: the
                structure, shapes and dtypes to expect and the devices to fill.

        Raises:
            CheckpointError: if there is none, or it is damaged, or of another model.
        """
        step = self.latest_step()
        if step is None:
            raise CheckpointError(self._explain_absence())
        try:
            with _silent_orbax():
                return self._manager.restore(
                    step, args=ocp.args.StandardRestore(abstract_state)
                )
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
        """Ends orbax's threads."""
        self._manager.close()

    def __enter__(self) -> "Checkpoints":
        """Returns itself, to be closed at the end of a `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()


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
