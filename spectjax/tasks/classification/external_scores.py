"""What a classifier gives elsewhere: at its own thresholds, in groups, adjusted."""

from typing import Any, cast

import numpy as np

from spectjax.metrics.calibration import fit_shift, fit_temperature
from spectjax.metrics.intervals import bootstrap_patients, describe_intervals
from spectjax.tasks.classification.cases import Cases
from spectjax.tasks.classification.metrics_sections import (
    Adjusted,
    AdjustedScores,
    AtThreshold,
)
from spectjax.tasks.classification.scores import describe_calibration, score_images

_GROUP_SCORES = ("auc", "recall", "specificity")


def score_threshold(cases: Cases, threshold: float) -> AtThreshold:
    """Returns recall and specificity where log-odds reach a threshold.

    Intervals are 95 %, by a bootstrap over patients.
    """
    # What reaches the threshold counts as metastasis, as where thresholds are chosen.
    calls = np.where(cases.log_odds >= threshold, 1.0, -1.0)
    group = _bound(cases.labels, calls, cases.patients, ("recall", "specificity"))
    return cast(AtThreshold, {"threshold": threshold, **group})


def score_group(cases: Cases, rows: np.ndarray) -> dict[str, Any]:
    """Returns the scores of some images with their intervals over patients."""
    labels = cases.labels[rows]
    patients = [cases.patients[row] for row in rows]
    return {
        "n_metastasis": int(labels.sum()),
        **_bound(labels, cases.log_odds[rows], patients, _GROUP_SCORES),
    }


def adjust(cases: Cases, fitted: Cases, split: str) -> Adjusted:
    """Returns scores with a temperature, and with a shift, of other patients.

    Args:
        cases: what is scored.
        fitted: what temperature and shift are fitted on.
        split: the name of that part.
    """
    temperature = fit_temperature(fitted.labels, fitted.log_odds)
    shift = fit_shift(fitted.labels, fitted.log_odds)
    return {
        "fitted_on": f"{len(fitted)} images of {len(set(fitted.patients))} patients, "
        f"{int(fitted.labels.sum())} of them metastasis ({split})",
        "temperature": _describe(
            cases.labels, cases.log_odds / temperature, temperature
        ),
        "prevalence": _describe(cases.labels, cases.log_odds + shift, shift),
    }


def _describe(labels: np.ndarray, log_odds: np.ndarray, value: float) -> AdjustedScores:
    calibration = describe_calibration(labels, log_odds)
    scores = score_images(labels, log_odds)
    return cast(AdjustedScores, {"value": value, **scores, "calibration": calibration})


def _bound(
    labels: np.ndarray,
    log_odds: np.ndarray,
    patients: list[str],
    names: tuple[str, ...],
) -> dict[str, Any]:
    """Returns some scores of images, and their intervals."""

    def score(rows: np.ndarray) -> dict[str, float]:
        found = score_images(labels[rows], log_odds[rows])
        return {name: found[name] for name in names}

    intervals = describe_intervals(bootstrap_patients(patients, score))
    return {**score(np.arange(len(labels))), "intervals": intervals}
