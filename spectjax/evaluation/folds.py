"""What runs of all tasks that hold out one fold each have in common.

Every image is scored once, by the run that held its patient out.
"""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import spectjax
from spectjax.config import load_config
from spectjax.messages import UserError
from spectjax.metrics.intervals import summarise_repeats
from spectjax.report import DISCLAIMER


def read_metrics(workdir: pathlib.Path, *tasks: str) -> dict[str, Any]:
    """Reads the `metrics.json` of a finished run.

    Raises:
        ValueError: if it is missing or of none of these tasks.
    """
    path = workdir / "eval" / "metrics.json"
    try:
        metrics: dict[str, Any] = json.loads(path.read_text())
        if metrics["task"] not in tasks:
            raise ValueError(f"the task is {metrics['task']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected a finished run of {' or '.join(tasks)} ({error}). "
            f"Remove {workdir}; the same command trains it again."
        ) from error
    return metrics


def read_training_seconds(workdir: pathlib.Path) -> float:
    """Returns how long the epochs of a run took, 0 for what trains nothing.

    Raises:
        ValueError: if a run that trains has left no log.
    """
    path = workdir / "train.csv"
    if not load_config(workdir / "config.json").num_epochs:
        return 0.0
    try:
        with path.open(newline="") as stream:
            return sum(float(row["seconds"]) for row in csv.DictReader(stream))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected the log of a finished run ({error}). Remove {workdir}; "
            "the same command trains it again."
        ) from error


def check_images(example_ids: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Checks that all models scored the same images, and none of them twice.

    Args:
        example_ids: by the name of the model, the images of each fold.

    Raises:
        ValueError: naming the first model that did not.
    """
    first = next(iter(example_ids))
    for name, folds in example_ids.items():
        ids = [sorted(fold) for fold in folds]
        if ids != [sorted(fold) for fold in example_ids[first]] or len(
            {each for fold in ids for each in fold}
        ) < sum(len(fold) for fold in ids):
            raise UserError(
                f"{name}: expected runs that score every image once, those of {first}; "
                "found others. They come from data sets prepared differently: choose "
                "another --output_dir and train again."
            )


def describe_folds(
    first: Sequence[Mapping[str, Any]], patients: Sequence[str]
) -> dict[str, Any]:
    """Returns what a cross-validation's `metrics.json` begins with.

    Args:
        first: `metrics.json` of the runs of one model.
        patients: whose image each is.
    """
    data = first[0]["data"]
    return {
        "task": first[0]["task"],
        "data": {
            "name": data["name"],
            "split": f"{len(first)} folds",
            "synthetic": data["synthetic"],
            "leaking": data["leaking"],
        },
        "n_images": len(patients),
        "n_patients": len(set(patients)),
    }


def end_document() -> dict[str, Any]:
    """Returns what a cross-validation's `metrics.json` ends with."""
    return {"spectjax_version": spectjax.__version__, "disclaimer": DISCLAIMER}


def summarise_folds(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Returns `scores`: mean and standard deviation over folds; `runs`: each fold's.

    Args:
        scores: of each fold, under the same names.
    """
    return {
        "scores": {
            name: dataclasses.asdict(spread)
            for name, spread in summarise_repeats(scores).items()
        },
        "runs": {name: [fold[name] for fold in scores] for name in scores[0]},
    }
