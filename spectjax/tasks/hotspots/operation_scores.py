"""How a model's own statements about its use hold on images that it did not see.

The number of regions is M, of images N.
"""

import numpy as np
from matplotlib.figure import Figure

from spectjax.evaluation.metrics_sections import Score
from spectjax.metrics.calibration import (
    Reliability,
    reliability,
    reliability_of_counts,
    sum_gaps,
)
from spectjax.metrics.curves import area_under_roc
from spectjax.report.curves import Probabilities, draw_reliability
from spectjax.report.data_notes import Caption
from spectjax.tasks.hotspots.fitting import (
    combine_all,
    count_by_image,
    find_point,
    measure_point,
    trace_points,
)
from spectjax.tasks.hotspots.labels import rank_images
from spectjax.tasks.hotspots.metrics_sections import (
    Gaps,
    Operated,
    OperatedPoint,
    RankedScores,
)
from spectjax.tasks.hotspots.operation import Operation, Point
from spectjax.tasks.hotspots.region_cases import CENTRES, RegionCases
from spectjax.tasks.hotspots.subgroups import Marked, score_marked

FALSE_PER_IMAGE = (0.1, 0.25, 0.5, 1.0)
# What lies below is called background with hardly a doubt: it would hide all else.
_LEAST_PROBABILITY = 0.01
_TITLES = {"answers": "{what} above 0.01", "regions": "Regions"}


def summarise_operation(operation: Operation, cases: RegionCases) -> Operated:
    """Returns the section `operation` of `metrics.json`.

    Args:
        operation: measured on other patients.
        cases: regions of held-out images.
    """
    tables = _tabulate(operation, cases)
    curve = trace_points(cases, operation)
    evident = trace_points(cases, operation, cases.evident)
    gaps: dict[str, Gaps] = {
        name: {"ece_before": sum_gaps(before), "ece_after": sum_gaps(after)}
        for name, (before, after) in tables.items()
    }
    return {
        "measured_on": dict(operation.measured_on),
        "min_area_mm2": operation.min_area_mm2,
        "calibration": gaps,
        "points": {
            name: _compare(point, cases, operation)
            for name, point in operation.points.items()
        },
        "by_region_score": {
            "lesion": _rank(curve),
            "lesion.evident": _rank(evident),
        },
        "view_auc": _rank_views(operation, cases),
    }


def draw_operation(
    operation: Operation, cases: RegionCases, caption: Caption, *, instances: bool
) -> Figure:
    """Draws how often what was said came true, before and after calibration.

    Args:
        operation: see `summarise_operation`.
        cases: likewise.
        caption: title and more.
        instances: whether the model marks instances; else it judges pixels.
    """
    what = "Instances" if instances else "Pixels"
    panels = {
        _TITLES[name].format(what=what): Probabilities(
            before,
            after,
            f"ECE {sum_gaps(before):.3f} → {sum_gaps(after):.3f}",
        )
        for name, (before, after) in _tabulate(operation, cases).items()
    }
    return draw_reliability(
        panels,
        caption,
        of="a lesion",
        counted="Number",
        method="calibrated on other patients",
    )


def _tabulate(
    operation: Operation, cases: RegionCases
) -> dict[str, tuple[Reliability, Reliability]]:
    """Returns reliability before and after, of the model's answers and of regions."""
    said = CENTRES > np.log(_LEAST_PROBABILITY / (1 - _LEAST_PROBABILITY))
    true, false = cases.answers[:, said]
    calibrated = operation.slope * CENTRES[said] + operation.intercept
    tables = {
        "answers": (
            reliability_of_counts(true, false, CENTRES[said]),
            reliability_of_counts(true, false, calibrated),
        )
    }
    if len(cases):
        labels = cases.met.astype(np.int64)
        tables["regions"] = (
            reliability(labels, cases.mean_log_odds),
            reliability(labels, combine_all(cases.features, operation)),
        )
    return {name: both for name, both in tables.items() if both[0].count.any()}


def _compare(point: Point, cases: RegionCases, operation: Operation) -> OperatedPoint:
    """Returns what a point gives on other images than those it was chosen on."""
    counts = Marked(*count_by_image(cases, operation, point.score))
    evident = measure_point(cases, operation, point.score, cases.evident)
    return {
        "score": point.score,
        "evident_sensitivity": evident.sensitivity,
        **score_marked(counts, cases.patients),
    }


def _rank(curve: list[Point]) -> RankedScores:
    return {
        f"{limit:g}": find_point(curve, limit).sensitivity for limit in FALSE_PER_IMAGE
    }


def _rank_views(operation: Operation, cases: RegionCases) -> Score:
    """Returns how well the surest region tells images with a lesion from others."""
    labels = (~cases.without_lesion).astype(np.int64)
    if len(np.unique(labels)) < 2:
        return None
    return area_under_roc(labels, rank_images(cases, operation))
