"""Compiles every model's programs for NVIDIA's H100 and H200, without a GPU.

    python -m benchmarks.compile_for_gpu
    python -m benchmarks.compile_for_gpu --full --output=TABLE.md
    python -m benchmarks.compile_for_gpu --full --configs=unet_res --batch=16 \
        --dtype=bfloat16 --devices=1 --cards=h100

The first line takes small networks (`:smoke`), half of which predict in float32 on an
H100 and train in bfloat16 on eight H200, and half the other way round; the second takes
the configs as they are, in all ways; the third one setting. Nothing is run: what is
compiled tells which kernels there are, what they move and where the host is waited for,
not what they take.

Exits with an error if XLA aborts, or if a program asks the host, calls a CPU's library,
has float64, rearranges images for a convolution, keeps the old training state beside
the new one or takes more memory than --memory_gb says.

Needs the extra `gpu-compile`; no GPU, driver or toolkit.
"""

import argparse
import concurrent.futures
import dataclasses
import importlib.metadata
import importlib.util
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gpu_cards import CARDS
from benchmarks.gpu_settings import CONFIGS, DEVICES, DTYPES, MODES, Setting, plan
from benchmarks.options import split_words
from benchmarks.table import describe_commit, lay_out, publish
from spectjax.system.commands import end_plainly
from spectjax.system.messages import UserError
from spectjax.system.paths import read_path
from spectjax.system.workers import count_cores

_LIBRARIES = ("__cudnn$", "__cublas$", "__gpu$", "__triton")
_MEMORY_GB = {"small": 1.0, "full": 16.0}
_LIMIT_S = 3600  # for the programs of a process
_LINES = 3  # of what a process that failed has said

Facts = Mapping[str, Any]


def main() -> None:
    """Compiles what the command line asks for."""
    arguments = _parse_arguments()
    if importlib.util.find_spec("jax_cuda13_plugin") is None:
        raise UserError(
            "Compiling for a GPU needs XLA's compiler for CUDA, which is not "
            "installed: pip install '.[gpu-compile]' in the clone."
        )
    settings = plan(
        arguments.configs,
        arguments.mode,
        full=arguments.full,
        ways=_list_ways(arguments),
        batch_size=arguments.batch,
    )
    bound = arguments.memory_gb or _MEMORY_GB["full" if arguments.full else "small"]
    results = compile_all(settings)
    publish(format_results(results, bound), arguments.output)
    faults = list_faults(results, bound)
    if faults:
        raise UserError("\n".join(faults))


def compile_all(settings: Sequence[Setting]) -> dict[Setting, Facts | str]:
    """Compiles in several processes.

    Returns:
        For each setting its facts, see `gpu_programs.describe`, or what happened
        instead.
    """
    groups: dict[str, list[Setting]] = {}
    for each in settings:
        groups.setdefault(each.config, []).append(each)
    with concurrent.futures.ThreadPoolExecutor(count_cores()) as pool:
        found = pool.map(_compile_group, groups.values())
        results = {name: facts for each in found for name, facts in each.items()}
    return {each: results[each] for each in settings}


def _compile_group(settings: list[Setting]) -> dict[Setting, Facts | str]:
    """Compiles one after the other; after one that fails in a process anew."""
    results: dict[Setting, Facts | str] = {}
    while left := [each for each in settings if each not in results]:
        request = json.dumps([dataclasses.asdict(each) for each in left])
        try:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.gpu_programs", request],
                env={**os.environ, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"},
                cwd=pathlib.Path(__file__).parents[1],
                capture_output=True,
                text=True,
                timeout=_LIMIT_S,
            )
            lines, said = done.stdout.splitlines(), _explain(done)
        except subprocess.TimeoutExpired as error:
            told = error.stdout or b""
            lines, said = told.decode().splitlines(), f"over {_LIMIT_S} s"
        results |= dict(zip(left, map(json.loads, lines), strict=False))
        for each in left[len(lines) : len(lines) + 1]:
            results[each] = said
        for each in left[: len(lines) + 1]:
            state = results[each] if isinstance(results[each], str) else "compiled"
            print(f"{each.title}: {state}", file=sys.stderr, flush=True)
    return results


