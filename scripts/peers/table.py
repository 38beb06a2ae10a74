"""Runs of a peer and of ours beside each other: one table, one difference.

The number of images is N.
"""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from spectjax.metrics.intervals import bootstrap_patients
from spectjax.metrics.pixel import PixelCounts, score_pixels, summarise_pixels
from spectjax.system.messages import UserError

# The table's columns: titles, and where the scores stand.
_SCORES = {
    "Dice": ("pooled", "Dice"),
    "IoU": ("pooled", "IoU"),
    "CPA": ("pooled", "CPA"),
    "Rec": ("pooled", "Rec"),
    "Dice per image with lesion": ("with_lesion", "Dice"),
}


@dataclasses.dataclass(frozen=True)
class Scored:
    """Images that a network scored on, N of them.

    Attributes:
        example_ids: their names.
        patients: their patients.
        pixels: TP, FP, FN and TN of each, int64, (N, 4).
        seconds: how long the network trained.
        steps: how many steps it took; None if that is not known.
    """

    example_ids: list[str]
    patients: list[str]
    pixels: np.ndarray
    seconds: float
    steps: int | None


def read_peer(workdir: pathlib.Path) -> Scored:
    """Reads a fold that the peer has finished."""
    facts = json.loads((workdir / "peer.json").read_text())
    return read_cases(workdir, facts["processor_seconds"], facts["steps"])


def read_ours(name: str) -> Scored:
    """Reads a run of ours; its seconds are those of its epochs, by the clock.

    Raises:
        ValueError: if it is not finished.
    """
    workdir = pathlib.Path(name)
    try:
        with (workdir / "train.csv").open(newline="") as stream:
            seconds = [float(row["seconds"]) for row in csv.DictReader(stream)]
        return read_cases(workdir, sum(seconds), None)
    except (OSError, KeyError) as error:
        raise UserError(f"{workdir}: expected a finished run ({error}).") from error


def read_cases(workdir: pathlib.Path, seconds: float, steps: int | None) -> Scored:
    """Reads `eval/cases.csv`, ordered by example."""
    with (workdir / "eval" / "cases.csv").open(newline="") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["example_id"])
    return Scored(
        example_ids=[row["example_id"] for row in rows],
        patients=[row["patient"] for row in rows],
        pixels=np.array(
            [[int(row[k]) for k in ("TP", "FP", "FN", "TN")] for row in rows]
        ),
        seconds=seconds,
        steps=steps,
    )


def join(folds: Sequence[Scored]) -> Scored:
    """Returns the images of all folds; seconds and steps are sums."""
    steps = [fold.steps for fold in folds]
    return Scored(
        example_ids=[name for fold in folds for name in fold.example_ids],
        patients=[name for fold in folds for name in fold.patients],
        pixels=np.concatenate([fold.pixels for fold in folds]),
        seconds=sum(fold.seconds for fold in folds),
        steps=None if None in steps else sum(filter(None, steps)),
    )


def score(pixels: np.ndarray) -> dict[str, float]:
    """Returns the scores of the table for pixel counts (N, 4)."""
    lesions = pixels[pixels[:, 0] + pixels[:, 2] > 0]
    found = {
        "pooled": summarise_pixels(PixelCounts(*pixels.T))["pooled"],
        "with_lesion": summarise_pixels(PixelCounts(*lesions.T))["per_image"],
    }
    return {title: found[part][key] for title, (part, key) in _SCORES.items()}


def format_table(peers: Mapping[str, Scored], ours: Mapping[str, Scored]) -> str:
    """Returns the table, and by how much our Dice is above the peer's.

    Raises:
        ValueError: if a run of ours scored other images or outlines than the peer.
    """
    lines = [
        f"| fold | by | steps | training s | {' | '.join(_SCORES)} |",
        "|---" * (4 + len(_SCORES)) + "|",
    ]
    for fold, peer in peers.items():
        lines.append(_format_row(fold, "MONAI U-Net", peer))
        if fold in ours:
            if ours[fold].example_ids != peer.example_ids:
                raise UserError(f"{fold}: our run scored other images than the peer.")
            if (_count_true(ours[fold]) != _count_true(peer)).any():
                raise UserError(f"{fold}: our run scored other outlines than the peer.")
            lines.append(_format_row(fold, "spectjax", ours[fold]))
    everyone = {"MONAI U-Net": join(list(peers.values()))}
    if ours:
        everyone["spectjax"] = join(list(ours.values()))
    lines += [_format_row("all", by, found) for by, found in everyone.items()]
    if ours:
        lines += ["", _compare_dice(everyone["spectjax"], everyone["MONAI U-Net"])]
    return "\n".join(lines) + "\n"


def _count_true(found: Scored) -> np.ndarray:
    """Returns how many pixels of each image are hotspots, (N,)."""
    return found.pixels[:, 0] + found.pixels[:, 2]


def _format_row(fold: str, by: str, found: Scored) -> str:
    scores = " | ".join(f"{value:.4f}" for value in score(found.pixels).values())
    steps = "–" if found.steps is None else found.steps
    return f"| {fold} | {by} | {steps} | {found.seconds:.0f} | {scores} |"


def _compare_dice(ours: Scored, peer: Scored) -> str:
    """Returns our pooled Dice less the peer's, with an interval over patients."""

    def subtract(rows: np.ndarray) -> dict[str, float]:
        sums = (found.pixels[rows].sum(axis=0) for found in (ours, peer))
        dice = [float(score_pixels(PixelCounts(*each))["Dice"]) for each in sums]
        return {"Dice": dice[0] - dice[1]}

    found = subtract(np.arange(len(ours.example_ids)))["Dice"]
    interval = bootstrap_patients(ours.patients, subtract, seed=0)["Dice"]
    return (
        f"Pooled Dice of spectjax less MONAI's: {found:+.4f} (95 % {interval.low:+.4f} "
        f"to {interval.high:+.4f}, bootstrap over {len(set(ours.patients))} patients)."
    )
