"""A sheet: both views of an examination side by side, as the skeleton's network sees.

The left half is the anterior view, the right half the posterior one mirrored into the
anterior's frame, so that a bone lies at about the same place in both. Each half is a
canvas whose pixel follows the length of the body. A view that is missing leaves its
half empty.

Letters: H rows and W columns of a frame, h rows and w columns of a canvas, K classes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy  # its parts load when they are asked for: not before --help

from spectjax.imaging.canvas import SHEET_HW
from spectjax.imaging.scan import View
from spectjax.imaging.thorax.network import Window, draw_canvas, place_window

CANVAS_HW = (SHEET_HW[0], SHEET_HW[1] // 2)
VIEWS: tuple[View, View] = ("anterior", "posterior")  # of the halves
UNKNOWN = 255  # in a mask: nothing is said of this pixel
WHITE = 255  # the brightest grey


class Sheet(NamedTuple):
    """Both views of an examination, or one.

    Attributes:
        image: grey from 0 to `WHITE`, uint16, (h, 2 w).
        windows: where the canvas of each view that is there lies in its frame, which is
            mirrored for the posterior view, see `place_window`.
    """

    image: np.ndarray
    windows: Mapping[View, Window]


def draw_sheet(counts: Mapping[View, np.ndarray]) -> Sheet:
    """Returns the sheet of an examination.

    Args:
        counts: counts or grey levels of each view as recorded, (H, W). Views may differ
            in size. One in which nothing is brighter than the background is left out.
    """
    image, windows = np.zeros(SHEET_HW, np.uint16), {}
    for view in counts:
        frame = flip(counts[view], view)
        window = place_window(frame, CANVAS_HW)
        if window is not None:
            grey = WHITE * draw_canvas(frame, window, CANVAS_HW)
            find_half(image, view)[:] = np.rint(grey)
            windows[view] = window
    return Sheet(image, windows)


def draw_mask(
    regions: Mapping[View, np.ndarray], windows: Mapping[View, Window]
) -> np.ndarray:
    """Returns maps of regions on the sheet, uint8, (h, 2 w).

    `UNKNOWN` is the half of a view without a map, see `spectjax.bones.regions`. What
    lies outside of a frame belongs to no region.
    """
    mask = np.full(SHEET_HW, UNKNOWN, np.uint8)
    for view in regions.keys() & windows.keys():
        frame, (step, *corner) = flip(regions[view], view), windows[view]
        places = [
            np.floor(first + (np.arange(n) + 0.5) * step).astype(int)
            for first, n in zip(corner, CANVAS_HW, strict=True)
        ]
        clipped = [p.clip(0, n - 1) for p, n in zip(places, frame.shape, strict=True)]
        inside = [p == c for p, c in zip(places, clipped, strict=True)]
        shown = np.where(np.logical_and.outer(*inside), frame[np.ix_(*clipped)], 0)
        find_half(mask, view)[:] = shown
    return mask


def carry_back(
    probs: np.ndarray, window: Window, view: View, frame_hw: tuple[int, int]
) -> np.ndarray:
    """Returns what is said of a view's half on the view's own pixels.

    Args:
        probs: probabilities of the classes, float32, (h, 2 w, K); class 0 is none.
        window: of the view.
        view: which half.
        frame_hw: (H, W) of the view.

    Returns:
        (H, W, K) float32, interpolated linearly; outside of the canvas class 0 is sure.
    """
    half, (step, *corner) = find_half(probs, view), window
    rows, columns = (
        _interpolate(n, first, step, size)
        for n, first, size in zip(CANVAS_HW, corner, frame_hw, strict=True)
    )
    (h, w), k = CANVAS_HW, probs.shape[-1]
    down = (rows @ half.reshape(h, w * k)).reshape(-1, w, k)
    across = columns @ down.transpose(1, 0, 2).reshape(w, -1)
    found = across.reshape(frame_hw[1], frame_hw[0], k).transpose(1, 0, 2)
    found[..., 0] += 1 - found.sum(axis=-1)
    return flip(found, view)


def flip(frame: np.ndarray, view: View) -> np.ndarray:
    """Returns a view (H, W, ...) in the anterior's frame, or from there: the same."""
    return frame[:, ::-1] if view == "posterior" else frame


def find_half(sheet: np.ndarray, view: View) -> np.ndarray:
    """Returns the half of a sheet (h, 2 w, ...) that is a view's; a numpy view."""
    w = CANVAS_HW[1]
    return sheet[:, :w] if view == "anterior" else sheet[:, w:]


def _interpolate(
    n: int, first: float, step: float, size: int
) -> "scipy.sparse.csr_array":
    """Returns the weights of `n` canvas pixels in each of `size` frame pixels.

    Those beyond the canvas have none; those in the outer half of its border pixels all
    of that pixel's.
    """
    places = (np.arange(size) + 0.5 - first) / step - 0.5
    inside = np.flatnonzero((places >= -0.5) & (places <= n - 0.5))
    within = places[inside].clip(0, n - 1)
    low = np.minimum(within.astype(int), n - 2)
    share = (within - low).astype(np.float32)
    return scipy.sparse.csr_array(
        (
            np.concatenate([1 - share, share]),
            (np.tile(inside, 2), np.concatenate([low, low + 1])),
        ),
        shape=(size, n),
    )
