"""Stages 3 and 4 of [P2]: head, legs, arms and pelvis, and what is left between them.

The papers give the ideas and few numbers; each choice made here is named where it is
made. Rows and columns are pixels of the whole-body frame.
"""

from dataclasses import dataclass

import numpy as np

from spectjax.imaging.thorax.body import Body
from spectjax.imaging.thorax.curve import Curve, fit_curve


@dataclass(frozen=True)
class Landmarks:
    """Rows and columns of the frame that the box is made of, all in pixels.

    Attributes:
        head: first row of the body.
        neck: row of the valley between head and shoulders.
        shoulders: first row of the shoulder's bones.
        elbows: row of the peak after the shoulders, elbows and pelvis side by side.
        legs: first row where the legs are apart.
        feet: last row of the body.
        pelvis: first row of the iliac crests.
        lowest_ribs: row after the lowest ribs.
        spine: column of the spine.
        left: first column of the rib cage.
        right: column after the rib cage.
    """

    head: int
    neck: int
    shoulders: int
    elbows: int
    legs: int
    feet: int
    pelvis: int
    lowest_ribs: int
    spine: int
    left: int
    right: int


def find_landmarks(body: Body, row_curve: Curve) -> tuple[Landmarks, Curve]:
    """Stages 3 and 4: removes head and legs, then arms and pelvis.

    Returns:
        The landmarks, and the curve of the rib band that ends the box below.

    Raises:
        ValueError: if there is no trunk between shoulders and legs, or no ribs.
    """
    legs = find_legs(body)
    neck, shoulders = find_shoulders(body, row_curve)
    if legs - shoulders < 0.2 * (body.last_row - body.first_row):
        raise ValueError("no trunk between shoulders and legs")
    spine = find_spine(body, shoulders, legs)
    left, right = find_sides(body, shoulders, legs, spine)
    lowest_ribs, pelvis, rib_band = find_lowest_ribs(body, shoulders, legs, left, right)
    below = [peak for peak in row_curve.peaks if shoulders + 40 < peak < legs]
    landmarks = Landmarks(
        head=body.first_row,
        neck=neck,
        shoulders=shoulders,
        elbows=below[0] if below else pelvis,
        legs=legs,
        feet=body.last_row,
        pelvis=pelvis,
        lowest_ribs=lowest_ribs,
        spine=spine,
        left=left,
        right=right,
    )
    return landmarks, rib_band


def find_legs(body: Body) -> int:
    """Stage 3: the first row where a dark gap stands between two bright thighs.

    [P1] reads the beginning of the legs off the third valley of the curve. That valley
    is flat and moves with noise by tens of rows; the gap that causes it does not. Where
    the thighs touch, the crotch is taken to be at 0.525 of the body's length, as it is
    within 0.02 in the phantom and in a real scan.
    """
    length = body.last_row - body.first_row
    for row in range(
        body.first_row + round(0.46 * length), body.first_row + round(0.57 * length)
    ):
        left, right = _thighs(body, row)
        if left[0] < 0.25 * min(left.max(), right.max()):
            return row
    return body.first_row + round(0.525 * length)


def find_shoulders(body: Body, row_curve: Curve) -> tuple[int, int]:
    """Stage 3: the rows of the neck and of the upper edge of the shoulder's bones.

    The steepest rise of the curve after the head says roughly where the shoulders are;
    the bones begin where, left or right of the neck, counts have risen two fifths of
    the way to the brightest bone, capped so that a hot joint moves nothing.
    """
    length = body.last_row - body.first_row
    early = slice(round(0.06 * length), round(0.25 * length))
    steepest = int(row_curve.rows[early][row_curve.first[early].argmax()])
    reach = round(0.08 * length)
    above = slice(steepest - body.first_row - reach, steepest - body.first_row)
    above = slice(max(0, above.start), above.stop)
    neck = int(row_curve.rows[above][row_curve.fitted[above].argmin()])

    reach = round(0.05 * length)
    rows = np.arange(max(0, steepest - reach), steepest + reach)
    centre = _centre(body, slice(steepest, steepest + 2 * reach))
    cap = np.percentile(body.smooth[body.mask], 90)
    tops = []
    for side in (-1, 1):
        columns = _between(
            centre + side * 0.06 * length, centre + side * 0.12 * length, body
        )
        profile = np.minimum(body.smooth[rows, columns].max(axis=1), cap)
        rise = profile[: profile.argmax() + 1]
        level = rise.min() + 0.4 * (rise[-1] - rise.min())
        tops.append(int(rows[np.flatnonzero(rise <= level)[-1]]))
    return neck, min(tops)


def find_spine(body: Body, shoulders: int, legs: int) -> int:
    """Stage 4: the column near the centre where most rows of the trunk are brightest.

    The median over rows passes over what is bright in a few of them: kidneys, lesions.
    """
    profile = np.median(body.smooth[shoulders:legs], axis=0)
    centre = round(_centre(body, slice(shoulders, legs)))
    reach = round(0.033 * (body.last_row - body.first_row))
    start = max(0, centre - reach)
    return start + int(profile[start : centre + reach + 1].argmax())


