"""Agreement of tumour burden as a model and as readers measure it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from spectjax.metrics.burden import Burden
from spectjax.report.curves import PALETTE
from spectjax.report.data_notes import Caption
from spectjax.report.markdown import format_score
from spectjax.report.picture_parts import add_caption


def draw_burden(
    burden: Burden, agreement: Mapping[str, Mapping[str, Any]], caption: Caption
) -> Figure:
    """Draws differences over means, as Bland and Altman (Lancet 1986) do.

    Images in which neither marked anything are left out, as they are of the bias.

    Args:
        burden: of N images.
        agreement: the entry `burden` of `metrics.json`.
        caption: title and more.
    """
    figure = Figure(figsize=(12.0, 5.4), dpi=150)
    area, counts = figure.subplots(1, 2)
    measured = burden.lesion_mm2, burden.predicted_mm2
    _show_agreement(area, *measured, agreement["area_mm2"])
    _name_axes(area, "Area of the hotspots", " (mm²)")
    measured = burden.lesion_counts, burden.predicted_counts
    _show_agreement(counts, *measured, agreement["counts"])
    _name_axes(counts, "Counts in the hotspots", "")
    handles, labels = area.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.055),
        ncols=2,
        fontsize=9,
        frameon=False,
    )
    figure.subplots_adjust(
        left=0.8 / 12, right=1 - 0.95 / 12, bottom=0.22, top=0.83, wspace=0.42
    )
    add_caption(figure, *caption)
    return figure


def _show_agreement(
    axes: Axes,
    truth: np.ndarray,
    predicted: np.ndarray,
    agreement: Mapping[str, float | None],
) -> None:
    """Fills a panel with points, and with lines at bias and limits."""
    truth, predicted = truth.astype(np.float64), predicted.astype(np.float64)
    means, differences = (truth + predicted) / 2, predicted - truth
    groups = (
        ("with lesions", truth > 0, PALETTE[0], "o"),
        (
            "without lesion, falsely marked",
            (truth == 0) & (predicted > 0),
            PALETTE[1],
            "^",
        ),
    )
    for label, rows, color, marker in groups:
        axes.scatter(
            means[rows],
            differences[rows],
            s=16,
            color=color,
            marker=marker,
            alpha=0.55,
            linewidth=0,
            label=f"images {label}: {np.count_nonzero(rows)}",
            clip_on=False,
            zorder=3,
        )
    axes.axhline(0.0, color="0.75", linewidth=0.8)
    for name, style, label in (
        ("bias", "-", "bias"),
        ("low", "--", "−1.96 SD"),
        ("high", "--", "+1.96 SD"),
    ):
        value = agreement[name]
        if value is not None:
            axes.axhline(value, color="0.2", linewidth=1.1, linestyle=style)
            axes.annotate(
                f"{label}\n{format_score(value, _choose_pattern(value))}",
                xy=(1.0, value),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                size=8,
            )


def _name_axes(axes: Axes, name: str, unit: str) -> None:
    """Writes what a panel shows."""
    axes.set_title(name, size=10)
    axes.set_xlabel(f"Mean of model and readers{unit}")
    axes.set_ylabel(f"Model − readers{unit}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6))
        axis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _choose_pattern(value: float) -> str:
    """Returns the format of a signed number of at least three digits."""
    return "+,.0f" if abs(value) >= 100 else "+,.2f"
