"""The curves of segmentation models: free response, and agreement of burden."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spectjax.metrics.burden import Agreement
from spectjax.metrics.lesions import HALF
from spectjax.tasks.hotspots.burden import BurdenPanel, draw_burden
from spectjax.tasks.hotspots.cases import SegmentationCases
from spectjax.tasks.hotspots.froc import FrocCurve, draw_froc


def draw_models_froc(
    models: Mapping[str, Mapping[str, Any]], *, title: str, described: Mapping[str, Any]
) -> Figure:
    """Returns the free-response curves of several models in one picture.

    Args:
        models: by name, each with `lesion` and perhaps `intervals` as `metrics.json`
            has them.
        title: whose curves they are, one line.
        described: `subtitle` and `synthetic`, see `describe_images`.
    """
    first = next(iter(models.values()))["lesion"]
    curves = []
    for name, model in models.items():
        lesion = model["lesion"]
        if not lesion["n"]:
            continue  # without a lesion there is nothing to find
        froc = lesion["froc"]
        x, y = np.array(froc["false_per_image"]), np.array(froc["sensitivity"])
        interval = model["intervals"]["lesion.sensitivity_at.1"]
        curves.append(
            FrocCurve(
                f"{name}: {lesion['sensitivity_at']['1']:.3f}{_bracket(interval)} at 1 "
                "false region per image",
                x,
                y,
                (float(x[HALF]), float(y[HALF])),
            )
        )
    return draw_froc(
        curves,
        title=title,
        subtitle=f"{described['subtitle']}, {first['n']} lesions",
        note=f"found: a region meets the lesion with IoU ≥ {first['min_iou']:g}; in "
        "brackets: 95 %, bootstrap over patients\nlarge dots: p = 0.5, small dots: "
        "other thresholds; lines: best within so many false regions",
        synthetic=described["synthetic"],
    )


def draw_model_burden(
    cases: SegmentationCases,
    burden: Mapping[str, Mapping[str, Any]],
    *,
    title: str,
    described: Mapping[str, Any],
) -> Figure:
    """Returns the Bland-Altman plots of area and counts.

    Args:
        cases: what the model said about each image.
        burden: the entry of that name in `metrics.json`.
        title: whose burden it is, one line.
        described: `subtitle` and `synthetic`, see `describe_images`.
    """
    found = cases.burden
    panels = [
        BurdenPanel(name, unit, truth, predicted, _read_agreement(burden[key]))
        for key, name, unit, truth, predicted in (
            (
                "area_mm2",
                "Area of the hotspots",
                "mm²",
                found.lesion_mm2,
                found.predicted_mm2,
            ),
            (
                "counts",
                "Counts in the hotspots",
                "",
                found.lesion_counts,
                found.predicted_counts,
            ),
        )
    ]
    return draw_burden(panels, title=title, **described)


def describe_images(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what every figure says about its images.

    Args:
        metrics: a document with `data`, `n_images` and `n_patients`.
    """
    data = metrics["data"]
    leaking = "LEAKING, " if data.get("leaking") else ""
    return {
        "subtitle": f"{leaking}{data['name']} {data['split']}: "
        f"{metrics['n_images']} images of {metrics['n_patients']} patients",
        "synthetic": data["synthetic"],
    }


def _read_agreement(entry: Mapping[str, Any]) -> Agreement:
    """Returns what JSON says; None stands for NaN there."""
    fields: dict[str, Any] = {
        name: float("nan") if value is None else value for name, value in entry.items()
    }
    return Agreement(**fields)


def _bracket(interval: list[float | None]) -> str:
    low, high = interval
    return "" if low is None or high is None else f" ({low:.3f}–{high:.3f})"
