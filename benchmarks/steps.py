"""Measures every registered model against PyTorch and against the machine.

    python -m benchmarks.steps
    python -m benchmarks.steps --models=unet --set model.features=16,32,64,128,256
    python -m benchmarks.steps --models= --stage --threads=1 --output=docs/benchmark.md

Needs jax, flax, optax and numpy; PyTorch is measured where it is installed. Each
framework runs in a process of its own, and the processes take turns, so that ratios
hold on a busy machine. Runs on JAX's default device; `JAX_PLATFORMS=cpu` chooses the
CPU. Progress goes to standard error, the table to standard output.
"""

import argparse
import ast
import importlib.util
import pathlib
import statistics
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from benchmarks import options
from benchmarks.machine import JAX, TORCH, Machine, start_machine
from benchmarks.processes import Worker, WorkerError, take_turns
from benchmarks.table import Row, describe_run, lay_out, or_dash, publish
from spectjax.system.commands import end_plainly

if TYPE_CHECKING:  # jax takes seconds: not before --help
    from benchmarks.workloads import Workload

_RUNTIME = "benchmarks.runtime_worker"
_HEAD = (
    *("model", "mode", "by", "images/s", "range", "times torch"),
    *("GFLOP/s", "of peak", "compile s", "peak MB"),
)
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
    "train: SGD with momentum, cross-entropy, batch on the device. Models that "
    "no task names learn from the mean square of their outputs instead.",
    "compile s: tracing and compiling; for PyTorch the first call less the second. "
    "peak MB: of the process, compiling included; on a GPU of its allocator.",
    "PyTorch: channels-last, fused SGD, inference_mode, autocast unless float32.",
)


def main() -> None:
    """Measures what the command line asks for and writes the table."""
    arguments = _parse_arguments()
    from benchmarks import workloads

    image_hw = (arguments.size, arguments.size)
    rows: list[Row] = []
    with start_machine(
        dtype=arguments.dtype,
        threads=arguments.threads,
        with_torch=bool(arguments.torch),
    ) as machine:
        facts = describe_run(
            machine.versions, machine.device, arguments.threads, "benchmarks.steps"
        )
        for name in arguments.models:
            try:
                workload = workloads.create(
                    name, arguments.set, arguments.dtype, image_hw
                )
            except ValueError as error:
                machine.notes.append(f"{name}: {error}")
                continue
            for mode in arguments.mode:
                rows += measure(workload, mode, machine, arguments)
                machine.measure_peak()
    peak = machine.peak_flops_per_s
    facts["matrix product"] = f"{peak / 1e9:.4g} GFLOP/s"
    section = lay_out(
        f"{facts['device']}, {arguments.dtype}, batch {arguments.batch}",
        facts,
        _HEAD,
        [format_cells(row, peak) for row in rows],
        [*machine.notes, *_NOTES],
    )
    publish(section, arguments.output)
    if not rows:
        sys.exit("Nothing could be measured; the notes above say why.")


def format_cells(row: Row, peak_flops_per_s: float) -> tuple[str, ...]:
    """Returns the texts of a row, on a machine with that matrix product."""
    rate = row.flops_per_s()
    return (
        *row.labels,
        f"{statistics.median(row.rates):.4g}",
        row.format_spread(),
        or_dash(row.timed.times_peer, ".2f"),
        or_dash(rate and rate / 1e9, ".4g"),
        or_dash(rate and rate / peak_flops_per_s, ".0%"),
        *row.format_costs(),
    )


def measure(
    workload: "Workload", mode: str, machine: Machine, arguments: argparse.Namespace
) -> list[Row]:
    """Measures one model in one mode by all frameworks, in turns."""
    title = f"{workload.name}, {mode}"
    contenders = _list_contenders(workload, mode, machine, arguments)
    with tempfile.TemporaryDirectory() as folder:
        if mode == "inference" and arguments.runtimes:
            path = pathlib.Path(folder, "model.onnx")
            contenders |= _export(workload, path, machine, arguments)
        timed = take_turns(
            title, contenders, arguments.seconds, machine.notes, peer="torch"
        )
    flops = None
    try:
        flops = workload.count_flops(arguments.batch)[mode]
    except ValueError as error:
        machine.notes.append(f"{title}: operations not counted, {error}.")
    return [
        Row((workload.name, mode, by), arguments.batch, each, flops)
        for by, each in timed.items()
    ]


def _list_contenders(
    workload: "Workload", mode: str, machine: Machine, arguments: argparse.Namespace
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Returns who runs, by name: the worker's module and its first request."""
    ours = _describe_ours(workload, arguments)
    contenders = {"spectjax": (JAX, {**ours, "mode": mode})}
    on_gpu = machine.kind != "cpu"
    if mode == "train" and arguments.step:
        single = {**ours, "mode": "train_step"}
        contenders["spectjax, one step a dispatch"] = (JAX, single)
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
    workload: "Workload",
    path: pathlib.Path,
    machine: Machine,
    arguments: argparse.Namespace,
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Writes the model as ONNX and returns who runs it; nobody if that fails."""
    if not workload.task_name or arguments.dtype != "float32" or machine.kind != "cpu":
        return {}
    exporter = Worker(_RUNTIME)
    try:
        exporter.build(
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
    return {by: (_RUNTIME, {**spec, "runtime": by}) for by in arguments.runtimes}


def _describe_ours(
    workload: "Workload", arguments: argparse.Namespace
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
    parser = options.create_parser(__doc__)
    add = parser.add_argument
    add(
        "--models",
        type=options.split_words,
        help="names, comma-separated; all by default",
    )
    add("--stage", action="store_true", help="also residual stages of ResNet-34's")
    add(
        "--step",
        action="store_true",
        help="also the training step alone, its batch gathered beforehand",
    )
    add("--batch", type=int, default=4, help="images in a batch; 4")
    add("--size", type=int, default=256, help="height and width, pixels; 256")
    add(
        "--set",
        action="append",
        type=_override,
        default=[],
        metavar="model.FIELD=VALUE",
        help="a field, in all models that have it; 16,32 is a tuple",
    )
    add(
        "--torch",
        type=options.split_words,
        default=["auto"],
        help="ways to run PyTorch: eager, compile, graphs; by default the first, on a "
        "GPU the first two; empty for none",
    )
    add(
        "--runtimes",
        type=options.split_words,
        default=[name for name in _RUNTIMES if importlib.util.find_spec(name)],
        help="what else runs the exported model, float32 on a CPU: onnxruntime, "
        "openvino; by default those installed",
    )
    arguments = options.parse(parser)
    import jax

    from benchmarks import workloads

    # This process only counts operations: on the CPU, which leaves an accelerator's
    # memory to the others.
    jax.config.update("jax_platforms", "cpu")

    known = workloads.names()
    if arguments.models is None:
        arguments.models = [n for n in known if n not in workloads.STAGES]
    if arguments.stage:
        arguments.models += [n for n in workloads.STAGES if n not in arguments.models]
    arguments.set = dict(arguments.set)
    options.check_words(
        parser,
        arguments,
        models=known,
        mode=options.MODES,
        torch=("auto", *_COMPILE_MODES),
        runtimes=_RUNTIMES,
        set=workloads.field_names(arguments.models),
    )
    return arguments


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
