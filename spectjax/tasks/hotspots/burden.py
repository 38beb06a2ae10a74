"""Agreement of tumour burden as a model and as readers measure it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from spectjax.metrics.burden import Agreement
from spectjax.report.curves import PALETTE
from spectjax.report.figures import add_caption


@dataclass(frozen=True)
class BurdenPanel:
    """One measure of burden in N images.

    Attributes:
        name: what is measured, e.g. "Area of the hotspots".
        unit: its unit, e.g. "mm²"; empty for a number.
        truth: by the readers' masks, (N,).
        predicted: by the model's, (N,).
        agreement: of the two.
    """

    name: str
    unit: str
    truth: np.ndarray
    predicted: np.ndarray
    agreement: Agreement


def draw_burden(
    panels: Sequence[BurdenPanel], *, title: str, subtitle: str, synthetic: bool
) -> Figure:
    """Draws differences over means, as Bland and Altman (Lancet 1986) do.

    Images in which neither marked anything are left out, as they are of the bias.

    Args:
        panels: one for each measure.
        title: whose burden is compared, one line.
        subtitle: what else to know, one line.
        synthetic: whether the images are simulated.
    """
    width = 6.0 * len(panels)
    figure = Figure(figsize=(width, 5.4), dpi=150)
    FigureCanvasAgg(figure)
    places = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(places, panels, strict=True):
        _show_agreement(axes, panel)
    handles, labels = places[0].get_legend_handles_labels()
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
        left=0.8 / width, right=1 - 0.95 / width, bottom=0.22, top=0.83, wspace=0.42
    )
    add_caption(figure, title, subtitle, synthetic)
    return figure


def _show_agreement(axes: Axes, panel: BurdenPanel) -> None:
    """Fills a panel with points, and with lines at bias and limits."""
    truth = np.asarray(panel.truth, np.float64)
    predicted = np.asarray(panel.predicted, np.float64)
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
    agreement = panel.agreement
    axes.axhline(0.0, color="0.75", linewidth=0.8)
    for value, style, label in (
        (agreement.bias, "-", "bias"),
        (agreement.low, "--", "−1.96 SD"),
        (agreement.high, "--", "+1.96 SD"),
    ):
        if np.isfinite(value):
            axes.axhline(value, color="0.2", linewidth=1.1, linestyle=style)
            axes.annotate(
                f"{label}\n{_format(value)}",
                xy=(1.0, value),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                size=8,
            )
    unit = f" ({panel.unit})" if panel.unit else ""
    axes.set_title(panel.name, size=10)
    axes.set_xlabel(f"Mean of model and readers{unit}")
    axes.set_ylabel(f"Model − readers{unit}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6))
        axis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _format(value: float) -> str:
    """Returns a signed number of at least three digits, with a true minus."""
    decimals = 0 if abs(value) >= 100 else 2
    return f"{value:+,.{decimals}f}".replace("-", "\N{MINUS SIGN}")
