"""What a segmenting model finds in a view: hotspots, on the thorax and whole-body."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spectjax.imaging.canvas import WHOLE_FRAME
from spectjax.imaging.hotspots import Hotspot, encode_rle, find_hotspots
from spectjax.imaging.thorax import ThoraxImage
from spectjax.system.messages import DISCLAIMER
from spectjax.tasks.hotspots.operation import Operation
from spectjax.tasks.hotspots.regions import (
    ScoredRegion,
    score_regions,
    score_view,
    select_regions,
)
from spectjax.tasks.hotspots.wording import (
    FINDING,
    count_left_out,
    name_finding,
    state_finding,
)
from spectjax.tasks.views import (
    Finding,
    MarkedHotspot,
    ModelInfo,
    SeenView,
    describe_origin,
    list_warnings,
)

if TYPE_CHECKING:  # matplotlib takes a third of a second: not before --help
    from matplotlib.figure import Figure

    from spectjax.tasks.hotspots.picture import Marked

_CATEGORY = (
    "category: the class of the outlines that the model learned from, not a diagnosis"
)
_RULE = (
    "8-connected regions of pixels whose most probable class is not background; score: "
    f"mean probability of the class over the region; {_CATEGORY}"
)
_SCORED_RULE = (
    "{what}, those of the smallest size and more whose score exceeds that of the "
    "operating point; score: probability that a region is a lesion, by a logistic "
    "regression on its features, measured on the patients of `operation.measured_on`; "
    f"max_probability: calibrated on the same; {_CATEGORY}"
)
_REGIONS = "8-connected regions of pixels whose most probable class is not background"


def describe_hotspots(
    views: Sequence[SeenView],
    model_info: ModelInfo,
    *,
    operation: Operation | None = None,
    operating_point: str | None = None,
) -> list[Finding]:
    """Returns the hotspots of each view.

    Masks are COCO's uncompressed run lengths (see `hotspots.encode_rle`). Areas in mm2
    are null when the file does not tell its pixel spacing.

    Args:
        views: with probabilities (H, W, K) of the whole canvas.
        model_info: where the model comes from.
        operation: what the model knows about its use. None: all regions are marked, as
            sure as their mean probability.
        operating_point: see `Operation.choose_point`.

    Raises:
        AnswerError: if the probabilities have the wrong shape or are not finite.
        OperationError: if there is no such operating point.
    """
    if operation is not None:
        return [
            describe_scored(view, model_info, operation, operating_point, _REGIONS)
            for view in views
        ]
    return [_describe_view(view, model_info) for view in views]


def _describe_view(view: SeenView, model_info: ModelInfo) -> Finding:
    hotspots = find_hotspots(view.answer, find_patient(view.thorax))
    entries = [_describe_hotspot(hotspot, view.thorax) for hotspot in hotspots]
    return report_hotspots(view, hotspots, entries, _RULE, model_info)


def describe_scored(
    view: SeenView,
    model_info: ModelInfo,
    operation: Operation,
    operating_point: str | None,
    what: str,
) -> Finding:
    """Returns the hotspots of a view that an operating point marks.

    Args:
        view: see `describe_hotspots`, or with `Instances` of one image.
        model_info: likewise.
        operation: likewise.
        operating_point: likewise.
        what: may be marked, a few words.
    """
    name, point = operation.choose_point(operating_point)
    thorax, valid = view.thorax, find_patient(view.thorax)
    spacing = thorax.scan.spacing_mm
    seen = (view.answer, thorax.counts, spacing, operation)
    regions = score_regions(*seen, valid=valid)
    selection = select_regions(regions, operation, point)
    operated = {
        "point": name,
        "score_above": point.score,
        "min_area_mm2": operation.min_area_mm2,
        "assumed_pixel_mm2": None if spacing else operation.assumed_pixel_mm2,
        "left_out": {
            "too_small": selection.too_small,
            "score_too_low": selection.not_sure,
        },
        "false_per_image": point.false_per_image,
        "sensitivity": point.sensitivity,
        "marked_without_lesion": point.marked_without_lesion,
        "measured_on": dict(operation.measured_on),
    }
    view_score = score_view(*seen, valid=valid, regions=regions)
    return report_hotspots(
        view,
        selection.marked,
        [_describe_region(region, thorax) for region in selection.marked],
        _SCORED_RULE.format(what=what),
        model_info,
        operated=operated,
        view_score=view_score,
        missed=sum(each.score for each in regions)
        - sum(each.score for each in selection.marked)
        if regions
        else view_score,
    )


def _describe_region(region: ScoredRegion, thorax: ThoraxImage) -> dict[str, Any]:
    """Returns the JSON entry of a region that has a score."""
    frame_box = thorax.transform.box_to_frame(region.box)
    return {
        "category": region.category,
        "finding": FINDING,
        "score": region.score,
        "max_probability": region.max_probability,
        "features": region.features,
        **measure_mask(region.mask, thorax),
        **locate(
            region.mask,
            thorax,
            box=region.box,
            frame_box=[round(side, 3) for side in frame_box],
        ),
    }


def _describe_hotspot(hotspot: Hotspot, thorax: ThoraxImage) -> dict[str, Any]:
    """Returns the JSON entry of one hotspot."""
    return {
        "category": hotspot.category,
        "finding": FINDING,
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
    """Returns a box and a mask on the thorax and in the whole body, for JSON.

    Where the whole frame was looked at, there is no thorax to tell of.
    """
    frame_mask = thorax.transform.undo(mask)
    there = {"whole_body": {"box": frame_box, "mask": encode_rle(frame_mask)}}
    if thorax.region == WHOLE_FRAME:
        return there
    return {"thorax": {"box": box, "mask": encode_rle(mask)}} | there


def report_hotspots(
    view: SeenView,
    hotspots: "Sequence[Marked]",
    entries: Sequence[dict[str, Any]],
    rule: str,
    model_info: ModelInfo,
    *,
    operated: Mapping[str, Any] | None = None,
    view_score: float | None = None,
    missed: float = 0.0,
) -> Finding:
    """Returns document, picture and summary of a view's hotspots.

    Args:
        view: what was seen.
        hotspots: by falling score.
        entries: what JSON says of each.
        rule: what a hotspot and its score are, one line.
        model_info: where the model comes from.
        operated: the operating point and what it leaves out; None: there is none.
        view_score: how sure the model is of the whole view; None: it does not say.
        missed: how many lesions it expects among what it does not mark.
    """
    wrong = sum(1 - each.score for each in hotspots)
    statement = state_finding(view, len(hotspots), model_info, operated)
    return Finding(
        document=describe_origin(view, model_info)
        | {
            "rule": rule,
            "finding": name_finding(model_info),
            "statement": statement,
            "crop_in_doubt": view.in_doubt,
            "operation": operated,
            "view_score": view_score,
            "expected_corrections": wrong + missed,
            "hotspots": entries,
            "disclaimer": DISCLAIMER,
        },
        draw=functools.partial(_draw, view, hotspots, entries, statement, model_info),
        summary=f"hotspots: {len(hotspots)}"
        + count_left_out(operated)
        + " (the crop is in doubt, this is no reading of the view)" * view.in_doubt,
        hotspots=tuple(
            MarkedHotspot(entry, view.thorax.transform.undo(hotspot.mask))
            for hotspot, entry in zip(hotspots, entries, strict=True)
        ),
    )


def _draw(
    view: SeenView,
    hotspots: "Sequence[Marked]",
    entries: Sequence[dict[str, Any]],
    statement: str,
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
        warnings=[statement, *list_warnings(view, model_info)],
    )
