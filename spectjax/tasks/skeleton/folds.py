"""Runs of bones that hold out one fold each, in one table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from spectjax.evaluation.folds import check_same_data, describe_folds, read_metrics
from spectjax.report.markdown import format_rows, format_score
from spectjax.system.files import write_file, write_json
from spectjax.system.messages import UserError


def compare(
    workdirs: Mapping[str, Sequence[Path]],
    networks: Mapping[str, Mapping[str, Any]],
    output_dir: Path,
) -> dict[str, Any]:
    """Writes the table of several models and returns the content of `metrics.json`.

    Args:
        workdirs: the runs of each model, one for each fold.
        networks: what is known of their networks.
        output_dir: folder to write to.

    Raises:
        OtherDataError: if the runs are not of the same data.
        WriteError: if a file cannot be written.
    """
    runs = {
        name: [read_metrics(folder, "skeleton") for folder in folders]
        for name, folders in workdirs.items()
    }
    check_same_data(runs, workdirs)
    first = next(iter(runs.values()))
    patients = [str(number) for number in range(sum(x["n_patients"] for x in first))]

    def summarise_model(name: str) -> dict[str, Any]:
        found = [run["regions"] for run in runs[name]]
        return {
            "mean_dice": [each["mean"]["dice"] for each in found],
            "worst_dice": [each["worst"]["dice"] for each in found],
        }

    metrics = describe_folds(runs, workdirs, networks, patients, summarise_model)
    rows = [
        [
            name,
            *(format_score(float(np.mean(x[k]))) for k in ("mean_dice", "worst_dice")),
        ]
        for name, x in metrics["models"].items()
    ]
    table = format_rows(["model", "mean Dice", "Dice of the worst region"], rows)
    write_file(output_dir / "table.md", "\n".join(table))
    write_json(output_dir / "metrics.json", metrics)
    return metrics


def summarise(model: Mapping[str, Any]) -> str:
    """Returns the main scores of a model in a line."""
    mean, worst = (np.mean(model[key]) for key in ("mean_dice", "worst_dice"))
    return f"Dice {mean:.4f}, worst region {worst:.4f}"


def refuse(*_: Any, **__: Any) -> NoReturn:
    """Refuses what bones are not asked for.

    Raises:
        UserError: always.
    """
    raise UserError(
        "Expected a model of hotspots or of diagnoses, found one of bones: it is "
        "trained and scored by spectjax.main and asked where hotspots are named."
    )
