"""The bones of an examination: where its hotspots lie, and how much is marked."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spectjax.bones.burden import Burden, BurdenView, group_doubts, measure_burden
from spectjax.bones.found import FoundBones
from spectjax.bones.places import place_hotspot
from spectjax.bones.regions import REGIONS
from spectjax.bones.repeatability import Extent, read_repeatability
from spectjax.imaging.canvas import WHOLE_FRAME
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import REGIONS as BODY_PARTS
from spectjax.imaging.scan import BoneScan, ScanError, View
from spectjax.inference.skeleton import SkeletonFinder
from spectjax.system.messages import UserError, make_printable
from spectjax.tasks import TASKS
from spectjax.tasks.views import Finding, SeenView

_Found = list[tuple[SeenView, Finding]]


def check_marking(task: str) -> None:
    """Checks that the models of a task mark hotspots.

    Raises:
        UserError: if they do not.
    """
    if TASKS[task].answer == "image":
        raise UserError(
            f"--bones: expected a model that marks hotspots, found one for {task}, "
            "which has none to place. Leave --bones out."
        )


def add_bones(
    findings: _Found, skeleton: SkeletonFinder, problems: Problems
) -> tuple[_Found, Burden]:
    """Returns what is said of an examination's views with bones, and the index of all.

    Args:
        findings: of each view; at least one.
        skeleton: finds the bones.
        problems: receives a bug that keeps them from being found.
    """
    bones = _find_bones([view.thorax.scan for view, _ in findings], skeleton, problems)
    placed = [
        (view, _place(view.thorax.scan, finding, found))
        for (view, finding), found in zip(findings, bones, strict=True)
    ]
    extent = tell_extent([view for view, _ in findings])
    burden = measure_burden(
        [
            _show(view, finding, found)
            for (view, finding), found in zip(placed, bones, strict=True)
        ],
        extent,
        read_repeatability(extent),
    )
    index = burden.to_json()
    for _, finding in placed:
        finding.document["index"] = index
    return placed, burden


def tell_extent(views: Sequence[SeenView]) -> Extent:
    """Returns which part of the body the model looked at in all views."""
    whole = all(view.thorax.region == WHOLE_FRAME for view in views)
    return "whole body" if whole else "thorax"


def _find_bones(
    scans: Sequence[BoneScan], skeleton: SkeletonFinder, problems: Problems
) -> list[FoundBones | str]:
    """Returns the bones of each view, or why there are none, a sentence."""
    bones: list[FoundBones | str] = [
        f"the image is a {BODY_PARTS[scan.region]}, and bones are found in whole bodies"
        for scan in scans
    ]
    asked = [i for i, scan in enumerate(scans) if scan.region == "whole_body"]
    views = [scans[i].view for i in asked]
    # Of two anterior views nothing tells which the posterior one belongs to.
    groups = [asked] if len(set(views)) == len(views) else [[i] for i in asked]
    for group in filter(None, groups):
        found = _ask(skeleton, {scans[i].view: scans[i] for i in group}, problems)
        for i in group:
            if isinstance(found, str):
                bones[i] = found
            else:
                bones[i] = found.get(scans[i].view, "nothing in it could be told")
    return bones


def _ask(
    skeleton: SkeletonFinder, scans: Mapping[View, BoneScan], problems: Problems
) -> Mapping[View, FoundBones] | str:
    """Returns the bones of views, or why there are none."""
    path = next(iter(scans.values())).path
    with problems.passing_over(path):
        try:
            return skeleton.find(scans)
        except ScanError as error:
            return make_printable(str(error).removeprefix(f"{path}: ").rstrip("."))
    return "an unexpected error, a bug of spectjax"


def _place(scan: BoneScan, finding: Finding, found: FoundBones | str) -> Finding:
    """Returns what is said of a view, and in which bone each hotspot lies."""
    hotspots = finding.hotspots or ()
    if isinstance(found, str):
        entries: list[Mapping[str, Any]] = [
            {**each.entry, "bone": None} for each in hotspots
        ]
        said: dict[str, Any] = {"source": None, "not_found": found, "regions": None}
        document = _add(
            finding.document, entries, said, f"No bones were found: {found}."
        )
        return dataclasses.replace(finding, document=document)
    placed = []
    marked = _join_masks(finding, scan)
    for each in hotspots:
        place = place_hotspot(each.mask, found, scan.counts, scan.spacing_mm, marked)
        entry = {**each.entry, "bone": place.to_json()}
        placed.append(dataclasses.replace(each, entry=entry, place=place))
    said = {
        "source": found.source,
        "not_found": None,
        "regions": _list_regions(found, scan.spacing_mm),
    }
    doubts = "; ".join(
        f"{', '.join(names)} ({why})"
        for why, names in group_doubts(found.flags).items()
    )
    warning = f"Bones in doubt: {doubts}." if doubts else ""
    entries = [each.entry for each in placed]
    return dataclasses.replace(
        finding,
        document=_add(finding.document, entries, said, warning),
        hotspots=tuple(placed),
        bones=found,
    )


def _join_masks(finding: Finding, scan: BoneScan) -> np.ndarray:
    """Returns the pixels of all hotspots of a view, bool, (H, W)."""
    marked = np.zeros(scan.counts.shape, bool)
    for each in finding.hotspots or ():
        marked |= each.mask
    return marked


def _add(
    document: Mapping[str, Any], hotspots: Sequence[Any], bones: Any, warning: str
) -> dict[str, Any]:
    """Returns a view's document with what is said of its bones."""
    warnings = [*document["warnings"], *([warning] if warning else [])]
    said = {"warnings": warnings, "hotspots": hotspots, "bones": bones}
    return {**document, **said}


def _list_regions(
    found: FoundBones, spacing_mm: tuple[float, float] | None
) -> dict[str, Any]:
    """Returns the regions that a view shows, or that are in doubt, for JSON."""
    areas = np.bincount(found.regions.ravel(), minlength=len(REGIONS) + 1).tolist()
    return {
        region.name: {
            "area_px": area,
            "area_mm2": area * spacing_mm[0] * spacing_mm[1] if spacing_mm else None,
            "in_doubt": found.flags.get(region.name),
        }
        for region, area in zip(REGIONS, areas[1:], strict=True)
        if area or region.name in found.flags
    }


def _show(view: SeenView, finding: Finding, found: FoundBones | str) -> BurdenView:
    """Returns a view as an index needs it."""
    thorax, scan = view.thorax, view.thorax.scan
    return BurdenView(
        view=scan.view,
        bones=None if isinstance(found, str) else found,
        not_found=found if isinstance(found, str) else "",
        hotspots=_join_masks(finding, scan),
        read=view.seen,
        counts=float(scan.counts.sum(dtype=np.float64)) if scan.shows_counts else None,
        crop_doubts=thorax.flags,
        view_doubt=scan.view_evidence if scan.has_weak_view else "",
    )
