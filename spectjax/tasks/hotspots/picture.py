"""Pictures of hotspots: beside the readers' outlines, and in a new scan.

Height and width are H and W, the number of hotspots T.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from spectjax.imaging.thorax import ThoraxImage
from spectjax.report.picture_parts import (
    MODEL,
    TRUTH,
    add_caption,
    outline,
    show_counts,
    start_view,
    zoom_to,
)
from spectjax.tasks.hotspots.wording import FINDING

_LISTED_HOTSPOTS = 9  # as many lines as fit below the thorax


class Marked(Protocol):
    """What a picture tells of a hotspot: a region's or an instance's."""

    @property
    def score(self) -> float:
        """How sure the model is, in (0, 1]."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1), pixels."""

    @property
    def mask(self) -> np.ndarray:
        """Its pixels, bool, (H, W)."""


def draw_case(
    counts: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    title: str,
    scores: str,
    synthetic: bool,
) -> Figure:
    """Draws one evaluated image: plain on the left, with both outlines on the right.

    Args:
        counts: thorax counts, (H, W).
        truth: hotspots marked by the readers, bool, (H, W); outlined red.
        prediction: hotspots marked by the model, bool, (H, W), or mask by mask, (T, H,
            W), where they may overlap; outlined green.
        title: what is shown, one line.
        scores: its scores, one line.
        synthetic: whether the image is simulated.
    """
    figure = Figure(figsize=(12.0, 7.1), dpi=130)
    plain, overlay = figure.subplots(1, 2)
    masks = prediction.reshape(-1, *truth.shape)
    for axes in (plain, overlay):
        show_counts(axes, counts)
        zoom_to(axes, (counts > 0) | truth | masks.any(axis=0), side_px=3)
    # Red is the wider line below: where both agree, each is still seen.
    outline(overlay, truth, TRUTH, linewidth=1.8)
    for mask in masks:
        outline(overlay, mask, MODEL, linewidth=1.0)
    add_caption(figure, title, scores, synthetic)
    figure.text(0.745, 0.065, "truth (readers)", color=TRUTH, ha="right", size=10)
    figure.text(0.755, 0.065, "model", color=MODEL, ha="left", size=10)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.1, top=0.9, wspace=0.02)
    return figure


def draw_hotspots(
    thorax: ThoraxImage,
    hotspots: Sequence[Marked],
    *,
    areas: Sequence[str],
    warnings: Sequence[str],
) -> Figure:
    """Draws what was found in one view: the whole body beside the numbered thorax.

    Args:
        thorax: the view.
        hotspots: T hotspots on its canvas, numbered from 1 in this order.
        areas: their T areas with unit, to print.
        warnings: reasons to doubt what is shown, a sentence each.
    """
    transform = thorax.transform
    figure, body, top = start_view(thorax.scan, transform.box, warnings)
    for hotspot in hotspots:
        outline(body, transform.undo(hotspot.mask), MODEL, linewidth=0.9)

    close = figure.add_axes((0.28, 0.25, 0.70, top - 0.25))
    show_counts(close, thorax.counts)
    zoom_to(close, thorax.counts > 0, side_px=22)
    for hotspot in hotspots:
        outline(close, hotspot.mask, MODEL, linewidth=1.4)
    _label_hotspots(close, hotspots)

    lines = _list_hotspots(hotspots, areas)
    if thorax.flags and not hotspots:
        lines += ["The crop is in doubt: this is no reading of the view."]
    listing = "\n".join(lines)
    figure.text(0.3, 0.235, listing, va="top", size=9, family="monospace")
    return figure


def _label_hotspots(axes: Axes, hotspots: Sequence[Marked]) -> None:
    """Writes number and score of each hotspot at the nearer side of the panel.

    Labels beside the hotspots would cover each other and what there is to see.
    """
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    labels: dict[bool, list[tuple[float, float, str]]] = {True: [], False: []}
    for number, hotspot in enumerate(hotspots, start=1):
        y0, x0, y1, x1 = hotspot.box
        on_left = x0 + x1 < left + right
        edge = x0 if on_left else x1
        labels[on_left].append(((y0 + y1) / 2, edge, f"{number}: {hotspot.score:.2f}"))
    gap = (bottom - top) / 35
    for on_left, side in labels.items():
        side.sort()
        places = spread_labels([y for y, _, _ in side], gap, bottom - gap)
        for (y, x, text), place in zip(side, places, strict=True):
            axes.annotate(
                text,
                xy=(x, y),
                xytext=(left + gap / 3 if on_left else right - gap / 3, place),
                ha="left" if on_left else "right",
                va="center",
                size=8,
                color=MODEL,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
                arrowprops={"arrowstyle": "-", "color": MODEL, "linewidth": 0.5},
            )


def spread_labels(wanted: Sequence[float], gap: float, lowest: float) -> list[float]:
    """Moves label positions, sorted from top to bottom, at least `gap` apart.

    Labels are pushed down where they are crowded, and the whole stack up again where
    it would pass `lowest`.
    """
    places: list[float] = []
    for y in wanted:
        places.append(max(y, places[-1] + gap) if places else y)
    for i in reversed(range(len(places))):
        places[i] = min(places[i], lowest - gap * (len(places) - 1 - i))
    return places


def _list_hotspots(hotspots: Sequence[Marked], areas: Sequence[str]) -> list[str]:
    """Returns one line per hotspot, the surest first, as many as fit."""
    if not hotspots:
        return ["No hotspot found."]
    lines = [f"{'':>3}  {'finding':<16}{'score':>6}{'area':>12}"]
    for number, (hotspot, area) in enumerate(
        zip(hotspots[:_LISTED_HOTSPOTS], areas, strict=False), start=1
    ):
        lines.append(f"{number:>3}  {FINDING:<16}{hotspot.score:>6.2f}{area:>12}")
    left_out = len(hotspots) - _LISTED_HOTSPOTS
    if left_out > 0:
        lines.append(f"     and {left_out} more in the JSON file")
    return lines
