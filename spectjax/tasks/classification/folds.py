"""Classifiers over all folds: held-out scores pooled, a table and pictures of them all.

Every image is scored once, by the run that held its patient out.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spectjax.evaluation.folds import (
    check_images,
    check_same_data,
    describe_folds,
    end_document,
    read_metrics,
    read_training_seconds,
    summarise_folds,
)
from spectjax.metrics.calibration import fit_temperature
from spectjax.report.figures import save_figure
from spectjax.system.files import replace_undefined, write_file, write_json
from spectjax.tasks.classification.cases import Cases, join_cases, read_cases
from spectjax.tasks.classification.figures import draw_classifiers
from spectjax.tasks.classification.scores import (
    describe_calibration,
    score_images,
    summarise_cases,
)
from spectjax.tasks.classification.table import write_cross_validation_table

_FITTED_ON = (
    "the temperature T of each fold was fitted on the held-out scores of the other "
    "folds, that is on images of its training folds only"
)


def compare_classifiers(
    workdirs: Mapping[str, Sequence[pathlib.Path]],
    networks: Mapping[str, Mapping[str, Any]],
    output_dir: pathlib.Path,
) -> dict[str, Any]:
    """Writes what finished runs say together.

    Writes `table.md` ([P2] Tables 6-9 with our rows),
    `figures/{roc,precision_recall,reliability,confusion}.png` and, last,
    `metrics.json`.

    Args:
        workdirs: the runs of each classifier, one for each fold, in the order of folds.
        networks: of each classifier `num_parameters`, `num_epochs` and `image_hw`.
        output_dir: folder to write to.

    Returns:
        The content of `metrics.json`; None stands for an undefined score.

    Raises:
        ValueError: if a run is not finished or the runs did not score the same images.
        WriteError: if a file cannot be written.
    """
    documents = {
        name: [read_metrics(each, "classification") for each in folders]
        for name, folders in workdirs.items()
    }
    folds = {
        name: [read_cases(each / "eval" / "cases.csv") for each in folders]
        for name, folders in workdirs.items()
    }
    check_same_data(documents, workdirs)
    check_images(
        {
            name: [dict(zip(x.example_ids, x.labels.tolist(), strict=True)) for x in v]
            for name, v in folds.items()
        }
    )
    cases = {name: join_cases(found) for name, found in folds.items()}
    everyone = next(iter(cases.values()))
    metrics: dict[str, Any] = replace_undefined(
        {
            **describe_folds(next(iter(documents.values())), everyone.patients),
            "models": {
                name: {
                    "model": documents[name][0]["model"],
                    **summarise_cases(cases[name]),
                    "folds": summarise_folds(
                        [score_images(each.labels, each.log_odds) for each in found]
                    ),
                    "calibration": _calibrate(found),
                    "network": dict(networks[name]),
                    "training_seconds": [
                        read_training_seconds(each, networks[name]["num_epochs"])
                        for each in workdirs[name]
                    ],
                }
                for name, found in folds.items()
            },
            **end_document(),
        }
    )
    write_file(output_dir / "table.md", write_cross_validation_table(metrics))
    calibrated = {
        name: np.concatenate(scale_folds(found)[1]) for name, found in folds.items()
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


def _calibrate(folds: Sequence[Cases]) -> dict[str, Any]:
    labels = np.concatenate([fold.labels for fold in folds])
    temperatures, scaled = scale_folds(folds)
    log_odds = np.concatenate([fold.log_odds for fold in folds])
    return {
        "before": describe_calibration(labels, log_odds),
        "after": describe_calibration(labels, np.concatenate(scaled)),
        "temperature": temperatures,
        "fitted_on": _FITTED_ON,
    }


def summarise(model: Mapping[str, Any]) -> str:
    """Returns the main scores of one model, a line.

    Args:
        model: its entry under `models` in `metrics.json`.
    """
    image = model["image"]
    return f"AUC {image['auc']:.4f}  accuracy {image['accuracy']:.4f}"
