"""What rounds of drafts say together: a table, and learning curves."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectjax.report.curves import PALETTE
from spectjax.report.data_notes import Caption, end_table
from spectjax.report.markdown import bracket, format_rows
from spectjax.report.picture_parts import add_caption
from spectjax.tasks.hotspots.corrections import KINDS
from spectjax.tasks.hotspots.froc import draw_froc

ANCHORED = (
    "Whoever corrects a draft leaves more of it than they would have drawn themselves: "
    "Dice and sensitivity say how little was changed, not how good a model is. Score "
    "it on patients who were outlined without a draft."
)
_PER_IMAGE = {
    "corrections": "Corrections a file",
    "moved": "moved",
    "removed": "removed",
    "added": "added",
    "left_as_drawn": "Files left as drawn",
}
_SCORES = {
    "Dice": ("pixel", "pooled", "Dice"),
    "Lesions in the draft": ("lesion", "sensitivity"),
    "False regions a file": ("lesion", "false_per_image"),
}
_MOST_LETTERS = 12  # of a round's name in a figure
_Paths = Mapping[str, tuple[str, ...]]
_PANELS: tuple[tuple[str, _Paths], ...] = (
    (
        "Corrections a file",
        {"all": ("per_file", "corrections")}
        | {kind: ("per_file", kind) for kind in KINDS[1:]},
    ),
    (
        "Fraction",
        {
            "Dice": ("pixel", "pooled", "Dice"),
            "Lesions in the draft": ("lesion", "sensitivity"),
            "Files left as drawn": ("per_file", "left_as_drawn"),
        },
    ),
)


def write_corrections_table(document: Mapping[str, Any]) -> str:
    """Returns the table of all rounds, in Markdown, of `corrections.json`."""
    rounds = document["rounds"]
    rows = [
        [
            name,
            f"{each['n_files']} ({each['n_patients']})",
            str(each["images_corrected_before"]),
            *(
                bracket(each, "per_file", key, pattern=".2f", bounds=".2f")
                for key in _PER_IMAGE
            ),
            *(bracket(each, *path) for path in _SCORES.values()),
        ]
        for name, each in rounds.items()
    ]
    counts = [
        [
            name,
            "; ".join(f"{model}: {n}" for model, n in each["models"].items()),
            *(str(each["regions"][kind]) for kind in KINDS),
            str(each["lesions_outside_of_crop"]),
            str(each["outlines_ignored"]),
            f"{each['n_checked']} of {each['n_files']}",
            "; ".join(f"{why}: {n}" for why, n in each["not_compared"].items()) or "–",
            str(each["n_patients_of_earlier_rounds"]),
        ]
        for name, each in rounds.items()
    ]
    lines = [
        "# Drafts against corrections",
        "",
        "What readers changed, inside of the crops. In brackets: 95 %, bootstrap over "
        "patients.",
        "",
        *format_rows(
            [
                "Round",
                "Files (patients)",
                "Images corrected before",
                *_PER_IMAGE.values(),
                *_SCORES,
            ],
            rows,
        ),
        *format_rows(
            [
                "Round",
                "Drawn by",
                *KINDS,
                "outside of the crop",
                "Ignored by words.csv",
                "Ticked as checked",
                "Not compared",
                "Patients of earlier rounds",
            ],
            counts,
        ),
        ANCHORED,
        "",
    ]
    data = {"leaking": False, "synthetic": document["synthetic"]}
    return "\n".join([*lines, *end_table(data)])


def summarise(each: Mapping[str, Any]) -> str:
    """Says the main numbers of a round in a line."""
    regions = ", ".join(f"{kind} {n}" for kind, n in each["regions"].items())
    others = sum(each["not_compared"].values())
    return (
        f"{each['n_files']} files of {each['n_patients']} patients, regions: "
        f"{regions}; Dice {bracket(each, 'pixel', 'pooled', 'Dice')}; not compared: "
        f"{others} files"
    )


def draw_learning_curve(document: Mapping[str, Any]) -> Figure:
    """Draws what a round costs, and how much of it was right, over what came before."""
    rounds = list(document["rounds"].values())
    figure = Figure(figsize=(7.2, 7.4), dpi=150)
    x = [each["images_corrected_before"] for each in rounds]
    ticks = [
        f"{place}\n{name[:_MOST_LETTERS]}"
        for place, name in zip(x, document["rounds"], strict=True)
    ]
    for place, (title, paths) in enumerate(_PANELS):
        axes = figure.add_axes((0.105, 0.55 - 0.425 * place, 0.865, 0.34))
        for number, (label, path) in enumerate(paths.items()):
            _plot(axes, x, rounds, path, number, label, len(paths))
        axes.set_ylabel(title)
        axes.set_xticks(x, ticks)
        axes.set_ylim(bottom=0, top=1.02 if place else None)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8.5)
    axes.set_xlabel("Images corrected in earlier rounds")
    add_caption(figure, *_caption(document, "Drafts against corrections, by round"))
    return figure


def draw_rounds_froc(document: Mapping[str, Any]) -> Figure:
    """Draws the FROC of each round; scores below those that were drawn are unknown."""
    caption = _caption(document, "FROC of drafts, against what readers made of them")
    return draw_froc(
        document["rounds"], caption, dots="as drawn, nothing is known beyond"
    )


def _caption(document: Mapping[str, Any], title: str) -> Caption:
    files = sum(each["n_files"] for each in document["rounds"].values())
    subtitle = f"{files} files that readers corrected; not an independent reading"
    return Caption(title, subtitle, document["synthetic"])


def _plot(
    axes: Axes,
    x: list[int],
    rounds: list[dict[str, Any]],
    path: tuple[str, ...],
    number: int,
    label: str,
    count: int,
) -> None:
    """Adds a score of each round and its interval, a little beside the others'."""
    points = []
    for place, each in zip(x, rounds, strict=True):
        score: Any = each
        for key in path:
            score = score[key]
        low, high = each["intervals"][".".join(path)]
        if score is not None:
            low, high = (score if end is None else end for end in (low, high))
            points.append((place, score, score - low, high - score))
    if not points:
        return
    places, scores, below, above = zip(*points, strict=True)
    width = max(max(x) - min(x), 1) * 0.008
    shifted = [place + (number - (count - 1) / 2) * width for place in places]
    axes.errorbar(
        shifted,
        scores,
        yerr=[[max(v, 0) for v in below], [max(v, 0) for v in above]],
        color=PALETTE[number],
        marker="o",
        markersize=4,
        capsize=2,
        linewidth=1.4,
        label=label,
    )
