"""What tables say of images that a model was not prepared with, as Markdown."""

from collections.abc import Iterable, Mapping
from typing import Any

from spectjax.report.markdown import bracket, format_bounds, format_rows, format_score

_TITLES = {"view": "View", "diagnosis": "Diagnosis", "camera": "Camera"}
_TITLES["matrix"] = "Matrix (rows x columns of the whole image)"


def tabulate_checks(metrics: Mapping[str, Any]) -> list[str]:
    """Returns what was compared and what not; nothing of a held-out run."""
    if "models" in metrics:
        return [
            line
            for each in metrics["models"].values()
            for line in tabulate_checks(each)
        ]
    if "external" not in metrics:
        return []
    external = metrics["external"]
    return [
        f"## External validation of {external['scored_model']['name']}",
        "",
        *(f"**WARNING: {line}.**\n" for line in external.get("warnings", [])),
        "What it marks or calls follows what it brings along; what the threshold that "
        "suits these very images best would give is marked as such.",
        "",
        *_list("Compared with what it learned from", external["checked"]),
        *_list("NOT checked", external["not_checked"]),
        *_list(
            "Images left out", (f"{k}: {n}" for k, n in external["left_out"].items())
        ),
    ]


def _list(title: str, lines: Iterable[str]) -> list[str]:
    found = [f"- {line}" for line in lines] or ["- nothing"]
    return [f"{title}:", "", *found, ""]


def tabulate_subgroups(
    subgroups: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str], note: str
) -> list[str]:
    """Returns the tables of groups of images.

    Args:
        subgroups: scores by kind and group, see `spectjax.evaluation.subgroups`.
        columns: how each score is called; those with an interval show it.
        note: at which threshold.
    """
    lines = ["## Groups of images", "", note, ""]
    for kind, groups in subgroups.items():
        rows = [
            [name, f"{each['n_images']} of {each['n_patients']}"]
            + [_format(each, column) for column in columns]
            for name, each in groups.items()
        ]
        header = [_TITLES[kind], "Images of patients", *columns.values()]
        lines += format_rows(header, rows)
    return lines


def _format(group: Mapping[str, Any], name: str) -> str:
    """Returns a score with its interval, if it has one, or a number."""
    if isinstance(group[name], int):
        return str(group[name])
    if name in group["intervals"]:
        return bracket(group, name)
    return format_score(group[name], ".3f")


def format_bounded(entry: Mapping[str, Any], name: str) -> str:
    """Returns a score with its interval; documents of before have none."""
    bounds = entry.get("intervals", {}).get(name, (None, None))
    return format_score(entry[name]) + format_bounds(bounds)
