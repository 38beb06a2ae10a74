"""Tables of classifiers in the form of [P2] Tables 6-9, as Markdown.

[P2] prints accuracy, precision, recall, specificity and F-1 score in Tables 6 to 8 and
AUC in Table 9, of seven classifiers on three data sets. Some figures are misprinted:
`report.published` has the counts behind them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from spectjax.metrics.classification import score_confusion
from spectjax.report.data_notes import count_images, end_table, name_source
from spectjax.report.external import (
    format_bounded,
    tabulate_checks,
    tabulate_subgroups,
)
from spectjax.report.markdown import (
    bracket,
    format_bounds,
    format_rows,
    format_score,
    list_spreads,
    tabulate_differences,
    tabulate_sizes,
    tabulate_spreads,
)
from spectjax.tasks.classification.published import PublishedRow, read_published

PAPER_SCORES = {
    "accuracy": "Acc",
    "precision": "Prec",
    "recall": "Rec",
    "specificity": "Spe",
    "f1": "F-1 score",
    "auc": "AUC",
}
# What is compared between classifiers on the same images.
COMPARED = {name: PAPER_SCORES[name] for name in ("auc", "accuracy", "recall")}
COMPARED["specificity"] = PAPER_SCORES["specificity"]
_GROUP_SCORES = {
    "n_metastasis": "Metastasis",
    "auc": "AUC",
    "recall": "Rec",
    "specificity": "Spe",
}
_ADJUSTMENTS = {
    "temperature": "temperature T, log-odds / T",
    "prevalence": "prevalence b, log-odds + b",
}
# [P2]'s tables of accuracy to F-1 score.
_TABLES = {"D1": 6, "D2": 7, "D3": 8}

_INTERVALS = (
    "95 % intervals, by bootstrap over patients; where one is a single point that is "
    "no certainty: of M patients without an error, 3/M may still be misread."
)
_OF_PATIENTS = "mean of the log-odds of a patient's images"


def write_classification_table(metrics: Mapping[str, Any]) -> str:
    """Returns the scores of one classifier or of several, each below its printed row.

    Args:
        metrics: the content of `metrics.json` of a run, or of a cross-validation.
    """
    together, data = "models" in metrics, metrics["data"]
    models = metrics["models"] if together else {metrics["model"]: metrics}
    crossed = all("folds" in model for model in models.values())
    rows, published, source = [], [], name_source(data)
    for name, model in models.items():
        printed = find_published(model["model"], data["name"])
        published += printed
        rows += [row for each in printed for row in format_published(each)]
        called = name if together else f"{name}, images"
        rows.append([called, source, *format_scores(model["image"])])
    if not together:
        rows += _list_patients(metrics, source)
    images = next(iter(models.values()))["image"]
    counted = f"{count_images(metrics)}, of these metastasis {images['n_metastasis']}."
    pooled = f" Scores of all folds together; in brackets {_INTERVALS}"
    alone = [f"In brackets: {_INTERVALS} Patients: {_OF_PATIENTS}."]
    lines = [
        f"# Classification scores{', cross-validated' * crossed}",
        "",
        counted + pooled * crossed,
        "",
        *format_rows(["Classifier", "Data", *PAPER_SCORES.values()], rows),
        *([] if crossed else [*alone, ""]),
        *tabulate_checks(metrics),
        *explain_misprints(published),
        *(_compare_levels(models) if together else []),
        *tabulate_differences(COMPARED, metrics.get("comparisons", [])),
        *format_details(models),
        *(tabulate_sizes("Classifier", models) if crossed else []),
        *_tabulate_elsewhere(metrics),
        *end_table(data),
    ]
    return "\n".join(lines)


def _tabulate_elsewhere(metrics: Mapping[str, Any]) -> list[str]:
    """Returns what is said besides of images that the model was not prepared with."""
    lines = []
    if metrics.get("at_model_thresholds"):
        rows = [
            [name, format_score(each["threshold"], ".3f")]
            + [format_bounded(each, score) for score in ("recall", "specificity")]
            for name, each in metrics["at_model_thresholds"].items()
        ]
        lines += [
            "Thresholds that the model brings along, chosen for a specificity on the "
            "patients that its own run held out:",
            "",
            *format_rows(
                ["Specificity there", "Log-odds", "Recall here", "Specificity here"],
                rows,
            ),
        ]
    if "adjusted" in metrics:
        lines += _tabulate_adjusted(metrics["adjusted"])
    if "subgroups" in metrics:
        note = "Recall and specificity by the more probable class."
        lines += tabulate_subgroups(metrics["subgroups"], _GROUP_SCORES, note)
    return lines


def _tabulate_adjusted(adjusted: Mapping[str, Any]) -> list[str]:
    """Returns the table of scores after an adjustment on other patients."""
    rows = []
    for key, name in _ADJUSTMENTS.items():
        each = adjusted[key]
        gaps = (each["calibration"][gap] for gap in ("ece", "brier"))
        values = (each[score] for score in ("accuracy", "recall", "specificity"))
        cells = [format_score(value) for value in (*values, *gaps)]
        rows.append([name, format_score(each["value"], ".3f"), *cells])
    header = ["Adjustment", "Value", "Acc", "Rec", "Spe", "ECE", "Brier"]
    return [
        f"Adjusted on {adjusted['fitted_on']}, who are not scored here:",
        "",
        *format_rows(header, rows),
    ]


def _list_patients(metrics: Mapping[str, Any], source: str) -> list[list[str]]:
    """Returns the rows of one run's patients, and of its evaluations if repeated."""
    name, repeated = metrics["model"], metrics["repeated"]
    rows = [[f"{name}, patients", source, *format_scores(metrics["patient"])]]
    if repeated is not None:
        called = f"{name}, {repeated['evaluations']} evaluations, ± SD"
        rows.append([called, source, *list_spreads(repeated["scores"], PAPER_SCORES)])
    return rows


