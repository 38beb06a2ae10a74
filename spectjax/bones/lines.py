"""Lines of a body that a map of bones is laid along: rows, midline, arms and legs.

All is in pixels of the frame of a whole-body view, (H, W), head up. Left and right are
those of the picture, but those of the patient in the names of regions.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from spectjax.imaging.scan import View
from spectjax.imaging.thorax import ThoraxImage
from spectjax.imaging.thorax.body import Body, NoThoraxError, find_body
from spectjax.imaging.thorax.crop import PENALTY_PX, measure_pixel
from spectjax.imaging.thorax.curve import count_rows
from spectjax.imaging.thorax.landmarks import find_landmarks

_BANDS = 60  # of the body's length: some 12 rows each
# What follows is in halves of the rib cage's width.
_MIDLINE_STEP = 0.15  # that the midline moves between two bands at most
_HIP = 0.70  # from the midline to the hip joint
_LEG = 0.40  # half of the width in which the bone of a leg is looked for
_ARM, _ARM_REACH = 0.25, 0.20  # from the skin to the bone of an arm; likewise half
# In heights of the chest: how far below the lowest ribs iliac crests are, 0.10 +- 0.03
# in 60 simulated patients, and how much lower they seem to be from the front.
_CRESTS, _CRESTS_WITHIN, _LOWER = 0.10, (0.0, 0.3), {"anterior": 0.03, "posterior": 0.0}
# By how much crests of two views may differ: simulated ones do by 0.035 at most.
_SAME_CRESTS = 0.08
# Between iliac crests and toes: hip joints; where knees are looked for, 0.51 is usual.
_HIPS, _KNEES, _KNEE_BLUR = 0.15, (0.42, 0.57), 0.015
# From crests to toes, in those from head to lowest ribs; 1.57 to 2.01 in 100 simulated
# patients, 1.54 to 1.89 in three real ones.
_LEGS = (1.45, 2.15)
_LEAST_SEEN = 0.6  # of a limb's rows that lie in the body
_CUT = 0.02  # of the rows of the arms, where the body reaches the frame's side

# What nobody need doubt who finds the pelvis in another way at the same place.
CRESTS_UNSEEN = "the iliac crests were not made out"
CRESTS_DIFFER = "the two views show the iliac crests at different heights"
_PELVIS = ("lumbar spine", "sacrum", "left hip bone", "right hip bone")
_ARM_KINDS, _LEG_KINDS = (
    ("humerus", "forearm and hand"),
    ("femur", "lower leg and foot"),
)


@dataclasses.dataclass(frozen=True)
class Lines:
    """Where a body lies in a view.

    Attributes:
        rows: of the top of the head, the shoulders, the lowest ribs, the iliac crests,
            the knees and the toes, rising, (6,).
        middle: column of the midline in each row, (H,).
        half_width: half of the rib cage's width.
        arms: column of the middle of each arm, left before right, (2, H).
        legs: column of the middle of each leg, (2, H).
        doubts: why a region along them is in doubt, by its name.
    """

    rows: np.ndarray
    middle: np.ndarray
    half_width: float
    arms: np.ndarray
    legs: np.ndarray
    doubts: Mapping[str, str]


class _Bands(NamedTuple):
    """Counts in bands of rows from head to toes: their centres (B,), counts (B, W)."""

    centres: np.ndarray
    counts: np.ndarray


def find_lines(thoraxes: Mapping[View, ThoraxImage]) -> dict[View, Lines]:
    """Returns the lines of a body in the views of an examination.

    Iliac crests are faint from the front: where both views are there, they are where
    the posterior one has them.

    Raises:
        NoThoraxError: if a view has no body, or its parts are not in order.
    """
    bodies = {
        view: find_body(thorax.scan.counts, measure_pixel(thorax.scan))
        for view, thorax in thoraxes.items()
    }
    crests = {view: _find_crests(bodies[view], thoraxes[view]) for view in thoraxes}
    doubts: dict[str, str] = {}
    if not all(seen for _, seen in crests.values()):
        doubts = dict.fromkeys(_PELVIS, CRESTS_UNSEEN)
    if len(crests) == 2:
        front, back = crests["anterior"][0], crests["posterior"][0]
        if abs(front - back) > _SAME_CRESTS:
            doubts = dict.fromkeys(_PELVIS, CRESTS_DIFFER)
        crests["anterior"] = crests["posterior"]
    return {
        view: _find_lines(bodies[view], thoraxes[view], crests[view][0], doubts)
        for view in thoraxes
    }


def _find_lines(
    body: Body, thorax: ThoraxImage, crests: float, doubts: Mapping[str, str]
) -> Lines:
    """Returns the lines of a view whose iliac crests are known, in chests' heights."""
    y0, x0, y1, x1 = thorax.transform.box
    top, bottom = y0 + PENALTY_PX, y1 - PENALTY_PX
    half = (x1 - x0) / 2 - PENALTY_PX
    crest = bottom + crests * (bottom - top)
    rows = np.array([body.first_row, top, bottom, crest, body.last_row], float)
    if not ((np.diff(rows) > 0).all() and half > 0):
        raise NoThoraxError(
            "head, shoulders, ribs, iliac crests and feet in rows "
            f"{', '.join(f'{row:.0f}' for row in rows)}, not one below the other"
        )
    bands = _sum_bands(body)
    middle = _find_middle(bands, (top + bottom) / 2, (x0 + x1) / 2, half)
    hips = crest + _HIPS * (rows[-1] - crest)
    middle, arms, legs = (
        np.apply_along_axis(_to_rows, -1, line, bands.centres, len(body.mask))
        for line in (
            middle,
            _find_arms(bands, half),
            _find_legs(bands, middle, hips, half),
        )
    )
    rows = np.insert(rows, 4, _find_knees(body, crest, legs, half))
    found = dict(_doubt_limbs(body, thorax.scan.view, rows, arms, legs))
    return Lines(rows, middle, half, arms, legs, {**found, **doubts})


