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
from typing import Any, NoReturn

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint.checkpoint_managers import preservation_policy

from spectjax.system.links import without_patterns
from spectjax.system.messages import UserError
from spectjax.training.state_digest import hash_state

_METADATA_BYTES = 2**20  # more than orbax writes beside the arrays
PATIENCE_SECONDS = 0.3  # for reads under way in other threads, which fail as well


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
        verified: whether what was read is what was saved, by its digest; False where
            an older version saved, which wrote none.
    """

    data: str
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    verified: bool = True


class Checkpoints(contextlib.AbstractContextManager["Checkpoints"]):
    """The last two checkpoints of a run and the best, `<workdir>/checkpoints/<step>`.

    A checkpoint takes its name only when it is complete, and an old one goes only when
    a newer one is complete. One process writes; others may read. What is read is held
    against the digest that was written with it.
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
        self._exits = contextlib.ExitStack()
        try:
            self._alias = self._exits.enter_context(without_patterns(self._directory))
        except OSError as error:
            raise CheckpointError(
                f"{self._directory}: expected a path without any of []*?\\: and in "
                "UTF-8, or a folder for temporary files to link it from; found neither "
                f"({error}). Choose another --workdir."
            ) from error
        try:
            with _silent_orbax():
                self._manager = ocp.CheckpointManager(
                    self._alias, options=_choose_options(read_only)
                )
        except Exception as error:  # orbax raises many types
            self._exits.close()
            raise CheckpointError(
                f"{self._directory}: expected checkpoints, found something else or "
                f"damage ({self._summarise(error)}). Move what is damaged elsewhere, "
                "or choose another --workdir."
            ) from error
        self._exits.callback(self._close_manager)

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, None if there is none."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """Returns the step of the one with the lowest loss, None if none has one.

        Raises:
            CheckpointError: if the losses are not those that were saved.
        """
        losses = {}
        for step in self._manager.all_steps():
            document = self._read_progress(step)
            loss = self._read_loss(step)
            # A checkpoint of an older version says it only once.
            if document.get("loss", loss) != loss:
                self._refuse(step, "its loss is not the one that was saved")
            if loss is not None:
                losses[step] = loss
        # Of equal ones the newest, as orbax keeps it.
        return min(losses, key=lambda step: (losses[step], -step), default=None)

    def save(
        self, step: int, state: Any, progress: Progress, loss: float | None = None
    ) -> None:
        """Writes a checkpoint, unless this step is there already.

        Args:
            step: number of steps done.
            state: pytree of numpy arrays.
            progress: kept beside it.
            loss: by which the best is kept; None for one that does not compete.

        Raises:
            CheckpointError: if it cannot be written, for instance on a full disk.
        """
        if step == self.latest_step():
            return
        document = dataclasses.asdict(progress) | {"loss": loss, "step": step}
        del document["verified"]
        digest = hash_state(state, document)
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            progress=ocp.args.JsonSave(document | {"sha256": digest}),
        )
        metrics = None if loss is None else {"loss": loss}
        try:
            with _silent_orbax():
                # Orbax would find out in several threads, and each would print of it.
                _check_space(self._directory, state)
                self._manager.save(step, args=arguments, metrics=metrics)
        except Exception as error:  # orbax and tensorstore raise many types
            raise CheckpointError(
                f"{self._directory / str(step)}: cannot be written "
                f"({self._summarise(error)}). Make room, then run the same command "
                "again: it goes on from the checkpoint before."
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
        document = self._read_progress(step)
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(wanted))
        try:
            with _silent_orbax():
                state = self._manager.restore(step, args=arguments).state
        except Exception as error:  # orbax and tensorstore raise many types
            self._refuse(step, self._summarise(error), error)
        digest = document.pop("sha256", None)
        if digest is not None and digest != hash_state(state, document):
            self._refuse(step, "its numbers are not those that were saved")
        if digest is None:
            print(
                f"note: {self._directory / str(step)}: an older version saved it "
                "without a digest, so it could not be checked for damage.",
                file=sys.stderr,
            )
        for name in ("loss", "step"):
            document.pop(name, None)
        return state, Progress(**document, verified=digest is not None)

    def _read_progress(self, step: int) -> dict[str, Any]:
        """Returns what was saved beside a state: `Progress`, its loss, the digest."""
        arguments = ocp.args.Composite(progress=ocp.args.JsonRestore())
        try:
            with _silent_orbax():
                document = self._manager.restore(step, args=arguments).progress
            document = _check_progress(document)
        except Exception as error:  # orbax raises many types
            self._refuse(step, self._summarise(error), error)
        # A checkpoint of an older version does not say it.
        if document.get("step", step) != step:
            self._refuse(step, f"it is that of step {document['step']}")
        return document

    def _read_loss(self, step: int) -> float | None:
        """Returns the loss by which orbax keeps a checkpoint, None if it has none."""
        try:
            with _silent_orbax():
                metrics = self._manager.metrics(step)
            return None if not metrics else float(metrics["loss"])
        except Exception as error:  # orbax raises many types
            self._refuse(step, self._summarise(error), error)

    def _refuse(
        self, step: int, found: str, cause: Exception | None = None
    ) -> NoReturn:
        """Raises the error that says how to go on without a checkpoint."""
        before = [other for other in self._manager.all_steps() if other < step]
        cure = (
            f"Move this folder out of {self._directory} to go on from the checkpoint "
            f"of step {max(before)}"
            if before
            else "There is none before it: choose another --workdir to begin anew"
        )
        raise CheckpointError(
            f"{self._directory / str(step)}: damaged, or of another model ({found}). "
            f"{cure}; or copy the folder again from where it is whole."
        ) from cause

    def _summarise(self, error: Exception) -> str:
        """Returns the error's first line, or the system's words for a full disk."""
        if "No space left on device" in str(error):
            return "No space left on device"
        text = str(error).replace(str(self._alias), str(self._directory)).strip()
        lines = text.splitlines() or [type(error).__name__]
        return lines[0].rstrip(".:")[:200]

    def _explain_absence(self) -> str:
        return (
            f"{self._directory}: no checkpoint; train first with "
            "python -m spectjax.main."
        )

    def close(self) -> None:
        """Ends orbax's threads."""
        self._exits.close()

    def _close_manager(self) -> None:
        with _silent_orbax():
            self._manager.close()

    def __exit__(self, *_: object) -> None:
        """Closes the folder."""
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
        enable_async_checkpointing=False,  # see `checkpoint_writer`
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
        time.sleep(PATIENCE_SECONDS)
        gc.collect()
        raise
    finally:
        logging.set_verbosity(verbosity)
        sys.unraisablehook = hook


def _check_progress(document: Any) -> dict[str, Any]:
    """Returns what is saved beside a state if it has the right types.

    Raises:
        ValueError: if it has not; a few words.
    """
    kinds: dict[str, Any] = {"data": str, "sums": dict, "seconds": (int, float)}
    optional = {"loss": (int, float, type(None)), "sha256": str, "step": int}
    if not isinstance(document, dict) or not (
        kinds.keys() <= document.keys() <= kinds.keys() | optional.keys()
    ):
        raise ValueError("its progress has other entries than those that are saved")
    for name, value in document.items():
        if not isinstance(value, (kinds | optional)[name]):
            raise ValueError(f"{name} of its progress is a {type(value).__name__}")
    if not all(isinstance(x, int | float) for x in document["sums"].values()):
        raise ValueError("a sum of its progress is no number")
    return document
