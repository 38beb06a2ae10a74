"""Which bone a hotspot lies in, how much of it is hot, and what the other side has."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from spectjax.bones.found import FoundBones
from spectjax.bones.regions import NAMES, REGIONS, Side, swap_sides

# So far beside a bone a hotspot may lie and be called its own: half of what a camera
# blurs. In pixels where their size is not known: of 2.3 mm, as they usually are.
MOST_MM, MOST_PX = 10.0, 4.0
MOSTLY = 0.8  # of a hotspot on a bone, and no word is said of the rest
_LEAST_MIRRORED = 0.5  # of a hotspot's pixels whose mirrored ones are on the bone


@dataclass(frozen=True)
class Place:
    """Where a hotspot lies.

    Attributes:
        region: name of the region that it covers most of, or lies beside; "" if it is
            on no bone.
        side: the patient's, "" for what is in the middle or on no bone.
        on_bone: share of its pixels that are of the region; 0 if it lies beside.
        beside_mm: the least distance from the region; 0 if it covers part of it, None
            if it lies beside and the size of a pixel is not known.
        area_mm2: of the hotspot; None if the size of a pixel is not known.
        counts: in the hotspot.
        share: of the region's projected area that is hot; None if it is on no bone.
        mirror_ratio: mean counts in the hotspot over those in the same place of the
            other side; None if that cannot be told.
        mirror_note: why it cannot; "" if it can.
        in_doubt: why the region is in doubt, or none is named; "" otherwise.
    """

    region: str
    side: Side
    on_bone: float
    beside_mm: float | None
    area_mm2: float | None
    counts: float
    share: float | None
    mirror_ratio: float | None
    mirror_note: str
    in_doubt: str

    @property
    def words(self) -> str:
        """The region, for people: with what share lies on it unless it is most."""
        if not self.region:
            return "none"
        if not self.on_bone:
            return f"none, beside the {self.region}"
        if self.on_bone < MOSTLY:
            return f"{self.region}, with {100 * self.on_bone:.0f} % of the hotspot"
        return self.region

    def to_json(self) -> dict[str, Any]:
        """Returns it for a document; None for what is not known or not there."""
        return {
            key: None if value == "" else value for key, value in vars(self).items()
        }


def place_hotspot(
    mask: np.ndarray,
    bones: FoundBones,
    counts: np.ndarray,
    spacing_mm: tuple[float, float] | None,
    marked: np.ndarray,
) -> Place:
    """Returns the place of a hotspot of a view.

    Args:
        mask: its pixels, bool, (H, W), at least one.
        bones: of the view.
        counts: of the view, (H, W).
        spacing_mm: between rows and between columns; None if unknown.
        marked: pixels of any hotspot of the view, bool, (H, W): none of them is what a
            healthy other side would have.

    Raises:
        ValueError: if shapes differ, or the hotspot has no pixel.
    """
    shapes = {each.shape for each in (mask, bones.regions, counts, marked)}
    if len(shapes) > 1 or not mask.any():
        raise ValueError(f"Expected a hotspot and arrays of one shape, got {shapes}.")
    label, beside = find_label(mask, bones.regions, spacing_mm)
    area = float(mask.sum() * math.prod(spacing_mm)) if spacing_mm else None
    total = float(counts[mask].sum(dtype=np.float64))
    if not label:
        least = f"{MOST_MM:g} mm" if spacing_mm else f"{MOST_PX:g} pixels"
        why = f"no bone was found within {least} of it"
        return Place("", "", 0.0, None, area, total, None, None, why, why)
    region = REGIONS[label - 1]
    hot = mask & (bones.regions == label)
    ratio, note = _compare_sides(hot, label, bones, counts, marked)
    return Place(
        region=region.name,
        side=region.side,
        on_bone=float(hot.sum() / mask.sum()),
        beside_mm=beside if spacing_mm or not beside else None,
        area_mm2=area,
        counts=total,
        share=float(hot.sum() / (bones.regions == label).sum()),
        mirror_ratio=ratio,
        mirror_note=note,
        in_doubt=bones.flags.get(region.name, ""),
    )


def find_label(
    mask: np.ndarray, regions: np.ndarray, spacing_mm: tuple[float, float] | None
) -> tuple[int, float]:
    """Returns the region of a hotspot, 0 for none, and how far beside it that lies.

    The distance is in mm, or in pixels if their size is not known.
    """
    covered = np.bincount(regions[mask], minlength=len(NAMES) + 1)
    if covered[1:].any():
        return 1 + int(covered[1:].argmax()), 0.0
    if not regions.any():
        return 0, math.inf
    distances, nearest = ndimage.distance_transform_edt(
        regions == 0, sampling=spacing_mm, return_indices=True
    )
    place = np.unravel_index(np.where(mask, distances, np.inf).argmin(), mask.shape)
    if distances[place] > (MOST_MM if spacing_mm else MOST_PX):
        return 0, float(distances[place])
    row, column = nearest[(slice(None), *place)]
    return int(regions[row, column]), float(distances[place])


def _compare_sides(
    hot: np.ndarray,
    label: int,
    bones: FoundBones,
    counts: np.ndarray,
    marked: np.ndarray,
) -> tuple[float | None, str]:
    """Returns the mean counts of a hotspot's part on a bone over the other side's.

    The same place: as far down between the ends of the region, and as far across its
    row from the midline outwards.

    Returns:
        the ratio, or None and why it cannot be told.
    """
    other = int(swap_sides()[label])
    if other == label:
        return None, "a bone in the middle of the body has no other side"
    if not hot.any():
        return None, "it lies beside the bone"
    doubts = [
        NAMES[each - 1] for each in (label, other) if NAMES[each - 1] in bones.flags
    ]
    if doubts:
        return None, f"in doubt: {', '.join(doubts)}"
    opposite = bones.regions == other
    if not opposite.any():
        return None, f"the view does not show the {NAMES[other - 1]}"
    mirrored = _mirror(hot, bones.regions == label, opposite)
    there = opposite[mirrored]
    if there.sum() < _LEAST_MIRRORED * len(there):
        return None, f"the {NAMES[other - 1]} has no such place"
    if marked[mirrored][there].any():
        return None, "the other side has a hotspot there"
    mean = float(counts[mirrored][there].mean(dtype=np.float64))
    if not mean > 0:
        return None, "the other side has no counts there"
    return float(counts[hot][there].mean(dtype=np.float64)) / mean, ""


def _mirror(
    hot: np.ndarray, region: np.ndarray, opposite: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns row and column of the other side's place of each hot pixel, (N,) each."""
    rows, columns = np.nonzero(hot)
    (top,), (height,) = _find_spans(region.any(axis=1).reshape(1, -1))
    (other_top,), (other_height,) = _find_spans(opposite.any(axis=1).reshape(1, -1))
    down = (rows + 0.5 - top) / height
    other_rows = np.floor(other_top + down * other_height).astype(int)
    left, width = (each[rows] for each in _find_spans(region))
    other_left, other_width = (each[other_rows] for each in _find_spans(opposite))
    across = 1 - (columns + 0.5 - left) / width
    return other_rows, np.floor(other_left + across * other_width).astype(int)


def _find_spans(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first True of each row and how far it is to the last one, (H,) each.

    A row without any spans nothing at its end: no place in it is True.
    """
    first = mask.argmax(axis=1)
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    shown = mask.any(axis=1)
    return first, np.where(shown, last + 1 - first, 0)
