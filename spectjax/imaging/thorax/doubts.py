"""Reasons to doubt a box: both sides disagree, or it is no body's shape.

Each measure has the range in which bodies lie, and how far beyond it a box is in doubt
for this reason alone. Ranges hold the 19 real adults whose rib cage was measured, the
five real views of three patients whose crop was read by eye, and children of the
phantom; a measure just beyond its range is no doubt, several of them are.
"""

from typing import NamedTuple

import numpy as np

from spectjax.imaging.thorax.body import Body
from spectjax.imaging.thorax.landmarks import Landmarks, Readings

_LENGTH_MM = (800, 2150)  # of a child of two years, and of a tall man's pointed toes
_MOST_REASONS = 3
_DARK = 0.02  # of bright bone; less is noise that JPEG leaves
_CUT = 0.05  # of the body's length: a row so wide is no crown of a head and no toes


class _Measure(NamedTuple):
    """Something that was measured, where bodies lie, and how far off is too far."""

    what: str
    found: float
    low: float
    high: float
    margin: float

    @property
    def excess(self) -> float:
        """How far it is beyond its range, in margins; 0 within."""
        return max(self.low - self.found, self.found - self.high, 0) / self.margin

    def __str__(self) -> str:
        """Says what was found and what was expected."""
        return f"{self.what}: {self.found:.3f}, expected {self.low:g} to {self.high:g}"


def find_doubts(
    landmarks: Landmarks,
    body: Body,
    readings: Readings,
    pixel_mm: float | None,
) -> tuple[str, ...]:
    """Returns a sentence for each reason to distrust the landmarks.

    Args:
        landmarks: what the box is made of.
        body: the body that they were found in.
        readings: what they were read from.
        pixel_mm: the side of a pixel; None if it is not known.
    """
    measures = (
        *_compare_sides(landmarks, readings),
        *_judge_shape(landmarks),
        *_judge_edges(landmarks, readings),
        *_judge_darkness(body.smooth > _DARK * body.bright, landmarks),
    )
    doubts = []
    if sum(measure.excess for measure in measures) >= 1:
        worst = sorted(measures, key=lambda measure: -measure.excess)[:_MOST_REASONS]
        doubts += [str(measure) for measure in worst if measure.excess > 0]
    low, high = _LENGTH_MM
    if pixel_mm is not None and not low <= body.length * pixel_mm <= high:
        doubts.append(
            f"the body is {body.length * pixel_mm:.0f} mm long, expected {low} to "
            f"{high} mm"
        )
    if max(body.mask[[0, -1]].sum(axis=1)) > _CUT * body.length:
        doubts.append("head or feet are cut by the frame")
    return tuple(doubts)


def _compare_sides(landmarks: Landmarks, readings: Readings) -> tuple[_Measure, ...]:
    """Returns how far left and right disagree: what is true of one is of the other."""
    length = landmarks.feet - landmarks.head
    trunk = landmarks.legs - landmarks.shoulders
    width = landmarks.right - landmarks.left
    left_row, right_row = readings.shoulder_rows
    shoulders = abs(left_row - right_row) / length
    left_edge, right_edge = np.median(readings.sides.edges, axis=1)
    halves = abs(float(left_edge - right_edge)) / width
    lowest = readings.rib_band.lowest_by_side
    ribs = max(
        abs(lowest[0] - lowest[1]), *(abs(r - landmarks.lowest_ribs) for r in lowest)
    )
    place = (landmarks.spine + 0.5 - landmarks.left) / width
    return (
        _Measure(
            "the step from one shoulder to the other over the body's length",
            *(shoulders, 0, 0.025, 0.012),
        ),
        _Measure(
            "the step from the lowest ribs of one side to those of the other over the "
            "trunk's height",
            *(ribs / trunk, 0, 0.06, 0.03),
        ),
        _Measure("the spine's place in the rib cage's width", place, 0.45, 0.55, 0.03),
        _Measure(
            "what one half of the rib cage is wider than the other over its width",
            *(halves, 0, 0.09, 0.04),
        ),
    )


def _judge_shape(landmarks: Landmarks) -> tuple[_Measure, ...]:
    """Returns shares that hardly differ between bodies."""
    length = landmarks.feet - landmarks.head
    trunk = landmarks.legs - landmarks.shoulders
    height = landmarks.lowest_ribs - landmarks.shoulders
    width = landmarks.right - landmarks.left
    place = (landmarks.shoulders - landmarks.head) / length
    flank = (landmarks.pelvis - landmarks.lowest_ribs) / trunk
    of_length, of_trunk = "over the body's length", "over the trunk's height"
    return (
        _Measure(f"head and neck {of_length}", place, 0.12, 0.175, 0.04),
        _Measure(f"the trunk's height {of_length}", trunk / length, 0.36, 0.45, 0.03),
        _Measure(
            f"the rib cage's width {of_length}", width / length, 0.147, 0.2, 0.025
        ),
        _Measure(f"the rib cage's height {of_trunk}", height / trunk, 0.42, 0.62, 0.08),
        _Measure(
            "the rib cage's height over its width", height / width, 0.9, 1.45, 0.2
        ),
        _Measure(f"the flank's height {of_trunk}", flank, 0.05, 0.28, 0.05),
    )


def _judge_edges(landmarks: Landmarks, readings: Readings) -> tuple[_Measure, ...]:
    """Returns how well ribs show: skin and arms have steep edges, but less bright.

    A rib cage is round as well; an arm is straight.
    """
    sides = readings.sides
    width = landmarks.right - landmarks.left
    roundness = float(np.ptp(sides.edges, axis=1).min()) / width
    return (
        _Measure(
            "strips of the chest in which the edge of the ribs shows",
            *(sides.seen, 0.5, 1, 0.4),
        ),
        _Measure(
            "the brightness of the ribs' edge over the chest's",
            *(sides.brightness, 0.8, 1.5, 0.8),
        ),
        _Measure(
            "how far the edge of the ribs bulges over the rib cage's width",
            *(roundness, 0.015, 0.3, 0.04),
        ),
        _Measure(
            "what the ribs are brighter than the flank below them",
            *(readings.rib_band.contrast, 0.2, 1, 0.15),
        ),
    )


def _judge_darkness(
    holds_counts: np.ndarray, landmarks: Landmarks
) -> tuple[_Measure, ...]:
    """Returns how much was cut away: where soft tissue was, the lowest ribs may be.

    Args:
        holds_counts: what is not dark, (H, W) bool.
        landmarks: where the rib cage lies.
    """
    columns = slice(landmarks.left, landmarks.right)
    chest = holds_counts[landmarks.shoulders : landmarks.lowest_ribs, columns]
    flank = holds_counts[landmarks.lowest_ribs : landmarks.pelvis, columns]
    beside = np.ones(flank.shape[1], bool)  # the spine, which hides what was cut away
    beside[len(beside) // 4 : -(len(beside) // 4)] = False
    flank = flank[:, beside]
    return (
        _Measure("the chest's share without counts", *(1 - chest.mean(), 0, 0.05, 0.1)),
        _Measure(
            "the flank's share without counts",
            *(1 - flank.mean() if flank.size else 0, 0, 0.3, 0.1),
        ),
    )
