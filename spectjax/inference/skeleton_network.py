"""Asks the network that ships with the package which bones a scan shows.

H and W are rows and columns of a view, K classes.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple, cast

import numpy as np
import scipy  # its parts load when they are asked for: not before --help

from spectjax.bones.regions import NAMES
from spectjax.bones.sheet import Sheet, carry_back, draw_sheet, find_half
from spectjax.imaging.scan import BoneScan, View
from spectjax.inference import ready
from spectjax.inference.trained import TrainedModel

FOLDER = ready.FOLDER / "skeleton"
_FLECK = 0.05  # of the largest part of a region: what is smaller is none of it


class SeenRegions(NamedTuple):
    """What the network says of a view.

    Attributes:
        regions: labels as of `spectjax.bones.regions`, uint8, (H, W).
        sureness: of each region that it finds, by name, the mean probability of its
            pixels.
    """

    regions: np.ndarray
    sureness: Mapping[str, float]


@functools.cache
def load_network() -> TrainedModel:
    """Returns the network; read and compiled once.

    Raises:
        ModelFileError: if its files are not those that were shipped.
        ImportError: if jax is not installed.
    """
    return ready.load_ready(FOLDER)


def ask_skeleton(
    scans: Mapping[View, BoneScan], network: TrainedModel | None = None
) -> dict[View, SeenRegions]:
    """Returns the regions of each view of one examination.

    A view in which nothing is brighter than the background has none.

    Args:
        scans: one view, or both; each may have a size of its own.
        network: what is asked; None: what ships.
    """
    sheet = draw_sheet({view: scan.counts for view, scan in scans.items()})
    answers = _ask(network or load_network(), sheet)
    seen = {}
    for view, scan in scans.items():
        frame_hw = (scan.counts.shape[0], scan.counts.shape[1])
        regions, best = np.zeros(frame_hw, np.uint8), np.zeros(frame_hw, np.float32)
        if view in sheet.windows:
            window = sheet.windows[view]
            probs = carry_back(answers[view], window, view, frame_hw)
            regions = _drop_flecks(probs.argmax(axis=-1).astype(np.uint8))
            best = probs.max(axis=-1)
        areas = np.bincount(regions.ravel(), minlength=len(NAMES) + 1)
        sums = np.bincount(regions.ravel(), best.ravel(), len(NAMES) + 1)
        sureness = {
            name: float(sums[label] / areas[label])
            for label, name in enumerate(NAMES, 1)
            if areas[label]
        }
        seen[view] = SeenRegions(regions, sureness)
    return seen


def see_regions(scans: Mapping[View, BoneScan]) -> dict[View, np.ndarray]:
    """Returns the regions of each view alone, what `CheckedFinder` wants of a network.

    See `ask_skeleton`.
    """
    return {view: seen.regions for view, seen in ask_skeleton(scans).items()}


def _drop_flecks(regions: np.ndarray) -> np.ndarray:
    """Returns a map (H, W) whose regions have no parts far smaller than the largest."""
    parts, _ = scipy.ndimage.label(regions > 0, np.ones((3, 3)))
    for label in range(1, len(NAMES) + 1):
        own = regions == label
        areas = np.bincount(parts[own], minlength=2)
        small = np.flatnonzero(areas < _FLECK * areas.max())
        regions[own & np.isin(parts, small)] = 0
    return regions


def _ask(network: TrainedModel, sheet: Sheet) -> dict[View, np.ndarray]:
    """Returns the probabilities of a sheet, (h, 2 w, K), for each view that it shows.

    Each view is asked about together with the other and alone, and the mean taken: what
    shines beside a body in one of them moves the two canvases against each other.
    """

    def ask(image: np.ndarray) -> np.ndarray:
        return cast(np.ndarray, network.predict(image[None, ..., None]))[0]

    alone = {}
    for view in sheet.windows:
        image = np.zeros_like(sheet.image)
        find_half(image, view)[:] = find_half(sheet.image, view)
        alone[view] = ask(image)
    if len(alone) == 1:
        return alone
    together = ask(sheet.image) if alone else None
    return {view: (together + answer) / 2 for view, answer in alone.items()}