def _explain(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    # Of an abort the reason stands above a stack trace.
    reasons = [line for line in lines if "Check failed" in line] or lines[-_LINES:]
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"XLA ended the process by {name}: {' '.join(reasons)}"
    return f"exit status {done.returncode}: {' '.join(reasons)}"


def find_faults(facts: Facts | str, memory_gb: float) -> list[str]:
    """Returns what is wrong with a program.

    Args:
        facts: see `compile_all`.
        memory_gb: what it may take of a device.
    """
    if isinstance(facts, str):
        return [facts]
    faults = []
    alien = [call for call in facts["calls"] if not call.startswith(_LIBRARIES)]
    if alien:
        faults.append(f"calls {', '.join(alien)}, which is none of CUDA's libraries")
    if facts["host_ops"]:
        faults.append(f"asks the host: {', '.join(facts['host_ops'])}")
    if facts["f64"]:
        faults.append("has numbers in float64")
    if facts["transposed"]:
        names = ", ".join(facts["transposed"])
        faults.append(f"rearranges images in memory for convolutions: {names}")
    if facts["kept"] < facts["state_bytes"]:
        faults.append(
            f"keeps the old state: of its {facts['state_bytes']} bytes "
            f"{facts['kept']} are used again"
        )
    if facts["memory"] > 1e9 * memory_gb:
        faults.append(
            f"takes {facts['memory'] / 1e9:.1f} GB; allowed are {memory_gb:g} "
            "(--memory_gb)"
        )
    return faults


def list_faults(results: Mapping[Setting, Facts | str], memory_gb: float) -> list[str]:
    """Returns a line for each fault of each program."""
    return [
        f"{setting.title}: {fault}"
        for setting, facts in results.items()
        for fault in find_faults(facts, memory_gb)
    ]


def format_results(results: Mapping[Setting, Facts | str], memory_gb: float) -> str:
    """Returns Markdown with what was compiled."""
    rows = [
        (setting.title, *_format_facts(setting, facts))
        for setting, facts in results.items()
    ]
    head = (
        *("program", "GB moved", "TFLOP", "kernels", "waits", "collectives"),
        *("memory, GB", "floors, ms", "images/s", "compile, CPU s"),
    )
    faults = list_faults(results, memory_gb)
    facts = {
        "versions": ", ".join(f"{name} {text}" for name, text in _list_versions()),
        "commit": describe_commit(),
        "faults": "; ".join(faults) or f"none in {len(results)} programs",
    }
    return lay_out(
        "Compiled for a GPU, not run on one", facts, head, rows, _NOTES, words=1
    )


_NOTES = (
    "Of one training step, or one prediction, on one device. No cache is assumed: each "
    "kernel reads and writes memory.",
    "waits: loops of unknown length, each counted as one turn, and conditions: at each "
    "turn host and device wait for each other.",
    "floors: of bytes and operations, at the rates that an H200 reached in a copy and "
    "in matrix products (an H100's bandwidth in proportion). A step lies above the "
    "larger; U-Net-Res and Mask R-CNN on an H200 took 1.1 to 1.3 times their sum, "
    "ResNet-34 twice.",
    "images/s: of a device, if its time is the floors' sum, and if it is the larger; "
    "small kernels take longer than either.",
)


def _format_facts(setting: Setting, facts: Facts | str) -> tuple[str, ...]:
    if isinstance(facts, str):
        return ("not compiled", *("–" for _ in range(8)))
    collectives = ", ".join(f"{n} {name}" for name, n in facts["collectives"].items())
    moved, computed = (1e3 * seconds for seconds in facts["floors_s"])
    low, high = (
        1e3 * facts["images"] / ms for ms in (moved + computed, max(moved, computed))
    )
    return (
        f"{facts['bytes'] / 1e9:.3g}",
        f"{facts['flops'] / 1e12:.3g}",
        str(facts["kernels"]),
        str(len(facts["waits"])),
        collectives or "none",
        f"{facts['memory'] / 1e9:.2g}",
        f"{moved:.2g}, {computed:.2g}",
        # Nobody knows what the host takes, nor how often it is asked.
        "–" if facts["waits"] else f"{low:.0f}–{high:.0f}",
        f"{facts['compile_s']:.0f}",
    )


def _list_versions() -> list[tuple[str, str]]:
    names = ("jax", "jaxlib", "jax-cuda13-pjrt", "flax")
    return [(name, importlib.metadata.version(name)) for name in names]


def _list_ways(arguments: argparse.Namespace) -> Sequence[tuple[str, str, str]]:
    chosen = (arguments.dtype, arguments.devices, arguments.cards)
    if not arguments.full and not any(chosen):
        return ()
    every = (DTYPES, DEVICES, tuple(CARDS))
    lists = (some or all_ for some, all_ in zip(chosen, every, strict=True))
    return [(a, b, c) for a, b, c in itertools.product(*lists)]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--configs", type=split_words, default=CONFIGS, help="NAME[:ARGUMENT],...; all")
    add("--full", action="store_true", help="as the configs are, and not :smoke")
    add("--mode", type=split_words, default=list(MODES), help="predict, train; both")
    add("--dtype", type=split_words, help="float32, bfloat16")
    add("--devices", type=split_words, help="numbers of devices of a run: 1, 8")
    add("--cards", type=split_words, help="h100, h200")
    add("--batch", type=int, help="images of a batch; the config's")
    add("--memory_gb", type=float, help="that a program may take; 1, with --full 16")
    add("--output", help="Markdown file to add the table to")
    arguments = parser.parse_args()
    if arguments.output:
        arguments.output = read_path(arguments.output, "--output")
    names = [name.partition(":")[0] for name in arguments.configs]
    for flag, values, known in (
        ("configs", names, CONFIGS),
        ("mode", arguments.mode, MODES),
        ("dtype", arguments.dtype or (), DTYPES),
        ("devices", arguments.devices or (), DEVICES),
        ("cards", arguments.cards or (), CARDS),
    ):
        for value in values:
            if value not in known:
                parser.error(f"--{flag}: {value!r} is none of {', '.join(known)}")
    return arguments


if __name__ == "__main__":
    with end_plainly():
        main()
