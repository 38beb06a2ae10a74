"""Stages 1 and 2 of [P2]: the noise around the body, and the rows of the body.

A frame has shape (H, W), head up; rows and columns are its pixels.
"""

from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when they are asked for: not before --help

from spectjax.system.messages import UserError

_SMOOTH_MM = 7.0  # a little more than the blur of the camera
_BLOCK = 8  # px
_PART_MM2 = 200  # a foot that stands alone; far more than a speck of noise
_MUCH_LONGER = 1.15  # than the largest region
# Fewer rows do not tell neck from shoulders; a camera gives a body some 700.
_LEAST_ROWS = 120
# Far above what any camera counts in a pixel, and sums of it are still float32.
_MOST_COUNTS = 1e12


class NoThoraxError(UserError):
    """An image lacks what a thorax is found by; the text says what was found."""


@dataclass(frozen=True)
class Body:
    """Where the patient is.

    Attributes:
        mask: (H, W) bool, the largest connected region above the background.
        smooth: (H, W) float32, counts smoothed over `_SMOOTH_MM`.
        blur_px: how far a count can reach by that.
        noise_threshold: thr_N of [P2] stage 1, the largest count outside the body.
        bright: the 90th percentile of `smooth` in the body.
        very_bright: the 97th percentile of `smooth` in the body.
        first_row: the top of the head.
        last_row: the row after the toes.
    """

    mask: np.ndarray
    smooth: np.ndarray
    blur_px: int
    noise_threshold: float
    bright: float
    very_bright: float
    first_row: int
    last_row: int

    @property
    def length(self) -> int:
        """Rows from head to toes."""
        return self.last_row - self.first_row


def find_body(counts: np.ndarray, pixel_mm: float) -> Body:
    """Stages 1 and 2: tells the body from the noise around it.

    [P2] sets every count below thr_N to 0. At the count levels of real scans (2 to 5
    in the body, thr_N 3 to 5) that would erase most of the skeleton, so thr_N is
    measured and reported, and noise is removed by place: all that is outside the body.
    """
    if min(counts.shape) < _BLOCK:
        raise NoThoraxError(f"a frame of {counts.shape[0]}x{counts.shape[1]} pixels")
    if not counts.max() <= _MOST_COUNTS:  # nor NaN
        raise NoThoraxError(f"{counts.max():g} counts in a pixel, more than can be")
    tall = _rows_of_anything(counts)
    smooth = np.zeros(counts.shape, np.float32)
    sigma = _SMOOTH_MM / pixel_mm
    scipy.ndimage.gaussian_filter(counts[tall], sigma, truncate=3, output=smooth[tall])
    # A tenth of bright tissue: far above the background (some 0.1 counts against 2 to 5
    # in the body) and below the thinnest limb.
    level = np.float32(
        0.1 * np.percentile(smooth[::2, ::2], _bright_percentile(counts))
    )
    bright = smooth[tall] > level
    if not bright.any():
        raise NoThoraxError("no count above the noise")
    mask = np.zeros(counts.shape, bool)
    mask[tall] = _take_body(bright, pixel_mm)
    rows = np.flatnonzero(mask.any(axis=1))
    if np.ptp(rows) < 0.3 * len(counts):
        raise NoThoraxError("no body that is longer than a third of the frame")
    if np.ptp(rows) + 1 < _LEAST_ROWS:
        raise NoThoraxError(
            f"a body of {np.ptp(rows) + 1} rows, at least {_LEAST_ROWS} are needed"
        )
    noise_threshold = float(counts.max(where=smooth < level / 4, initial=0))
    high, very_bright = np.percentile(smooth[::2, ::2][mask[::2, ::2]], (90, 97))
    return Body(
        mask,
        smooth,
        int(np.ceil(3 * sigma)),
        noise_threshold,
        float(high),
        float(very_bright),
        int(rows[0]),
        int(rows[-1]) + 1,
    )


def _take_body(bright: np.ndarray, pixel_mm: float) -> np.ndarray:
    """Returns which pixels of a mask (H, W) are the body: the largest region.

    Where soft tissue was windowed to 0, bones stand alone, knees and feet two by two:
    several regions that make the body much longer belong to it. A bag at the feet is
    one, and no part of it.
    """
    labels, _ = scipy.ndimage.label(bright)
    sizes = np.bincount(labels.ravel()) * pixel_mm**2
    sizes[0] = 0
    largest = int(sizes.argmax())
    parts = np.flatnonzero(sizes >= _PART_MM2)
    spans = scipy.ndimage.find_objects(labels)
    first, last = np.array(
        [(spans[i - 1][0].start, spans[i - 1][0].stop) for i in (largest, *parts)]
    ).T
    beyond = (first[1:] >= last[0]) | (last[1:] <= first[0])
    longer = last.max() - first.min() > _MUCH_LONGER * (last[0] - first[0])
    if longer and beyond.sum() > 1:
        return np.isin(labels, parts)
    return labels == largest


def _bright_percentile(counts: np.ndarray) -> float:
    """Returns above which percentile of a frame (H, W) bright tissue lies.

    A twentieth of a frame four times as high as wide; wider ones have empty sides.
    """
    height, width = counts.shape
    return 100 - min(5 * height / (4 * width), 10)


def _rows_of_anything(counts: np.ndarray) -> slice:
    """Returns the rows from the first to the last that hold more than background.

    A fifth of a frame need not be smoothed, which is what takes longest. The bar is
    half as high as the one for the body, and there are two blocks to spare.
    """
    height, width = (size - size % _BLOCK for size in counts.shape)
    blocks = counts[:height, :width].reshape(-1, _BLOCK, width).sum(axis=1)
    blocks = blocks.reshape(len(blocks), -1, _BLOCK).sum(axis=2)
    bright = (blocks > 0.05 * np.percentile(blocks, _bright_percentile(counts))).any(
        axis=1
    )
    rows = np.flatnonzero(bright) * _BLOCK
    if not rows.size:
        return slice(0, len(counts))
    return slice(max(0, int(rows[0]) - 2 * _BLOCK), int(rows[-1]) + 3 * _BLOCK)


def remove_noise(counts: np.ndarray, body: Body) -> np.ndarray:
    """Returns counts with everything outside the body set to 0."""
    return counts * body.mask


def find_centre(body: Body, rows: slice) -> float:
    """Returns the mean column of the counts in `rows`."""
    counts = body.smooth[rows].sum(axis=0)
    if not counts.any():
        raise NoThoraxError(f"no counts in rows {rows.start} to {rows.stop}")
    return float(np.average(np.arange(counts.size), weights=counts))


def columns_between(one: float, other: float, body: Body) -> slice:
    """Returns the columns between two positions, kept inside the frame."""
    low, high = sorted((one, other))
    first, end = max(0, round(low)), min(body.mask.shape[1], round(high) + 1)
    if first >= end:
        raise NoThoraxError(
            "a body cut by the frame's side: what should lie between columns "
            f"{low:.0f} and {high:.0f} is not in it"
        )
    return slice(first, end)
