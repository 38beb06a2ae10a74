"""The parts of `benchmarks.check_gpu`, each run in a process of its own.

    python -m benchmarks.gpu_parts PART FOLDER '{"name": "unet", ...}'

writes what it found to FOLDER/facts.json. Needs jax, flax, optax and numpy; PyTorch is
measured where it is installed.
"""

import argparse
import csv
import importlib
import importlib.metadata
import importlib.util
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import gpu_trace
from benchmarks.machine import JAX, Machine
from spectjax.system.files import write_file, write_json
from spectjax.system.workers import count_cores

_TRACED_STEPS = 3
_TURNS, _CALLS = 5, 10
_COPIED = {"cpu": 1 << 24, "gpu": 1 << 32}  # bytes
_SQUARE = {"cpu": 512, "gpu": 8192}  # rows of the matrices


def main(part: str, folder: pathlib.Path, request: dict[str, Any]) -> None:
    """Runs a part and writes its facts."""
    facts = PARTS[part](folder, **request)
    write_json(folder / "facts.json", facts)


def describe_card(folder: pathlib.Path) -> dict[str, Any]:
    """Returns what the card is, its memory's bandwidth and its matrix products.

    `products` are TFLOP/s of square matrices by the type; float32 is multiplied in
    TF32 unless exactly. `copy` is GB/s, read and written bytes together.
    """
    import jax
    import jax.numpy as jnp

    kind = "cpu" if jax.default_backend() == "cpu" else "gpu"
    rows = _SQUARE[kind]
    products = {}
    for name, dtype, precision in (
        ("bfloat16", "bfloat16", None),
        ("float32", "float32", None),
        ("float32, exact", "float32", "highest"),
    ):
        with jax.default_matmul_precision(precision):
            a = jax.random.normal(jax.random.key(0), (rows, rows), jnp.dtype(dtype))
            multiply = jax.jit(jnp.matmul).lower(a, a).compile()
            products[name] = 2 * rows**3 / _time(multiply, a, a) / 1e12
    x = jnp.zeros(_COPIED[kind] // 4, jnp.float32)
    copy = jax.jit(lambda x: x + 1).lower(x).compile()
    return {
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
        "devices": jax.device_count(),
        "versions": _list_versions(),
        "driver": _ask_driver(),
        "products": products,
        "copy": 2 * x.nbytes / _time(copy, x) / 1e9,
    }


def _time(run: Callable[..., Any], *operands: Any) -> float:
    """Returns the seconds that a call takes, the median of some turns."""
    run(*operands).block_until_ready()
    seconds = []
    for _ in range(_TURNS):
        start = time.perf_counter()
        for _ in range(_CALLS):
            result = run(*operands)
        result.block_until_ready()
        seconds.append((time.perf_counter() - start) / _CALLS)
    return statistics.median(seconds)


def _list_versions() -> dict[str, str]:
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("jax", "flax", "optax", "numpy", "torch"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _ask_driver() -> str:
    """Returns name, driver and what is in use of the card, as its driver tells it."""
    query = "--query-gpu=name,driver_version,memory.used,memory.total,utilization.gpu"
    try:
        told = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "nvidia-smi does not run"
    return told.stdout.strip()


def compute_outputs(
    folder: pathlib.Path, *, name: str, ways: list[str], layout: str = "jit"
) -> dict[str, Any]:
    """Writes what a narrow network computes to one .npz file for each way."""
    import numpy as np

    from benchmarks import narrow_networks

    for way in ways:
        found = narrow_networks.compute(name, way, layout=layout)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **found)
        # Whole or absent: what is there counts, even if this process is ended.
        write_file(folder / f"{way}.npz", content.getvalue())
    return {}


def measure_speed(
    folder: pathlib.Path,
    *,
    module: str,
    request: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Returns how fast a worker's measurement runs, and where its time goes.

    Args:
        folder: for the trace.
        module: of the worker, see `benchmarks.processes`.
        request: of its `build`; of a workload without its `parameters`.
        seconds: to run for.
    """
    from spectjax.training.step import MAX_STEPS_PER_DISPATCH

    facts: dict[str, Any] = {}
    request = {"threads": count_cores(), **request}
    if module == JAX:
        workload = _create_workload(request)
        request["parameters"] = workload.parameters
        facts["flops"] = workload.count_flops(request["batch_size"])[request["mode"]]
    measurement = importlib.import_module(module).build(**request)
    measurement.run(MAX_STEPS_PER_DISPATCH)
    steps: list[float] = []
    began = time.perf_counter()
    while len(steps) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        measurement.run(MAX_STEPS_PER_DISPATCH)
        steps.append((time.perf_counter() - start) / MAX_STEPS_PER_DISPATCH)
    peak = measurement.peak_bytes()
    traced = gpu_trace.record(
        lambda: measurement.run(_TRACED_STEPS), folder, steps=_TRACED_STEPS
    )
    return {
        **facts,
        **measurement.facts,
        "batch_size": request["batch_size"],
        "seconds": steps,
        "peak_bytes": peak,
        "trace": traced,
    }


def _create_workload(request: dict[str, Any]) -> Any:
    from benchmarks import workloads

    return workloads.create(
        request["name"], request["overrides"], request["dtype"], request["image_hw"]
    )


def measure_beside_torch(
    folder: pathlib.Path,
    *,
    name: str,
    batch_size: int,
    dtype: str,
    mode: str,
    ways: list[str],
    size: int,
    overrides: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Returns what a step takes beside PyTorch, in turns, as `benchmarks.steps` does.

    Args:
        folder: not used.
        name: of the workload.
        batch_size: images.
        dtype: of the network.
        mode: train or inference.
        ways: how PyTorch runs.
        size: height and width of the images, pixels.
        overrides: of the model's fields.
        seconds: for each.

    Returns:
        `rows`, of each that ran its `seconds` a step and more; `notes` say what failed.
    """
    del folder
    import jax

    from benchmarks import steps, workloads

    kind = "cpu" if jax.default_backend() == "cpu" else "cuda"
    has_torch = importlib.util.find_spec("torch") is not None
    machine = Machine(jax.devices()[0].device_kind, kind, {}, has_torch=has_torch)
    if not has_torch:
        machine.notes.append("PyTorch is not installed: nothing to compare with.")
    arguments = argparse.Namespace(
        batch=batch_size,
        dtype=dtype,
        threads=count_cores(),
        set=overrides,
        size=size,
        step=False,
        torch=ways,
        runtimes=[],
        seconds=seconds,
    )
    workload = workloads.create(name, overrides, dtype, (size, size))
    rows = [
        {
            "by": row.labels[-1],
            "batch_size": row.batch_size,
            "seconds": row.timed.seconds,
            "times_torch": row.timed.times_peer,
            "flops": row.flops,
            "compile_s": row.timed.facts["compile_s"],
            "peak_bytes": row.timed.peak_bytes,
        }
        for row in steps.measure(workload, mode, machine, arguments)
    ]
    if not rows:
        raise RuntimeError(f"Nothing ran: {' '.join(machine.notes)}")
    return {"rows": rows, "notes": machine.notes}


def train_the_product(
    folder: pathlib.Path, *, config: str, data_dir: str
) -> dict[str, Any]:
    """Trains and scores a config from end to end; a second start finds it finished."""
    command = [sys.executable, "-m", "spectjax.main", f"--config={config}"]
    command += [f"--workdir={folder / 'run'}", f"--data_dir={data_dir}"]
    facts = {}
    for name in ("seconds", "seconds_again"):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=sys.stderr)
        facts[name] = time.perf_counter() - start
    with open(folder / "run" / "train.csv", newline="") as stream:
        *_, last = csv.DictReader(stream)
    numbers = {name: float(value) if value else None for name, value in last.items()}
    metrics = json.loads((folder / "run" / "eval" / "metrics.json").read_text())
    return {**facts, "last_epoch": numbers, "scores": metrics["pixel"]["pooled"]}


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "card": describe_card,
    "outputs": compute_outputs,
    "speed": measure_speed,
    "beside_torch": measure_beside_torch,
    "product": train_the_product,
}


if __name__ == "__main__":
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    main(sys.argv[1], pathlib.Path(sys.argv[2]), json.loads(sys.argv[3]))
