"""The images that a classifier got wrong, most confident first, as [P2] Fig. 11 does.

Height and width of an image are H and W.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectjax.report.picture_parts import (
    TRUTH,
    add_caption,
    outline,
    show_counts,
    zoom_to,
)

PER_KIND = 6
# Of a picture, of the lines above it and of the heading of a row, inches.
_SIDE, _TITLES, _HEADING = 2.0, 0.5, 0.55


@dataclass(frozen=True)
class Mistake:
    """An image that was taken for the other class.

    Attributes:
        counts: thorax counts, (H, W).
        truth: hotspots marked by the readers, bool, (H, W).
        example_id: its name.
        view: "anterior" or "posterior".
        diagnosis: what the readers say.
        probability: of metastasis, as the classifier said.
    """

    counts: np.ndarray
    truth: np.ndarray
    example_id: str
    view: str
    diagnosis: str
    probability: float


def draw_mistakes(
    called_metastasis: Sequence[Mistake],
    called_normal: Sequence[Mistake],
    *,
    title: str,
    synthetic: bool,
) -> Figure:
    """Draws a page of misclassified images, the most confident mistakes of each kind.

    Args:
        called_metastasis: normal images, the most probable metastasis first; the first
            `PER_KIND` are shown, all are counted.
        called_normal: images of metastases, the most probable normal first, likewise.
        title: what was classified, one line.
        synthetic: whether the images are simulated.
    """
    kinds = (
        ("(a) normal, called metastasis", called_metastasis),
        ("(b) metastasis, called normal (readers' outlines in red)", called_normal),
    )
    width = (_SIDE + 0.15) * PER_KIND + 0.15
    height = 1.0 + sum(_HEADING + (_TITLES + _SIDE if m else 0) for _, m in kinds)
    figure = Figure(figsize=(width, height), dpi=130)
    y = height - 0.5
    for name, mistakes in kinds:
        shown = mistakes[:PER_KIND]
        heading = f"{name}: {len(mistakes)}"
        if len(mistakes) > len(shown):
            heading += f", the {len(shown)} most confident"
        y -= _HEADING
        figure.text(0.15 / width, (y + 0.1) / height, heading, size=10.5, weight="bold")
        if shown:
            y -= _TITLES + _SIDE
        for column, mistake in enumerate(shown):
            x = 0.15 + column * (_SIDE + 0.15)
            place = (x / width, y / height, _SIDE / width, _SIDE / height)
            _show_mistake(figure.add_axes(place), mistake)
    add_caption(figure, title, "", synthetic)
    return figure


def _show_mistake(axes: Axes, mistake: Mistake) -> None:
    show_counts(axes, mistake.counts)
    zoom_to(axes, mistake.counts > 0, side_px=3)
    outline(axes, mistake.truth, TRUTH, linewidth=1.0)
    diagnosis = "" if mistake.diagnosis == "normal" else f"\n{mistake.diagnosis}"
    name = mistake.example_id
    if len(name) > 34:
        name = f"{name[:18]}...{name[-12:]}"
    axes.set_title(
        f"{name}\n{mistake.view}, p = {mistake.probability:.3f}{diagnosis}",
        size=7,
        parse_math=False,
    )
