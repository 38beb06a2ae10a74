"""Writes a run's checkpoints in the background, so that training never waits."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from spectjax.training.checkpoint import Checkpoints, Progress

REST = 10  # times what the last checkpoint took, from the start of one to the next


@dataclasses.dataclass(frozen=True)
class _Order:
    """A checkpoint that is to be written, is being written, or is complete."""

    loss: float | None
    writing: "Future[None]"

    def is_replaced_by(self, loss: float | None) -> bool:
        """Returns whether nobody needs it, as a newer one of this loss is there."""
        return self.loss is None or (loss is not None and loss <= self.loss)


class CheckpointWriter(contextlib.AbstractContextManager["CheckpointWriter"]):
    """Writes one checkpoint after the other, in the order of their steps.

    What waits while another one is written is dropped as soon as a newer one is as
    good: neither the newest nor the best of a run is ever dropped. What could not be
    written is raised by the next call.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        """Takes where they go; nobody else may write there."""
        self._checkpoints = checkpoints
        self._copier = ThreadPoolExecutor(1, "checkpoint-copy")
        self._writer = ThreadPoolExecutor(1, "checkpoint-write")
        self._orders: list[_Order] = []
        self._began, self._took = time.monotonic(), 0.0
        self._lowest = float("inf")

    def is_due(self, seconds: float) -> bool:
        """Returns whether none is under way, and the last one was begun long ago.

        Raises:
            CheckpointError: if one could not be written.
        """
        self._check()
        return not self._orders and time.monotonic() - self._began >= seconds

    def is_due_after_epoch(self, seconds: float, loss: float | None) -> bool:
        """Returns whether to write the state after an epoch.

        If it is the best so far; else if none is under way and writing takes a tenth of
        the time at most, or the last one was begun `seconds` ago.

        Args:
            seconds: after which it is due even where writing is slow.
            loss: by which the best is picked; None if the newest is.

        Raises:
            CheckpointError: if one could not be written.
        """
        due = self.is_due(min(seconds, REST * self._took))
        if loss is None or loss > self._lowest:
            return due
        self._lowest = loss
        return True

    def save(
        self,
        step: int,
        fetch: Callable[[], Any],
        describe: Callable[[], Progress | None],
        loss: float | None = None,
    ) -> None:
        """Begins to write a checkpoint, or lets it wait for the one under way.

        Args:
            step: number of steps done.
            fetch: waits for the state and returns it, see `Layout.begin_fetch`; called
                at once, in a thread, so that devices need no room for it for long.
            describe: returns what is kept beside it, None if it must not be kept.
            loss: by which the best is kept; None for one that does not compete.

        Raises:
            CheckpointError: if one before could not be written.
        """
        self._check()
        for order in self._orders:
            if order.is_replaced_by(loss):
                order.writing.cancel()  # unless it has begun
        self._began = time.monotonic()
        state = self._copier.submit(fetch)
        writing = self._writer.submit(self._write, step, state, describe, loss)
        self._orders.append(_Order(loss, writing))

    def _write(
        self,
        step: int,
        state: "Future[Any]",
        describe: Callable[[], Progress | None],
        loss: float | None,
    ) -> None:
        host_state, progress = state.result(), describe()
        began = time.monotonic()
        if progress is not None:
            self._checkpoints.save(step, host_state, progress, loss)
        self._took = time.monotonic() - began

    def _check(self) -> None:
        """Forgets what is complete; raises what went wrong."""
        done = [order.writing for order in self._orders if order.writing.done()]
        self._orders = [order for order in self._orders if not order.writing.done()]
        for writing in done:
            if not writing.cancelled():
                writing.result()

    def wait(self) -> None:
        """Waits until what was saved is complete.

        Raises:
            CheckpointError: if it cannot be written.
        """
        for order in self._orders:
            if not order.writing.cancelled():
                order.writing.exception()
        self._check()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits for what was saved; an error of the block comes before its own.

        A second Ctrl-C waits for what is being written, and drops the rest.
        """
        now = kind is not None and issubclass(kind, KeyboardInterrupt)
        self._writer.shutdown(cancel_futures=now)
        self._copier.shutdown()
        if kind is None:
            self._check()
