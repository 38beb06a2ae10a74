"""Stage 4 of [P2]: the spine, the sides of the rib cage, and where the ribs end.

Rows and columns are pixels of the whole-body frame. Left and right are those of the
picture. What is hot (lesions, kidneys, an injection at the elbow) or cold (metal, a
breast) is usually so on one side only: wherever one side speaks, the other is heard.
"""

from typing import NamedTuple

import numpy as np
import scipy  # its parts load when they are asked for: not before --help

from spectjax.imaging.thorax.body import (
    Body,
    NoThoraxError,
    columns_between,
    find_centre,
)
from spectjax.imaging.thorax.curve import Curve, fit_curve

_CAP = 1.5  # of what is hot, in medians of the chest
_STRIPS = 10  # of some eight rows each: less noise, and the ribs' edge hardly moves
# Per pixel, in fall of counts per pixel, where 1 is the cap.
_COST_OF_A_STEP = 0.015
_COST_OF_DISTANCE = 0.0004
# Of a body, px. Twice as large pixels have twice the fall, and half as many to a step.
_USUAL_LENGTH = 740
_SHARE_OF_THE_OTHER_SIDE = 0.5
_SHARE_OF_THE_FIELD = 0.15  # what a fall at the edge of the camera's field is worth
_OF_CRESTS, _OF_RIBS = 0.6, 0.7  # where bands begin, in halves of the rib cage
_FAINT_CREST = 0.3  # of the rise to the hips, in heights
# Half of the rib cage's width in the body's length: 19 real adults have 0.073 to 0.095.
# Nearer to the spine lie scapulae and kidneys.
_HALF_WIDTHS = (0.065, 0.112)
_ROUNDNESS = 0.14  # what the highest strip is narrower by, in five real views
_BRIGHTER_AT_MOST = 1.2  # one side of the rib band than the other


class Sides(NamedTuple):
    """Columns of the rib cage.

    Attributes:
        left: first column.
        right: column after it.
        edges: where the ribs end in each strip from top to bottom, as distances from
            the spine in pixels, int, (2, strips), left before right.
        seen: share of the strips in which counts do fall there, on the worse side.
        brightness: of the chest just within the edges, on the darker side, in medians
            of the chest.
    """

    left: int
    right: int
    edges: np.ndarray
    seen: float
    brightness: float


class RibBand(NamedTuple):
    """Rows in which ribs end and pelvis begins, and the curve that says so.

    Attributes:
        lowest_ribs: row after the lowest ribs.
        pelvis: first row of the iliac crests.
        curve: counts beside the spine, both sides together.
        lowest_by_side: `lowest_ribs` as each side alone says, left before right; the
            pelvis's row where a side has no fall.
        contrast: height of the ribs over the flank below them, in heights of the ribs.
    """

    lowest_ribs: int
    pelvis: int
    curve: Curve
    lowest_by_side: tuple[int, int]
    contrast: float


def find_spine(body: Body, shoulders: int, legs: int) -> int:
    """Stage 4: the column near the centre where most rows of the trunk are brightest.

    The median over rows passes over what is bright in a few of them: kidneys, lesions.
    """
    centre = round(find_centre(body, slice(shoulders, legs)))
    reach = round(0.033 * body.length)
    start = max(0, centre - reach)
    near = body.smooth[shoulders:legs:2, start : centre + reach + 1]
    return start + int(np.median(near, axis=0).argmax())


