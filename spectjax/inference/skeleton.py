"""Finds the bones in the views of an examination."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from spectjax.bones.agreement import find_disagreements
from spectjax.bones.atlas import Atlas, draw_atlas, read_atlas
from spectjax.bones.found import FoundBones
from spectjax.bones.lines import CRESTS_DIFFER, CRESTS_UNSEEN, find_lines
from spectjax.bones.regions import NAMES
from spectjax.imaging.scan import REGIONS, BoneScan, ScanError, View
from spectjax.imaging.thorax import ThoraxImage, crop_thorax
from spectjax.imaging.thorax.body import NoThoraxError
from spectjax.imaging.thorax.crop import measure_pixel
from spectjax.inference.engines import MissingPackageError
from spectjax.inference.skeleton_network import load_network, see_regions

# Says which region each pixel of each view belongs to, uint8, (H, W).
AskNetwork = Callable[[Mapping[View, BoneScan]], Mapping[View, np.ndarray]]


class SkeletonFinder(Protocol):
    """Whatever finds bones."""

    def find(self, scans: Mapping[View, BoneScan]) -> dict[View, FoundBones]:
        """Returns the bones of each view of one examination.

        Raises:
            ScanError: if a view is no whole body, or no thorax or no body is found.
        """


@dataclasses.dataclass(frozen=True)
class AtlasFinder:
    """Lays an atlas over each view, see `spectjax.bones.atlas`."""

    atlas: Atlas

    def find(self, scans: Mapping[View, BoneScan]) -> dict[View, FoundBones]:
        """Returns the bones of each view, see `SkeletonFinder`."""
        thoraxes = {view: _crop(scan) for view, scan in scans.items()}
        try:
            lines = find_lines(thoraxes)
        except NoThoraxError as error:
            paths = ", ".join(sorted({str(scan.path) for scan in scans.values()}))
            raise ScanError(
                f"{paths}: expected a body to lay the bones on, found {error}. Read it "
                "without bones."
            ) from error
        drawn = {
            view: draw_atlas(self.atlas, view, lines[view], scan.counts.shape)
            for view, scan in scans.items()
        }
        shown = np.unique(np.concatenate([np.unique(each) for each in drawn.values()]))
        unseen = [name for label, name in enumerate(NAMES, 1) if label not in shown]
        missing = dict.fromkeys(unseen, "not shown by the views at hand")
        return {
            view: FoundBones(
                drawn[view],
                {**missing, **lines[view].doubts, **_doubt_all(thoraxes[view])},
                "atlas",
            )
            for view in scans
        }


@dataclasses.dataclass(frozen=True)
class CheckedFinder:
    """Asks a network, and holds an atlas beside: where they disagree is in doubt.

    What the atlas doubts stays in doubt, but for iliac crests that the network sees
    where the atlas has them.
    """

    atlas: SkeletonFinder
    ask: AskNetwork

    def find(self, scans: Mapping[View, BoneScan]) -> dict[View, FoundBones]:
        """Returns the bones of each view, see `SkeletonFinder`."""
        laid, seen = self.atlas.find(scans), self.ask(scans)
        return {
            view: _check(laid[view], seen[view], scan) for view, scan in scans.items()
        }


def load_skeleton() -> SkeletonFinder:
    """Returns what finds bones: the network and the atlas that ship with the package.

    Raises:
        ModelFileError: if the network's files are not those that were shipped.
        MissingPackageError: if jax is not installed.
    """
    try:
        load_network()  # before the first scan is read
    except ImportError as error:
        raise MissingPackageError(
            "The network that finds bones needs packages that cannot be imported here "
            f"({error}). Install them: pip install . in the clone"
        ) from error
    return CheckedFinder(AtlasFinder(read_atlas()), see_regions)


def _check(laid: FoundBones, seen: np.ndarray, scan: BoneScan) -> FoundBones:
    """Returns what a network sees, with what it and the atlas leave in doubt."""
    apart = find_disagreements(laid.regions, seen, measure_pixel(scan), scan.view)
    doubts = {
        name: why
        for name, why in laid.flags.items()
        if name in apart or why not in (CRESTS_DIFFER, CRESTS_UNSEEN)
    }
    flags = {**apart, **doubts}
    return FoundBones(seen, flags, "network, checked by an atlas", laid.regions)


def _crop(scan: BoneScan) -> ThoraxImage:
    """Returns the thorax by which bones are found."""
    if scan.region != "whole_body":
        raise ScanError(
            f"{scan.path}: expected a whole body to find bones in, found a "
            f"{REGIONS[scan.region]} by a person's word. Read it without bones."
        )
    return crop_thorax(scan)


def _doubt_all(thorax: ThoraxImage) -> dict[str, str]:
    """Returns why every region of a view is in doubt; empty if they are not."""
    if thorax.flags:
        return dict.fromkeys(NAMES, "the crop that the bones are laid by is flagged")
    if thorax.scan.has_weak_view:
        return dict.fromkeys(NAMES, "weak evidence for the view: sides may be swapped")
    return {}
