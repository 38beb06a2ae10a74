"""Reads damaged inputs one after another and tells what became of each.

Run by `scripts/fuzz.py`. A line "<index>" on standard output says which input is about
to be read; JSON on the next one says how that ended.
"""

import argparse
import json
import pathlib
import shutil
import sys
import time
import traceback
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from scripts.fuzzing.kinds import KINDS, BrokenPromiseError
from spectjax.system.commands import end_plainly
from spectjax.system.messages import UserError
from spectjax.system.paths import read_path

_CLEAR_REFS = pathlib.Path("/proc/self/clear_refs")
_STATUS = pathlib.Path("/proc/self/status")


def make_input(
    name: str, seeds: Any, seed: int, index: int, folder: pathlib.Path
) -> pathlib.Path:
    """Writes input number `index` into `folder`, emptied before; returns its path.

    The same name of a kind, seed and index make the same input.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), index))
    return KINDS[name].mutate(rng, seeds, folder)


def judge(
    read: Callable[[pathlib.Path, Any], None], path: pathlib.Path, seeds: Any = None
) -> dict[str, Any]:
    """Reads an input, as of `Kind`, and says how that ended.

    Returns:
        `outcome`: accepted, refused or fault; `error`: its type, and for a fault where
        it came from; `seconds` of processor time; `mib` of memory beyond what was in
        use before, None where the system does not tell.
    """
    before = _reset_peak()
    began = time.process_time()
    outcome, error = "accepted", ""
    try:
        read(path, seeds)
    except UserError as refusal:
        outcome, error = "refused", type(refusal).__name__
        if not str(refusal).isprintable():
            outcome, error = "fault", f"unprintable text of {type(refusal).__name__}"
    except BrokenPromiseError as broken:
        outcome, error = "fault", str(broken)
    except BaseException as bug:
        if isinstance(bug, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(bug.__traceback__)[-1]
        place = f"{pathlib.Path(last.filename).name}:{last.lineno}"
        outcome, error = "fault", f"{type(bug).__name__} at {place}: {str(bug)[:200]}"
    seconds = time.process_time() - began
    peak = _read_peak()
    mib = None if before is None or peak is None else max(0, peak - before) // 1024
    return {
        "outcome": outcome,
        "error": error,
        "seconds": round(seconds, 3),
        "mib": mib,
    }


def _reset_peak() -> int | None:
    """Makes the peak of memory the present use, which is returned in KiB."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return None
    return _read_peak()


def _read_peak() -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) if found else None


def main() -> None:
    """Reads the inputs that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("--folder", required=True)
    args = parser.parse_args()
    folder = read_path(args.folder, "--folder")
    talk, sys.stdout = sys.stdout, sys.stderr  # what readers print is no result
    kind = KINDS[args.kind]
    seeds = kind.make_seeds(folder / "seeds")
    for index in range(args.first, args.last):
        print(index, file=talk, flush=True)
        path = make_input(args.kind, seeds, args.seed, index, folder / "input")
        print(json.dumps(judge(kind.read, path, seeds)), file=talk, flush=True)


if __name__ == "__main__":
    with end_plainly():
        main()
