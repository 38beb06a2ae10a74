"""Crops the thorax out of a bone scan: the five stages in order, then the checks."""

import dataclasses
from typing import Any

import numpy as np

from spectjax.imaging.dicom import BoneScan, ScanError
from spectjax.imaging.thorax.body import Body, find_body, remove_noise
from spectjax.imaging.thorax.curve import Curve, count_rows
from spectjax.imaging.thorax.landmarks import (
    Landmarks,
    find_landmarks,
    find_ribs_and_flank,
)
from spectjax.imaging.thorax.transform import Box, CropTransform

CANVAS_HW = (256, 256)  # [P1] and [P2]

PENALTY_RANGE_PX = (5, 15)  # [P2] stage 5: sigma in (5, 15)
# [P2] draws sigma at random; a crop must be reproducible, so ours is fixed. Small,
# because the pelvis begins some 20 px below the lowest ribs.
PENALTY_PX = 6

# Where the parts of a body lie, as shares of its length or of its trunk. In 60 phantom
# patients and in a real scan they span less than two thirds of these ranges.
_SHOULDERS_IN_BODY = (0.09, 0.19)
_WIDTH_IN_BODY = (0.15, 0.215)
_RIBS_IN_TRUNK = (0.43, 0.62)
# The spine's place between the edges of the rib cage, as a share of its width.
_SPINE_IN_RIBS = (0.44, 0.56)

# For files without a pixel spacing: the middle of 2.26 to 2.40 mm seen on real scans.
_USUAL_PIXEL_MM = 2.3


class CropError(ScanError):
    """A scan in which no thorax can be found."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the box was read from: the curves and masks behind the landmarks.

    Attributes:
        body: where the patient is, and thr_N.
        row_curve: counts of each row of the body ([P1] Fig. 2).
        rib_band: counts beside the spine, where ribs end and the pelvis begins.
    """

    body: Body
    row_curve: Curve
    rib_band: Curve


@dataclasses.dataclass(frozen=True)
class ThoraxImage:
    """A thorax on its canvas that knows where it came from.

    Attributes:
        counts: (256, 256) float32, counts inside the box, 0 around it.
        scan: the whole-body view.
        transform: frame to canvas and back.
        landmarks: rows and columns that the box is made of.
        flags: reasons to doubt the box, one sentence each; empty when there are none.
        evidence: curves and masks behind the landmarks.
    """

    counts: np.ndarray
    scan: BoneScan
    transform: CropTransform
    landmarks: Landmarks
    flags: tuple[str, ...]
    evidence: Evidence

    def to_json(self) -> dict[str, Any]:
        """Returns what `python -m spectjax.imaging.thorax` writes for a view."""
        return {
            "file": self.scan.path.name,
            "frame": self.scan.frame,
            "view": self.scan.view,
            "view_evidence": self.scan.view_evidence,
            "spacing_mm": self.scan.spacing_mm,
            "synthetic": self.scan.synthetic,
            "box": self.transform.box,
            "box_convention": "y0, x0, y1, x1 in whole-body pixels, half-open",
            "corner_on_canvas": self.transform.corner,
            "canvas_hw": self.transform.canvas_hw,
            "landmarks": dataclasses.asdict(self.landmarks),
            "noise_threshold": self.evidence.body.noise_threshold,
            "flags": self.flags,
        }


def crop_thorax(scan: BoneScan, *, penalty_px: int = PENALTY_PX) -> ThoraxImage:
    """Crops the thorax by the five stages of [P2].

    Args:
        scan: a whole-body view, head up.
        penalty_px: sigma of [P2] stage 5, in pixels: the box reaches so far beyond the
            rib cage on every side.

    Raises:
        CropError: if no body, no legs or no rib cage can be made out, or if the box
            does not fit the canvas.
        ValueError: if `penalty_px` is not strictly within (5, 15).
    """
    low, high = PENALTY_RANGE_PX
    if not low < penalty_px < high:
        raise ValueError(f"Expected penalty_px in ({low}, {high}), got {penalty_px}.")
    pixel_mm = float(np.mean(scan.spacing_mm)) if scan.spacing_mm else _USUAL_PIXEL_MM
    try:
        body = find_body(scan.counts, pixel_mm)
        row_curve = count_rows(body)
        landmarks, rib_band = find_landmarks(body, row_curve)
        box = _widen(landmarks, penalty_px, scan.counts.shape)
        transform = CropTransform(box, scan.counts.shape, CANVAS_HW)
    except ValueError as error:
        raise CropError(
            f"{scan.path} (frame {scan.frame}, {scan.view}): expected a whole-body "
            f"view from head to feet, found {error}. Leave the file out, or annotate "
            "its thorax by hand."
        ) from error
    return ThoraxImage(
        counts=transform.apply(remove_noise(scan.counts, body)),
        scan=scan,
        transform=transform,
        landmarks=landmarks,
        flags=_doubt(landmarks, body, rib_band),
        evidence=Evidence(body, row_curve, rib_band),
    )


def _doubt(landmarks: Landmarks, body: Body, rib_band: Curve) -> tuple[str, ...]:
    """Returns a sentence for each reason to distrust the landmarks."""
    length = landmarks.feet - landmarks.head
    trunk = landmarks.legs - landmarks.shoulders
    ribs_hw = (
        landmarks.lowest_ribs - landmarks.shoulders,
        landmarks.right - landmarks.left,
    )
    doubts = [
        f"{what} is {share:.2f}, expected {low} to {high}"
        for what, share, (low, high) in (
            (
                "the shoulders' place in the body",
                (landmarks.shoulders - landmarks.head) / length,
                _SHOULDERS_IN_BODY,
            ),
            ("the rib cage's width in the body", ribs_hw[1] / length, _WIDTH_IN_BODY),
            ("the rib cage's height in the trunk", ribs_hw[0] / trunk, _RIBS_IN_TRUNK),
            (
                "the spine's place in the rib cage",
                (landmarks.spine + 0.5 - landmarks.left) / ribs_hw[1],
                _SPINE_IN_RIBS,
            ),
        )
        if not low <= share <= high
    ]
    ribs, flank = find_ribs_and_flank(rib_band, trunk, landmarks.pelvis)
    if rib_band.fitted[flank] > 0.9 * ribs:
        doubts.append("the ribs are hardly brighter than the flank below them")
    if body.first_row <= 0 or body.last_row >= len(body.mask):
        doubts.append("head or feet are cut by the frame")
    return tuple(doubts)


def _widen(landmarks: Landmarks, margin: int, frame_hw: tuple[int, int]) -> Box:
    """Returns the box of the rib cage, `margin` wider on each side, in the frame."""
    return (
        max(0, landmarks.shoulders - margin),
        max(0, landmarks.left - margin),
        min(frame_hw[0], landmarks.lowest_ribs + margin),
        min(frame_hw[1], landmarks.right + margin),
    )
