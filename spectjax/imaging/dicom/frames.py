"""Which frames of a whole-body file make up the scan.

Energy Window Vector and Detector Vector tell for each frame where it comes from (DICOM
PS3.3 C.8.4.8). Their values count from 1; frames count from 0.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from pydicom.dataset import Dataset

from spectjax.imaging.scan import UnreadableFileError

PHOTOPEAK_KEV = 140.5  # of technetium-99m


class _Source(NamedTuple):
    """What a vector counts: attributes with its number and with an item for each."""

    number: str
    items: str


_SOURCES = {
    "EnergyWindowVector": _Source(
        "NumberOfEnergyWindows", "EnergyWindowInformationSequence"
    ),
    "DetectorVector": _Source("NumberOfDetectors", "DetectorInformationSequence"),
}


def choose_frames(dataset: Dataset) -> tuple[list[tuple[int, int]], str | None]:
    """Returns the frames of the primary energy window, one for each detector.

    The primary window is the first whose stated range holds 140.5 keV; if none states
    it, the first window.

    Returns:
        One or two pairs (frame, detector); and a note if there were several windows.
    """
    n = int(dataset.get("NumberOfFrames") or 1)
    vectors = {}
    for keyword, source in _SOURCES.items():
        vector = read_vector(dataset, keyword)
        is_single = dataset.get(source.number) == 1
        if n == 1:
            # Which of several detectors made the frame is for `decide_views` to judge.
            is_single = keyword == "DetectorVector" or _count(dataset, source) < 2
        vectors[keyword] = vector or [1] * (n * is_single)
        if len(vectors[keyword]) != n:
            raise UnreadableFileError(
                f"expected {keyword} to name all {n} frames, found "
                f"{len(vectors[keyword])} values. Export one file for each view."
            )
        # Some state one detector and name two: their views are told by more than this.
        most = keyword == "EnergyWindowVector" and _count(dataset, source)
        low, high = min(vectors[keyword]), max(vectors[keyword])
        if low < 1 or high > (most or high):
            raise UnreadableFileError(
                f"expected {keyword} to count from 1{f' to {most}' if most else ''}, "
                f"found {low} to {high}. Export the file again."
            )
    windows, detectors = vectors["EnergyWindowVector"], vectors["DetectorVector"]

    different = sorted(set(windows))
    primary, reason = _primary_window(dataset, different)
    frames = [(i, detectors[i]) for i in range(n) if windows[i] == primary]
    chosen = [detector for _, detector in frames]
    if len(chosen) > 2 or len(chosen) > len(set(chosen)):
        raise UnreadableFileError(
            f"expected one frame from each of one or two detectors, found "
            f"frames of the detectors {chosen}. Export the whole-body images alone."
        )
    if len(set(zip(windows, detectors, strict=True))) != len(different) * len(
        set(detectors)
    ):
        raise UnreadableFileError(
            f"expected a frame of each detector in each energy window, found "
            f"{n} frames of {len(different)} windows and {len(set(detectors))} "
            "detectors: a view would be missing. Export the file again."
        )
    note = f"energy window {primary} of {len(different)}: {reason}"
    return frames, note if len(different) > 1 else None


def names_no_detector(dataset: Dataset) -> bool:
    """Tells whether a header has several detectors and does not say whose frame it is.

    So look files into which a tool has put one frame of two, with the header of both.
    """
    is_several = _count(dataset, _SOURCES["DetectorVector"]) > 1
    return is_several and not read_vector(dataset, "DetectorVector")


def _count(dataset: Dataset, source: _Source) -> int:
    """Returns how many the header states; 0 if it does not."""
    n_items = len(dataset.get(source.items) or ())
    return max(int(dataset.get(source.number) or 0), n_items)


def read_vector(dataset: Dataset, keyword: str) -> list[int]:
    """Returns a frame vector, e.g. Detector Vector; empty if the file has none."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return []
    return [int(v) for v in (value if hasattr(value, "__iter__") else (value,))]


def _primary_window(dataset: Dataset, windows: Sequence[int]) -> tuple[int, str]:
    """Returns a window's number, from 1, and why it was chosen."""
    items = dataset.get("EnergyWindowInformationSequence") or ()
    for window in windows:
        if not 1 <= window <= len(items):
            continue
        for limits in items[window - 1].get("EnergyWindowRangeSequence") or ():
            lower = float(limits.get("EnergyWindowLowerLimit") or math.inf)
            upper = float(limits.get("EnergyWindowUpperLimit") or -math.inf)
            if lower <= PHOTOPEAK_KEV <= upper:
                return window, f"{lower:g} to {upper:g} keV holds {PHOTOPEAK_KEV} keV"
    return windows[0], f"the first, as none states a range with {PHOTOPEAK_KEV} keV"
