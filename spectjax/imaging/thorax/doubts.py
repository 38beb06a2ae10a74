"""Reasons to doubt a box: both sides disagree, or it is no body's shape.

The ranges are those of 1000 views of the phantom, widened by about a tenth: of views
within 10 pixels of the truth about one in 250 is flagged, and no undamaged real scan.
"""

from typing import NamedTuple

import numpy as np

from spectjax.imaging.thorax.body import Body
from spectjax.imaging.thorax.landmarks import Landmarks, Readings

_LENGTH_MM = (1250, 2150)


class _Share(NamedTuple):
    """A share of the body that was measured, and the range of those that are."""

    what: str
    found: float
    low: float
    high: float


def find_doubts(
    landmarks: Landmarks, body: Body, readings: Readings, pixel_mm: float
) -> tuple[str, ...]:
    """Returns a sentence for each reason to distrust the landmarks."""
    shares = (*_compare_sides(landmarks, readings), *_judge_shape(landmarks))
    doubts = [
        f"{share.what} is {share.found:.3f}, expected {share.low} to {share.high}"
        for share in shares
        if not share.low <= share.found <= share.high
    ]
    if readings.rib_band.contrast < 0.15:
        doubts.append("the ribs are hardly brighter than the flank below them")
    sides = readings.sides
    # Skin falls as ribs do, but ribs are as bright as the chest, seen on their edge.
    if sides.seen < (0.65 if sides.brightness < 0.7 else 0.45):
        doubts.append("the edge of the ribs shows in too little of the chest")
    # A rib cage is round; where it is faint, an arm or skin may be taken for it.
    width = landmarks.right - landmarks.left
    if sides.brightness < 0.8 and np.ptp(sides.edges, axis=1).min() < 0.017 * width:
        doubts.append("the edge of the ribs is faint and as straight as an arm")
    low, high = _LENGTH_MM
    length_mm = body.length * pixel_mm
    if not low <= length_mm <= high:
        doubts.append(
            f"the body is {length_mm:.0f} mm long, expected {low} to {high} mm"
        )
    if body.first_row <= 0 or body.last_row >= len(body.mask):
        doubts.append("head or feet are cut by the frame")
    return tuple(doubts)


def _compare_sides(landmarks: Landmarks, readings: Readings) -> tuple[_Share, ...]:
    """Returns how far left and right disagree: what is true of one is of the other."""
    length = landmarks.feet - landmarks.head
    trunk = landmarks.legs - landmarks.shoulders
    width = landmarks.right - landmarks.left
    left_row, right_row = readings.shoulder_rows
    left_edge, right_edge = np.median(readings.sides.edges, axis=1)
    lowest = readings.rib_band.lowest_by_side
    step = max(
        abs(lowest[0] - lowest[1]), *(abs(r - landmarks.lowest_ribs) for r in lowest)
    )
    place = (landmarks.spine + 0.5 - landmarks.left) / width
    halves = "the difference between the halves of the rib cage in its width"
    shoulders = abs(left_row - right_row) / length
    ribs = "the step between the lowest ribs of both sides in the trunk"
    return (
        _Share("the step between the shoulders in the body", shoulders, 0, 0.02),
        _Share(ribs, step / trunk, 0, 0.085),
        _Share("the spine's place in the rib cage", place, 0.44, 0.56),
        _Share(halves, abs(float(left_edge - right_edge)) / width, 0, 0.1),
    )


def _judge_shape(landmarks: Landmarks) -> tuple[_Share, ...]:
    """Returns shares that hardly differ between bodies."""
    length = landmarks.feet - landmarks.head
    trunk = landmarks.legs - landmarks.shoulders
    height = landmarks.lowest_ribs - landmarks.shoulders
    width = landmarks.right - landmarks.left
    place = (landmarks.shoulders - landmarks.head) / length
    flank = (landmarks.pelvis - landmarks.lowest_ribs) / trunk
    return (
        _Share("the shoulders' place in the body", place, 0.1, 0.185),
        _Share("the rib cage's width in the body", width / length, 0.15, 0.215),
        _Share("the rib cage's height in the trunk", height / trunk, 0.425, 0.64),
        _Share("the rib cage's height in its width", height / width, 0.8, 1.45),
        _Share("the flank's height in the trunk", flank, 0.045, 0.26),
    )
