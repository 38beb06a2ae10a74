"""Measures Mask R-CNN beside torchvision's, with the same sizes and images.

    python scripts/benchmark_mask_rcnn.py
    python scripts/benchmark_mask_rcnn.py --settings=torchvision_512 --mode=train
    python scripts/benchmark_mask_rcnn.py --threads=1 --output=docs/benchmark.md

Settings: `torchvision` is `maskrcnn_resnet50_fpn` with one input channel on 256x256
pixels, in both frameworks; `torchvision_512` the same on 512x512; `default` is ours at
full width, twice as fine, and `quick` the narrow one. Each framework runs in a process
of its own, and the processes take turns, so that ratios hold on a busy machine. Runs on
JAX's default device; `JAX_PLATFORMS=cpu` chooses the CPU. Where torchvision's compiled
operators do not load, stand-ins are compiled, which takes g++ and ninja. Progress goes
to standard error, the table to standard output.
"""

import argparse
import dataclasses
import importlib.util
import os
import pathlib
import shlex
import statistics
import sys
from typing import Any

_ROOT = pathlib.Path(__file__).parents[1]
_CHILD_ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(
        [str(_ROOT), str(_ROOT / "scripts"), *filter(None, [os.getenv("PYTHONPATH")])]
    ),
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}
sys.path.insert(0, str(_ROOT))
from benchmarking.detection import MODES, SETTINGS  # noqa: E402
from benchmarking.machine import JAX  # noqa: E402
from benchmarking.processes import (  # noqa: E402
    Worker,
    WorkerError,
    closing,
    interleave,
    median_ratio,
)
from benchmarking.table import describe_run, lay_out  # noqa: E402

from spectjax.system.commands import end_plainly  # noqa: E402
from spectjax.system.messages import UserError  # noqa: E402
from spectjax.system.paths import read_path  # noqa: E402

