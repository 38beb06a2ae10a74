"""What a segmenting model finds in a view: hotspots, on the thorax and whole-body."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spectjax.imaging.hotspots import Hotspot, encode_rle, find_hotspots
from spectjax.imaging.thorax import ThoraxImage
from spectjax.system.messages import DISCLAIMER
from spectjax.tasks.views import (
    Finding,
    ModelInfo,
    SeenView,
    describe_origin,
    list_warnings,
)

if TYPE_CHECKING:  # matplotlib takes a third of a second: not before --help
    from matplotlib.figure import Figure

    from spectjax.tasks.hotspots.picture import Marked

_RULE = (
    "8-connected regions of pixels whose most probable class is not background; score: "
    "mean probability of the class over the region"
)


def describe_hotspots(
    views: Sequence[SeenView], model_info: ModelInfo
) -> list[Finding]:
    """Returns the hotspots of each view.

    Masks are COCO's uncompressed run lengths (see `hotspots.encode_rle`). Areas in mm2
    are null when the file does not tell its pixel spacing.

    Args:
        views: with probabilities (H, W, K) of the whole canvas.
        model_info: where the model comes from.

    Raises:
        AnswerError: if the probabilities have the wrong shape or are not finite.
    """
    return [_describe_view(view, model_info) for view in views]


def _describe_view(view: SeenView, model_info: ModelInfo) -> Finding:
    hotspots = find_hotspots(view.answer, find_patient(view.thorax))
    entries = [_describe_hotspot(hotspot, view.thorax) for hotspot in hotspots]
    return report_hotspots(view, hotspots, entries, _RULE, model_info)


def _describe_hotspot(hotspot: Hotspot, thorax: ThoraxImage) -> dict[str, Any]:
    """Returns the JSON entry of one hotspot."""
    return {
        "category": hotspot.category,
        "score": hotspot.score,
        "max_probability": hotspot.max_probability,
        **measure_mask(hotspot.mask, thorax),
        **locate(
            hotspot.mask,
            thorax,
            box=hotspot.box,
            frame_box=thorax.transform.box_to_frame(hotspot.box),
        ),
    }


def find_patient(thorax: ThoraxImage) -> np.ndarray:
    """Returns the pixels of the canvas that show the patient, bool, (H, W).

    What lies on the canvas around the crop shows none.
    """
    return thorax.transform.apply(np.ones(thorax.scan.counts.shape, dtype=bool))


def measure_mask(mask: np.ndarray, thorax: ThoraxImage) -> dict[str, Any]:
    """Returns area and counts of a mask on the thorax, for JSON."""
    scan = thorax.scan
    counts = scan.counts[thorax.transform.undo(mask)]
    spacing = scan.spacing_mm
    return {
        "area_px": counts.size,
        "area_mm2": counts.size * spacing[0] * spacing[1] if spacing else None,
        "counts": float(counts.sum(dtype=np.float64)),
        "max_counts": float(counts.max()),
    }


def locate(
    mask: np.ndarray,
    thorax: ThoraxImage,
    *,
    box: Sequence[float],
    frame_box: Sequence[float],
) -> dict[str, Any]:
    """Returns a box and a mask on the thorax and in the whole body, for JSON."""
    frame_mask = thorax.transform.undo(mask)
    return {
        "thorax": {"box": box, "mask": encode_rle(mask)},
        "whole_body": {"box": frame_box, "mask": encode_rle(frame_mask)},
    }


def report_hotspots(
    view: SeenView,
    hotspots: "Sequence[Marked]",
    entries: Sequence[dict[str, Any]],
    rule: str,
    model_info: ModelInfo,
) -> Finding:
    """Returns document, picture and summary of a view's hotspots.

    Args:
        view: what was seen.
        hotspots: by falling score.
        entries: what JSON says of each.
        rule: what a hotspot and its score are, one line.
        model_info: where the model comes from.
    """
    return Finding(
        document=describe_origin(view, model_info)
        | {"rule": rule, "hotspots": entries, "disclaimer": DISCLAIMER},
        draw=functools.partial(_draw, view, hotspots, entries, model_info),
        summary=f"hotspots: {len(hotspots)}",
    )


def _draw(
    view: SeenView,
    hotspots: "Sequence[Marked]",
    entries: Sequence[dict[str, Any]],
    model_info: ModelInfo,
) -> "Figure":
    """Returns the picture of one view."""
    from spectjax.tasks.hotspots.picture import draw_hotspots

    return draw_hotspots(
        view.thorax,
        hotspots,
        areas=[
            f"{entry['area_px']} px"
            if entry["area_mm2"] is None
            else f"{entry['area_mm2']:.0f} mm²"
            for entry in entries
        ],
        warnings=list_warnings(view, model_info),
    )
