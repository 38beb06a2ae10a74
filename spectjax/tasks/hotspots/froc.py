"""Free-response curves: found lesions over false regions, of one model or several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MultipleLocator, NullLocator

from spectjax.report.curves import PALETTE, STYLES
from spectjax.report.figures import add_caption

_LINEAR_BELOW = 0.1  # false regions per image; a logarithm has no place for 0
_TICKS = (0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class FrocCurve:
    """What one model finds at each of T thresholds.

    Attributes:
        legend: its name and score.
        false_per_image: mean number of false regions of an image, (T,), any order.
        sensitivity: fraction of the lesions that are found, (T,).
        operating_point: (false_per_image, sensitivity) at probability 0.5.
    """

    legend: str
    false_per_image: np.ndarray
    sensitivity: np.ndarray
    operating_point: tuple[float, float]


def draw_froc(
    curves: Sequence[FrocCurve],
    *,
    title: str,
    subtitle: str,
    note: str,
    synthetic: bool,
) -> Figure:
    """Draws the sensitivity over the false regions per image.

    A pale dot is what one threshold gives. The line is the best sensitivity within that
    many false regions: low thresholds merge regions until they no longer meet lesions,
    so that the dots may turn back, and nobody would choose those.

    Args:
        curves: one for each model.
        title: whose curves they are, one line.
        subtitle: what else to know, one line.
        note: what counts as found and what the marks are, a few words.
        synthetic: whether the images are simulated.
    """
    height = 7.55 + 0.22 * len(curves)
    figure = Figure(figsize=(7.2, height), dpi=150)
    FigureCanvasAgg(figure)
    bottom = (1.3 + 0.22 * len(curves)) / height
    axes = figure.add_axes((0.105, bottom, 0.865, 1 - 0.8 / height - bottom))
    last = _choose_limit(curves)
    axes.axvline(1.0, color="0.55", linewidth=0.8, linestyle=":")
    for i, curve in enumerate(curves):
        color = PALETTE[i % len(PALETTE)]
        axes.plot(
            curve.false_per_image,
            curve.sensitivity,
            color=color,
            linestyle="none",
            marker=".",
            markersize=4,
            alpha=0.45,
        )
        x, y = trace_best(curve.false_per_image, curve.sensitivity, last)
        axes.plot(
            x,
            y,
            color=color,
            linestyle=STYLES[i % len(STYLES)],
            linewidth=1.7,
            drawstyle="steps-post",
            label=curve.legend,
        )
        axes.plot(
            *curve.operating_point,
            marker="o",
            markersize=8,
            color=color,
            markeredgecolor="white",
            linestyle="none",
            zorder=4,
            clip_on=False,
        )
    _style(axes, last)
    if curves:
        legend = figure.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 0.35 / height),
            fontsize=8.5,
            frameon=False,
            title=note,
            title_fontsize=8,
        )
        legend.get_title().set_color("0.35")
    add_caption(figure, title, subtitle, synthetic)
    return figure


def trace_best(
    false_per_image: np.ndarray, sensitivity: np.ndarray, last: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the corners of the best sensitivity within so many false regions.

    Args:
        false_per_image: of T thresholds, (T,), any order.
        sensitivity: likewise.
        last: false regions per image where the line ends.

    Returns:
        False regions per image, rising, and sensitivities, which never fall; both of
        one length, and empty where no threshold has as few false regions as `last`.
    """
    order = np.lexsort((sensitivity, false_per_image))
    order = order[false_per_image[order] <= last]
    if not order.size:
        return np.empty(0), np.empty(0)
    best = np.maximum.accumulate(sensitivity[order])
    return (
        np.append(false_per_image[order], last),
        np.append(best, best[-1]),
    )


def _choose_limit(curves: Sequence[FrocCurve]) -> float:
    """Returns 10 false regions per image, or more where a model marks more at 0.5."""
    most = max((curve.operating_point[0] for curve in curves), default=0.0)
    return next((float(x) for x in _TICKS if x >= max(10, most)), 1.05 * most)


def _style(axes: Axes, last: float) -> None:
    axes.set_xscale("symlog", linthresh=_LINEAR_BELOW, linscale=0.4)
    axes.set_xlim(-0.004, last)
    axes.set_ylim(-0.015, 1.015)
    ticks = [x for x in _TICKS if x <= last]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{x:g}" for x in ticks])
    axes.yaxis.set_major_locator(MultipleLocator(0.2))
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("False regions per image")
    axes.set_ylabel("Lesion sensitivity")
