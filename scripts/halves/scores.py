"""A learning curve's scores: how well each way to begin ranks held-out pictures.

The number of pictures is N. One model is asked about each fold, so pictures are ranked
within their fold: an AUC is the mean over folds.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scripts.halves.pictures import VIEWS
from spectjax.metrics.curves import area_under_roc
from spectjax.metrics.intervals import bootstrap_patients
from spectjax.report.markdown import format_bounds, format_rows, format_score

Key = tuple[str, str]  # the way to begin, and how many patients


def summarise(
    patients: list[str],
    views: np.ndarray,
    folds: np.ndarray,
    abnormal: np.ndarray,
    log_odds: Mapping[Key, np.ndarray],
    *,
    reference: str,
) -> dict[str, Any]:
    """Returns AUCs by view, way and size, and what each way has over the reference.

    Intervals, 95 %, are of draws of patients; a draw is the same for all, so
    differences are paired.

    Args:
        patients: of each of N pictures.
        views: likewise, (N,).
        folds: likewise, (N,).
        abnormal: 1 or 0, (N,).
        log_odds: of each way and size, (N,).
        reference: the way that others are compared with at each size.
    """
    score = _make_score(views, folds, abnormal, log_odds, reference)
    values, intervals = score(np.arange(len(patients))), {}
    if values:
        intervals = bootstrap_patients(patients, score)
    return {
        name: {"value": value, "interval": intervals[name].bounds}
        for name, value in values.items()
    }


def _make_score(
    views: np.ndarray,
    folds: np.ndarray,
    abnormal: np.ndarray,
    log_odds: Mapping[Key, np.ndarray],
    reference: str,
) -> Callable[[np.ndarray], dict[str, float]]:
    def score(rows: np.ndarray) -> dict[str, float]:
        found: dict[str, float] = {}
        for view in VIEWS:
            seen = rows[views[rows] == view]
            parts = [seen[folds[seen] == fold] for fold in np.unique(folds)]
            for (way, size), said in log_odds.items():
                areas = [
                    area_under_roc(abnormal[part], said[part]) if part.size else np.nan
                    for part in parts
                ]
                found[f"{view} {way} {size}"] = float(np.mean(areas))
            for way, size in log_odds:
                beaten = found.get(f"{view} {reference} {size}")
                if way != reference and beaten is not None:
                    gain = found[f"{view} {way} {size}"] - beaten
                    found[f"{view} {way} {size} - {reference}"] = gain
        return found

    return score


def format_table(
    scores: Mapping[str, Any], sizes: list[str], ways: list[str], reference: str
) -> str:
    """Returns a table of each view, Markdown: a row a size, a column a way to begin."""
    gains = [way for way in ways if way != reference]
    lines = []
    for view in VIEWS:
        rows = []
        for size in sizes:
            names = [f"{view} {way} {size}" for way in ways]
            names += [f"{view} {way} {size} - {reference}" for way in gains]
            rows.append([size, *(_say(scores.get(name), name) for name in names)])
        titles = [*ways, *(f"{way} − {reference}" for way in gains)]
        lines += [f"AUC, {view}", "", *format_rows(["patients", *titles], rows), ""]
    return "\n".join(lines)


def _say(score: Mapping[str, Any] | None, name: str) -> str:
    if score is None or not np.isfinite(score["value"]):
        return format_score(None)
    pattern = "+.3f" if " - " in name else ".3f"
    return format_score(score["value"], pattern) + format_bounds(
        score["interval"], pattern
    )
