"""Tries to break a node from outside, and prints a table of what was seen.

    python scripts/try_node.py --output_dir=OUT
    python scripts/try_node.py --output_dir=OUT --scenario=kills --scenario=mutants

Cameras and a PACS of our own talk to a node that is killed, starved, lied to and fed
with garbage. All of it happens on the loopback. A line of the table that begins with
FAULT is something that must not be; exit status 1 if there was one. OUT receives the
node's folder, log and answers of every scenario, and table.md.
"""

import argparse
import logging
import pathlib
import signal
import sys
import time
import traceback
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.node_trial.bench import Bench  # noqa: E402
from scripts.node_trial.rows import Row  # noqa: E402
from scripts.node_trial.scenarios import SCENARIOS  # noqa: E402
from spectjax.system.commands import end_plainly  # noqa: E402
from spectjax.system.messages import UserError  # noqa: E402
from spectjax.system.paths import read_path  # noqa: E402


def main() -> bool:
    """Runs the command; returns whether there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--scenario", choices=SCENARIOS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the full load, in (0, 1]"
    )
    args = parser.parse_args()
    if not 0 < args.scale <= 1:
        raise UserError(f"--scale={args.scale:g}: expected a share in (0, 1].")
    folder = read_path(args.output_dir, "--output_dir").absolute()
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: expected an empty folder, found files in it.")
    folder.mkdir(parents=True, exist_ok=True)
    # Asked to stop, it ends the node that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
    bench = Bench(folder, args.seed, args.scale)
    faults = 0
    with (folder / "table.md").open("a") as table:
        table.write("| scenario | what | seen | |\n|---|---|---|---|\n")
        for name in args.scenario or SCENARIOS:
            began = time.monotonic()
            rows = run(name, bench)
            for row in rows:
                mark = "FAULT" if row.is_fault else "ok"
                print(f"{mark:5} {name}: {row.what}: {row.seen}", flush=True)
                table.write(f"| {name} | {row.what} | {row.seen} | {mark} |\n")
            faults += sum(row.is_fault for row in rows)
            print(f"      {name}: {time.monotonic() - began:.0f} s", flush=True)
            table.flush()
    return faults > 0


def run(name: str, bench: Bench) -> list[Row]:
    """Returns what a scenario saw; that it broke off is a fault."""
    try:
        return SCENARIOS[name](bench)
    except Exception as error:
        traceback.print_exc()
        return [Row("broke off", f"{type(error).__name__}: {error}"[:1000], True)]


if __name__ == "__main__":
    with end_plainly():
        sys.exit(main())
