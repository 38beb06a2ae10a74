"""The tables of several cross-validated models that mark instances, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from spectjax.report.markdown import decimals, format_difference, format_rows
from spectjax.tasks.hotspots.detection_table import write_detection_tables

_COMPARED = {
    "mask.AP50": "AP50 of masks",
    "mask.AP10_50": "AP10–50 of masks",
    "box.AP50": "AP50 of boxes",
    "box.AP10_50": "AP10–50 of boxes",
}


def write_detection_folds_tables(
    models: Mapping[str, Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Returns the lines of the section on detections; none if no model detects.

    Args:
        models: by name, as `metrics.json` of a cross-validation has them; those with
            `detection` are shown.
        comparisons: what `compare_detectors` returns.
    """
    found = {
        name: model["detection"]
        for name, model in models.items()
        if "detection" in model
    }
    if not found:
        return []
    return [
        *write_detection_tables(found),
        "Mean of the folds ± standard deviation:",
        "",
        *format_rows(
            ["Model", *_COMPARED.values()],
            [
                [name, *_list_spreads(scores["folds"]["scores"])]
                for name, scores in found.items()
            ],
        ),
        "",
        *_tabulate_differences(comparisons),
    ]


def _list_spreads(spreads: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{decimals(spreads[path]['mean'])} ± {decimals(spreads[path]['sd'])}"
        for path in _COMPARED
    ]


def _tabulate_differences(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    if not comparisons:
        return []
    rows = [
        [" − ".join(each["models"])]
        + [
            format_difference(each["differences"][path], each["intervals"][path])
            for path in _COMPARED
        ]
        for each in comparisons
    ]
    return [
        "Differences on the same patients. Bold where the 95 % interval (paired "
        "bootstrap over patients) excludes 0: positive, the first is better.",
        "",
        *format_rows(["Models", *_COMPARED.values()], rows),
        "",
    ]
