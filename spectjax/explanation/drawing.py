"""Pictures of Grad-CAM maps over the counts that they explain.

Height and width are H and W; see `report.picture_parts` for axes and grey scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spectjax.explanation.sanity import SIMILAR, SanityCheck
from spectjax.report.picture_parts import (
    TRUTH,
    WARNING,
    add_caption,
    outline,
    show_counts,
    wrap_warnings,
    zoom_to,
)

_MOST_OPAQUE = 0.65  # bones must be seen through the largest evidence
_SHOWN_STAGES = 6
_PEAK = "#1f78b4"


@dataclass(frozen=True)
class Overlay:
    """An image and what spoke for a class in it.

    Attributes:
        counts: what the network saw, (H, W).
        evidence: its map at the image's size, >= 0, (H, W).
        peak_box: (y0, x0, y1, x1) of the largest cell, pixels, half-open, or None.
        hotspots: hotspots by the readers, bool, (H, W), or None if nobody marked any.
    """

    counts: np.ndarray
    evidence: np.ndarray
    peak_box: tuple[int, int, int, int] | None = None
    hotspots: np.ndarray | None = None


def draw_explanation(
    overlay: Overlay,
    *,
    category: str,
    title: str,
    scores: str,
    warnings: Sequence[str],
    synthetic: bool,
) -> Figure:
    """Draws one image: plain on the left, with its map for a class on the right.

    `title` and `scores` are a line each, `warnings` a sentence each.
    """
    figure = Figure(figsize=(12.0, 7.6), dpi=110)
    FigureCanvasAgg(figure)
    lower = add_caption(figure, title, scores, synthetic)
    lines = wrap_warnings(warnings, width=150)
    top = 0.81 - lower - 0.024 * max(len(lines) - 1, 0)
    width = 7.6 / 12.0 * (top - 0.11)  # square panels, as high as there is room
    left = 0.47 - width
    plain = figure.add_axes((left, 0.11, width, top - 0.11))
    right = figure.add_axes((0.48, 0.11, width, top - 0.11))
    content = overlay.counts > 0
    if overlay.peak_box is not None:  # which may lie beside the patient
        y0, x0, y1, x1 = overlay.peak_box
        content[y0:y1, x0:x1] = True
    for axes in (plain, right):
        show_counts(axes, overlay.counts)
        if overlay.hotspots is not None:
            outline(axes, overlay.hotspots, TRUTH, linewidth=1.2)
        zoom_to(axes, content, side_px=3)
    _show_evidence(right, overlay)
    bar = figure.add_axes((0.49 + width, 0.2, 0.013, top - 0.3))
    figure.colorbar(
        ScalarMappable(Normalize(0.0, 1.0), _make_colours()),
        cax=bar,
        ticks=[0.0, 0.5, 1.0],
        label=f"evidence for {category}, 1: this image's maximum",
    )
    note = "dashed: cell of the peak" if overlay.peak_box else "the map is zero"
    figure.text(0.48 + width / 2, 0.075, note, color=_PEAK, ha="center", size=10)
    if overlay.hotspots is not None:
        figure.text(
            left + width / 2, 0.075, "truth (readers)", color=TRUTH, ha="center"
        )
    for line, text in enumerate(lines):
        y = 0.91 - lower - 0.024 * line
        figure.text(
            0.5, y, text, ha="center", va="top", size=9, color=WARNING, parse_math=False
        )
    return figure


def draw_sanity(
    overlays: Sequence[Sequence[Overlay]], check: SanityCheck, *, synthetic: bool
) -> Figure:
    """Draws maps while a network's weights are drawn anew from the head down.

    `overlays` are, of each shown image, the trained network's map and then the one of
    each stage.
    """
    # Some stages, evenly spread, with the first and the last.
    last = len(check.layers) - 1
    shown = sorted(set(np.linspace(0, last, _SHOWN_STAGES).round().astype(int)))
    rows, columns = len(overlays), 1 + len(shown)
    height = 3.6 + 1.75 * rows
    figure = Figure(figsize=(12.0, height), dpi=110)
    FigureCanvasAgg(figure)
    curve = figure.add_axes((0.06, 1 - 2.55 / height, 0.92, 1.85 / height))
    _draw_similarity(curve, check)
    grid = figure.add_gridspec(
        rows, columns, left=0.01, right=0.99, bottom=0.4 / height,
        top=1 - 3.55 / height, wspace=0.03, hspace=0.04,
    )  # fmt: skip
    names = ["trained", *(f"... {check.layers[stage]}" for stage in shown)]
    for row, image in enumerate(overlays):
        picked = [image[0], *(image[1 + stage] for stage in shown)]
        for column, (overlay, name) in enumerate(zip(picked, names, strict=True)):
            axes = figure.add_subplot(grid[row, column])
            show_counts(axes, overlay.counts)
            zoom_to(axes, overlay.counts > 0, side_px=3)
            _show_evidence(axes, overlay)
            if row == 0:
                axes.set_title(name, size=9)
    verdict = "changes" if check.passed else "WARNING: hardly changes"
    title = f"Weights drawn anew from the head down: the map {verdict}"
    add_caption(figure, title, "", synthetic)
    return figure


def _draw_similarity(axes: Axes, check: SanityCheck) -> None:
    """Draws the mean similarity after each stage, and its range over the draws."""
    layers, similarity = check.layers, check.similarity.mean(axis=2)  # (R, L)
    stages = np.arange(1 + len(layers))
    values = np.concatenate([np.ones((len(similarity), 1)), similarity], axis=1)
    axes.fill_between(
        stages, values.min(axis=0), values.max(axis=0), color="0.85", linewidth=0
    )
    axes.plot(stages, values.mean(axis=0), color=_PEAK, marker=".")
    axes.axhline(SIMILAR, color=WARNING, linewidth=0.8, linestyle="--")
    axes.axhline(0.0, color="0.6", linewidth=0.6)
    axes.set_ylabel("rank correlation", size=9)
    axes.set_ylim(-1.05, 1.05)
    axes.set_xlim(-0.2, len(layers) + 0.2)
    step = 1 + len(layers) // 30
    axes.set_xticks(stages[::step])
    axes.set_xticklabels(["trained", *layers][::step], rotation=45, ha="right", size=7)
    axes.spines[["top", "right"]].set_visible(False)


def _show_evidence(axes: Axes, overlay: Overlay) -> None:
    """Lays a map over a panel, the less opaque the less evidence there is."""
    height, width = overlay.evidence.shape
    largest = overlay.evidence.max()
    axes.imshow(
        overlay.evidence,
        cmap=_make_colours(),
        vmin=0.0,
        vmax=largest if largest > 0 else 1.0,
        interpolation="nearest",
        extent=(0, width, height, 0),
    )
    if overlay.peak_box is not None:
        y0, x0, y1, x1 = overlay.peak_box
        cell = Rectangle((x0, y0), x1 - x0, y1 - y0)
        cell.set(fill=False, color=_PEAK, linestyle="--")
        axes.add_patch(cell)


def _make_colours() -> ListedColormap:
    """Returns yellow to red over transparent: where nothing spoke, grey stays grey."""
    share = np.linspace(0.0, 1.0, 256)
    colours = np.stack(
        [0.99 - 0.25 * share**2, 0.85 - 0.8 * share, 0.15 * np.ones(256), share], axis=1
    )
    colours[:, 3] *= _MOST_OPAQUE
    return ListedColormap(colours)