def _compare_levels(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns the tables of several classifiers by patient, and over folds."""
    patients = [[name, *format_scores(m["patient"])] for name, m in models.items()]
    tables = [
        f"By patient, from the {_OF_PATIENTS}:",
        "",
        *format_rows(["Classifier", *PAPER_SCORES.values()], patients),
    ]
    if not all("folds" in model for model in models.values()):
        return tables
    return [
        *tables,
        "By image, mean of the folds ± standard deviation:",
        "",
        *tabulate_spreads(
            "Classifier",
            PAPER_SCORES,
            {name: m["folds"]["scores"] for name, m in models.items()},
        ),
    ]


def format_details(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns tables of what [P2] does not print, one row for each classifier.

    Args:
        models: by name, the content of `metrics.json` or as much of it as stands under
            a model's name after cross-validation.
    """
    first = next(iter(models.values()))
    reached = list(first["image"]["sensitivity_at_specificity"])
    header = ["Classifier", "Average precision"]
    header += [f"Best achievable recall at specificity {each}" for each in reached]
    rows = []
    for name, model in models.items():
        image = model["image"]
        found = image["sensitivity_at_specificity"]
        row = [bracket(image, "average_precision", pattern=".4f")]
        for x in reached:
            cell = format_score(found[x]["sensitivity"])
            row.append(cell + format_bounds(found[x]["interval"]))
        rows.append([name, *row])
    lines = format_rows(header, rows)

    kinds = sorted({kind for m in models.values() for kind in m["by_diagnosis"]})
    views = sorted({view for m in models.values() for view in m["by_view"]})
    header = [f"{kind} ({first['by_diagnosis'][kind]['n']})" for kind in kinds]
    header += [f"{view} ({first['by_view'][view]['n']})" for view in views]
    rows = []
    for name, model in models.items():
        rights = [format_score(model["by_diagnosis"][kind]["recall"]) for kind in kinds]
        areas = [format_score(model["by_view"][view]["auc"]) for view in views]
        rows.append([name, *rights, *areas])
    lines += [
        "Fraction of the images of each diagnosis that is classified rightly, and AUC "
        "of each view; in brackets the number of images.",
        "",
        *format_rows(["Classifier", *header], rows),
    ]
    return lines + _format_calibration(models)


def _format_calibration(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    header = ["Classifier", "ECE", "Brier", "T", "ECE after", "Brier after"]
    rows, sources = (
        [],
        dict.fromkeys(m["calibration"]["fitted_on"] for m in models.values()),
    )
    for name, model in models.items():
        calibration = model["calibration"]
        before, after = calibration["before"], calibration["after"] or {}
        temperature = calibration["temperature"]
        if isinstance(temperature, list | tuple):
            shown = f"{min(temperature):.2f}–{max(temperature):.2f}"
        else:
            shown = "–" if temperature is None else f"{temperature:.2f}"
        rows.append(
            [name, format_score(before["ece"]), format_score(before["brier"]), shown]
            + [format_score(after.get(key)) for key in ("ece", "brier")]
        )
    texts = [each or "no images to fit a temperature T on" for each in sources]
    text = "; ".join(texts)
    return [
        f"Calibration of the probabilities: {text}.",
        "",
        *format_rows(header, rows),
    ]


def find_published(model: str, data_name: str) -> list[PublishedRow]:
    """Returns [P2]'s rows of a model: on that data set, or on all if it is another.

    Args:
        model: registry name, e.g. "specs_v7"; one that [P2] lacks has no row.
        data_name: e.g. "tfds_spect/classification_d3_phantom".
    """
    classifier = model.replace("_", " ").upper()
    rows = [row for row in read_published() if row.classifier == classifier]
    found = re.search(r"classification_(d[123])", data_name)
    if found is None:
        return rows
    return [row for row in rows if row.dataset == found[1].upper()]


def format_published(row: PublishedRow) -> list[list[str]]:
    """Returns the cells of a row as printed, and where it is misprinted, corrected."""
    tables = f"printed in Lin 2021, Tables {_TABLES[row.dataset]} and 9"
    printed = [
        f"{row.scores[score]:.4f}" + "†" * (score in row.misprinted)
        for score in PAPER_SCORES
    ]
    rows = [[row.classifier, f"{tables} ({row.dataset})", *printed]]
    if row.misprinted:
        counted = score_confusion(row.confusion)
        corrected = [
            f"{counted[score]:.4f}‡" if score in row.misprinted else cell
            for score, cell in zip(PAPER_SCORES, printed, strict=True)
        ]
        rows.append([f"{row.classifier}, corrected", "from its counts", *corrected])
    return rows


def explain_misprints(rows: Iterable[PublishedRow]) -> list[str]:
    """Returns a line that says what is wrong with the marked figures, if any is."""
    notes = [f"{r.classifier} on {r.dataset}: {r.note}" for r in rows if r.misprinted]
    return [f"† misprint, ‡ corrected: {'. '.join(notes)}.", ""] if notes else []


def format_scores(scores: Mapping[str, Any]) -> list[str]:
    """Returns the cells of [P2]'s six scores, each with its interval."""
    return [bracket(scores, name, pattern=".4f") for name in PAPER_SCORES]
