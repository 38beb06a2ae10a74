"""Stages 3 and 4 of [P2]: head, legs, arms and pelvis, and what is left between them.

The papers give the ideas and few numbers; each choice made here is named where it is
made. Rows and columns are pixels of the whole-body frame.
"""

from dataclasses import dataclass

import numpy as np

from spectjax.imaging.thorax.body import (
    Body,
    NoThoraxError,
    columns_between,
    find_centre,
)
from spectjax.imaging.thorax.curve import Curve
from spectjax.imaging.thorax.ribs import (
    RibBand,
    Sides,
    find_lowest_ribs,
    find_sides,
    find_spine,
)

_CAP = 0.6  # of bright bone: a hot shoulder blade does not hide the joint above it


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


@dataclass(frozen=True)
class Readings:
    """What the landmarks were read from, side by side, left before right.

    Attributes:
        shoulder_rows: first row of the shoulder's bones on each side.
        sides: the edge of the ribs on each side.
        rib_band: the curve that ends the box below.
    """

    shoulder_rows: tuple[int, int]
    sides: Sides
    rib_band: RibBand


def find_landmarks(body: Body, row_curve: Curve) -> tuple[Landmarks, Readings]:
    """Stages 3 and 4: removes head and legs, then arms and pelvis."""
    legs = find_legs(body)
    neck, shoulder_rows = find_shoulders(body, row_curve)
    shoulders = min(shoulder_rows)
    if legs - shoulders < 0.2 * body.length:
        raise NoThoraxError("no trunk between shoulders and legs")
    spine = find_spine(body, shoulders, legs)
    sides = find_sides(body, shoulders, legs, spine)
    rib_band = find_lowest_ribs(body, shoulders, legs, sides)
    low = shoulders + 0.055 * body.length
    below = [peak for peak in row_curve.peaks if low < peak < legs]
    landmarks = Landmarks(
        head=body.first_row,
        neck=neck,
        shoulders=shoulders,
        elbows=below[0] if below else rib_band.pelvis,
        legs=legs,
        feet=body.last_row,
        pelvis=rib_band.pelvis,
        lowest_ribs=rib_band.lowest_ribs,
        spine=spine,
        left=sides.left,
        right=sides.right,
    )
    return landmarks, Readings(shoulder_rows, sides, rib_band)


def find_shoulders(body: Body, row_curve: Curve) -> tuple[int, tuple[int, int]]:
    """Stage 3: the row of the neck and that of the shoulder's bones on each side.

    The steepest rise of the curve after the head says roughly where the shoulders are;
    the bones begin where, left or right of the neck, counts have risen half of the way
    to the brightest bone. Counts are capped at what any shoulder has, and the brightest
    seventh of each row is passed over, so that a hot joint or node moves little.
    """
    length = body.length
    # Shoulders lie at 0.13 to 0.15 of real adults, those of small children at 0.2.
    early = slice(round(0.09 * length), round(0.21 * length))
    steepest = int(row_curve.rows[early][row_curve.first[early].argmax()])
    start = max(0, steepest - body.first_row - round(0.08 * length))
    above = slice(start, max(start + 1, steepest - body.first_row))
    neck = int(row_curve.rows[above][row_curve.fitted[above].argmin()])

    reach = round(0.05 * length)
    rows = slice(max(0, steepest - reach), steepest + reach)
    centre = find_centre(body, slice(steepest, steepest + 2 * reach))
    left, right = (
        rows.start + _find_rise(body, rows, centre + side * 0.09 * length)
        for side in (-1, 1)
    )
    return neck, (left, right)


def _find_rise(body: Body, rows: slice, column: float) -> int:
    """Returns the index in `rows` at which the bones around a column begin."""
    reach = 0.02 * body.length
    columns = columns_between(column - reach, column + reach, body)
    beside = np.minimum(body.smooth[rows, columns], np.float32(_CAP * body.bright))
    profile = np.percentile(beside, 85, axis=1)
    # The last of equals: what is hot above the shoulder reaches the cap as well.
    brightest = len(profile) - 1 - int(profile[::-1].argmax())
    rise = profile[: brightest + 1]
    level = (rise.min() + rise[-1]) / 2
    return int(np.flatnonzero(rise <= level)[-1])


def find_legs(body: Body) -> int:
    """Stage 3: the row from which on a dark gap stands between two bright thighs.

    [P1] reads the beginning of the legs off the third valley of the curve. That valley
    is flat and moves with noise by tens of rows; the gap that causes it does not. An
    empty bladder, or one that was cut away, is a gap that ends again. Where the thighs
    touch, or where there is one leg only, the crotch is taken to be at 0.53 of the
    body's length, as it is within 0.03 in the phantom and in five real views.
    """
    length = body.length
    rows = slice(
        body.first_row + round(0.46 * length), body.first_row + round(0.6 * length)
    )
    gaps = _find_gaps(body, rows)
    reach = round(0.065 * length)
    columns = gaps[:, None] + np.arange(-reach, reach + 1)
    inside = np.clip(columns, 0, body.smooth.shape[1] - 1)
    thighs = np.take_along_axis(body.smooth[rows], inside, axis=1)
    # A hand with the injection in it is no thigh.
    thighs = np.minimum(thighs, np.float32(body.bright))
    brightest = np.minimum(
        thighs[:, : reach + 1].max(axis=1), thighs[:, reach:].max(axis=1)
    )
    together = np.flatnonzero(thighs[:, reach] >= 0.25 * brightest)
    first = int(together[-1]) + 1 if together.size else 0
    if len(thighs) - first >= 0.01 * length:
        return rows.start + first
    return body.first_row + round(0.53 * length)


def _find_gaps(body: Body, rows: slice) -> np.ndarray:
    """Returns the darkest column near the middle of each row, int, (R,)."""
    counts = body.smooth[rows] * body.mask[rows]
    columns = np.arange(counts.shape[1])
    total = np.maximum(counts.sum(axis=1), 1e-6)
    centre = np.rint(counts @ columns.astype(np.float32) / total).astype(int)
    reach = round(0.03 * body.length)
    near = np.clip(
        centre[:, None] + np.arange(-reach, reach + 1), 0, counts.shape[1] - 1
    )
    darkest = np.take_along_axis(counts, near, axis=1).argmin(axis=1)
    return near[np.arange(len(near)), darkest]
