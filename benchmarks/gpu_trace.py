"""Where a GPU's time goes: what the profiler saw, kernel by kernel."""

import collections
import gzip
import json
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable
from typing import Any

_LONGEST = 15  # kernels to name
_NAME = 80  # characters of a kernel's name


def record(run: Callable[[], object], folder: pathlib.Path, *, steps: int) -> Any:
    """Runs under jax's profiler; keeps the trace as FOLDER/trace.json.gz.

    Returns:
        What `summarise` returns, with `wall_ms` of a step, the profiler's own work
        included; what went wrong as `error` instead.
    """
    import jax

    raw = folder / "profile"
    try:
        with jax.profiler.trace(str(raw)):
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
        (written,) = raw.rglob("*.trace.json.gz")
        shutil.copyfile(written, folder / "trace.json.gz")
        with gzip.open(written) as stream:
            events = json.load(stream)["traceEvents"]
    except (OSError, RuntimeError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        shutil.rmtree(raw, ignore_errors=True)
    return {**summarise(events, steps), "wall_ms": 1e3 * seconds / steps}


def summarise(events: Iterable[dict[str, Any]], steps: int) -> dict[str, Any]:
    """Returns what GPUs did, for each step.

    Args:
        events: of Chrome's trace format, as jax writes it; times in microseconds.
        steps: how many were traced.

    Returns:
        `kernels`, their number; `busy_ms`, in which at least one ran; `span_ms`, from
        the first to the end of the last; and the `longest`, by name: their number and
        milliseconds.
    """
    events = list(events)
    streams = _find_streams(events)
    spans, by_name = [], collections.defaultdict[str, list[float]](lambda: [0, 0.0])
    for event in events:
        if event.get("ph") == "X" and (event["pid"], event["tid"]) in streams:
            start, length = float(event["ts"]), float(event.get("dur", 0))
            spans.append((start, start + length))
            entry = by_name[event["name"][:_NAME]]
            entry[0] += 1 / steps
            entry[1] += length / 1e3 / steps
    longest = sorted(by_name.items(), key=lambda item: -item[1][1])[:_LONGEST]
    return {
        "kernels": len(spans) / steps,
        "busy_ms": _measure_union(spans) / 1e3 / steps,
        "span_ms": _measure_extent(spans) / 1e3 / steps,
        "longest": [
            {"name": name, "count": count, "ms": ms} for name, (count, ms) in longest
        ],
    }


def _find_streams(events: list[dict[str, Any]]) -> set[tuple[int, int]]:
    """Returns process and thread of what stands for a stream of a GPU."""
    named = [event for event in events if event.get("ph") == "M"]
    gpus = {
        event["pid"]
        for event in named
        if event["name"] == "process_name" and "/device:GPU" in event["args"]["name"]
    }
    return {
        (event["pid"], event["tid"])
        for event in named
        if event["name"] == "thread_name"
        and event["pid"] in gpus
        and event["args"]["name"].startswith("Stream")
    }


def _measure_union(spans: list[tuple[float, float]]) -> float:
    total, reached = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    return total


def _measure_extent(spans: list[tuple[float, float]]) -> float:
    if not spans:
        return 0.0
    return max(stop for _, stop in spans) - min(start for start, _ in spans)
