"""Checks and measures everything on a GPU, within minutes.

    python -m benchmarks.check_gpu --rehearse --output_dir=OUT
    JAX_PLATFORMS=cpu python -m benchmarks.check_gpu --parts=reference --output_dir=REF
    python -m benchmarks.check_gpu --reference=REF --output_dir=OUT

The first line runs every kind of part at its smallest size, on any machine. The others
make the numbers that a CPU computes, and compare a GPU's with them; without
--reference they are made beside. Each part is a process with a time limit of its own:
what is slow, fails or aborts costs only itself. OUT/gpu.json and OUT/gpu.md are written
anew after each part.

Parts come in the order of what matters: those of some eight minutes first, on an H100
with 16 cores, and --minutes=8 leaves out the others. A part is not begun with less than
a quarter of its limit left.

Needs jax, flax, optax and numpy; PyTorch is measured where it is installed, and the
product from end to end where all of its requirements are, with --data_dir, the folder
of its prepared data.
"""

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import gpu_table
from benchmarks.gpu_plan import GROUPS, Part, name_left_out, plan
from benchmarks.options import check_words, split_words
from benchmarks.table import describe_commit
from spectjax.system.commands import end_plainly
from spectjax.system.files import write_file, write_json
from spectjax.system.paths import read_path
from spectjax.system.workers import count_cores

_PROGRAM = (sys.executable, "-m", "benchmarks.gpu_parts")
_CACHE = "compiled"
_LINES = 8  # of what a part that failed has said


def main() -> None:
    """Runs the parts that the command line asks for."""
    arguments = _parse_arguments()
    parts = plan(
        arguments.parts,
        rehearse=arguments.rehearse,
        reference=arguments.reference,
        data_dir=arguments.data_dir,
    )
    run = Run(
        arguments.output_dir,
        minutes=arguments.minutes,
        reference=arguments.reference or arguments.output_dir,
        commit=arguments.commit or describe_commit(),
        left_out=name_left_out(parts, rehearse=arguments.rehearse),
    )
    run.take(parts)
    print((arguments.output_dir / "gpu.md").read_text())
    if any(result["status"] != "done" for result in run.results):
        sys.exit("Not all parts are done; the table says which.")


class Run:
    """What is found, part by part.

    Attributes:
        results: of the parts that are over, as in gpu.json.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        minutes: float,
        reference: pathlib.Path,
        commit: str,
        left_out: Sequence[str] = (),
    ) -> None:
        """Begins one.

        Args:
            folder: for all that is written.
            minutes: after which what runs is ended, and nothing more begun.
            reference: folder of the run that has what a CPU computes.
            commit: of the code.
            left_out: names of parts that are not to be run.
        """
        self._folder, self._reference = folder, reference
        self._told = {"commit": commit, "left_out": list(left_out)}
        # What is compiled is kept from part to part, not from run to run.
        shutil.rmtree(folder / _CACHE, ignore_errors=True)
        self._until = time.monotonic() + 60 * minutes
        self._lock = threading.Lock()
        self.results: list[dict[str, Any]] = []

    def take(self, parts: Sequence[Part]) -> None:
        """Runs parts in their order, those side by side that are not timed."""
        for alone, group in itertools.groupby(parts, key=lambda part: part.alone):
            at_once = 1 if alone else count_cores()
            with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
                list(pool.map(self._take_one, group))

    def _take_one(self, part: Part) -> None:
        folder = gpu_table.locate(self._folder, part.name)
        shutil.rmtree(folder, ignore_errors=True)  # of another run
        folder.mkdir(parents=True)
        start = time.monotonic()
        limit = min(part.limit_s, self._until - start)
        status, said = "no time", ""
        if limit >= part.limit_s / 4:
            status, said = run_part(part, folder, limit)
        done = status == "done"
        facts = json.loads((folder / "facts.json").read_text()) if done else None
        seconds = round(time.monotonic() - start, 1)
        with self._lock:
            self.results.append(
                {
                    "name": part.name,
                    "kind": part.kind,
                    "request": part.request,
                    "status": status,
                    "wall_s": seconds,
                    "said": said,
                    "facts": facts,
                }
            )
            self._write()
            print(f"{part.name}: {status}, {seconds} s {said}", file=sys.stderr)

    def _write(self) -> None:
        document = {
            **self._told,
            "parts": self.results,
            "outputs": gpu_table.compare_outputs(self._folder, self._reference),
        }
        write_json(self._folder / "gpu.json", document)
        write_file(self._folder / "gpu.md", gpu_table.format_results(document))


def run_part(part: Part, folder: pathlib.Path, limit_s: float) -> tuple[str, str]:
    """Runs a part to its end, or to its limit.

    Returns:
        "done", or what happened instead; and then the last lines that it said.
    """
    log = folder / "log.txt"
    kept = {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": str(folder.parent / _CACHE),
    }
    flags = f"{os.environ.get('XLA_FLAGS', '')} {part.environment.get('XLA_FLAGS', '')}"
    with open(log, "w") as stream:
        process = subprocess.Popen(
            [*_PROGRAM, part.kind, str(folder), json.dumps(part.request)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **kept, **part.environment, "XLA_FLAGS": flags.strip()},
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # Its own processes as well.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code == 0:
        return "done", ""
    lines = log.read_text(errors="replace").strip().splitlines()
    status = f"over its limit of {limit_s:.0f} s" if code is None else "failed"
    if code is not None and code < 0:
        status = f"aborted by {signal.Signals(-code).name}"
    return status, "\n".join(lines[-_LINES:])


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output_dir", required=True, help="folder for all that is written")
    add("--reference", help="folder of a run with what a CPU computes")
    add("--data_dir", help="folder of prepared data; without, the product is left out")
    add("--parts", type=split_words, default=list(GROUPS), help=", ".join(GROUPS))
    add("--minutes", type=float, default=60, help="after which all ends; 60")
    add("--commit", help="of the code, where it is no clone")
    add("--rehearse", action="store_true", help="at the smallest size")
    arguments = parser.parse_args()
    for name in ("output_dir", "reference", "data_dir"):
        if getattr(arguments, name):
            path = read_path(getattr(arguments, name), f"--{name}")
            setattr(arguments, name, path.absolute())
    check_words(parser, arguments, parts=GROUPS)
    return arguments


if __name__ == "__main__":
    with end_plainly():
        main()
