"""Measures every registered model against PyTorch and against the machine.

    python scripts/benchmark.py
    python scripts/benchmark.py --models=unet --set model.features=16,32,64,128,256
    python scripts/benchmark.py --models= --stage --threads=1 --output=docs/benchmark.md

Needs jax, flax, optax and numpy; PyTorch is measured where it is installed. Each
framework runs in a process of its own, and the processes take turns, so that ratios
hold on a busy machine. Runs on JAX's default device; `JAX_PLATFORMS=cpu` chooses the
CPU. Progress goes to standard error, the table to standard output.
"""

import argparse
import ast
import importlib.util
import os
import pathlib
import shlex
import statistics
import sys
import tempfile
from typing import Any

_ROOT = pathlib.Path(__file__).parents[1]
_CHILD_ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(
        [str(_ROOT), str(_ROOT / "scripts"), *filter(None, [os.getenv("PYTHONPATH")])]
    ),
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}
# This process only counts operations: on the CPU, which leaves an accelerator's memory
# to the children.
os.environ["JAX_PLATFORMS"] = "cpu"
sys.path.insert(0, str(_ROOT))
from benchmarking import workloads  # noqa: E402
from benchmarking.flops import UncountableError  # noqa: E402
from benchmarking.machine import JAX, RUNTIME, TORCH, Machine  # noqa: E402
from benchmarking.processes import (  # noqa: E402
    Worker,
    WorkerError,
    closing,
    interleave,
    median_ratio,
)
from benchmarking.table import Row, describe_run, write_section  # noqa: E402

from spectjax.system.commands import end_plainly  # noqa: E402
from spectjax.system.paths import read_path  # noqa: E402

_MODES = ("train", "inference")
_COMPILE_MODES = {"eager": None, "compile": "default", "graphs": "reduce-overhead"}
_RUNTIMES = ("onnxruntime", "openvino")
_NOTES = (
    "images/s: median of interleaved repetitions, then smallest, largest and their "
    "number. times torch: median of the ratios to the fastest PyTorch row, taken side "
    "by side.",
    "GFLOP/s: convolutions and matrix products, two operations for each multiply-add, "
    "counted on plain convolutions; a training step is three times the forward pass, "
    "less the gradient with respect to the image. of peak: relative to the fastest "
    "square matrix product of the same run.",
    "train: SGD with momentum, cross-entropy, batch on the device. Models that give no "
    "class to pixels or images learn from the mean square of their outputs instead.",
    "compile s: tracing and compiling; for PyTorch the first call less the second. "
    "peak MB: of the process, compiling included; on a GPU of its allocator.",
    "PyTorch: channels-last, fused SGD, inference_mode, autocast unless float32.",
)


def main() -> None:
    """Measures what the command line asks for and writes the table."""
    arguments = _parse_arguments()
    image_hw = (arguments.size, arguments.size)
    rows: list[Row] = []
    with Machine(
        _CHILD_ENVIRONMENT,
        dtype=arguments.dtype,
        threads=arguments.threads,
        with_torch=bool(arguments.torch),
    ) as machine:
        notes = machine.notes
        facts = describe_run(machine.versions, machine.device, arguments.threads)
        for name in arguments.models:
            try:
                workload = workloads.create(
                    name, arguments.set, arguments.dtype, image_hw
                )
            except ValueError as error:
                notes.append(f"{name}: {error}")
                continue
            for mode in arguments.mode:
                rows += _measure(workload, mode, machine, arguments)
                machine.measure_peak()
    facts["command"] = f"`python scripts/benchmark.py {shlex.join(sys.argv[1:])}`"
    section = write_section(
        f"{facts['device']}, {arguments.dtype}, batch {arguments.batch}",
        facts,
        rows,
        [*notes, *_NOTES],
        peak_flops_per_s=machine.peak_flops_per_s,
    )
    print(section)
    if arguments.output:
        old = arguments.output.read_text() + "\n" if arguments.output.exists() else ""
        arguments.output.write_text(old + section)
    if not rows:
        sys.exit("Nothing could be measured; the notes above say why.")


def _measure(
    workload: workloads.Workload,
    mode: str,
    machine: Machine,
    arguments: argparse.Namespace,
) -> list[Row]:
    """Measures one model in one mode by all frameworks, in turns."""
    title = f"{workload.name}, {mode}"
    workers: dict[str, Worker] = {}
    compile_s: dict[str, float] = {}
    contenders = _list_contenders(workload, mode, machine, arguments)
    with tempfile.TemporaryDirectory() as folder, closing(workers):
        if mode == "inference" and arguments.runtimes:
            path = pathlib.Path(folder, "model.onnx")
            contenders |= _export(workload, path, machine, arguments)
        for by, (module, spec) in contenders.items():
            print(f"{title}: {by} ...", file=sys.stderr)
            workers[by] = Worker(module, _CHILD_ENVIRONMENT)
            try:
                compile_s[by] = workers[by].ask(**spec)["compile_s"]
            except WorkerError as error:
                machine.notes.append(f"{title}, {by}: {error}.")
                workers.pop(by).close()
        try:
            times = interleave(workers, arguments.seconds)
            peak_bytes = {by: workers[by].ask()["peak_bytes"] for by in workers}
        except WorkerError as error:
            machine.notes.append(f"{title}: {error}.")
            return []
    flops = None
    try:
        flops = workload.count_flops(arguments.batch)[mode]
    except UncountableError as error:
        machine.notes.append(f"{title}: operations not counted, {error}.")
    peers = [by for by in times if by.startswith("torch")]
    peer = min(peers, key=lambda by: statistics.median(times[by]), default=None)
    return [
        Row(
            model=workload.name,
            mode=mode,
            by=by,
            images_per_s=[arguments.batch / s for s in seconds],
            times_torch=median_ratio(times[peer], seconds) if peer else None,
            flops_per_s=flops / statistics.median(seconds) if flops else None,
            compile_s=compile_s[by],
            peak_bytes=peak_bytes[by],
        )
        for by, seconds in times.items()
    ]


