"""Classifiers over all folds: held-out scores pooled, a table and pictures of them all.

Every image is scored once, by the run that held its patient out.
"""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import spectjax
from spectjax.evaluation.cases import Cases, join_cases, read_cases
from spectjax.evaluation.pictures import draw_classifiers
from spectjax.evaluation.scores import (
    describe_calibration,
    score_images,
    summarise_cases,
)
from spectjax.files import replace_undefined, write_file, write_json
from spectjax.metrics.calibration import fit_temperature
from spectjax.metrics.intervals import summarise_repeats
from spectjax.report import DISCLAIMER
from spectjax.report.classification_table import write_cross_validation_table
from spectjax.report.figures import save_figure

_FITTED_ON = (
    "the temperature T of each fold was fitted on the held-out scores of the other "
    "folds, that is on images of its training folds only"
)


@dataclasses.dataclass(frozen=True)
class FoldRun:
    """A finished run of a classifier.

    Attributes:
        cases: what it said about the images of the fold that it held out.
        metrics: the content of its `metrics.json`.
        training_seconds: how long its epochs took.
    """

    cases: Cases
    metrics: dict[str, Any]
    training_seconds: float


def read_run(workdir: pathlib.Path) -> FoldRun:
    """Reads what a finished run left.

    Raises:
        ValueError: if a file is missing or not what a run of a classifier writes.
    """
    path = workdir / "eval" / "metrics.json"
    try:
        metrics = json.loads(path.read_text())
        if metrics["task"] != "classification":
            raise ValueError(f"the task is {metrics['task']}")
        with (workdir / "train.csv").open(newline="") as stream:
            seconds = [float(row["seconds"]) for row in csv.DictReader(stream)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected a finished run of a classifier ({error}). Remove "
            f"{workdir}; the same command trains it again."
        ) from error
    return FoldRun(read_cases(workdir / "eval" / "cases.csv"), metrics, sum(seconds))


def write_cross_validation(
    runs: Mapping[str, Sequence[FoldRun]],
    networks: Mapping[str, Mapping[str, Any]],
    output_dir: pathlib.Path,
) -> dict[str, Any]:
    """Writes what finished runs say together.

    Writes `table.md` ([P2] Tables 6-9 with our rows),
    `figures/{roc,precision_recall,reliability,confusion}.png` and, last,
    `metrics.json`.

    Args:
        runs: the runs of each classifier, one for each fold, in the order of folds.
        networks: of each classifier `num_parameters`, `num_epochs` and `image_hw`.
        output_dir: folder to write to.

    Returns:
        The content of `metrics.json`; None stands for an undefined score.

    Raises:
        ValueError: if the runs did not score the same images.
        WriteError: if a file cannot be written.
    """
    _check_images(runs)
    first = next(iter(runs.values()))
    cases = {name: join_cases([r.cases for r in found]) for name, found in runs.items()}
    everyone = next(iter(cases.values()))
    data = first[0].metrics["data"]
    metrics: dict[str, Any] = replace_undefined(
        {
            "task": "classification",
            "data": {
                "name": data["name"],
                "split": f"{len(first)} folds",
                "synthetic": data["synthetic"],
                "leaking": data["leaking"],
            },
            "n_images": len(everyone),
            "n_patients": len(set(everyone.patients)),
            "models": {
                name: {
                    "model": found[0].metrics["model"],
                    **summarise_cases(cases[name]),
                    "folds": _summarise_folds(found),
                    "calibration": _calibrate(found),
                    "network": dict(networks[name]),
                    "training_seconds": [run.training_seconds for run in found],
                }
                for name, found in runs.items()
            },
            "spectjax_version": spectjax.__version__,
            "disclaimer": DISCLAIMER,
        }
    )
    write_file(output_dir / "table.md", write_cross_validation_table(metrics))
    calibrated = {
        name: np.concatenate(scale_folds([r.cases for r in found])[1])
        for name, found in runs.items()
    }
    for name, figure in draw_classifiers(cases, calibrated, metrics).items():
        save_figure(figure, output_dir / "figures" / f"{name}.png")
    write_json(output_dir / "metrics.json", metrics)
    return metrics


def scale_folds(folds: Sequence[Cases]) -> tuple[list[float], list[np.ndarray]]:
    """Returns a temperature for each fold, and the fold's log-odds divided by it.

    The temperature of a fold is fitted on what was said about the images of the other
    folds when they were held out: its own labels take no part.
    """
    temperatures, scaled = [], []
    for fold in folds:
        others = join_cases([other for other in folds if other is not fold])
        temperature = fit_temperature(others.labels, others.log_odds)
        temperatures.append(temperature)
        scaled.append(fold.log_odds / temperature)
    return temperatures, scaled


def _calibrate(runs: Sequence[FoldRun]) -> dict[str, Any]:
    folds = [run.cases for run in runs]
    labels = np.concatenate([fold.labels for fold in folds])
    temperatures, scaled = scale_folds(folds)
    log_odds = np.concatenate([fold.log_odds for fold in folds])
    return {
        "before": describe_calibration(labels, log_odds),
        "after": describe_calibration(labels, np.concatenate(scaled)),
        "temperature": temperatures,
        "fitted_on": _FITTED_ON,
    }


def _summarise_folds(runs: Sequence[FoldRun]) -> dict[str, Any]:
    """Returns mean and standard deviation of the scores over folds, and each fold's."""
    scores = [score_images(run.cases.labels, run.cases.log_odds) for run in runs]
    spreads = summarise_repeats(scores)
    return {
        "scores": {
            name: dataclasses.asdict(spread) for name, spread in spreads.items()
        },
        "runs": {name: [fold[name] for fold in scores] for name in scores[0]},
    }


def _check_images(runs: Mapping[str, Sequence[FoldRun]]) -> None:
    """Checks that all classifiers scored the same images, and none of them twice."""
    expected: list[list[str]] = []
    for name, found in runs.items():
        ids = [sorted(run.cases.example_ids) for run in found]
        expected = expected or ids
        if ids != expected or len({i for fold in ids for i in fold}) < sum(
            len(fold) for fold in ids
        ):
            raise ValueError(
                f"{name}: expected runs that score every image once, those of "
                f"{next(iter(runs))}; found others. They come from data sets prepared "
                "differently: choose another --output_dir and train again."
            )
