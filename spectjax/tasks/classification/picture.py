"""The picture of a diagnosis: the scan, what the model saw, and how sure it is."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectjax.report.picture_parts import CROP, show_counts, start_view
from spectjax.tasks.views import SeenView


def draw_diagnosis(
    view: SeenView,
    *,
    probabilities: Mapping[str, float],
    label: str,
    warnings: Sequence[str],
) -> Figure:
    """Draws a view beside what the model saw of it, above the probabilities.

    Args:
        view: what the model saw.
        probabilities: of metastasis, each with what it is the probability of; the
            view's own comes first.
        label: what the view is called.
        warnings: reasons to doubt what is shown, a sentence each.
    """
    thorax = view.thorax
    figure, _, top = start_view(thorax.scan, thorax.transform.box, warnings)

    close = figure.add_axes((0.28, 0.24, 0.70, top - 0.24))
    show_counts(close, view.counts)
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
