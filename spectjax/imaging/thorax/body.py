"""Stages 1 and 2 of [P2]: the noise around the body, and the rows of the body.

A frame has shape (H, W), head up; rows and columns are its pixels.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_SMOOTH_MM = 7.0  # a little more than the blur of the camera


@dataclass(frozen=True)
class Body:
    """Where the patient is.

    Attributes:
        mask: (H, W) bool, the largest connected region above the background.
        smooth: (H, W) float32, counts smoothed over `_SMOOTH_MM`.
        noise_threshold: thr_N of [P2] stage 1, the largest count outside the body.
        first_row: the top of the head.
        last_row: the row after the toes.
    """

    mask: np.ndarray
    smooth: np.ndarray
    noise_threshold: float
    first_row: int
    last_row: int


def find_body(counts: np.ndarray, pixel_mm: float) -> Body:
    """Stages 1 and 2: tells the body from the noise around it.

    [P2] sets every count below thr_N to 0. At the count levels of real scans (2 to 5
    in the body, thr_N 3 to 5) that would erase most of the skeleton, so thr_N is
    measured and reported, and noise is removed by place: all that is outside the body.

    Raises:
        ValueError: if nothing in the image is as long as a body.
    """
    smooth = ndimage.gaussian_filter(counts, _SMOOTH_MM / pixel_mm, truncate=3)
    # A tenth of bright tissue: far above the background (some 0.1 counts against 2 to 5
    # in the body) and below the thinnest limb.
    level = 0.1 * np.percentile(smooth, 95)
    labels, _ = ndimage.label(smooth > level)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    mask = labels == sizes.argmax()
    rows = np.flatnonzero(mask.any(axis=1))
    if sizes.max() == 0 or np.ptp(rows) < 0.3 * len(counts):
        raise ValueError("no body that is longer than a third of the frame")
    outside = smooth < level / 4
    noise_threshold = float(counts[outside].max()) if outside.any() else 0.0
    return Body(mask, smooth, noise_threshold, int(rows[0]), int(rows[-1]) + 1)


def remove_noise(counts: np.ndarray, body: Body) -> np.ndarray:
    """Returns counts with everything outside the body set to 0."""
    return np.where(body.mask, counts, 0)
