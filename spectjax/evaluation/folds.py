"""What runs of all tasks that hold out one fold each have in common.

Every image is scored once, by the run that held its patient out.
"""

import csv
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from spectjax.evaluation import metrics_file
from spectjax.evaluation.metrics_file import OtherDataError
from spectjax.evaluation.metrics_sections import Spreads
from spectjax.evaluation.run import end_document
from spectjax.metrics.intervals import summarise_repeats
from spectjax.system.files import replace_undefined
from spectjax.system.messages import ConfigError

Workdirs = Mapping[str, Sequence[pathlib.Path]]
Documents = dict[str, list[dict[str, Any]]]
_Cases = TypeVar("_Cases")


def read_folds(
    workdirs: Workdirs,
    tasks: Sequence[str],
    *,
    read: Callable[[pathlib.Path], _Cases],
    find_truth: Callable[[_Cases], Mapping[str, Any]],
) -> tuple[Documents, dict[str, list[_Cases]]]:
    """Reads finished runs and checks that they scored the same images.

    Args:
        workdirs: the runs of each model, one for each fold, in the order of folds.
        tasks: which they may have.
        read: reads what a run's model said from the folder of its scores.
        find_truth: returns what is true of each image, by its name.

    Returns:
        By the name of the model the `metrics.json` of its runs, and what they said.

    Raises:
        ConfigError: if a run is not finished or of none of these tasks.
        OtherDataError: if the runs are not of the same images.
    """
    documents = {
        name: [read_metrics(each, *tasks) for each in folders]
        for name, folders in workdirs.items()
    }
    folds = {
        name: [read(each / "eval") for each in folders]
        for name, folders in workdirs.items()
    }
    check_same_data(documents, workdirs)
    check_same_images({k: [find_truth(each) for each in v] for k, v in folds.items()})
    return documents, folds


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


def check_same_images(truths: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
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
    documents: Documents,
    workdirs: Workdirs,
    networks: Mapping[str, Mapping[str, Any]],
    patients: Sequence[str],
    summarise: Callable[[str], Mapping[str, Any]],
    **sections: Any,
) -> dict[str, Any]:
    """Returns the content of a cross-validation's `metrics.json`.

    Args:
        documents: `metrics.json` of the runs, by the name of the model.
        workdirs: their folders.
        networks: of each model `num_parameters`, `num_epochs` and `image_hw`.
        patients: whose image each is.
        summarise: returns the scores of the model of a name.
        **sections: what else stands beside `models`.
    """
    first = next(iter(documents.values()))
    data = first[0]["data"]
    all_known = all(run["data"].get("fingerprint") for run in first)
    document: dict[str, Any] = replace_undefined(
        {
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
            "models": {
                name: {
                    "model": runs[0]["model"],
                    **summarise(name),
                    "network": dict(networks[name]),
                    "training_seconds": [
                        read_training_seconds(each, networks[name]["num_epochs"])
                        for each in workdirs[name]
                    ],
                }
                for name, runs in documents.items()
            },
            **sections,
            **end_document(),
        }
    )
    return document


def summarise_folds(scores: Sequence[Mapping[str, float]]) -> Spreads:
    """Returns `scores`: mean and standard deviation over folds; `runs`: each fold's.

    Args:
        scores: of each fold or repetition, under the same names.
    """
    spreads: dict[str, Any] = {
        name: dataclasses.asdict(spread)
        for name, spread in summarise_repeats(scores).items()
    }
    return {
        "scores": spreads,
        "runs": {name: [fold[name] for fold in scores] for name in scores[0]},
    }
