"""What tables of all tasks share: rows, numbers, and sentences about the data."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_LEAKING = (
    "**LEAKING**: copies of these patients' images were trained on, as in the papers; "
    "the scores say little about new patients."
)
_SYNTHETIC = (
    "**SYNTHETIC**: these scores come from simulated patients and say nothing about "
    "real ones."
)


def name_source(data: Mapping[str, Any]) -> str:
    """Returns what a row of ours was scored on."""
    words = ["SYNTHETIC"] * data["synthetic"] + ["LEAKING"] * data["leaking"]
    return ", ".join([*words, f"{data['name']} {data['split']}"])


def label_data(data: Mapping[str, Any]) -> list[str]:
    """Returns the sentences that leaking and synthetic data need."""
    lines = []
    for name, text in (("leaking", _LEAKING), ("synthetic", _SYNTHETIC)):
        lines += [text, ""] if data[name] else []
    return lines


def format_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table."""
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def format_sizes(models: Mapping[str, Mapping[str, Any]], kind: str) -> list[str]:
    """Returns the table of how large the models are and how long they learned.

    Args:
        models: by name, each with `network` and `training_seconds` of each fold.
        kind: what they are, the first word of the header.
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
    header = [kind, "Parameters", "Pixels", "Epochs", "Training"]
    return [
        "The networks as they were trained, perhaps narrower than the papers', and how "
        "long one fold took (median):",
        "",
        *format_rows(header, rows),
        "",
    ]


def bracket(score: float | None, interval: Sequence[float | None]) -> str:
    """Returns a score and its interval, without the latter where it is undefined."""
    low, high = interval
    if score is None or low is None or high is None:
        return decimals(score)
    return f"{score:.4f} ({low:.3f}–{high:.3f})"


def decimals(score: float | None) -> str:
    """Returns four decimals as [P2] prints them, a dash for an undefined score."""
    return "–" if score is None else f"{score:.4f}"


def format_difference(
    difference: float | None, interval: Sequence[float | None]
) -> str:
    """Returns a difference and its interval, bold where that excludes 0."""
    low, high = interval
    if difference is None or low is None or high is None:
        return "–" if difference is None else sign(difference, ".3f")
    text = " ".join(
        (sign(difference, ".3f"), f"({sign(low, '.3f')} to {sign(high, '.3f')})")
    )
    return f"**{text}**" if low > 0 or high < 0 else text


def sign(value: float, pattern: str = ",.0f") -> str:
    """Returns a number with its sign, a true minus if it is negative."""
    return format(value, f"+{pattern}").replace("-", "\N{MINUS SIGN}")
