"""The picture of a diagnosis: the scan, what the model saw, and how sure it is."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectjax.report.picture_parts import CROP, show_counts, start_view


def draw_diagnosis(
    frame: np.ndarray,
    seen: np.ndarray,
    *,
    crop_box: tuple[int, int, int, int],
    probabilities: Mapping[str, float],
    label: str,
    title: str,
    warnings: Sequence[str],
    synthetic: bool,
) -> Figure:
    """Draws a view beside what the model saw of it, above the probabilities.

    Args:
        frame: whole-body counts, rows by columns.
        seen: counts that the model saw, rows by columns.
        crop_box: (y0, x0, y1, x1) of the thorax in the frame, pixels, half-open.
        probabilities: of metastasis, each with what it is the probability of; the
            view's own comes first.
        label: what the view is called.
        title: file and view, one line.
        warnings: reasons to doubt what is shown, a sentence each.
        synthetic: whether the scan is simulated.
    """
    figure, _, top = start_view(
        frame, crop_box, title=title, warnings=warnings, synthetic=synthetic
    )

    close = figure.add_axes((0.28, 0.24, 0.70, top - 0.24))
    show_counts(close, seen)
    figure.text(0.30, 0.205, f"Label of this view: {label}", size=12)
    figure.text(0.30, 0.182, "Probability of metastasis, by the model", size=9)
    height = 0.045 * len(probabilities)
    bars = figure.add_axes((0.44, 0.172 - height, 0.44, height))
    _draw_bars(bars, probabilities)
    return figure


def _draw_bars(axes: Axes, probabilities: Mapping[str, float]) -> None:
    """Draws each probability as a bar, with its number and a mark at 0.5."""
    places = range(len(probabilities))
    axes.barh(places, [1.0] * len(places), height=0.6, color="0.92")
    axes.barh(places, list(probabilities.values()), height=0.6, color=CROP)
    axes.axvline(0.5, color="0.35", linewidth=0.8, linestyle=":")
    for place, probability in zip(places, probabilities.values(), strict=True):
        axes.text(1.02, place, f"{probability:.3f}", va="center", size=11)
    axes.set_yticks(places, list(probabilities), size=10)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], size=8)
    axes.tick_params(length=0)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.spines[:].set_visible(False)
