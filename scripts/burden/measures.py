"""What is measured of one scan of a simulated patient: indices, doubts and losses."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from scripts.burden.examinations import TrueScan
from scripts.burden.finders import BONES, CROP, load, tell_index
from scripts.burden.losses import describe_losses, weigh_pixels
from spectjax.bones.burden import Burden
from spectjax.bones.found import FoundBones
from spectjax.bones.index import Index, measure_index
from spectjax.bones.regions import THORAX
from spectjax.bones.repeatability import Extent
from spectjax.imaging.scan import ScanError, View

KINDS: dict[Extent, tuple[str, ...]] = {"whole body": (), "thorax": THORAX}
TRUE, READERS, TOLD = "true", "readers", "told"


def measure_examination(exam: TrueScan, asked: Collection[str]) -> dict[str, Any]:
    """Returns what is told of a scan by those who are asked, for JSON.

    Args:
        exam: the scan.
        asked: names of `finders.LOADERS`.

    Returns:
        Its name and counts; the true index by volume; "indices" by who found the
        hotspots and the bones ("true/true"; "told" is what the product tells), and by
        extent, None where nothing is known; who found the bones ("bones_by"), which of
        them are in "doubts"; for which rules an index is "withheld"; "losses" by who
        found the hotspots, with true bones, see `describe_losses`, in the crop those of
        the thorax; and "refused", why somebody found nothing.
    """
    bones: dict[str, Mapping[View, np.ndarray]] = {TRUE: exam.regions}
    hotspots: dict[str, Mapping[View, np.ndarray]] = {TRUE: exam.hotspots}
    if exam.outlined is not None:
        hotspots[READERS] = exam.outlined
    found: Mapping[View, FoundBones] = {}
    told: dict[str, Burden] = {}
    refused: dict[str, str] = {}
    # Bones first: what is told of hotspots needs them.
    for name in sorted(asked, key=lambda name: name != BONES):
        try:
            answer = load(name)(exam.scans)
        except ScanError as error:
            refused[name] = str(error)
            continue
        if name == BONES:
            found = answer
            bones[name] = {view: each.regions for view, each in found.items()}
        else:
            hotspots[name], findings = answer
            if found:
                told[name] = tell_index(findings, found)
    indices: dict[str, dict[str, Any]] = {
        f"{who}/{where}": {
            extent: _describe(measure_index(bones[where], hotspots[who], kinds))
            for extent, kinds in KINDS.items()
            if extent == "thorax" or who != CROP
        }
        for who in hotspots
        for where in bones
    }
    for who, burden in told.items():
        percent = None if burden.index is None else burden.index.percent
        indices[f"{who}/{TOLD}"] = {burden.extent: {"percent": percent}}
    return {
        "name": exam.name,
        "counts": {v: float(s.counts.sum()) for v, s in exam.scans.items()},
        "spacing_mm": next(iter(exam.scans.values())).spacing_mm,
        "volume": exam.volume,
        "indices": indices,
        "bones_by": sorted({each.source for each in found.values()}),
        "doubts": [f"{v}: {name}" for v, each in found.items() for name in each.flags],
        "withheld": {
            who: sorted({reason.code for reason in burden.reasons})
            for who, burden in told.items()
        },
        "losses": {
            name: describe_losses(
                weigh_pixels(exam.regions, THORAX if name == CROP else ()),
                exam.lesions,
                marked,
            )
            for name, marked in hotspots.items()
            if name != TRUE
        },
        "refused": refused,
    }


def _describe(index: Index) -> dict[str, float | None]:
    """Returns an index, and those of the single views; None if no bone is shown."""
    values = {"percent": index.percent, **{str(v): x for v, x in index.views.items()}}
    return {k: x if np.isfinite(index.percent) else None for k, x in values.items()}
