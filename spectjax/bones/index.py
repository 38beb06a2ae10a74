"""How much of the skeleton hotspots cover: a planar index with stated constants.

As the Bone Scan Index of Imbriaco et al. (Clin Cancer Res 1998), the sum over regions
of the share that is involved times the region's share of the skeleton's mass; but the
share is one of projected area. It is no substitute for a volume, see docs/burden.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spectjax.bones.regions import REGIONS, THORAX
from spectjax.imaging.scan import View

# A view counts for a region if it shows at least this share of the area in the other.
LEAST_SHOWN = 1 / 3


@dataclass(frozen=True)
class Index:
    """A planar index, in percent of the skeleton's mass.

    Attributes:
        percent: of both views together; NaN if no region is shown.
        views: of each view alone, of the regions that count in it.
        regions: what each region adds to `percent`, by name; those that are shown.
        shares: the share of each region that is involved, in [0, 1], likewise.
        mass_percent: of the regions that are shown.
    """

    percent: float
    views: Mapping[View, float]
    regions: Mapping[str, float]
    shares: Mapping[str, float]
    mass_percent: float


def measure_index(
    regions: Mapping[View, np.ndarray],
    hotspots: Mapping[View, np.ndarray],
    kinds: Sequence[str] = (),
) -> Index:
    """Returns the planar index of an examination.

    The share of a region that is involved is the mean over the views that show it.

    Args:
        regions: which region each pixel belongs to, see `draw_regions`, uint8, (H, W),
            of each view.
        hotspots: which pixels are marked, bool, (H, W), of the same views.
        kinds: of the regions that count, such as `THORAX`; (): all.

    Raises:
        ValueError: if views or shapes differ.
    """
    if regions.keys() != hotspots.keys() or any(
        regions[view].shape != hotspots[view].shape for view in regions
    ):
        raise ValueError("Expected regions and hotspots of the same views and shapes.")
    n = len(REGIONS) + 1
    areas = {view: np.bincount(regions[view].ravel(), minlength=n) for view in regions}
    marked = {
        view: np.bincount(regions[view][hotspots[view]], minlength=n)
        for view in regions
    }
    views = dict.fromkeys(regions, 0.0)
    parts, shares, mass = {}, {}, 0.0
    for label, region in enumerate(REGIONS, 1):
        if kinds and region.kind not in kinds:
            continue
        largest = max((int(area[label]) for area in areas.values()), default=0)
        shown = [v for v in regions if areas[v][label] > LEAST_SHOWN * largest]
        if not shown:
            continue
        each = {view: marked[view][label] / areas[view][label] for view in shown}
        for view, share in each.items():
            views[view] += region.percent * share
        shares[region.name] = float(np.mean(list(each.values())))
        parts[region.name] = region.percent * shares[region.name]
        mass += region.percent
    total = sum(parts.values()) if parts else float("nan")
    return Index(total, views, parts, shares, mass)


def measure_thoracic_involvement(
    regions: Mapping[View, np.ndarray], hotspots: Mapping[View, np.ndarray]
) -> Index:
    """Returns the index of the bones of the thorax alone, see `measure_index`."""
    return measure_index(regions, hotspots, THORAX)
