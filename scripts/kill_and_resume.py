"""Kills a training run at random moments until it is done, and proves nothing was lost.

    python scripts/kill_and_resume.py --kills=20 --output_dir=OUT
    python scripts/kill_and_resume.py --config=configs/mask_rcnn.py:smoke ...

Trains a tiny run undisturbed, and then others that SIGKILL ends again and again, each
time after a random share of what the undisturbed one took, until each is done.
Succeeds if parameters, statistics, their averages, optimizer state and logged losses of
all are the same bits. Checkpoints are written many times an epoch, so that kills fall
into them.
"""

import argparse
import csv
import pathlib
import random
import shutil
import subprocess
import sys
import time

from spectjax.system.commands import end_plainly
from spectjax.system.messages import UserError
from spectjax.system.paths import read_path

CHANGES = (
    "--config.num_epochs=40",
    "--config.checkpoint_every_minutes=0",
    "--config.steps_per_dispatch=4",
    "--config.data.train_hw=(32, 32)",
    "--config.data.augmentation=online",
    "--config.data.count_level=0.5",
    "--config.optimizer.average=0.9",
)
TIMES = ("seconds", "images_per_second")  # columns of the log that may differ
LEAST_SECONDS = 2.0  # what a start takes at least, before anything can be lost


def main() -> None:
    """Runs the proof; its exit status is 0 if it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/unet_res.py:smoke")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output_dir", required=True)
    args = parser.parse_args()
    args.output_dir = read_path(args.output_dir, "--output_dir")
    if args.output_dir.exists() and any(args.output_dir.iterdir()):
        raise UserError(f"{args.output_dir}: expected an empty folder, found files.")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    draw = random.Random(args.seed)

    whole, killed = args.output_dir / "whole", args.output_dir / "killed"
    start(args.config, args.output_dir / "warm-up").wait()  # data, compilation
    began = time.monotonic()
    start(args.config, whole).wait()
    seconds = time.monotonic() - began

    kills, runs = 0, 0
    while kills < args.kills or killed.exists():
        process = start(args.config, killed)
        try:
            status = process.wait(draw.uniform(LEAST_SECONDS, 0.8 * seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            print(f"kill {kills}: checkpoints {list_checkpoints(killed)}", flush=True)
            continue
        if status:
            raise UserError(f"FAILED: see {args.output_dir / 'log.txt'}")
        differences = compare(whole, killed)
        if differences:
            raise UserError("DIFFERENT: " + "; ".join(differences))
        runs += 1
        print("done, and the same to the last bit", flush=True)
        shutil.rmtree(killed)
    print(f"{kills} kills in {runs} runs: final states and logs are the same bits.")


def start(config: str, workdir: pathlib.Path) -> subprocess.Popen:
    """Starts or resumes training in `workdir`."""
    folder = workdir.parent
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "spectjax.main", f"--config={config}", *CHANGES]
            + [f"--workdir={workdir}", f"--data_dir={folder / 'data'}"],
            stdout=log,
            stderr=log,
        )


def list_checkpoints(workdir: pathlib.Path) -> list[str]:
    """Returns the names in the folder of checkpoints, half-written ones too."""
    folder = workdir / "checkpoints"
    return sorted(x.name for x in folder.iterdir()) if folder.exists() else []


def compare(whole: pathlib.Path, killed: pathlib.Path) -> list[str]:
    """Returns what differs between two finished runs."""
    import jax
    import numpy as np

    from spectjax.config import load_config
    from spectjax.training.run import restore_state

    states = [
        jax.tree_util.tree_leaves_with_path(
            restore_state(load_config(run / "config.json"), run)[0]
        )
        for run in (whole, killed)
    ]
    differences = [
        jax.tree_util.keystr(path)
        for (path, x), (_, y) in zip(*states, strict=True)
        if not np.array_equal(np.asarray(x), np.asarray(y))
    ]
    rows = [read_scores(run / "train.csv") for run in (whole, killed)]
    return differences + (["train.csv"] if rows[0] != rows[1] else [])


def read_scores(path: pathlib.Path) -> list[tuple[str, ...]]:
    """Returns the logged scores of each epoch; how long it took may differ."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [tuple(row[name] for name in row if name not in TIMES) for row in rows]


if __name__ == "__main__":
    with end_plainly():
        main()
