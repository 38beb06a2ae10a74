"""Classifiers over all folds: held-out scores pooled, a table and pictures of them all.

Every image is scored once, by the run that held its patient out.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spectjax.evaluation.batches import join_cases
from spectjax.evaluation.folds import (
    Workdirs,
    describe_folds,
    read_folds,
    summarise_folds,
)
from spectjax.metrics.calibration import fit_temperature
from spectjax.report.picture_parts import save_figure
from spectjax.system.files import write_file, write_json
from spectjax.tasks.classification.cases import Cases, read_cases
from spectjax.tasks.classification.metrics_sections import Calibration
from spectjax.tasks.classification.plots import draw_classifiers
from spectjax.tasks.classification.scores import (
    describe_calibration,
    score_images,
    summarise_cases,
)
from spectjax.tasks.classification.table import write_classification_table

_FITTED_ON = (
    "the temperature T of each fold was fitted on the held-out scores of the other "
    "folds, that is on images of its training folds only"
)


def compare_classifiers(
    workdirs: Workdirs,
    networks: Mapping[str, Mapping[str, Any]],
    output_dir: pathlib.Path,
) -> dict[str, Any]:
    """Writes what finished runs say together.

    Writes `table.md` ([P2] Tables 6-9 with our rows),
    `figures/{roc,precision_recall,reliability,confusion}.png` and, last,
    `metrics.json`.

    See `compare` of `spectjax.tasks.Row` and, for its errors, `read_folds`.
    """
    documents, folds = read_folds(
        workdirs,
        ["classification"],
        read=lambda eval_dir: read_cases(eval_dir / "cases.csv"),
        find_truth=lambda x: dict(zip(x.example_ids, x.labels.tolist(), strict=True)),
    )
    cases = {name: join_cases(found) for name, found in folds.items()}
    scaled = {name: scale_folds(found) for name, found in folds.items()}

    def summarise_model(name: str) -> dict[str, Any]:
        labels, log_odds = cases[name].labels, cases[name].log_odds
        temperatures, after = scaled[name]
        calibration: Calibration = {
            "before": describe_calibration(labels, log_odds),
            "after": describe_calibration(labels, after),
            "temperature": temperatures,
            "fitted_on": _FITTED_ON,
        }
        scores = [score_images(each.labels, each.log_odds) for each in folds[name]]
        return {
            **summarise_cases(cases[name]),
            "folds": summarise_folds(scores),
            "calibration": calibration,
        }

    patients = next(iter(cases.values())).patients
    metrics = describe_folds(documents, workdirs, networks, patients, summarise_model)
    write_file(output_dir / "table.md", write_classification_table(metrics))
    calibrated: dict[str, Any] = {name: after for name, (_, after) in scaled.items()}
    for name, figure in draw_classifiers(cases, calibrated, metrics).items():
        save_figure(figure, output_dir / "figures" / f"{name}.png")
    write_json(output_dir / "metrics.json", metrics)
    return metrics


def scale_folds(folds: Sequence[Cases]) -> tuple[list[float], np.ndarray]:
    """Returns a temperature for each fold, and log-odds divided by that of their fold.

    The temperature of a fold is fitted on what was said about the images of the other
    folds when they were held out: its own labels take no part.
    """
    temperatures, scaled = [], []
    for fold in folds:
        others = join_cases([other for other in folds if other is not fold])
        temperature = fit_temperature(others.labels, others.log_odds)
        temperatures.append(temperature)
        scaled.append(fold.log_odds / temperature)
    return temperatures, np.concatenate(scaled)


def summarise(model: Mapping[str, Any]) -> str:
    """Returns the main scores of an entry of `models`, a line."""
    auc, accuracy = model["image"]["auc"], model["image"]["accuracy"]
    said = "undefined" if auc is None else f"{auc:.4f}"  # of images of one class
    return f"AUC {said}  accuracy {accuracy:.4f}"
