"""Loss and score of a training run over its epochs."""

import csv
import pathlib
from collections.abc import Collection, Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spectjax.report.curves import PALETTE
from spectjax.report.data_notes import Caption
from spectjax.report.picture_parts import CROP, WARNING, add_caption
from spectjax.system.messages import UserError

TRAINING_SCORES = {"PA": "PA (pixel accuracy)", "Acc": "Accuracy"}
# What the loss of Mask R-CNN adds up.
DETECTION_LOSSES = {
    "loss_rpn_objectness": "anchors: lesion or not",
    "loss_rpn_box": "anchors: box",
    "loss_box_class": "proposals: class",
    "loss_box_delta": "proposals: box",
    "loss_mask": "masks",
}

# Column of the log, name of the line, its color.
_Line = tuple[str, str, str]
_Rows = list[dict[str, str]]


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
    rows = _read_log(log, ("epoch", "loss", score))
    panels = {
        "Loss": _with_validation("loss"),
        TRAINING_SCORES[score]: _with_validation(score),
    }
    return _draw_panels(rows, panels, Caption(title, "", synthetic))


def draw_detection_training(
    log: pathlib.Path, *, title: str, synthetic: bool
) -> Figure:
    """Draws the loss of Mask R-CNN, its parts and the recall of its proposals.

    [P1] Fig. 10 draws loss and PA. A Mask R-CNN that trains paints no image, so that it
    has no PA; how many lesions have a proposal that meets them bounds what it can find.

    Args:
        log: CSV with at least the columns `epoch`, `loss`, those of `DETECTION_LOSSES`,
            `proposal_recall` and `left_out`; those of a fold that validates, where
            there is one, are drawn too.
        title: what was trained, one line.
        synthetic: whether the images were simulated.

    Raises:
        ValueError: if the log lacks one of the columns.
    """
    columns = ("epoch", "loss", *DETECTION_LOSSES, "proposal_recall", "left_out")
    rows = _read_log(log, columns)
    panels = {
        "Loss": _with_validation("loss"),
        "Parts of the loss, training": [
            (column, name, PALETTE[i])
            for i, (column, name) in enumerate(DETECTION_LOSSES.items())
        ],
        "Recall of the proposals": _with_validation("proposal_recall"),
    }
    left_out = sum(float(row["left_out"]) for row in rows)
    subtitle = (
        f"{left_out:.0f} lesions did not fit into max_instances and were left out, "
        "over all epochs"
    ) * (left_out > 0)
    return _draw_panels(rows, panels, Caption(title, subtitle, synthetic))


def _read_log(log: pathlib.Path, columns: Collection[str]) -> _Rows:
    """Returns the rows of a log.

    Raises:
        ValueError: if it lacks one of the columns.
    """
    with log.open(newline="") as stream:
        reader = csv.DictReader(stream)
        found = reader.fieldnames or ()
        if set(columns) - set(found):
            *first, last = columns
            raise UserError(
                f"{log}: expected the columns {', '.join(first)} and {last}, found "
                f"{', '.join(found) or 'none'}."
            )
        return list(reader)


def _with_validation(column: str) -> list[_Line]:
    return [(column, "training", CROP), (f"validation_{column}", "validation", WARNING)]


def _draw_panels(
    rows: _Rows, panels: dict[str, list[_Line]], caption: Caption
) -> Figure:
    """Returns a figure with a panel for each name, side by side."""
    width = 4.5 * len(panels)
    figure = Figure(figsize=(width, 4.0), dpi=150)
    for axes, (name, lines) in zip(
        figure.subplots(1, len(panels)), panels.items(), strict=True
    ):
        _draw_lines(axes, rows, lines)
        axes.set_title(name, size=10)
    add_caption(figure, *caption)
    figure.subplots_adjust(
        left=0.72 / width, right=1 - 0.18 / width, bottom=0.2, top=0.82, wspace=0.22
    )
    return figure


def _draw_lines(axes: Axes, rows: _Rows, lines: Iterable[_Line]) -> None:
    """Draws the columns that the log has over its epochs."""
    epochs = [float(row["epoch"]) for row in rows]
    for column, label, color in lines:
        if rows and column not in rows[0]:
            continue
        axes.plot(
            epochs,
            [float(row[column]) for row in rows],
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
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
