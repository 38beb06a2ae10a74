"""Where an index is lost on the way from the true hotspots to those that are found.

The index is a sum over pixels: each marked one adds the mass of its region, over the
region's area and the number of views that show it. So what is missed, what is added and
what remains are told apart without a rest. H and W are rows and columns of a view.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.bones.index import LEAST_SHOWN
from spectjax.bones.regions import REGIONS
from spectjax.imaging.hotspots import number_regions
from spectjax.imaging.scan import View

Maps = Mapping[View, np.ndarray]


@dataclass(frozen=True)
class Lesion:
    """A metastasis as a view shows it.

    Attributes:
        mask: where it is, bool, (H, W).
        site: its bone.
        contrast: expected counts in the mask, over those without the metastases.
    """

    mask: np.ndarray
    site: str
    contrast: float


def weigh_pixels(regions: Maps, kinds: Collection[str] = ()) -> dict[View, np.ndarray]:
    """Returns what a marked pixel adds to the index, percent, (H, W), of each view.

    The index is of regions of some kinds, where kinds are named.
    """
    n = len(REGIONS) + 1
    areas = {view: np.bincount(each.ravel(), minlength=n) for view, each in
             regions.items()}  # fmt: skip
    largest = np.max(list(areas.values()), axis=0)
    shown = {view: area > LEAST_SHOWN * largest for view, area in areas.items()}
    views = np.sum(list(shown.values()), axis=0)
    counted = (r.percent if not kinds or r.kind in kinds else 0.0 for r in REGIONS)
    mass = np.array([0.0, *counted])
    weights = {}
    for view, each in regions.items():
        share = np.zeros(n)
        used = shown[view] & (mass > 0)
        share[used] = mass[used] / (areas[view][used] * views[used])
        weights[view] = share[each]
    return weights


def describe_losses(
    weights: Maps, lesions: Mapping[View, list[Lesion]], found: Maps
) -> dict[str, Any]:
    """Returns what becomes of the index of the true hotspots, in percent points.

    Args:
        weights: see `weigh_pixels`.
        lesions: the metastases of each view.
        found: the pixels that were marked, bool, (H, W), of each view.

    Returns:
        "true" and "found", the indices, and what leads from one to the other: "missed"
        (in lesions no pixel of which is marked), "too_small" (not marked of lesions
        that are), "too_large" (marked around these) and "false" (in marked regions that
        touch no lesion): found = true - missed - too_small + too_large + false.
        "lesions", each as a view shows it: its view, site, contrast, area in pixels,
        the index in it ("burden"; where lesions lie over each other it is divided
        among them), what of that was "lost", and whether it was "hit". "false_regions",
        how many of each view.
    """
    sums = dict.fromkeys(
        ("true", "found", "missed", "too_small", "too_large", "false"), 0.0
    )
    rows, false_regions = [], {}
    for view, weight in weights.items():
        marked, own = found[view], lesions[view]
        covering = np.sum([lesion.mask for lesion in own], axis=0, dtype=np.intp)
        covering = np.broadcast_to(covering, marked.shape)
        truth = covering > 0
        hit = np.zeros_like(marked)
        for lesion in own:
            share = weight[lesion.mask] / covering[lesion.mask]
            unmarked = ~marked[lesion.mask]
            is_hit = bool((~unmarked).any())
            if is_hit:
                hit |= lesion.mask
            rows.append(
                {
                    "view": view,
                    "site": lesion.site,
                    "contrast": lesion.contrast,
                    "pixels": int(lesion.mask.sum()),
                    "burden": float(share.sum()),
                    "lost": float(share[unmarked].sum()),
                    "hit": is_hit,
                }
            )
        numbers, count = number_regions(marked)
        real = np.zeros(count + 1, bool)
        real[numbers[truth & marked]] = True
        false = marked & ~real[numbers]
        sums["true"] += float(weight[truth].sum())
        sums["found"] += float(weight[marked].sum())
        sums["missed"] += float(weight[truth & ~hit].sum())
        sums["too_small"] += float(weight[truth & hit & ~marked].sum())
        sums["too_large"] += float(weight[marked & ~truth & ~false].sum())
        sums["false"] += float(weight[false].sum())
        false_regions[view] = int(count - real[1:].sum())
    return {**sums, "lesions": rows, "false_regions": false_regions}
