"""Loss and score of a training run over its epochs."""

import csv
import pathlib

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spectjax.report.figures import CROP, WARNING, add_caption

TRAINING_SCORES = {"PA": "PA (pixel accuracy)", "Acc": "Accuracy"}


def draw_training(
    log: pathlib.Path, *, title: str, synthetic: bool, score: str = "PA"
) -> Figure:
    """Draws loss and score over the epochs, as [P1] Fig. 10 and [P2] Fig. 8 do.

    Args:
        log: CSV with at least the columns `epoch`, `loss` and the score; those of a
            fold that validates, where there is one, are drawn too.
        title: what was trained, one line.
        synthetic: whether the images were simulated.
        score: one of `TRAINING_SCORES`.

    Raises:
        ValueError: if the log lacks one of the columns.
    """
    with log.open(newline="") as stream:
        reader = csv.DictReader(stream)
        found = reader.fieldnames or ()
        if {"epoch", "loss", score} - set(found):
            raise ValueError(
                f"{log}: expected the columns epoch, loss and {score}, found "
                f"{', '.join(found) or 'none'}."
            )
        rows = list(reader)
    epochs = [float(row["epoch"]) for row in rows]

    figure = Figure(figsize=(9.0, 4.0), dpi=150)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for axes, column, name in zip(
        panels, ("loss", score), ("Loss", TRAINING_SCORES[score]), strict=True
    ):
        for key, label, color in (
            (column, "training", CROP),
            (f"validation_{column}", "validation", WARNING),
        ):
            if key in found:
                values = [float(row[key]) for row in rows]
                axes.plot(
                    epochs,
                    values,
                    color=color,
                    linewidth=1.5,
                    marker=".",
                    markersize=4,
                    label=label,
                )
        if len(axes.lines) > 1:
            axes.legend(fontsize=8)
        axes.set_xlabel("Epoch")
        axes.set_xlim(0, 1.02 * max(epochs, default=1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.set_title(name, size=10)
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    add_caption(figure, title, "", synthetic)
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.2, top=0.82, wspace=0.22)
    return figure