_OURS = "benchmarking.detection_worker"
_PEER = "benchmarking.torchvision_worker"
_HEAD = (
    "setting",
    "mode",
    "by",
    "pixels",
    "batch",
    "s/step",
    "images/s",
    "range",
    "times torchvision",
    "compile s",
    "peak MB",
)
_NOTES = (
    "s/step: median of interleaved repetitions; images/s: likewise, then smallest, "
    "largest and their number. times torchvision: median of the ratios taken side by "
    "side.",
    "train: gradient of all five losses and SGD with momentum, batch normalisation "
    "learns; proposals, samples and lesions are as many on both sides. inference: from "
    "the image to masks of its size.",
    "torchvision: channels-last, fused SGD, inference_mode, autocast unless float32.",
    "compile s: tracing and compiling; of torchvision the first step less the second. "
    "peak MB: of the process, compiling included; on a GPU of its allocator.",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One setting, mode and batch, run by one framework.

    Attributes:
        labels: setting, mode and framework.
        side: height and width of the images, pixels.
        batch_size: their number.
        seconds: of a step, one for each repetition.
        times_torchvision: speed relative to torchvision; None without it.
        compile_s: time to trace and compile.
        peak_bytes: most memory in use.
    """

    labels: tuple[str, str, str]
    side: int
    batch_size: int
    seconds: list[float]
    times_torchvision: float | None
    compile_s: float
    peak_bytes: int

    def cells(self) -> tuple[str, ...]:
        """Returns the row's texts, one for each column."""
        rates = [self.batch_size / s for s in self.seconds]
        ratio = self.times_torchvision
        return (
            *self.labels,
            f"{self.side}x{self.side}",
            str(self.batch_size),
            f"{statistics.median(self.seconds):.3g}",
            f"{statistics.median(rates):.3g}",
            f"{min(rates):.3g}–{max(rates):.3g} ({len(rates)})",
            "–" if ratio is None else f"{ratio:.2f}",
            f"{self.compile_s:.1f}",
            f"{self.peak_bytes / 1e6:.0f}",
        )


def main() -> None:
    """Measures what the command line asks for and writes the table."""
    arguments = _parse_arguments()
    describer = Worker(JAX, _CHILD_ENVIRONMENT)
    try:
        machine = describer.ask(mode="describe", threads=arguments.threads)
    except WorkerError as error:
        raise UserError(f"JAX does not run: {error}.") from error
    finally:
        describer.close()
    rows: list[Row] = []
    notes: list[str] = []
    for name in arguments.settings:
        for mode in arguments.mode:
            for batch_size, side in SETTINGS[name].list_cases(mode):
                case = {
                    "setting": name,
                    "mode": mode,
                    "batch_size": batch_size,
                    "side": side,
                }
                rows += _measure(case, machine, arguments, notes)
    if not rows:
        sys.exit("\n".join(["Nothing could be measured:", *notes]))
    facts = describe_run(machine["versions"], machine["device"], arguments.threads)
    facts["command"] = (
        f"`python scripts/benchmark_mask_rcnn.py {shlex.join(sys.argv[1:])}`"
    )
    section = lay_out(
        f"Mask R-CNN, {facts['device']}, {arguments.dtype}",
        facts,
        _HEAD,
        [row.cells() for row in rows],
        [*dict.fromkeys(notes), *_NOTES],
        words=3,
    )
    print(section)
    if arguments.output:
        old = arguments.output.read_text() + "\n" if arguments.output.exists() else ""
        arguments.output.write_text(old + section)


def _measure(
    case: dict[str, Any],
    machine: dict[str, Any],
    arguments: argparse.Namespace,
    notes: list[str],
) -> list[Row]:
    """Measures one case by both frameworks, in turns.

    Adds to `notes` what failed, and to the machine's versions those of the peer.
    """
    title = "{setting}, {mode}, {batch_size} of {side}x{side} pixels".format(**case)
    spec = case | {
        "num_classes": arguments.classes,
        "dtype": arguments.dtype,
        "threads": arguments.threads,
    }
    has_peer = SETTINGS[case["setting"]].has_peer and arguments.peer
    workers: dict[str, Worker] = {}
    facts: dict[str, dict[str, Any]] = {}
    with closing(workers):
        for by, module in (("spectjax", _OURS), ("torchvision", _PEER)):
            if by == "torchvision" and not has_peer:
                continue
            print(f"{title}: {by} ...", file=sys.stderr)
            workers[by] = Worker(module, _CHILD_ENVIRONMENT)
            try:
                facts[by] = workers[by].ask(**spec)
            except WorkerError as error:
                notes.append(f"{title}, {by}: {error}.")
                workers.pop(by).close()
                if by == "spectjax":
                    return []
            spec |= {
                "parameters": facts["spectjax"]["parameters"],
                "device": "cpu" if machine["backend"] == "cpu" else "cuda",
            }
        try:
            times = interleave(workers, arguments.seconds)
            peak_bytes = {by: workers[by].ask()["peak_bytes"] for by in workers}
        except WorkerError as error:
            notes.append(f"{title}: {error}.")
            return []
    if "torchvision" in facts:
        peer = facts["torchvision"]
        machine["versions"] |= peer["versions"]
        notes.append(f"torchvision ran with {peer['operators']} as compiled operators.")
        ours = facts["spectjax"].get("regions")
        notes.append(
            f"{title}: the mask head of torchvision saw {peer['regions']:.0f} regions"
            + ("." if ours is None else f", spectjax found {ours} lesions.")
        )
    return [
        Row(
            labels=(case["setting"], case["mode"], by),
            side=case["side"],
            batch_size=case["batch_size"],
            seconds=seconds,
            times_torchvision=median_ratio(times["torchvision"], seconds)
            if "torchvision" in times
            else None,
            compile_s=facts[by]["compile_s"],
            peak_bytes=peak_bytes[by],
        )
        for by, seconds in times.items()
    ]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--settings",
        type=_words,
        default=["torchvision", "default", "quick"],
        help=f"of {', '.join(SETTINGS)}; by default torchvision,default,quick",
    )
    add("--mode", type=_words, default=list(MODES), help="train, inference; both")
    add("--classes", type=int, default=2, help="with background; 2, COCO has 91")
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    add("--seconds", type=float, default=10, help="for each row, at three turns; 10")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    add("--threads", type=int, default=cores or os.cpu_count(), help="cores; all")
    installed = all(importlib.util.find_spec(n) for n in ("torch", "torchvision"))
    add(
        "--peer",
        action=argparse.BooleanOptionalAction,
        default=installed,
        help="run torchvision too; by default where it is installed",
    )
    add("--output", help="Markdown file to add the table to")
    arguments = parser.parse_args()
    if arguments.output:
        arguments.output = read_path(arguments.output, "--output")
    for flag, values, allowed in (
        ("--settings", arguments.settings, SETTINGS),
        ("--mode", arguments.mode, MODES),
    ):
        for value in values:
            if value not in allowed:
                parser.error(f"{flag}: {value!r} is none of {', '.join(allowed)}")
    return arguments


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


if __name__ == "__main__":
    with end_plainly():
        main()