def _find_crests(body: Body, thorax: ThoraxImage) -> tuple[float, bool]:
    """Returns how far iliac crests lie below the ribs, and whether they were seen."""
    y0, _, y1, _ = thorax.transform.box
    top, bottom = y0 + PENALTY_PX, y1 - PENALTY_PX
    try:
        row = find_landmarks(body, count_rows(body))[0].pelvis
    except NoThoraxError:
        return _CRESTS, False
    crests = (row - bottom) / max(bottom - top, 1) - _LOWER[thorax.scan.view]
    low, high = _CRESTS_WITHIN
    return (crests, True) if low < crests < high else (_CRESTS, False)


def _find_middle(
    bands: _Bands, start_row: float, centre: float, half: float
) -> np.ndarray:
    """Returns the column about which each band is most like its mirror image, (B,)."""
    start = int(np.abs(bands.centres - start_row).argmin())
    found = np.full(len(bands.counts), centre)
    for order in (range(start, len(found)), range(start - 1, -1, -1)):
        at = centre
        for band in order:
            at = found[band] = _find_axis(bands.counts[band], at, _MIDLINE_STEP * half)
    return ndimage.gaussian_filter1d(ndimage.median_filter(found, 5), 2)


def _find_axis(profile: np.ndarray, near: float, reach: float) -> float:
    """Returns the axis of a profile within `reach` of a column."""
    # How alike both sides of an axis are, in steps of half a pixel.
    alike = np.convolve(profile, profile)
    first = max(0, round(2 * (near - reach)))
    within = alike[first : round(2 * (near + reach)) + 1]
    return (first + int(within.argmax())) / 2 if within.any() else near


def _find_arms(bands: _Bands, half: float) -> np.ndarray:
    """Returns the middle of each arm: begun at the skin, drawn to the bone, (2, B)."""
    seen = bands.counts > 0
    left = seen.argmax(axis=1)
    right = seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    arms = []
    for side, skin in ((-1, left), (1, right)):
        starts = ndimage.median_filter(skin, 3) - side * _ARM * half
        found = [
            _draw_to_bone(profile**2, start, _ARM_REACH * half)
            for profile, start in zip(bands.counts, starts, strict=True)
        ]
        arms.append(ndimage.gaussian_filter1d(ndimage.median_filter(found, 5), 1.5))
    return np.stack(arms)


