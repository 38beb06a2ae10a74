"""STAND-IN until part atlas is merged."""

from collections.abc import Mapping
from typing import Protocol

from spectjax.bones.found import FoundBones
from spectjax.imaging.scan import BoneScan, View


class SkeletonFinder(Protocol):
    """Finds bones."""

    def find(self, scans: Mapping[View, BoneScan]) -> dict[View, FoundBones]:
        """Returns the bones of each view."""


def load_skeleton() -> SkeletonFinder:
    """Returns what finds bones."""
    raise NotImplementedError
