"""Precision over recall of one detector's boxes and masks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectjax.report.curves import PALETTE, STYLES, style_unit_square
from spectjax.report.data_notes import Caption
from spectjax.report.markdown import bracket
from spectjax.report.picture_parts import add_caption

_PANELS = {"box": "Boxes", "mask": "Masks"}
_NOTE = (
    "lines: best precision at this recall or a higher one, to the highest that is "
    "reached; in brackets: 95 %, bootstrap over patients"
)


def draw_detection(detection: Mapping[str, Any], caption: Caption) -> Figure:
    """Draws precision over recall of boxes and of masks at several IoU thresholds.

    Args:
        detection: the entry of that name in `metrics.json`.
        caption: title and more.
    """
    n_lesions, n_found = detection["n_lesions"], detection["n_detections"]
    lines = len(detection["curves"]["box"]) if n_lesions else 0
    height = 6.8 + 0.22 * lines
    figure = Figure(figsize=(5.6 * len(_PANELS), height), dpi=150)
    axes = figure.subplots(1, len(_PANELS), sharey=True)
    below = (1.05 + 0.22 * lines) / height
    figure.subplots_adjust(
        left=0.065, right=0.985, bottom=below, top=1 - 1.0 / height, wspace=0.06
    )
    for panel, (kind, name) in zip(axes, _PANELS.items(), strict=True):
        style_unit_square(panel)
        panel.set_title(name, size=10)
        panel.set_xlabel("Recall (lesion sensitivity)")
        if n_lesions:
            _plot_curves(panel, detection, kind)
    axes[0].set_ylabel("Precision")
    figure.text(0.5, 0.32 / height, _NOTE, ha="center", size=8, color="0.35")
    subtitle = f"{caption.subtitle}, {n_lesions} lesions, {n_found} detections"
    add_caption(figure, *caption._replace(subtitle=subtitle))
    return figure


def _plot_curves(axes: Axes, detection: Mapping[str, Any], kind: str) -> None:
    """Adds a line and its legend for each IoU threshold."""
    recall = np.array(detection["curves"]["recall"])
    for i, (iou, values) in enumerate(detection["curves"][kind].items()):
        precision = np.array(values)
        reached, name = precision > 0, f"AP{100 * float(iou):.0f}"
        axes.plot(
            recall[reached],
            precision[reached],
            color=PALETTE[i % len(PALETTE)],
            linestyle=STYLES[i % len(STYLES)],
            linewidth=1.7,
            drawstyle="steps-pre",
            label=f"IoU ≥ {iou}: {name} {bracket(detection, kind, name)}",
        )
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.085), fontsize=9, frameon=False
    )
