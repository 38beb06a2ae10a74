"""Measurements in processes of their own, which run when told and idle otherwise.

A thread pool that spins, or one model's peak memory, would else spoil the next
measurement. Requests and replies are JSON, one a line, on standard input and output.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Of every child. Taken before a command changes its own.
CHILD_ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(
        [
            str(pathlib.Path(__file__).parents[1]),
            *filter(None, [os.getenv("PYTHONPATH")]),
        ]
    ),
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}


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


def serve(build: Callable[..., Measurement]) -> None:
    """Answers a `Worker` until it closes the pipe. Runs in the child.

    Args:
        build: makes the measurement from the fields of the first request.
    """
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not look like a reply
    measurement: Measurement | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if measurement is None:
                _limit_cores(request["threads"])
                measurement = build(**request)
                reply = measurement.facts
            elif "steps" in request:
                start = time.perf_counter()
                measurement.run(request["steps"])
                reply = {"seconds": time.perf_counter() - start}
            else:
                reply = {"peak_bytes": measurement.peak_bytes()}
        except Exception as error:  # reported, so that the other rows go on
            traceback.print_exc()
            first, *_ = str(error).splitlines() or [""]
            reply = {"error": f"{type(error).__name__}: {first}"}
        print(json.dumps(reply), file=replies)


def _limit_cores(threads: int) -> None:
    # JAX sizes its pools by the cores that it may run on, and has no other switch.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


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
    """The parent's end of a child that measures."""

    def __init__(
        self, module: str, environment: Mapping[str, str] = CHILD_ENVIRONMENT
    ) -> None:
        """Starts `python -m module`, which must call `serve`."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(environment),
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Sends a request and waits for the reply.

        Raises:
            WorkerError: if the child failed or died.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"the process ended with code {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def seconds(self, steps: int) -> float:
        """Runs `steps` steps and returns what one took."""
        return float(self.ask(steps=steps)["seconds"]) / steps

    def close(self) -> None:
        """Ends the child and waits for its end."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


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
                facts[by] = workers[by].ask(**request)
            except WorkerError as error:
                notes.append(f"{title}, {by}: {error}.")
                workers.pop(by).close()
        try:
            times = interleave(workers, seconds) if workers else {}
            peak_bytes = {by: workers[by].ask()["peak_bytes"] for by in workers}
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
    workers: Mapping[str, Worker],
    seconds: float,
    repetitions: tuple[int, int] = (3, 9),
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
