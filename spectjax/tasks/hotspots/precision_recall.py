"""Precision over recall of one detector's boxes and masks."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spectjax.report.curves import PALETTE, STYLES, Curve, style_unit_square
from spectjax.report.figures import add_caption


def draw_detection(
    panels: Mapping[str, Sequence[Curve]],
    *,
    title: str,
    subtitle: str,
    note: str,
    synthetic: bool,
) -> Figure:
    """Draws a panel for each way to compare detections with lesions.

    Args:
        panels: by title, a curve for each IoU threshold, the lowest first; x is the
            recall, rising, y the best precision at this recall or a higher one.
        title: whose detections they are, one line.
        subtitle: what else to know, one line.
        note: what the lines are, a few words.
        synthetic: whether the images are simulated.
    """
    lines = max((len(curves) for curves in panels.values()), default=0)
    height = 6.8 + 0.22 * lines
    figure = Figure(figsize=(5.6 * len(panels), height), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    below = (1.05 + 0.22 * lines) / height
    figure.subplots_adjust(
        left=0.065, right=0.985, bottom=below, top=1 - 1.0 / height, wspace=0.06
    )
    for panel, (name, curves) in zip(axes, panels.items(), strict=True):
        _show_curves(panel, curves)
        panel.set_title(name, size=10)
        panel.set_xlabel("Recall (lesion sensitivity)")
        if curves:
            panel.legend(
                loc="upper center",
                bbox_to_anchor=(0.5, -0.085),
                fontsize=9,
                frameon=False,
            )
    axes[0].set_ylabel("Precision")
    figure.text(0.5, 0.32 / height, note, ha="center", size=8, color="0.35")
    add_caption(figure, title, subtitle, synthetic)
    return figure


def _show_curves(axes: Axes, curves: Sequence[Curve]) -> None:
    style_unit_square(axes)
    for i, curve in enumerate(curves):
        axes.plot(
            curve.x,
            curve.y,
            color=PALETTE[i % len(PALETTE)],
            linestyle=STYLES[i % len(STYLES)],
            linewidth=1.7,
            drawstyle="steps-pre",
            label=curve.legend,
        )
