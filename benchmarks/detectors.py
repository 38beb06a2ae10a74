"""Measures Mask R-CNN beside torchvision's, with the same sizes and images.

    python -m benchmarks.detectors
    python -m benchmarks.detectors --settings=torchvision_512 --mode=train
    python -m benchmarks.detectors --threads=1 --output=docs/benchmark.md

Settings: `torchvision` is `maskrcnn_resnet50_fpn` with one input channel on 256x256
pixels, in both frameworks; `torchvision_512` the same on 512x512; `default` is ours at
full width, twice as fine, and `quick` the narrow one. Each framework runs in a process
of its own, and the processes take turns, so that ratios hold on a busy machine. Runs on
JAX's default device; `JAX_PLATFORMS=cpu` chooses the CPU. Where torchvision's compiled
operators do not load, stand-ins are compiled, which takes g++ and ninja. Progress goes
to standard error, the table to standard output.
"""

import argparse
import importlib.util
import statistics
import sys
from typing import TYPE_CHECKING, Any

from benchmarks import options
from benchmarks.machine import Machine, describe_machine
from benchmarks.processes import take_turns
from benchmarks.table import Row, describe_run, lay_out, or_dash, publish
from spectjax.system.commands import end_plainly

if TYPE_CHECKING:  # jax takes seconds: not before --help
    from benchmarks.detector_settings import Setting

_OURS = "benchmarks.jax_detector_worker"
_PEER = "benchmarks.torchvision_detector_worker"
_HEAD = (
    *("setting", "mode", "by", "pixels", "batch", "s/step", "images/s", "range"),
    *("times torchvision", "compile s", "peak MB"),
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


def main() -> None:
    """Measures what the command line asks for and writes the table."""
    arguments = _parse_arguments()
    from benchmarks.detector_settings import SETTINGS

    machine = describe_machine(arguments.threads)
    rows = [
        cells
        for name in arguments.settings
        for mode in arguments.mode
        for batch_size, side in SETTINGS[name].list_cases(mode)
        for cells in _measure(
            {"setting": name, "mode": mode, "batch_size": batch_size, "side": side},
            SETTINGS[name],
            machine,
            arguments,
        )
    ]
    if not rows:
        sys.exit("\n".join(["Nothing could be measured:", *machine.notes]))
    facts = describe_run(
        machine.versions, machine.device, arguments.threads, "benchmarks.detectors"
    )
    section = lay_out(
        f"Mask R-CNN, {facts['device']}, {arguments.dtype}",
        facts,
        _HEAD,
        rows,
        [*dict.fromkeys(machine.notes), *_NOTES],
    )
    publish(section, arguments.output)


def _measure(
    case: dict[str, Any],
    setting: "Setting",
    machine: Machine,
    arguments: argparse.Namespace,
) -> list[tuple[str, ...]]:
    """Measures one case by both frameworks, in turns, and returns rows of the table.

    Adds to the machine's notes what failed, and to its versions those of the peer.
    """
    title = "{setting}, {mode}, {batch_size} of {side}x{side} pixels".format(**case)
    spec = case | {
        "num_classes": arguments.classes,
        "dtype": arguments.dtype,
        "threads": arguments.threads,
    }
    contenders = {"spectjax": (_OURS, spec)}
    if setting.has_peer and arguments.peer:
        contenders["torchvision"] = (_PEER, spec | {"device": machine.kind})
    timed = take_turns(
        title, contenders, arguments.seconds, machine.notes, peer="torchvision"
    )
    if len(timed) == 2:
        ours, peer = timed["spectjax"].facts, timed["torchvision"].facts
        if ours["parameters"] != peer["parameters"]:
            machine.notes.append(
                f"{title}: torchvision's has {peer['parameters']} parameters, "
                f"spectjax's {ours['parameters']}."
            )
            return []
        machine.versions |= peer["versions"]
        machine.notes += [
            f"torchvision ran with {peer['operators']} as compiled operators.",
            f"{title}: the mask head of torchvision saw {peer['regions']:.0f} regions"
            + (
                f", spectjax found {ours['regions']} lesions."
                if "regions" in ours
                else "."
            ),
        ]
    return [
        format_cells(
            Row((case["setting"], case["mode"], by), case["batch_size"], each),
            case["side"],
        )
        for by, each in timed.items()
    ]


def format_cells(row: Row, side: int) -> tuple[str, ...]:
    """Returns the texts of a row of images of that height and width, pixels."""
    return (
        *row.labels,
        f"{side}x{side}",
        str(row.batch_size),
        f"{statistics.median(row.timed.seconds):.3g}",
        f"{statistics.median(row.rates):.3g}",
        row.format_spread(),
        or_dash(row.timed.times_peer, ".2f"),
        *row.format_costs(),
    )


def _parse_arguments() -> argparse.Namespace:
    parser = options.create_parser(__doc__)
    add = parser.add_argument
    add(
        "--settings",
        type=options.split_words,
        default=["torchvision", "default", "quick"],
        help="of torchvision, torchvision_512, default, quick, smoke; by default "
        "torchvision,default,quick",
    )
    add("--classes", type=int, default=2, help="with background; 2, COCO has 91")
    installed = all(importlib.util.find_spec(n) for n in ("torch", "torchvision"))
    add(
        "--peer",
        action=argparse.BooleanOptionalAction,
        default=installed,
        help="run torchvision too; by default where it is installed",
    )
    arguments = options.parse(parser)
    from benchmarks.detector_settings import SETTINGS

    options.check_words(parser, arguments, settings=SETTINGS, mode=options.MODES)
    return arguments


if __name__ == "__main__":
    with end_plainly():
        main()
