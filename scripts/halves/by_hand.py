"""Features made by hand that rank chests by their hottest spot: what to beat.

Height and width of an image are H and W.
"""

import numpy as np

from spectjax.tasks.hotspots.spots import measure_spots


def measure_highest_pixel(counts: np.ndarray) -> float:
    """Returns the highest pixel over the median of those with counts, (H, W)."""
    values = counts[counts > 0]
    return float(values.max() / np.median(values)) if values.size else 0.0


def measure_spot(counts: np.ndarray) -> float:
    """Returns how far a spot of a lesion's size stands out of what lies around it.

    Highest ratio of two Gaussian means away from the rim of the body, see
    `spectjax.tasks.hotspots.spots`; 0 if nothing is.

    Args:
        counts: (H, W).
    """
    spots = measure_spots(counts)
    known = spots[np.isfinite(spots)]
    return float(np.exp(known.max())) if known.size else 0.0


FEATURES = {
    "highest pixel over median": measure_highest_pixel,
    "spot over its surroundings": measure_spot,
}
