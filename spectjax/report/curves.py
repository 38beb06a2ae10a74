"""Curves of classifiers: ROC, precision and recall, reliability; confusion matrices.

One classifier or several in one picture. Scores are log-odds of metastasis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from spectjax.imaging.diagnosis import LABELS
from spectjax.metrics.calibration import Reliability
from spectjax.metrics.classification import Confusion, score_confusion
from spectjax.report.data_notes import Caption
from spectjax.report.picture_parts import add_caption

# Okabe and Ito's colours, which the colour-blind can tell apart, without the yellow
# that white paper swallows; line styles tell those apart whose lines cross.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES: tuple[Any, ...] = ("-", (0, (5, 1.2)), (0, (5, 1.2, 1, 1.2)), (0, (1.5, 1)))
_GREY = "0.55"


@dataclass(frozen=True)
class Curve:
    """One classifier's line.

    Attributes:
        legend: its name and score.
        x: values in [0, 1], rising or falling.
        y: likewise, of the same length.
        operating_point: (x, y) where the probability of metastasis is 0.5, or None.
        band: x, lower and upper bound of y, of one length each, or None.
    """

    legend: str
    x: np.ndarray
    y: np.ndarray
    operating_point: tuple[float, float] | None = None
    band: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Probabilities:
    """How one classifier's probabilities come true.

    Attributes:
        before: as the network says.
        after: with log-odds divided by a temperature, or None.
        scores: ECE and the like, one line.
    """

    before: Reliability
    after: Reliability | None
    scores: str


def draw_roc(curves: Sequence[Curve], caption: Caption, *, note: str) -> Figure:
    """Draws the recall over the false-positive rate, as [P2] Fig. 9 does.

    Args:
        curves: x is the false-positive rate, y the recall.
        note: what dots and bands are, a few words.
        caption: title and more.
    """
    figure, axes = _start_figure(caption)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":")
    _plot_curves(axes, curves, steps="default")
    axes.set_xlabel("False-positive rate (1 − specificity)")
    axes.set_ylabel("Recall (sensitivity)")
    _add_legend(axes, curves, note, "lower right")
    return figure


def draw_precision_recall(
    curves: Sequence[Curve], caption: Caption, *, prevalence: float, note: str
) -> Figure:
    """Draws the precision over the recall.

    Args:
        curves: x is the recall, y the precision.
        prevalence: fraction of images with metastasis: the precision of chance.
        note: what dots and bands are, a few words.
        caption: title and more.
    """
    figure, axes = _start_figure(caption)
    axes.axhline(prevalence, color=_GREY, linewidth=0.8, linestyle=":")
    axes.text(0.01, prevalence + 0.01, "chance", color="0.4", size=8)
    _plot_curves(axes, curves, steps="steps-pre")
    axes.set_xlabel("Recall (sensitivity)")
    axes.set_ylabel("Precision")
    _add_legend(axes, curves, note, "lower left")
    return figure


def draw_reliability(
    panels: Mapping[str, Probabilities],
    caption: Caption,
    *,
    of: str = "metastasis",
    counted: str = "Images",
    method: str = "after temperature scaling",
) -> Figure:
    """Draws how often images are metastases over how probable they were called.

    The area of a point is the number of its images, and its bar Wilson's 95 % interval;
    below stands how probabilities are spread.

    Args:
        panels: by the title of their panel.
        caption: title and more.
        of: what is called probable.
        counted: what the histogram counts.
        method: how probabilities were calibrated.
    """
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    side = 3.4 if len(panels) > 1 else 6.0
    width, height = max(7.2, (side + 0.35) * columns + 0.6), 1.3 * side * rows + 2.15
    figure = Figure(figsize=(width, height), dpi=150)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.75 / width,
        right=1 - 0.2 / width,
        bottom=1.2 / height,
        top=1 - 1.15 / height,
        hspace=0.35,
        wspace=0.2,
    )
    for i, (name, probabilities) in enumerate(panels.items()):
        cell = grid[i // columns, i % columns].subgridspec(
            2, 1, height_ratios=(4, 1), hspace=0.08
        )
        axes = figure.add_subplot(cell[0])
        below = figure.add_subplot(cell[1], sharex=axes)
        _show_reliability(axes, below, probabilities, method)
        axes.set_title(f"{name}\n{probabilities.scores}", size=9.5)
        if i % columns == 0:
            axes.set_ylabel(f"Fraction that is {of}")
            below.set_ylabel(counted)
        if i + columns >= len(panels):
            below.set_xlabel(f"Predicted probability of {of}")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.33 / height),
        ncols=2,
        fontsize=9,
        frameon=False,
    )
    add_caption(figure, *caption)
    return figure


def draw_confusions(confusions: Mapping[str, Confusion], caption: Caption) -> Figure:
    """Draws confusion matrices, as [P2] Fig. 10 does.

    Args:
        confusions: by the title of their panel.
        caption: title and more.
    """
    columns = min(4, len(confusions))
    rows = -(-len(confusions) // columns)
    width, height = max(7.2, 2.9 * columns), 3.1 * rows + 1.5
    figure = Figure(figsize=(width, height), dpi=150)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(confusions) :]:
        axes.set_visible(False)
    for i, (name, confusion) in enumerate(confusions.items()):
        axes = panels[i // columns, i % columns]
        _show_confusion(axes, confusion, name)
        if i % columns == 0:
            axes.set_ylabel("True")
    figure.subplots_adjust(
        left=0.75 / width,
        right=0.985,
        bottom=0.85 / height,
        top=1 - 1.2 / height,
        wspace=0.25,
        hspace=0.5,
    )
    add_caption(figure, *caption)
    return figure


def _start_figure(caption: Caption) -> tuple[Figure, Axes]:
    """Returns a figure with one unit square."""
    figure = Figure(figsize=(7.2, 7.6), dpi=150)
    axes = figure.add_axes((0.105, 0.11, 0.87, 0.78))
    style_unit_square(axes)
    add_caption(figure, *caption)
    return figure, axes


def style_unit_square(axes: Axes) -> None:
    """Gives axes the range [0, 1] twice, and a grid."""
    axes.set_xlim(-0.015, 1.015)
    axes.set_ylim(-0.015, 1.015)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.2))
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _plot_curves(axes: Axes, curves: Sequence[Curve], *, steps: str) -> None:
    """Adds the lines; where they are steps, x rises."""
    for i, curve in enumerate(curves):
        color = PALETTE[i % len(PALETTE)]
        if curve.band is not None:
            x, low, high = curve.band
            axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(
            curve.x,
            curve.y,
            color=color,
            linestyle=STYLES[i % len(STYLES)],
            linewidth=1.7,
            drawstyle=steps,
            label=curve.legend,
        )
        if curve.operating_point is not None:
            axes.plot(
                *curve.operating_point,
                marker="o",
                markersize=6,
                color=color,
                markeredgecolor="white",
                linestyle="none",
                zorder=4,
            )


def _add_legend(
    axes: Axes,
    curves: Sequence[Curve],
    note: str,
    place: Literal["lower left", "lower right"],
) -> None:
    if curves:
        legend = axes.legend(
            loc=place, fontsize=8.5, framealpha=0.9, title=note, title_fontsize=8
        )
        legend.get_title().set_color("0.35")


def _show_reliability(
    axes: Axes, below: Axes, probabilities: Probabilities, method: str
) -> None:
    """Fills a panel and the histogram below it."""
    style_unit_square(axes)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":")
    axes.tick_params(labelbottom=False)
    below.spines[["top", "right"]].set_visible(False)
    lines = [("as the network says", probabilities.before, PALETTE[1], STYLES[1])]
    if probabilities.after is not None:
        lines.append((method, probabilities.after, PALETTE[0], STYLES[0]))
    for legend, bins, color, style in lines:
        filled = bins.count > 0
        x, y, n = bins.mean_prob[filled], bins.fraction[filled], bins.count[filled]
        low, high = _bound_fractions(y, n)
        axes.errorbar(
            x, y, yerr=(y - low, high - y), color=color, linewidth=0.8, fmt="none"
        )
        size = 12 + 110 * n / n.max()
        axes.scatter(x, y, s=size, color=color, alpha=0.6, zorder=3, clip_on=False)
        axes.plot(x, y, color=color, linestyle=style, linewidth=1.2, label=legend)
        below.stairs(bins.count, bins.edges, color=color, linestyle=style)


def _bound_fractions(y: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns Wilson's 95 % interval of fractions y of n images."""
    z2 = 1.96**2
    middle = (y + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (y * (1 - y) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return np.minimum(middle - half, y), np.maximum(middle + half, y)


def _show_confusion(axes: Axes, confusion: Confusion, name: str) -> None:
    """Shows counts, and beneath them the fraction of the images of that truth."""
    counts = np.array([[confusion.tn, confusion.fp], [confusion.fn, confusion.tp]])
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(
            column,
            row,
            f"{count}\n{100 * fractions[row, column]:.1f} %",
            ha="center",
            va="center",
            size=11,
            color="white" if fractions[row, column] > 0.6 else "black",
        )
    axes.set_xticks([0, 1], LABELS, size=9)
    axes.set_yticks([0, 1], LABELS, size=9, rotation=90, va="center")
    axes.set_xlabel("Predicted", size=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    accuracy = score_confusion(confusion)["accuracy"]
    axes.set_title(f"{name}\naccuracy {accuracy:.4f}", size=9.5)
