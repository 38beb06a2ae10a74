"""Who is asked for bones and for hotspots: what ships with the package, loaded once.

H and W are rows and columns of a view.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from spectjax.imaging.scan import BoneScan, View

Scans = Mapping[View, BoneScan]
Maps = dict[View, np.ndarray]
# Returns what is marked, bool, (H, W), of each view.
FindHotspots = Callable[[Scans], Maps]
# Returns the regions of each view, uint8, (H, W), and which of them are in doubt.
FindBones = Callable[[Scans], tuple[Maps, list[str]]]

BONES, CROP, WHOLE = "bones", "crop", "whole"


def load_crop() -> FindHotspots:
    """Returns the model of the thorax that ships, at its operating point."""
    return _load_model(whole_body=False)


def load_whole() -> FindHotspots:
    """Returns the model of whole bodies that ships, likewise."""
    return _load_model(whole_body=True)


def _load_model(*, whole_body: bool) -> FindHotspots:
    from spectjax.inference.asking import choose_describe, show_to
    from spectjax.inference.runtimes import find_model

    model = find_model(workdirs=(), file=None, runtime=None, whole_body=whole_body)()
    describe = choose_describe(model, None, None)

    def find(scans: Scans) -> Maps:
        marked = {}
        for view, scan in scans.items():
            (finding,) = describe([show_to(model, scan, view)], model.info)
            marked[view] = join_masks(finding, scan)
        return marked

    return find


def load_bones() -> FindBones:
    """Returns the finder of the skeleton that ships."""
    from spectjax.inference.skeleton import load_skeleton

    skeleton = load_skeleton()

    def find(scans: Scans) -> tuple[Maps, list[str]]:
        found = skeleton.find(scans)
        doubts = [f"{view}: {name}" for view in found for name in found[view].flags]
        return {view: found[view].regions for view in scans}, doubts

    return find


def join_masks(finding: Any, scan: BoneScan) -> np.ndarray:
    """Returns the pixels of all hotspots of a view, bool, (H, W) of its frame."""
    marked = np.zeros(scan.counts.shape, bool)
    for hotspot in finding.hotspots:
        marked |= hotspot.mask
    return marked


LOADERS: dict[str, Callable[[], Any]] = {
    BONES: load_bones,
    CROP: load_crop,
    WHOLE: load_whole,
}


@functools.cache
def load(name: str) -> Any:
    """Returns one of `LOADERS`'s, made once in a process."""
    return LOADERS[name]()
