"""The picture of a detector's scores: precision over recall."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spectjax.report.curves import Curve
from spectjax.tasks.hotspots.precision_recall import draw_detection

_TITLES = {"box": "Boxes", "mask": "Masks"}


def draw_model_detection(
    detection: Mapping[str, Any], *, title: str, described: Mapping[str, Any]
) -> Figure:
    """Returns precision over recall of boxes and of masks at several IoU thresholds.

    Args:
        detection: the entry of that name in `metrics.json`.
        title: whose detections they are, one line.
        described: `subtitle` and `synthetic`, see
            `spectjax.tasks.hotspots.figures.describe_images`.
    """
    n_lesions, n_found = detection["n_lesions"], detection["n_detections"]
    return draw_detection(
        {
            words: _list_curves(detection, kind) if n_lesions else []
            for kind, words in _TITLES.items()
        },
        title=title,
        subtitle=f"{described['subtitle']}, {n_lesions} lesions, {n_found} detections",
        note="lines: best precision at this recall or a higher one, to the highest "
        "that is reached; in brackets: 95 %, bootstrap over patients",
        synthetic=described["synthetic"],
    )


def _list_curves(detection: Mapping[str, Any], kind: str) -> list[Curve]:
    """Returns a curve for each IoU threshold."""
    recall, curves = np.array(detection["curves"]["recall"]), []
    for iou, values in detection["curves"][kind].items():
        precision = np.array(values)
        reached = precision > 0
        name = f"AP{100 * float(iou):.0f}"
        score = f"{name} {detection[kind][name]:.3f}"
        bounds = _bracket(detection["intervals"][f"{kind}.{name}"])
        curves.append(
            Curve(f"IoU ≥ {iou}: {score}{bounds}", recall[reached], precision[reached])
        )
    return curves


def _bracket(interval: Sequence[float | None]) -> str:
    low, high = interval
    return "" if low is None or high is None else f" ({low:.3f}–{high:.3f})"
