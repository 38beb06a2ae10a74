"""Whether two ways to find bones agree on where each region lies.

Two thin bones that lie a pixel apart overlap little, and two large ones a vertebra
apart much. So it is asked how much of a region, as either sees it, lies near to where
the other does.
"""

import numpy as np
from scipy import ndimage

from spectjax.bones.regions import REGIONS
from spectjax.imaging.scan import View

NEAR_MM = 10.0  # half of what a camera blurs
# The least share that is near, on the worse side. Of 40 simulated patients that the
# atlas does not know, 1 in 50 or fewer regions lie so far off; clavicles do from behind
# where they hide, forearms where hands do not lie beside the body.
_LEAST = 0.75
_LEAST_OF = {
    ("cervical spine", "anterior"): 0.6,
    ("clavicle", "anterior"): 0.5,
    ("clavicle", "posterior"): 0.3,
    ("forearm and hand", "anterior"): 0.3,
    ("forearm and hand", "posterior"): 0.3,
}
# What one of them alone sees of a bone behind others is no disagreement.
_SLIVER_MM2 = 300.0
WHY = "atlas and network see it in different places"


def find_disagreements(
    one: np.ndarray, other: np.ndarray, pixel_mm: float, view: View
) -> dict[str, str]:
    """Returns the regions on which two maps (H, W) of a view disagree, and why."""
    nearness = measure_nearness(one, other, pixel_mm)
    return {
        region.name: WHY
        for region in REGIONS
        if nearness[region.name] < _LEAST_OF.get((region.kind, view), _LEAST)
    }


def measure_nearness(
    one: np.ndarray, other: np.ndarray, pixel_mm: float
) -> dict[str, float]:
    """Returns how much of each region of two maps (H, W) is near, on the worse side."""
    return {
        region.name: _measure(one == label, other == label, pixel_mm)
        for label, region in enumerate(REGIONS, 1)
    }


def _measure(one: np.ndarray, other: np.ndarray, pixel_mm: float) -> float:
    """Returns the share of one mask near the other, or of the other near the one."""
    either = one | other
    if either.sum() * pixel_mm**2 < _SLIVER_MM2:
        return 1.0
    if not (one.any() and other.any()):
        return 0.0
    box = ndimage.find_objects(either.astype(np.uint8))[0]
    one, other, near = one[box], other[box], NEAR_MM / pixel_mm
    return min(
        float((ndimage.distance_transform_edt(~there)[here] <= near).mean())
        for here, there in ((one, other), (other, one))
    )
