"""Several segmentations of one image side by side, each over the readers' outlines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectjax.report.data_notes import Caption
from spectjax.report.picture_parts import add_caption, outline, show_counts, zoom_to

# As in [P1] Fig. 12.
KMEANS, NETWORK, READERS = "#00b050", "#2f7fff", "#a030b0"


@dataclass(frozen=True)
class Segmentation:
    """What one model marked.

    Attributes:
        name: of the model.
        mask: its hotspots, bool, (H, W).
        color: of their outline.
        scores: of this image, one line.
    """

    name: str
    mask: np.ndarray
    color: str
    scores: str


def draw_comparison(
    counts: np.ndarray,
    truth: np.ndarray,
    segmentations: Sequence[Segmentation],
    caption: Caption,
) -> Figure:
    """Draws an image plain, then once for each model with its outlines and the truth.

    [P1] Fig. 12 has all outlines in one picture, where the last hides the others.

    Args:
        counts: thorax counts, (H, W).
        truth: hotspots marked by the readers, bool, (H, W).
        segmentations: what each model marked.
        caption: title and more.
    """
    columns = 1 + len(segmentations)
    width, height = 5.0 * columns, 6.3
    figure = Figure(figsize=(width, height), dpi=130)
    plain, *panels = figure.subplots(1, columns)
    content = np.any([counts > 0, truth, *(s.mask for s in segmentations)], axis=0)
    for axes in (plain, *panels):
        show_counts(axes, counts)
        zoom_to(axes, content, side_px=3)
    for axes, segmentation in zip(panels, segmentations, strict=True):
        # The truth is the wider line below: where both agree, each is still seen.
        outline(axes, truth, READERS, linewidth=1.9)
        outline(axes, segmentation.mask, segmentation.color, linewidth=1.0)
        _name_lines(axes, segmentation)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.13, top=0.88, wspace=0.03)
    add_caption(figure, *caption)
    return figure


def _name_lines(axes: Axes, segmentation: Segmentation) -> None:
    """Writes below a panel, each in its colour, whose outlines it shows."""
    below: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "size": 10}
    axes.text(0.49, -0.015, "readers", color=READERS, ha="right", **below)
    axes.text(
        0.51, -0.015, segmentation.name, color=segmentation.color, ha="left", **below
    )
    axes.text(0.5, -0.055, segmentation.scores, ha="center", **(below | {"size": 9}))