def _list_contenders(
    workload: workloads.Workload,
    mode: str,
    machine: Machine,
    arguments: argparse.Namespace,
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Returns who runs, by name: the worker's module and its first request."""
    ours = _describe_ours(workload, arguments)
    contenders = {"spectjax": (JAX, {**ours, "mode": mode})}
    on_gpu = machine.kind != "cpu"
    if mode == "train" and arguments.step:
        contenders["spectjax, one step a dispatch"] = (
            JAX,
            {**ours, "mode": "train_step"},
        )
    ways = arguments.torch
    if ways == ["auto"]:
        ways = ["eager", "compile"] if on_gpu else ["eager"]
    for way in ways if machine.has_torch else ():
        peer = {
            "name": workload.name,
            "fields": workload.fields,
            "parameters": workload.parameters,
            "image_hwc": workload.image_hwc,
            "task_name": workload.task_name,
            "mode": mode,
            "compile_mode": _COMPILE_MODES[way],
            "batch_size": arguments.batch,
            "dtype": arguments.dtype,
            "device": machine.kind,
            "threads": arguments.threads,
        }
        contenders[f"torch {way}"] = (TORCH, peer)
        if not on_gpu and arguments.dtype != "float32":
            # Autocast slows many networks down on a CPU; nobody would use it then.
            in_float32 = {**peer, "dtype": "float32"}
            contenders[f"torch {way}, float32"] = (TORCH, in_float32)
    return contenders


def _export(
    workload: workloads.Workload,
    path: pathlib.Path,
    machine: Machine,
    arguments: argparse.Namespace,
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Writes the model as ONNX and returns who runs it; nobody if that fails."""
    if not workload.task_name or arguments.dtype != "float32" or machine.kind != "cpu":
        return {}
    exporter = Worker(RUNTIME, _CHILD_ENVIRONMENT)
    try:
        exporter.ask(
            **_describe_ours(workload, arguments), mode="export", path=str(path)
        )
    except WorkerError as error:
        machine.notes.append(f"{workload.name}: not exported, {error}.")
        return {}
    finally:
        exporter.close()
    spec = {
        "mode": "inference",
        "path": str(path),
        "image_hwc": workload.image_hwc,
        "batch_size": arguments.batch,
        "threads": arguments.threads,
    }
    return {by: (RUNTIME, {**spec, "runtime": by}) for by in arguments.runtimes}


def _describe_ours(
    workload: workloads.Workload, arguments: argparse.Namespace
) -> dict[str, Any]:
    return {
        "name": workload.name,
        "parameters": workload.parameters,
        "batch_size": arguments.batch,
        "dtype": arguments.dtype,
        "threads": arguments.threads,
        "overrides": arguments.set,
        "image_hw": (arguments.size, arguments.size),
    }


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", type=_words, help="names, comma-separated; all by default")
    add("--stage", action="store_true", help="also residual stages of ResNet-34's")
    add(
        "--step",
        action="store_true",
        help="also the training step alone, its batch gathered beforehand",
    )
    add("--mode", type=_words, default=list(_MODES), help="train, inference; both")
    add("--batch", type=int, default=4, help="images in a batch; 4")
    add("--size", type=int, default=256, help="height and width, pixels; 256")
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    add(
        "--set",
        action="append",
        type=_override,
        default=[],
        metavar="model.FIELD=VALUE",
        help="a field, in all models that have it; 16,32 is a tuple",
    )
    add("--seconds", type=float, default=10, help="for each row, at three turns; 10")
    cores = _count_usable_cores()
    add("--threads", type=int, default=cores, help="cores for each; all")
    add(
        "--torch",
        type=_words,
        default=["auto"],
        help="ways to run PyTorch: eager, compile, graphs; by default the first, on a "
        "GPU the first two; empty for none",
    )
    add(
        "--runtimes",
        type=_words,
        default=[name for name in _RUNTIMES if importlib.util.find_spec(name)],
        help="what else runs the exported model, float32 on a CPU: onnxruntime, "
        "openvino; by default those installed",
    )
    add("--output", help="Markdown file to add the table to")
    arguments = parser.parse_args()
    if arguments.output:
        arguments.output = read_path(arguments.output, "--output")
    known = workloads.names()
    if arguments.models is None:
        arguments.models = [n for n in known if n not in workloads.STAGES]
    if arguments.stage:
        arguments.models += [n for n in workloads.STAGES if n not in arguments.models]
    arguments.set = dict(arguments.set)
    for flag, values, allowed in (
        ("--models", arguments.models, known),
        ("--mode", arguments.mode, _MODES),
        ("--torch", arguments.torch, ("auto", *_COMPILE_MODES)),
        ("--runtimes", arguments.runtimes, _RUNTIMES),
        ("--set", arguments.set, workloads.field_names(arguments.models)),
    ):
        for value in values:
            if value not in allowed:
                parser.error(f"{flag}: {value!r} is none of {', '.join(allowed)}")
    return arguments


def _count_usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _override(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.startswith("model."):
        raise argparse.ArgumentTypeError(f"expected model.FIELD=VALUE, got {text!r}")
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        parsed = {"true": True, "false": False}.get(value.lower(), value)
    return name.removeprefix("model."), parsed


if __name__ == "__main__":
    with end_plainly():
        main()