def _find_legs(
    bands: _Bands, middle: np.ndarray, hips: float, half: float
) -> np.ndarray:
    """Returns the middle of each leg, followed from the hips down, (2, B)."""
    columns = np.arange(bands.counts.shape[1])
    legs = []
    for side in (-1, 1):
        offset, found = side * _HIP * half, []
        for row, profile, axis in zip(*bands, middle, strict=True):
            if row > hips:
                own = np.where(side * (columns - axis) > 0, profile, 0)
                offset = _draw_to_bone(own, axis + offset, _LEG * half) - axis
            found.append(axis + offset)
        legs.append(ndimage.gaussian_filter1d(found, 1.5))
    return np.stack(legs)


def _draw_to_bone(profile: np.ndarray, start: float, reach: float) -> float:
    """Returns the centre of what is bright within `reach` of it, near a column."""
    columns, at = np.arange(len(profile)), start
    for _ in range(3):
        weights = np.where(np.abs(columns - at) < reach, profile, 0)
        if not weights.any():
            return start
        at = float(np.average(columns, weights=weights))
    return at


def _find_knees(body: Body, crest: float, legs: np.ndarray, half: float) -> float:
    """Returns the row of the knees: the brightest near where they are expected.

    The lower of both: a hot place in the shaft of one femur is no knee.
    """
    length = body.last_row - crest
    first, last = (round(crest + share * length) for share in _KNEES)
    counts = np.minimum(body.smooth, np.float32(body.very_bright)) * body.mask
    reach = round(_LEG * half)
    found = []
    for leg in legs:
        columns = np.round(leg).astype(int)[:, None] + np.arange(-reach, reach + 1)
        columns = np.clip(columns, 0, counts.shape[1] - 1)
        profile = np.take_along_axis(counts, columns, axis=1).sum(axis=1)
        profile = ndimage.gaussian_filter1d(profile, _KNEE_BLUR * length)
        found.append(first + int(profile[first:last].argmax()))
    return max(found)


def _doubt_limbs(
    body: Body, view: View, rows: np.ndarray, arms: np.ndarray, legs: np.ndarray
) -> Iterator[tuple[str, str]]:
    """Yields regions of limbs that are in doubt, and why."""
    head, shoulders, ribs, crest, knees, toes = rows
    ratio = (toes - crest) / (ribs - head)
    fits = _LEGS[0] < ratio < _LEGS[1] and body.last_row < len(body.mask)
    for left, arm, leg in zip((True, False), arms, legs, strict=True):
        side = "right" if left == (view == "anterior") else "left"
        side_of_frame = body.mask[round(shoulders) : round(knees), -1 + left]
        whys = {
            "the frame's side cuts the arm": (_ARM_KINDS, side_of_frame.mean() > _CUT),
            "no arm was made out": (
                _ARM_KINDS,
                _see(body, arm, shoulders, crest) < _LEAST_SEEN,
            ),
            "no leg was made out": (
                _LEG_KINDS,
                _see(body, leg, crest, toes) < _LEAST_SEEN,
            ),
            "the legs do not end where legs of such a trunk do": (_LEG_KINDS, not fits),
        }
        for why, (kinds, holds) in whys.items():
            yield from ((f"{side} {kind}", why) for kind in kinds if holds)
    if body.first_row == 0:
        yield "skull", "the frame's edge cuts the head"


def _see(body: Body, line: np.ndarray, first: float, last: float) -> float:
    """Returns the share of rows in which a line is in the body."""
    rows = np.arange(round(first), round(last))
    columns = np.clip(np.round(line[rows]).astype(int), 0, body.mask.shape[1] - 1)
    return float(body.mask[rows, columns].mean())


def _sum_bands(body: Body) -> _Bands:
    """Returns the counts of bands; what is hot is capped: a bladder is no axis."""
    edges = np.linspace(body.first_row, body.last_row, _BANDS + 1)
    inside = slice(body.first_row, body.last_row)
    counts = np.minimum(body.smooth[inside], np.float32(body.bright))
    counts = counts * body.mask[inside]
    starts = (edges[:-1] - body.first_row).astype(int)
    return _Bands((edges[:-1] + edges[1:]) / 2, np.add.reduceat(counts, starts, axis=0))


def _to_rows(line: np.ndarray, centres: np.ndarray, height: int) -> np.ndarray:
    """Returns a line (B,) of bands in each row, (H,)."""
    return np.interp(np.arange(height), centres, line)
