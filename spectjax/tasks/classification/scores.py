"""A classifier's scores with their uncertainty, by image, patient, diagnosis and view.

The number of images is N, of bootstrap resamples R. A score of an image is the log-odds
of metastasis; the threshold is 0, the more probable class.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from spectjax.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    reliability,
)
from spectjax.metrics.classification import (
    count_confusion,
    recall_by_diagnosis,
    score_confusion,
    sensitivity_at_specificity,
)
from spectjax.metrics.curves import (
    area_under_roc,
    average_precision,
    precision_recall_curve,
    roc_curve,
)
from spectjax.metrics.intervals import bootstrap_patients, describe_intervals
from spectjax.tasks.classification.cases import Cases
from spectjax.tasks.classification.metrics_sections import (
    BoundedScores,
    Classification,
    ImageScores,
    Reached,
    Reliable,
)

SCORES = (
    "accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "auc",
    "average_precision",
)
SPECIFICITIES = (0.90, 0.95)
_BAND_POINTS, _BAND_RESAMPLES = 101, 1000


def summarise_cases(cases: Cases) -> Classification:
    """Returns all scores of one set of images, as `metrics.json` has them."""
    patients = cases.group()
    by_view: dict[str, Any] = {}
    for view in sorted(set(cases.views)):
        rows = np.flatnonzero(np.array(cases.views) == view)
        by_view[view] = {"n": len(rows)} | score_images(
            cases.labels[rows], cases.log_odds[rows]
        )
    return {
        "image": summarise_scores(cases.labels, cases.log_odds, cases.patients),
        "patient": summarise_scores(
            patients.labels, patients.scores, list(patients.patients)
        ),
        "by_diagnosis": recall_by_diagnosis(
            cases.diagnoses, cases.labels, cases.predictions
        ),
        "by_view": by_view,
    }


def summarise_scores(
    labels: np.ndarray, log_odds: np.ndarray, patients: Sequence[str]
) -> BoundedScores:
    """Returns scores with 95 % intervals by bootstrap over patients.

    Images of one patient are alike, so patients are drawn, not images.

    Args:
        labels: 1 is metastasis, (N,).
        log_odds: (N,).
        patients: whose image each is, length N.
    """
    confusion = count_confusion(labels, (log_odds > 0).astype(np.int64))
    intervals = bootstrap_patients(
        patients,
        lambda rows: (
            score_images(labels[rows], log_odds[rows])
            | _score_sensitivity(labels[rows], log_odds[rows])
        ),
    )
    told, scores = describe_intervals(intervals), score_images(labels, log_odds)
    reached: dict[str, Reached] = {}
    for specificity in SPECIFICITIES:
        sensitivity, threshold = sensitivity_at_specificity(
            labels, log_odds, specificity
        )
        interval = intervals[_name_sensitivity(specificity)]
        reached[f"{specificity:.2f}"] = {
            "sensitivity": sensitivity,
            "interval": interval.bounds,
            "threshold": threshold,
        }
    return {
        "n": len(labels),
        "n_metastasis": int(np.sum(labels)),
        **cast(ImageScores, scores),
        "confusion": {
            name: int(getattr(confusion, name)) for name in ("tp", "fn", "fp", "tn")
        },
        "sensitivity_at_specificity": reached,
        "intervals": {name: told[name] for name in SCORES},
        "undefined": told["undefined"],
        "resamples": told["resamples"],
        "level": told["level"],
    }


def score_images(labels: np.ndarray, log_odds: np.ndarray) -> dict[str, float]:
    """Returns the entries of `SCORES`; NaN where one has no denominator.

    Args:
        labels: 1 is metastasis, (N,).
        log_odds: (N,).
    """
    confusion = count_confusion(labels, (log_odds > 0).astype(np.int64))
    return {
        **score_confusion(confusion),
        "auc": area_under_roc(labels, log_odds),
        "average_precision": average_precision(labels, log_odds),
    }


def describe_calibration(labels: np.ndarray, log_odds: np.ndarray) -> Reliable:
    """Returns how far probabilities are from frequencies.

    Args:
        labels: 1 is metastasis, (N,).
        log_odds: (N,).
    """
    bins = reliability(labels, log_odds)
    return {
        "ece": expected_calibration_error(labels, log_odds),
        "brier": brier_score(labels, log_odds),
        "bins": {
            "mean_prob": bins.mean_prob.tolist(),
            "fraction": bins.fraction.tolist(),
            "count": bins.count.tolist(),
        },
    }


def _score_sensitivity(labels: np.ndarray, log_odds: np.ndarray) -> dict[str, float]:
    return {
        _name_sensitivity(specificity): sensitivity_at_specificity(
            labels, log_odds, specificity
        )[0]
        for specificity in SPECIFICITIES
    }


def _name_sensitivity(specificity: float) -> str:
    return f"sensitivity_at_specificity_{specificity:.2f}"


def bound_curves(cases: Cases) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns 95 % bands of the ROC and the precision-recall curve, point by point.

    Returns:
        `roc`: false-positive rates, lower and upper bound of the recall; and
        `precision_recall`: recalls, lower and upper bound of the precision.
    """
    x = np.linspace(0.0, 1.0, _BAND_POINTS)

    def read_curves(rows: np.ndarray) -> dict[str, float]:
        labels, log_odds = cases.labels[rows], cases.log_odds[rows]
        if labels.all() or not labels.any():
            return dict.fromkeys(names, float("nan"))
        roc = roc_curve(labels, log_odds)
        line = precision_recall_curve(labels, log_odds)
        # At each rate what the best threshold within it reaches; digits may differ.
        recall = roc.tpr[np.searchsorted(roc.fpr, x + 1e-9, side="right") - 1]
        precision = line.precision[np.searchsorted(line.recall, x - 1e-9)]
        return dict(zip(names, (*recall, *precision), strict=True))

    names = [
        f"{curve} {i}"
        for curve in ("roc", "precision_recall")
        for i in range(_BAND_POINTS)
    ]
    intervals = bootstrap_patients(
        cases.patients, read_curves, resamples=_BAND_RESAMPLES
    )
    low = np.array([intervals[name].low for name in names]).reshape(2, -1)
    high = np.array([intervals[name].high for name in names]).reshape(2, -1)
    return {"roc": (x, low[0], high[0]), "precision_recall": (x, low[1], high[1])}
