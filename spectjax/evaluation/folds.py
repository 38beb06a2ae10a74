"""What runs of all tasks that hold out one fold each have in common.

Every image is scored once, by the run that held its patient out.
"""

import csv
import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import spectjax
from spectjax.evaluation import metrics_file
from spectjax.evaluation.metrics_file import OtherDataError
from spectjax.metrics.intervals import summarise_repeats
from spectjax.system.messages import DISCLAIMER, ConfigError


def read_metrics(
    workdir: pathlib.Path, *tasks: str, schema: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Reads the `metrics.json` of a finished run.

    Args:
        workdir: folder of the run.
        tasks: which it may have.
        schema: what else the file must hold, see `spectjax.system.schema`.

    Raises:
        ConfigError: if it is missing, damaged or of none of these tasks.
    """
    path = metrics_file.locate_metrics(workdir)
    found = "none"
    if path.exists():
        metrics = metrics_file.read_metrics(workdir, schema)
        if metrics["task"] in tasks:
            return metrics
        found = f"one whose task is {metrics['task']}"
    raise ConfigError(
        f"{path}: expected a finished run of {' or '.join(tasks)}, found {found}. "
        f"Remove {workdir}; the same command trains it again."
    )


def check_same_data(
    documents: Mapping[str, Sequence[Mapping[str, Any]]],
    workdirs: Mapping[str, Sequence[pathlib.Path]],
) -> None:
    """Checks that all runs of a table state the same data; tells of those without.

    Args:
        documents: `metrics.json` of the runs, by the name of the model.
        workdirs: their folders.

    Raises:
        OtherDataError: naming the folders of each of the data sets.
    """
    folders: dict[str | None, list[str]] = {}
    for name, found in documents.items():
        for metrics, workdir in zip(found, workdirs[name], strict=True):
            fingerprint = metrics["data"].get("fingerprint")
            folders.setdefault(fingerprint, []).append(str(workdir))
    unknown = folders.pop(None, [])
    if len(folders) > 1:
        sides = (f"{k[:12]}: {', '.join(v)}" for k, v in folders.items() if k)
        raise OtherDataError(
            "Expected runs on the same images, outlines, labels and folds, found "
            f"several data sets ({'; '.join(sides)}). Choose another --output_dir and "
            "train again."
        )
    if unknown:
        print(
            f"{', '.join(unknown)}: older than fingerprints of data; that they were "
            "scored on the same outlines and labels was NOT checked.",
            file=sys.stderr,
            flush=True,
        )


def read_training_seconds(workdir: pathlib.Path, num_epochs: int) -> float:
    """Returns how long the epochs of a run took, 0 if there were none.

    Raises:
        ConfigError: if a run that trains has left no log.
    """
    path = workdir / "train.csv"
    if not num_epochs:
        return 0.0
    try:
        with path.open(newline="") as stream:
            return sum(float(row["seconds"]) for row in csv.DictReader(stream))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: expected the log of a finished run ({error}). Remove {workdir}; "
            "the same command trains it again."
        ) from error


def check_images(truths: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Checks that all models scored the same images, and none of them twice.

    Args:
        truths: by the name of the model, for each fold what is true of each image, such
            as its label or how many of its pixels are hotspots, by the image's name.

    Raises:
        OtherDataError: naming the first model that did not.
    """
    first = next(iter(truths))
    for name, folds in truths.items():
        fault = ""
        if len(set().union(*folds)) < sum(map(len, folds)):
            fault = "an image in two folds"
        elif list(map(set, folds)) != list(map(set, truths[first])):
            fault = "other images"
        elif list(folds) != list(truths[first]):
            fault = "the same images with another truth"
        if fault:
            raise OtherDataError(
                f"{name}: expected runs that score every image once, those of {first}; "
                f"found {fault}. They come from data sets prepared differently: choose "
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
    all_known = all(run["data"].get("fingerprint") for run in first)
    return {
        "task": first[0]["task"],
        "data": {
            "name": data["name"],
            "split": f"{len(first)} folds",
            "synthetic": data["synthetic"],
            "leaking": bool(data.get("leaking")),
            "fingerprint": data.get("fingerprint") if all_known else None,
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
