"""The figures of one classifier, or of several side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spectjax.input_pipeline import Examples
from spectjax.metrics.binary import compute_probs
from spectjax.metrics.calibration import reliability
from spectjax.metrics.classification import Confusion
from spectjax.metrics.curves import precision_recall_curve, roc_curve
from spectjax.report.curves import (
    Curve,
    Probabilities,
    draw_confusions,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
)
from spectjax.report.data_notes import caption_data
from spectjax.report.markdown import bracket
from spectjax.tasks.classification.cases import Cases
from spectjax.tasks.classification.mistakes import Mistake, draw_mistakes
from spectjax.tasks.classification.scores import bound_curves


def draw_classifier(
    cases: Cases, examples: Examples, metrics: Mapping[str, Any]
) -> dict[str, Figure]:
    """Returns the figures of one classifier by the names of their files.

    Args:
        cases: what it said about each image.
        examples: the images.
        metrics: the content of `metrics.json`.
    """
    model, patients = metrics["model"], cases.group()
    named = {
        "images": (cases.labels, cases.log_odds, metrics["image"]),
        "patients": (patients.labels, patients.scores, metrics["patient"]),
    }
    temperature = metrics["calibration"]["temperature"]
    scaled = None if temperature is None else cases.log_odds / temperature
    figures = draw_figures(
        named,
        {model: _bin(cases, scaled, metrics["calibration"])},
        metrics,
        title=model,
        bands=bound_curves(cases),
    )
    figures["mistakes"] = _draw_mistakes(cases, examples, model)
    return figures


def draw_classifiers(
    cases: Mapping[str, Cases],
    calibrated: Mapping[str, np.ndarray | None],
    metrics: Mapping[str, Any],
    title: str = "cross-validation over patients",
) -> dict[str, Figure]:
    """Returns the figures of several classifiers, by the names of their files.

    Args:
        cases: what each said about each image.
        calibrated: its log-odds after temperature scaling, each (N,); None if there is
            no temperature.
        metrics: a document with `data`, `n_images`, `n_patients` and `models`.
        title: how they were scored.
    """
    models = metrics["models"]
    return draw_figures(
        {
            name: (each.labels, each.log_odds, models[name]["image"])
            for name, each in cases.items()
        },
        {
            name: _bin(each, calibrated[name], models[name]["calibration"])
            for name, each in cases.items()
        },
        metrics,
        title=title,
    )


def draw_figures(
    named: Mapping[str, tuple[np.ndarray, np.ndarray, Mapping[str, Any]]],
    probabilities: Mapping[str, Probabilities],
    metrics: Mapping[str, Any],
    *,
    title: str,
    bands: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None,
) -> dict[str, Figure]:
    """Returns the figures `roc`, `precision_recall`, `reliability` and `confusion`.

    Args:
        named: labels, log-odds and the scores of both (`summarise_scores`) by the name
            of the line or the matrix.
        probabilities: by the title of their panel.
        metrics: a document with `data`, `n_images` and `n_patients`.
        title: whose curves they are.
        bands: of the first line, see `bound_curves`.
    """
    bands = bands or {}
    roc, precision_recall = [], []
    for i, (name, (labels, log_odds, scores)) in enumerate(named.items()):
        if scores["auc"] is None:
            continue  # images of one class have no curves
        found = roc_curve(labels, log_odds)
        specificity, recall = scores["specificity"], scores["recall"]
        roc.append(
            Curve(
                f"{name}: AUC {bracket(scores, 'auc')}",
                found.fpr,
                found.tpr,
                (1 - specificity, recall),
                None if i else bands.get("roc"),
            )
        )
        line = precision_recall_curve(labels, log_odds)
        # Where recall does not rise, calls are only wrong: average precision skips it.
        rises = np.diff(line.recall, prepend=0.0) > 0
        precision = scores["precision"]
        precision_recall.append(
            Curve(
                f"{name}: AP {bracket(scores, 'average_precision')}",
                # The first step begins at recall 0.
                np.concatenate([[0.0], line.recall[rises]]),
                np.concatenate([line.precision[rises][:1], line.precision[rises]]),
                None if precision is None else (recall, precision),
                None if i else bands.get("precision_recall"),
            )
        )
    _, _, first = next(iter(named.values()))
    note = "dots: p = 0.5" + "; band: 95 %, bootstrap over patients" * bool(bands)
    confusions = {
        name: Confusion(**scores["confusion"]) for name, (*_, scores) in named.items()
    }
    return {
        "roc": draw_roc(roc, caption_data(metrics, f"ROC: {title}"), note=note),
        "precision_recall": draw_precision_recall(
            precision_recall,
            caption_data(metrics, f"Precision and recall: {title}"),
            prevalence=first["n_metastasis"] / first["n"],
            note=note,
        ),
        "reliability": draw_reliability(
            probabilities, caption_data(metrics, f"Reliability: {title}")
        ),
        "confusion": draw_confusions(
            confusions, caption_data(metrics, f"Confusion: {title}")
        ),
    }


def _draw_mistakes(cases: Cases, examples: Examples, model: str) -> Figure:
    """Draws the most confident mistakes of both kinds."""
    probs = compute_probs(cases.log_odds.astype(np.float64))
    shown = []
    for label, sign in ((0, -1), (1, 1)):
        wrong = np.flatnonzero(
            (cases.labels == label) & (cases.predictions != cases.labels)
        )
        ranked = sorted(
            wrong, key=lambda i: (sign * cases.log_odds[i], cases.example_ids[i])
        )
        shown.append(
            [
                Mistake(
                    counts=examples.images[i, :, :, 0],
                    truth=examples.masks[i] > 0,
                    example_id=cases.example_ids[i],
                    view=cases.views[i],
                    diagnosis=cases.diagnoses[i],
                    probability=float(probs[i]),
                )
                for i in ranked
            ]
        )
    return draw_mistakes(
        *shown,
        title=f"Mistakes of {model}: {'LEAKING, ' * examples.leaking}"
        f"{examples.name} {examples.split}",
        synthetic=examples.synthetic,
    )


def _bin(
    cases: Cases, scaled: np.ndarray | None, calibration: Mapping[str, Any]
) -> Probabilities:
    """Returns what a reliability plot shows.

    Args:
        cases: N images.
        scaled: their log-odds after temperature scaling, (N,), or None.
        calibration: the entry of that name in `metrics.json`.
    """
    before, after = calibration["before"], calibration["after"]
    scores = f"ECE {before['ece']:.3f}, Brier {before['brier']:.3f}"
    if after is not None:
        scores = (
            f"ECE {before['ece']:.3f} → {after['ece']:.3f}, "
            f"Brier {before['brier']:.3f} → {after['brier']:.3f}"
        )
    return Probabilities(
        before=reliability(cases.labels, cases.log_odds),
        after=None if scaled is None else reliability(cases.labels, scaled),
        scores=scores,
    )
