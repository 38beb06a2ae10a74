"""Feeds spoilt files to every reader, and counts what they make of them.

    python scripts/fuzz.py --output_dir=OUT
    python scripts/fuzz.py --output_dir=OUT --kind=dicom --count=2000
    python scripts/fuzz.py --output_dir=OUT --kind=dicom --show=123

A file must be accepted for what it is or refused by a typed error of one line, within
2 s of processor time and 512 MiB. Anything else is a fault: an exception of another
type, a process that ends or hangs, pixels that are not those that the header promises,
a damaged model that answers something else. OUT/<kind>.jsonl keeps a line an input: the
same command goes on where it was stopped. --show writes one input to OUT and reads it
as it is, for a debugger. Exit status 1 if there was a fault. Memory is measured on
Linux only.
"""

import argparse
import collections
import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from spectjax.system.commands import end_plainly  # noqa: E402
from spectjax.system.paths import read_path  # noqa: E402

COUNTS = {"dicom": 100_000}  # of inputs where --count does not say; others:
COUNT = 10_000
MAX_SECONDS, MAX_MIB = 2.0, 512
HANG_SECONDS = 60.0  # by the clock, after which a process is ended
START_SECONDS = 600.0  # for the sound files that the others are made of
BLOCK = 20_000  # inputs of one process


def main() -> bool:
    """Runs the command; returns whether there was a fault."""
    from scripts.fuzzing.kinds import KINDS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, help="number of an input")
    args = parser.parse_args()
    output_dir = read_path(args.output_dir, "--output_dir")
    kinds = args.kind or list(KINDS)
    if args.show is not None:
        show(kinds[0], args.seed, args.show, output_dir)
        return False
    faults = 0
    for kind in kinds:
        count = args.count or COUNTS.get(kind, COUNT)
        results = fuzz(kind, output_dir, count=count, seed=args.seed)
        print(summarise(kind, results), flush=True)
        faults += sum(is_fault(result) for result in results)
    return faults > 0


def show(kind: str, seed: int, index: int, folder: pathlib.Path) -> None:
    """Writes one input below `folder` and reads it; nothing is caught."""
    from scripts.fuzzing.kinds import KINDS
    from scripts.fuzzing.worker import make_input

    seeds = KINDS[kind].make_seeds(folder / f"{kind}_seeds")
    path = make_input(kind, seeds, seed, index, folder / f"{kind}_{seed}_{index}")
    print(path, flush=True)
    KINDS[kind].read(path, seeds)
    print("accepted")


def fuzz(
    kind: str, output_dir: pathlib.Path, *, count: int, seed: int
) -> list[dict[str, Any]]:
    """Reads inputs 0 to `count` of a kind, those that OUT does not have yet.

    Returns:
        For each input what `worker.judge` tells, with its `index`; `outcome` is fault
        for one on which the process ended or hung.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    log = output_dir / f"{kind}_{seed}.jsonl"
    results = read_log(log)[:count]
    while len(results) < count:
        last = min(count, len(results) + BLOCK)
        with log.open("a") as stream:
            for result in run_worker(kind, seed, len(results), last):
                stream.write(json.dumps(result) + "\n")
                stream.flush()
                results.append(result)
    return results


def read_log(log: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the results that are there; a line that is not whole is cut off."""
    if not log.exists():
        return []
    whole, _, _ = log.read_text().rpartition("\n")
    log.write_text(whole + "\n" * bool(whole))
    return [json.loads(line) for line in whole.splitlines()]


def run_worker(kind: str, seed: int, first: int, last: int) -> Iterator[dict[str, Any]]:
    """Yields the results of one process, the last of them perhaps its end."""
    with tempfile.TemporaryDirectory(dir=_find_memory_disk()) as folder:
        command = [sys.executable, "-m", "scripts.fuzzing.worker", kind]
        command += [f"--seed={seed}", f"--first={first}", f"--last={last}"]
        said = pathlib.Path(folder, "said.txt")
        with said.open("wb") as stream:
            process = subprocess.Popen(
                [*command, f"--folder={folder}"],
                cwd=ROOT,
                env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=stream,
            )
        index = None
        try:
            while line := _read_line(process, index is not None):
                if line.startswith(b"{"):
                    yield {"index": index} | json.loads(line)
                else:
                    index = int(line)
            # Ended, or hanging: `_read_line` waits no longer.
            status = process.poll()
            if status == 0:
                return
            process.kill()
            if index is None:
                raise RuntimeError(said.read_text(errors="replace")[-2000:])
            why = "hangs" if status is None else f"process ended with {status}"
            yield {"index": index, "outcome": "fault", "error": why}
        finally:
            process.kill()
            process.communicate()


def _read_line(process: subprocess.Popen[bytes], is_reading: bool) -> bytes:
    """Returns what a process says next; nothing if it ended, or is silent too long."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        seconds = HANG_SECONDS if is_reading else START_SECONDS
        if not select.select([process.stdout], [], [], seconds)[0]:
            return b""
        character = os.read(process.stdout.fileno(), 1)
        if not character:
            process.wait()
            return b""
        line += character
    return line.strip()


def _find_memory_disk() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def is_fault(result: dict[str, Any]) -> bool:
    """Tells whether an input did what none may do."""
    slow = result.get("seconds", 0) > MAX_SECONDS
    return result["outcome"] == "fault" or slow or (result.get("mib") or 0) > MAX_MIB


def summarise(kind: str, results: list[dict[str, Any]]) -> str:
    """Returns the counts of a kind, and its faults, each kind of fault once."""
    outcomes = collections.Counter(result["outcome"] for result in results)
    seconds = max((r.get("seconds", 0) for r in results), default=0)
    mib = max((r.get("mib") or 0 for r in results), default=0)
    lines = [
        f"{kind}: {len(results)} inputs, {outcomes['accepted']} accepted, "
        f"{outcomes['refused']} refused, {sum(map(is_fault, results))} faults; at most "
        f"{seconds:.2f} s and {mib} MiB"
    ]
    faults: dict[str, list[int]] = {}
    for result in filter(is_fault, results):
        text = (
            result["error"]
            if result["outcome"] == "fault"
            else (f"{result['seconds']} s, {result['mib']} MiB")
        )
        faults.setdefault(text[:160], []).append(result["index"])
    for text, found in sorted(faults.items(), key=lambda item: -len(item[1]))[:40]:
        numbers = ", ".join(map(str, found[:5]))
        lines.append(f"    {len(found)} x {text} (inputs {numbers})")
    return "\n".join(lines)


if __name__ == "__main__":
    with end_plainly():
        sys.exit(main())