def find_sides(body: Body, shoulders: int, legs: int, spine: int) -> tuple[int, int]:
    """Stage 4: the columns of the rib cage, without the arms.

    "The width of the trunk is approximately that of the area of the legs" ([P1]) says
    where to look; there, the steepest fall outwards is the edge of the ribs in each
    row, and the widest rows count.
    """
    half_width = _width_of_legs(body, legs) / 2
    trunk = legs - shoulders
    rows = np.arange(shoulders + round(0.25 * trunk), shoulders + round(0.5 * trunk))
    slope = np.gradient(body.smooth[rows], axis=1)
    sides = []
    for side, percentile in ((-1, 10), (1, 90)):
        columns = _between(
            spine + side * 0.8 * half_width, spine + side * 1.2 * half_width, body
        )
        steepest = (-side * slope[:, columns]).argmax(axis=1)
        # A maximum at the end of the range is the flank of something beyond it: an arm.
        is_edge = (steepest > 0) & (steepest < columns.stop - columns.start - 1)
        if not is_edge.any():
            raise ValueError("no edge of the rib cage")
        edges = columns.start + steepest[is_edge]
        sides.append(round(float(np.percentile(edges, percentile))))
    left, right = sides
    return left, right + 1


def find_lowest_ribs(
    body: Body, shoulders: int, legs: int, left: int, right: int
) -> tuple[int, int, Curve]:
    """Stage 4: the rows where the ribs end and where the pelvis begins.

    "The ratio of the heights of spine and pelvis is 3:2" ([P1]) says where to look for
    the pelvis. In a band on both sides of the trunk counts rise steepest at the iliac
    crests; above them lies the flank, and the ribs end where counts have fallen nine
    tenths of the way to it.
    """
    trunk = legs - shoulders
    rows = np.arange(shoulders, legs)
    columns = np.arange(body.smooth.shape[1])
    distance = np.abs(columns - (left + right) / 2) / ((right - left) / 2)
    band = body.smooth[shoulders:legs, (distance >= 0.6) & (distance < 1.0)]
    counts = np.minimum(band, np.percentile(band, 97)).mean(axis=1, dtype=np.float64)
    curve = fit_curve(rows, counts, knot_px=0.055 * trunk)

    expected = shoulders + 3 / 5 * trunk
    near = (rows > expected - 0.12 * trunk) & (rows < expected + 0.10 * trunk)
    pelvis = int(rows[near][curve.first[near].argmax()])
    ribs, flank = find_ribs_and_flank(curve, trunk, pelvis)
    level = curve.fitted[flank] + 0.1 * (ribs - curve.fitted[flank])
    above = np.flatnonzero(curve.fitted[:flank] >= level)
    if not above.size:
        raise ValueError("no ribs above the pelvis")
    return int(rows[above[-1]]) + 1, pelvis, curve


def find_ribs_and_flank(curve: Curve, trunk: int, pelvis: int) -> tuple[float, int]:
    """Returns the height of the curve at the ribs, and the index of its flank."""
    ribs = float(np.median(curve.fitted[round(0.25 * trunk) : round(0.42 * trunk)]))
    start = round(0.4 * trunk)
    flank = start + int(curve.fitted[start : pelvis - curve.rows[0] + 1].argmin())
    return ribs, flank


def _gap_between_thighs(body: Body, row: int) -> int:
    """Returns the darkest column near the middle of a row."""
    reach = round(0.03 * (body.last_row - body.first_row))
    counts = body.smooth[row] * body.mask[row]
    centre = round(float(np.average(np.arange(counts.size), weights=counts)))
    start = max(0, centre - reach)
    return start + int(counts[start : centre + reach + 1].argmin())


def _thighs(body: Body, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the counts of both thighs, each from the gap between them outwards."""
    reach = round(0.065 * (body.last_row - body.first_row))
    gap = _gap_between_thighs(body, row)
    counts = body.smooth[row]
    return counts[max(0, gap - reach) : gap + 1][::-1], counts[gap : gap + reach + 1]


def _width_of_legs(body: Body, legs: int) -> float:
    """Returns the median distance between the outer edges of both thighs, in pixels.

    Hands beside the thighs or a bag between them would mislead: the width is kept
    within 0.164 and 0.196 of the body's length, the range of the
    phantom's rib cages; that of a real scan has 0.18.
    """
    length = body.last_row - body.first_row
    widths = []
    for row in range(legs + round(0.03 * length), legs + round(0.08 * length), 3):
        gap = _gap_between_thighs(body, row)
        inside = body.mask[row]
        widths.append(
            sum(_outer_edge(half) for half in (inside[:gap][::-1], inside[gap + 1 :]))
        )
    return float(np.clip(np.median(widths), 0.164 * length, 0.196 * length))


def _outer_edge(inside: np.ndarray) -> int:
    """Returns where the first run of True in a row ends, 0 if there is none."""
    start = int(inside.argmax())
    outside = np.flatnonzero(~inside[start:])
    return start + int(outside[0]) if outside.size else inside.size


def _centre(body: Body, rows: slice) -> float:
    """Returns the mean column of the counts in `rows`."""
    counts = body.smooth[rows].sum(axis=0)
    return float(np.average(np.arange(counts.size), weights=counts))


def _between(one: float, other: float, body: Body) -> slice:
    """Returns the columns between two positions, kept inside the frame."""
    low, high = sorted((one, other))
    return slice(max(0, round(low)), min(body.mask.shape[1], round(high) + 1))
