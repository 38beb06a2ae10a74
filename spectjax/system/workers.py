"""Processes that share work out; its result does not depend on how many there are."""

import collections
import contextlib
import itertools
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from spectjax.system.messages import UserError

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
# A process takes some 2 s to start, for what it imports: less work than this is done
# here.
_WORTHWHILE_SECONDS = 8.0


class WorkerError(UserError):
    """A process that was lost; the message is one line for the user."""


class Workers(contextlib.AbstractContextManager["Workers"]):
    """A pool of processes, started when there is enough to do, ended on exit."""

    def __init__(self, processes: int | None = None) -> None:
        """Takes the number of processes; None: one for each core, if it pays."""
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def __exit__(self, *_: object) -> None:
        """Drops what has not begun, and waits for what has."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(
        self,
        function: Callable[[_Job], _Result],
        jobs: Sequence[_Job],
        *,
        seconds: float,
    ) -> Iterator[_Result]:
        """Yields the result of each job in the order of the jobs.

        A few jobs are under way at a time, so that memory holds a few results.

        Args:
            function: of a module, so that other processes find it.
            jobs: its arguments.
            seconds: how long all of them take one process, roughly.

        Raises:
            WorkerError: if a process was killed.
        """
        cores = count_cores()
        processes = self._processes or (cores if seconds > _WORTHWHILE_SECONDS else 1)
        if min(processes, len(jobs)) <= 1:
            yield from map(function, jobs)
            return
        if self._pool is None:
            # A fork would copy the locks of threads, JAX's among them.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(processes, context, _follow_parent)
        waiting, under_way = iter(jobs), collections.deque[Future[Any]]()
        try:
            for job in itertools.islice(waiting, 2 * processes):
                under_way.append(_submit(self._pool, function, job))
            while under_way:
                yield under_way.popleft().result()
                for job in itertools.islice(waiting, 1):
                    under_way.append(_submit(self._pool, function, job))
        except BrokenProcessPool as error:
            raise WorkerError(
                "A process that shared the work ended early: for want of memory, or "
                "started by a script without `if __name__ == '__main__':`. Run the "
                "same again with --processes=1."
            ) from error


def count_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _submit(
    pool: ProcessPoolExecutor, function: Callable[[_Job], _Result], job: _Job
) -> Future[_Result]:
    # May start a process. It inherits that Ctrl-C is held back here, and leaves it to
    # us to end it: else it would print a traceback of its own.
    with _hold_back_interrupts():
        return pool.submit(function, job)


@contextlib.contextmanager
def _hold_back_interrupts() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_parent() -> None:
    """Ends this process with its parent, however that ends."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
