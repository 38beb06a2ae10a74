"""What tables of all tasks share: rows, scores and their intervals."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Interval = Sequence[float | None]


def format_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table, and an empty one."""
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def format_score(score: float | None, pattern: str = ".4f") -> str:
    """Returns a score with a true minus; a dash for an undefined one."""
    if score is None:
        return "–"
    text = format(score, pattern).replace("-", "\N{MINUS SIGN}")
    return text.replace("inf", "\N{INFINITY}")


def format_bounds(interval: Interval, pattern: str = ".3f") -> str:
    """Returns " (low–high)", " (low to high)" of signed numbers; empty if undefined."""
    low, high = interval
    if low is None or high is None:
        return ""
    between = " to " if pattern.startswith("+") else "–"
    return f" ({format_score(low, pattern)}{between}{format_score(high, pattern)})"


def bracket(
    entry: Mapping[str, Any], *keys: str, pattern: str = ".3f", bounds: str = ".3f"
) -> str:
    """Returns the score at a path, and in brackets its interval.

    Args:
        entry: scores, with their `intervals` by path.
        keys: the path, such as "pixel", "pooled", "IoU".
        pattern: format of the score.
        bounds: format of its interval.
    """
    score: Any = entry
    for key in keys:
        score = score[key]
    if score is None:
        return format_score(None)
    interval = entry["intervals"][".".join(keys)]
    return format_score(score, pattern) + format_bounds(interval, bounds)


def tabulate_spreads(
    kind: str, columns: Mapping[str, str], models: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Returns the table of mean ± standard deviation over folds.

    Args:
        kind: what the models are, the first word of the header.
        columns: how each score is called.
        models: by name, `scores` as `summarise_folds` returns them.
    """
    rows = [[name, *list_spreads(each, columns)] for name, each in models.items()]
    return format_rows([kind, *columns.values()], rows)


def list_spreads(scores: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Returns mean ± standard deviation of some scores."""
    return [
        f"{format_score(scores[name]['mean'])} ± {format_score(scores[name]['sd'])}"
        for name in names
    ]


def tabulate_differences(
    columns: Mapping[str, str], comparisons: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Returns the table of which model beats which; nothing for a single model.

    Args:
        columns: how each compared score is called.
        comparisons: what `spectjax.evaluation.comparison.compare_pairs` returns.
    """
    if not comparisons:
        return []
    rows = []
    for each in comparisons:
        cells = []
        for key in columns:
            difference, (low, high) = each["differences"][key], each["intervals"][key]
            text = format_score(difference, "+.3f")
            text += format_bounds((low, high), "+.3f")
            sure = low is not None and high is not None and (low > 0 or high < 0)
            cells.append(f"**{text}**" if sure else text)
        rows.append([" − ".join(each["models"]), *cells])
    return [
        "Differences on the same patients. Bold where the 95 % interval (paired "
        "bootstrap over patients) excludes 0: positive, the first is better.",
        "",
        *format_rows(["Models", *columns.values()], rows),
    ]


def tabulate_sizes(kind: str, models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns the table of how large the models are and how long they learned.

    Args:
        kind: what they are, the first word of the header.
        models: by name, each with `network` and `training_seconds` of each fold.
    """
    rows = []
    for name, model in models.items():
        network = model["network"]
        height, width = network["image_hw"]
        minutes = statistics.median(model["training_seconds"]) / 60
        rows.append(
            [name, f"{network['num_parameters']:,}", f"{height}x{width}"]
            + [str(network["num_epochs"]), f"{minutes:.1f} min"]
        )
    return [
        "The networks as they were trained, perhaps narrower than the papers', and how "
        "long one fold took (median):",
        "",
        *format_rows([kind, "Parameters", "Pixels", "Epochs", "Training"], rows),
    ]
