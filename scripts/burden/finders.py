"""Who is asked for bones and for hotspots: what ships with the package, loaded once.

H and W are rows and columns of a view.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spectjax.bones.found import FoundBones
from spectjax.imaging.scan import BoneScan, View

if TYPE_CHECKING:  # jax takes seconds: not before --help
    from spectjax.bones.burden import Burden

Scans = Mapping[View, BoneScan]
Maps = dict[View, np.ndarray]
Findings = list[tuple[Any, Any]]  # of each view, as `add_bones` takes them
# Returns what is marked, bool, (H, W), of each view, and the findings behind it.
FindHotspots = Callable[[Scans], tuple[Maps, Findings]]
FindBones = Callable[[Scans], Mapping[View, FoundBones]]

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

    def find(scans: Scans) -> tuple[Maps, Findings]:
        seen = [show_to(model, scan, view) for view, scan in scans.items()]
        findings = describe(seen, model.info)
        marked = {
            view: join_masks(finding, scans[view])
            for view, finding in zip(scans, findings, strict=True)
        }
        return marked, list(zip(seen, findings, strict=True))

    return find


def load_bones() -> FindBones:
    """Returns the finder of the skeleton that ships."""
    from spectjax.inference.skeleton import load_skeleton

    return load_skeleton().find


def join_masks(finding: Any, scan: BoneScan) -> np.ndarray:
    """Returns the pixels of all hotspots of a view, bool, (H, W) of its frame."""
    marked = np.zeros(scan.counts.shape, bool)
    for hotspot in finding.hotspots:
        marked |= hotspot.mask
    return marked


class _Known(NamedTuple):
    """A finder of bones that were found already."""

    found: Mapping[View, FoundBones]

    def find(self, scans: Scans) -> dict[View, FoundBones]:
        """Returns them."""
        return {view: self.found[view] for view in scans}


def tell_index(findings: Findings, found: Mapping[View, FoundBones]) -> "Burden":
    """Returns the index that `python -m spectjax.predict` tells, or why it does not."""
    from spectjax.imaging.problems import Problems
    from spectjax.inference.bones import add_bones

    problems = Problems(Path())
    _, burden = add_bones(findings, _Known(found), problems)
    assert not problems.unexpected  # a bug, of which a line was printed
    return burden


LOADERS: dict[str, Callable[[], Any]] = {
    BONES: load_bones,
    CROP: load_crop,
    WHOLE: load_whole,
}


@functools.cache
def load(name: str) -> Any:
    """Returns one of `LOADERS`'s, made once in a process."""
    return LOADERS[name]()