def find_sides(body: Body, shoulders: int, legs: int, spine: int) -> Sides:
    """Stage 4: the columns of the rib cage, without the arms.

    "The width of the trunk is approximately that of the area of the legs" ([P1]); but
    hands touch thighs and bags lie between them, so the body's length says where to
    look. There the chest is cut into strips of a few rows; in each, the ribs end where
    counts fall steepest outwards. An arm, a hot elbow or a lesion may fall more
    steeply: the edge that is followed is strong in all strips, keeps to the roundness
    of a rib cage, and has its like on the other side. The second widest strip counts.
    """
    half_width = 0.08 * body.length
    trunk = legs - shoulders
    chest = body.smooth[shoulders + round(0.25 * trunk) : shoulders + trunk // 2]
    if len(chest) < _STRIPS:
        raise NoThoraxError(f"a trunk of {trunk} rows, too few to tell its ribs")
    inner = columns_between(spine - 0.7 * half_width, spine + 0.7 * half_width, body)
    cap = _CAP * float(np.median(chest[::2, inner]))
    if not cap > 0:
        raise NoThoraxError("no counts in the chest")
    capped = np.minimum(chest, np.float32(cap)) / np.float32(cap)
    starts = np.linspace(0, len(chest), _STRIPS, endpoint=False).astype(int)
    strips = (
        np.add.reduceat(capped, starts) / np.diff(np.r_[starts, len(chest)])[:, None]
    )

    least, most = (share * body.length for share in _HALF_WIDTHS)
    widths = np.arange(round(least), round(most) + 1)
    places = np.linspace(0, 1, _STRIPS)[:, None]
    distances = widths * (1 - _ROUNDNESS * (1 - places) ** 2)
    fall, to_nothing = (
        np.stack([_find_falls(each, spine + side * distances) for side in (-1, 1)])
        for each in (_fill_unseen(strips, body.blur_px), strips)
    )
    fall = np.maximum(fall, _SHARE_OF_THE_FIELD * to_nothing)
    near = 2 * round(0.08 * half_width) + 1
    like = scipy.ndimage.maximum_filter1d(fall[::-1], near, axis=2)
    strength = fall + _SHARE_OF_THE_OTHER_SIDE * like
    # Beyond the ribs lie skin and arms, which fall more steeply: the inner edge is it.
    pixel = _USUAL_LENGTH / body.length  # in pixels of usual scans
    strength -= _COST_OF_DISTANCE * pixel**2 * np.arange(len(widths))
    strength *= fall > 0
    paths = np.stack([_follow(each, _COST_OF_A_STEP * pixel**2) for each in strength])
    edges = np.rint(distances[np.arange(_STRIPS), paths]).astype(int)
    left, right = np.sort(edges, axis=1)[:, -2]
    at_edges = np.take_along_axis(fall, paths[..., None], axis=2)
    within = spine + np.array([[-1], [1]]) * (edges - round(0.08 * half_width))
    within = strips[np.arange(_STRIPS), np.clip(within, 0, strips.shape[1] - 1)]
    return Sides(
        left=max(0, spine - int(left)),
        right=spine + int(right) + 1,
        edges=edges,
        seen=float((at_edges > 0).mean(axis=(1, 2)).min()),
        brightness=float(_CAP * np.median(within, axis=1).min()),
    )


def _fill_unseen(strips: np.ndarray, blur_px: int) -> np.ndarray:
    """Returns the strips as if all went on beyond the edge of the camera's field.

    A field narrower than the frame ends in columns without any count. That is a steep
    fall, in all strips, and no edge of ribs.
    """
    columns = np.flatnonzero(strips.any(axis=0))
    # The blur carries counts beyond the field and takes as many from its edge.
    first, last = columns[0], columns[-1]
    first += round(1.5 * blur_px) if first > 0 else 0
    last -= round(1.5 * blur_px) if last < strips.shape[1] - 1 else 0
    return strips[:, np.clip(np.arange(strips.shape[1]), first, max(first, last))]


def _find_falls(strips: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns how steeply counts fall outwards, (R, C), 0 but where it is most.

    Args:
        strips: counts, (R, W).
        columns: neighbouring columns of each strip, outwards, (R, C); some may lie
            beyond the frame.
    """
    step = columns[:, 1:2] - columns[:, :1]
    wider = np.hstack([columns[:, :1] - step, columns, columns[:, -1:] + step])
    own = np.arange(strips.shape[1])
    outwards = np.stack(
        [np.interp(at, own, strip) for at, strip in zip(wider, strips, strict=True)]
    )
    fall = np.maximum(outwards[:, :-2] - outwards[:, 2:], 0) / 2
    # The steepest place at the end of the range is the flank of what is beyond it.
    beside = np.pad(fall, ((0, 0), (1, 1)), constant_values=np.inf)
    return np.where((fall > beside[:, :-2]) & (fall >= beside[:, 2:]), fall, 0)


def _follow(strength: np.ndarray, cost_of_a_step: float) -> np.ndarray:
    """Returns the place in each row, (R,), of the strongest path down (R, C)."""
    places = np.arange(strength.shape[1])
    cost = cost_of_a_step * np.abs(places[:, None] - places)
    best = strength[0]
    origins = []
    for row in strength[1:]:
        reached = best - cost
        origin = reached.argmax(axis=1)
        best = row + reached[places, origin]
        origins.append(origin)
    path = [int(best.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1])


def find_lowest_ribs(body: Body, shoulders: int, legs: int, sides: Sides) -> RibBand:
    """Stage 4: the rows where the ribs end and where the pelvis begins.

    "The ratio of the heights of spine and pelvis is 3:2" ([P1]) says where to look for
    the pelvis. In a band on both sides of the trunk counts rise steepest at the iliac
    crests; above them lies the flank, and the ribs end just below where counts have
    fallen three quarters of the way to it.
    """
    trunk = legs - shoulders
    pelvis = _find_crests(_fit_band(body, shoulders, legs, sides, _OF_CRESTS)[0])
    curve, both = _fit_band(body, shoulders, legs, sides, _OF_RIBS)
    ribs, flank, end = _find_end(curve.fitted, pelvis)
    if end is None:
        raise NoThoraxError("no ribs above the pelvis")
    lowest = []
    for side in both:
        side_end = _find_end(
            scipy.ndimage.gaussian_filter1d(side, 0.02 * trunk), pelvis
        )[2]
        lowest.append(shoulders + (pelvis if side_end is None else side_end))
    return RibBand(
        lowest_ribs=shoulders + end,
        pelvis=shoulders + pelvis,
        curve=curve,
        lowest_by_side=(lowest[0], lowest[1]),
        contrast=(ribs - flank) / max(ribs, 1e-6),
    )


def _find_crests(curve: Curve) -> int:
    """Returns the index in the trunk at which counts rise to the iliac crests.

    Of the rises below the middle of the trunk it is the first that is at least
    `_FAINT_CREST` as high as the highest: hips and thighs follow it.
    """
    trunk = len(curve.rows)
    near = slice(round(0.48 * trunk) + 1, round(0.8 * trunk))
    counts, slope = curve.fitted[near], curve.first[near]
    rising = np.flatnonzero(slope > 0)
    if not rising.size:
        raise NoThoraxError("no pelvis below the ribs")
    rises = np.split(rising, np.flatnonzero(np.diff(rising) > 1) + 1)
    heights = np.array([counts[rise[-1]] - counts[rise[0]] for rise in rises])
    first = rises[int((heights >= _FAINT_CREST * heights.max()).argmax())]
    return near.start + int(first[slope[first].argmax()])


def _fit_band(
    body: Body, shoulders: int, legs: int, sides: Sides, inner: float
) -> tuple[Curve, np.ndarray]:
    """Returns the curve of both sides' bands together, and each by itself, (2, rows).

    A band reaches from `inner`, in halves of the rib cage's width, to the ribs' edge.
    The darker two thirds of each row pass over kidneys and lesions, and no side counts
    for more than `_BRIGHTER_AT_MOST` times the other.
    """
    middle, half_width = (sides.left + sides.right) / 2, (sides.right - sides.left) / 2
    both = []
    for side in (-1, 1):
        columns = columns_between(
            middle + inner * side * half_width, middle + side * half_width, body
        )
        band = np.sort(body.smooth[shoulders:legs, columns], axis=1)
        both.append(band[:, : -(-2 * band.shape[1] // 3)].mean(axis=1, dtype=float))
    counts = np.minimum(both, _BRIGHTER_AT_MOST * np.array(both[::-1])).mean(axis=0)
    rows = np.arange(shoulders, legs)
    return fit_curve(rows, counts, knot_px=0.055 * len(rows)), np.array(both)


def _find_end(fitted: np.ndarray, pelvis: int) -> tuple[float, float, int | None]:
    """Returns the heights of ribs and flank and the index after the last ribs."""
    trunk = len(fitted)
    ribs = float(np.median(fitted[round(0.25 * trunk) : round(0.42 * trunk)]))
    start = round(0.4 * trunk)
    flank = start + int(fitted[start : pelvis + 1].argmin())
    level = fitted[flank] + 0.25 * (ribs - fitted[flank])
    above = np.flatnonzero(fitted[:flank] >= level)
    # The lowest ribs slant: their tips reach further, 2 of 280 pixels in the phantom.
    end = int(above[-1]) + 1 + round(0.008 * trunk) if above.size else None
    return ribs, float(fitted[flank]), end
