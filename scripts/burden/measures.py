"""What is measured of one scan of a simulated patient: indices, doubts and losses."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from scripts.burden.examinations import TrueScan
from scripts.burden.finders import BONES, CROP, load
from scripts.burden.losses import describe_losses, weigh_pixels
from spectjax.bones.index import Index, measure_index
from spectjax.bones.regions import THORAX
from spectjax.bones.repeatability import Extent
from spectjax.imaging.scan import ScanError, View

KINDS: dict[Extent, tuple[str, ...]] = {"whole body": (), "thorax": THORAX}
TRUE, READERS = "true", "readers"


def measure_examination(exam: TrueScan, asked: Collection[str]) -> dict[str, Any]:
    """Returns what is told of a scan by those who are asked, for JSON.

    Args:
        exam: the scan.
        asked: names of `finders.LOADERS`.

    Returns:
        Its name and counts; the true index by volume; "indices" by who found the
        hotspots and the bones ("true/true"), and by extent, None where nothing was
        found; which regions are in "doubt"; "losses" by who found the hotspots, with
        true bones, see `describe_losses`; and "refused", why somebody found nothing.
    """
    bones: dict[str, Mapping[View, np.ndarray]] = {TRUE: exam.regions}
    hotspots: dict[str, Mapping[View, np.ndarray]] = {
        TRUE: exam.hotspots,
        READERS: exam.outlined,
    }
    doubts: list[str] = []
    refused: dict[str, str] = {}
    for name in asked:
        try:
            found = load(name)(exam.scans)
        except ScanError as error:
            refused[name] = str(error)
            continue
        if name == BONES:
            bones[name], doubts = found
        else:
            hotspots[name] = found
    weights = weigh_pixels(exam.regions)
    return {
        "name": exam.name,
        "counts": {v: float(s.counts.sum()) for v, s in exam.scans.items()},
        "spacing_mm": next(iter(exam.scans.values())).spacing_mm,
        "volume": exam.volume,
        "indices": {
            f"{who}/{where}": {
                extent: _describe(measure_index(bones[where], hotspots[who], kinds))
                for extent, kinds in KINDS.items()
                if extent == "thorax" or who != CROP
            }
            for who in hotspots
            for where in bones
        },
        "doubts": doubts,
        "losses": {
            name: describe_losses(weights, exam.lesions, marked)
            for name, marked in hotspots.items()
            if name not in (TRUE, CROP)
        },
        "refused": refused,
    }


def _describe(index: Index) -> dict[str, float | None]:
    """Returns an index, and those of the single views; None if no bone is shown."""
    values = {"percent": index.percent, **{str(v): x for v, x in index.views.items()}}
    return {k: x if np.isfinite(index.percent) else None for k, x in values.items()}
