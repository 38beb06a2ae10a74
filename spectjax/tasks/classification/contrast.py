"""Classifiers on the same images of elsewhere: one table and paired differences."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from spectjax.evaluation.comparison import compare_pairs
from spectjax.evaluation.contrast import describe_contrast
from spectjax.evaluation.metrics_sections import Comparison
from spectjax.metrics.intervals import bootstrap_patients
from spectjax.report.picture_parts import save_figure
from spectjax.system.files import write_file, write_json
from spectjax.tasks.classification.cases import Cases, read_cases
from spectjax.tasks.classification.plots import draw_classifiers
from spectjax.tasks.classification.scores import score_images
from spectjax.tasks.classification.table import COMPARED, write_classification_table


def contrast_classifiers(
    documents: Mapping[str, dict[str, Any]],
    folders: Mapping[str, pathlib.Path],
    output_dir: pathlib.Path,
) -> dict[str, Any]:
    """Writes what several classifiers say together of the same images.

    Writes `table.md`, `figures/{roc,precision_recall,reliability,confusion}.png` and,
    last, `metrics.json`.

    See `contrast` of `spectjax.tasks.Row`.
    """
    cases = {k: read_cases(folder / "cases.csv") for k, folder in folders.items()}
    metrics = describe_contrast(documents, comparisons=compare_classifiers(cases))
    write_file(output_dir / "table.md", write_classification_table(metrics))
    scaled = {}
    for name, each in cases.items():
        temperature = documents[name]["calibration"]["temperature"]
        scaled[name] = None if temperature is None else each.log_odds / temperature
    figures = draw_classifiers(cases, scaled, metrics, title="images of elsewhere")
    for name, figure in figures.items():
        save_figure(figure, output_dir / "figures" / f"{name}.png")
    write_json(output_dir / "metrics.json", metrics)
    return metrics


def compare_classifiers(cases: Mapping[str, Cases]) -> list[Comparison]:
    """Returns the differences of all pairs of classifiers on the same images.

    Args:
        cases: what each said about the same images in the same order.
    """
    first = next(iter(cases.values()))

    def prepare(each: Cases) -> Any:
        return lambda rows: score_images(each.labels[rows], each.log_odds[rows])

    return compare_pairs(
        {name: prepare(each) for name, each in cases.items()},
        first.patients,
        names=list(COMPARED),
        bootstrap=bootstrap_patients,
        everyone=np.arange(len(first)),
    )
