"""Measurements in processes of their own, which run when told and idle otherwise.

A thread pool that spins, or one model's peak memory, would else spoil the next
measurement.
"""

import contextlib
import dataclasses
import importlib
import multiprocessing
import os
import pathlib
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

_T = TypeVar("_T")


class WorkerError(RuntimeError):
    """A measurement that failed; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Something built and compiled, ready to run.

    Attributes:
        run: runs that many steps and waits until they are done.
        facts: what was learned on the way, such as `compile_s`.
        peak_bytes: gives the most memory that was ever in use.
    """

    run: Callable[[int], object]
    facts: dict[str, Any]
    peak_bytes: Callable[[], int]


@dataclasses.dataclass(frozen=True)
class Timed:
    """What one of several took that ran in turns.

    Attributes:
        seconds: of a step, one for each turn.
        facts: of its `Measurement`.
        peak_bytes: most memory in use.
        times_peer: speed relative to the fastest peer; None without one.
    """

    seconds: list[float]
    facts: dict[str, Any]
    peak_bytes: int
    times_peer: float | None


_measurement: Measurement  # of this process, if it is a worker's


def _begin_worker() -> None:
    os.dup2(2, 1)  # what libraries print is no part of the table
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    # Unless it is asked for: what is compiled before is not compiled in no time.
    os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")


def _build(module: str, request: dict[str, Any]) -> dict[str, Any]:
    global _measurement
    # JAX sizes its pools by the cores that it may run on, and has no other switch.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request["threads"]])
    _measurement = importlib.import_module(module).build(**request)
    return _measurement.facts


def _time(steps: int) -> float:
    start = time.perf_counter()
    _measurement.run(steps)
    return time.perf_counter() - start


def _measure_peak() -> int:
    return _measurement.peak_bytes()


def peak_rss_bytes() -> int:
    """Returns the most memory that this process ever had in RAM.

    Not `getrusage` on Linux: what it says begins with the peak of the parent.
    """
    with contextlib.suppress(FileNotFoundError):
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Worker:
    """A process that measures."""

    def __init__(self, module: str) -> None:
        """Begins one for a module whose `build` returns a `Measurement`."""
        self._module = module
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, _begin_worker)

    def build(self, **request: Any) -> dict[str, Any]:
        """Calls the module's `build`; returns the facts.

        Raises:
            WorkerError: if it fails, or the process dies; so do the others.
        """
        return self._call(_build, self._module, request)

    def seconds(self, steps: int) -> float:
        """Runs `steps` steps and returns what one took."""
        return self._call(_time, steps) / steps

    def peak_bytes(self) -> int:
        """Returns the most memory that was in use."""
        return self._call(_measure_peak)

    def _call(self, function: Callable[..., _T], *arguments: Any) -> _T:
        try:
            return self._pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise WorkerError("the process ended early") from error
        except Exception as error:  # reported, so that the other rows go on
            traceback.print_exception(error)
            first, *_ = str(error).splitlines() or [""]
            raise WorkerError(f"{type(error).__name__}: {first}") from error

    def close(self) -> None:
        """Ends the process and waits for its end."""
        self._pool.shutdown()


@contextlib.contextmanager
def closing(workers: Mapping[str, Worker]) -> Iterator[None]:
    """Closes all workers of a mapping at the end, those added inside too."""
    try:
        yield
    finally:
        for worker in workers.values():
            worker.close()


def take_turns(
    title: str,
    contenders: Mapping[str, tuple[str, dict[str, Any]]],
    seconds: float,
    notes: list[str],
    *,
    peer: str,
) -> dict[str, Timed]:
    """Measures contenders in turns, each in a process of its own.

    Args:
        title: what is measured; progress goes to standard error.
        contenders: by name, the module of the worker and its first request.
        seconds: time for each, see `interleave`.
        notes: to which what fails is added; the others go on.
        peer: how the names of those begin that the others are compared with.
    """
    workers: dict[str, Worker] = {}
    facts = {}
    with closing(workers):
        for by, (module, request) in contenders.items():
            print(f"{title}: {by} ...", file=sys.stderr)
            workers[by] = Worker(module)
            try:
                facts[by] = workers[by].build(**request)
            except WorkerError as error:
                notes.append(f"{title}, {by}: {error}.")
                workers.pop(by).close()
        try:
            times = interleave(workers, seconds) if workers else {}
            peak_bytes = {by: workers[by].peak_bytes() for by in workers}
        except WorkerError as error:
            notes.append(f"{title}: {error}.")
            return {}
    peers = [by for by in times if by.startswith(peer)]
    fastest = min(peers, key=lambda by: statistics.median(times[by]), default=None)
    return {
        by: Timed(
            seconds=found,
            facts=facts[by],
            peak_bytes=peak_bytes[by],
            times_peer=median_ratio(times[fastest], found) if fastest else None,
        )
        for by, found in times.items()
    }


def interleave(
    workers: Mapping[str, Worker], seconds: float, repetitions: tuple[int, int] = (3, 9)
) -> dict[str, list[float]]:
    """Runs workers in turn, A B A B ..., and returns seconds a step of each turn.

    Args:
        workers: what to run, by name.
        seconds: time for each worker, but it runs the smallest number of turns anyway.
        repetitions: smallest and largest number of turns.
    """
    least, most = repetitions
    steps = {}
    slowest = 0.0
    for name, worker in workers.items():
        worker.seconds(1)
        once = worker.seconds(1)
        steps[name] = max(1, round(seconds / most / once))
        slowest = max(slowest, steps[name] * once)
    turns = min(most, max(least, round(seconds / slowest)))
    times: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(turns):
        for name, worker in workers.items():
            time.sleep(0.1)  # until the threads of the one before have stopped spinning
            times[name].append(worker.seconds(steps[name]))
    return times


def median_ratio(numerators: list[float], denominators: list[float]) -> float:
    """Returns the median of the ratios of what was measured side by side."""
    pairs = zip(numerators, denominators, strict=True)
    return statistics.median(a / b for a, b in pairs)
