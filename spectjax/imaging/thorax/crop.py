"""Crops the thorax out of a bone scan: the five stages in order, then the checks."""

import dataclasses
from typing import Any

import numpy as np

from spectjax.imaging.canvas import CANVAS_HW, FRAME_HW, WHOLE_FRAME
from spectjax.imaging.crop_decision import ACCEPTED, BOX_GIVEN
from spectjax.imaging.scan import REGIONS, BoneScan, ScanError
from spectjax.imaging.thorax.body import Body, NoThoraxError, find_body, remove_noise
from spectjax.imaging.thorax.curve import Curve, count_rows
from spectjax.imaging.thorax.doubts import doubt_body, doubt_box
from spectjax.imaging.thorax.landmarks import Landmarks, Readings, find_landmarks
from spectjax.imaging.thorax.network import Opinion, ask_network
from spectjax.imaging.thorax.second_opinion import (
    Verdict,
    is_sure,
    judge_alone,
    weigh,
)
from spectjax.imaging.thorax.transform import Box, CropTransform
from spectjax.system.messages import make_printable

PENALTY_RANGE_PX = (5, 15)  # [P2] stage 5: sigma in (5, 15)
# [P2] draws sigma at random; a crop must be reproducible, so ours is fixed. Small,
# because the pelvis begins some 20 px below the lowest ribs.
PENALTY_PX = 6

# How far height and width of a pixel may differ: the rules below compare heights with
# widths, and take a patient that is stretched for one who is slim.
_SQUARE_WITHIN = 0.05
# For files without a pixel spacing: real scans have 1024 rows of 2.26 to 2.40 mm.
_USUAL_FRAME_MM = 1024 * 2.3
# Of the counts in a given box: there is hardly more than noise around a body.
_LEAST_INSIDE = 0.9
_PIXEL_MM = (0.5, 20)  # no camera has others, and what is smoothed grows with them


class CropError(ScanError):
    """A scan in which no thorax can be found."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the box was read from: the curves ([P1] Fig. 2) and masks behind it."""

    body: Body
    row_curve: Curve
    readings: Readings


@dataclasses.dataclass(frozen=True)
class ThoraxImage:
    """A thorax on its canvas that knows where it came from.

    Attributes:
        counts: (256, 256) float32, counts inside the box, 0 around it.
        scan: the whole-body view.
        transform: frame to canvas and back.
        landmarks: rows and columns that the rules found, which the box is made of if
            nothing says otherwise; None if it was given or the rules found nothing.
        flags: reasons to doubt the box, one sentence each; none if a person decided for
            this box.
        evidence: what they were read from; None if there are none.
        by_hand: what the person did, "accepted by hand" or "box given by hand"; empty
            if nobody decided for this box.
        overruled: the flags of a box that a person accepted all the same.
        opinion: where the network sees the rib cage; None if it was not asked.
        cleared: doubts of the rules that agreement with the network cleared.
    """

    counts: np.ndarray
    scan: BoneScan
    transform: CropTransform
    landmarks: Landmarks | None
    flags: tuple[str, ...]
    evidence: Evidence | None
    by_hand: str = ""
    overruled: tuple[str, ...] = ()
    opinion: Opinion | None = None
    cleared: tuple[str, ...] = ()

    @property
    def region(self) -> str:
        """What the image shows: `BoneScan.region`, or a `WHOLE_FRAME` uncropped."""
        whole = self.transform.canvas_hw == FRAME_HW
        return WHOLE_FRAME if whole else self.scan.region

    @property
    def doubts(self) -> tuple[str, ...]:
        """Reasons to doubt the box or the scan, one sentence each."""
        flags = [f"Crop flagged: {flag}" for flag in self.flags]
        if self.by_hand:
            flags.append(f"Note: {self.decision}.")
        return *flags, *(f"Warning: {warning}." for warning in self.scan.warnings)

    @property
    def decision(self) -> str:
        """Says in words that a person decided for this box; empty if nobody did."""
        if not self.by_hand:
            return ""
        flagged = f", though flagged: {'; '.join(self.overruled)}" * bool(
            self.overruled
        )
        decision = self.scan.crop_decision
        origin = f" ({decision.origin})" if decision else ""
        return f"crop {self.by_hand}{origin}{flagged}"

    def to_json(self) -> dict[str, Any]:
        """Returns what `python -m spectjax.imaging.thorax` writes for a view."""
        return {
            "file": make_printable(self.scan.path.name),
            "frame": self.scan.frame,
            "image_key": self.scan.image_key,
            "view": self.scan.view,
            "view_evidence": self.scan.view_evidence,
            "region": self.scan.region,
            "spacing_mm": self.scan.spacing_mm,
            "synthetic": self.scan.synthetic,
            "box": self.transform.box,
            "box_convention": "y0, x0, y1, x1 in whole-body pixels, half-open",
            "corner_on_canvas": self.transform.corner,
            "canvas_hw": self.transform.canvas_hw,
            "landmarks": self.landmarks and dataclasses.asdict(self.landmarks),
            "noise_threshold": self.evidence and self.evidence.body.noise_threshold,
            "flags": self.flags,
            "decision": self.by_hand or None,
            "overruled_flags": self.overruled,
            "cleared_flags": self.cleared,
            "second_opinion": self.opinion and self.opinion.to_json(),
            "warnings": self.scan.warnings,
        }


def crop_thorax(scan: BoneScan, *, penalty_px: int = PENALTY_PX) -> ThoraxImage:
    """Crops the thorax as a person decided, else by the five stages of [P2].

    An image that is no whole body by a person's word is kept whole: `keep_whole`.
    A box that was given is cut. So is one that was accepted, also where the rules would
    find another one today; without its flags, which are kept as overruled. A crop that
    was refused is flagged. Arguments and errors as of `find_thorax`.

    Raises:
        CropError: also if a given box does not fit the frame or the canvas or has no
            counts in it, or if there is no crop to accept.
    """
    if scan.region != "whole_body":
        return keep_whole(scan)
    decision = scan.crop_decision
    if decision is None:
        return find_thorax(scan, penalty_px=penalty_px)
    if decision.box is not None:
        return cut_box(scan, decision.box, BOX_GIVEN)
    try:
        found = find_thorax(scan, penalty_px=penalty_px)
    except CropError as error:
        if decision.accepted and decision.seen_box:
            what = "the rules of now find no thorax"
            return cut_box(scan, decision.seen_box, ACCEPTED, what)
        if decision.accepted:
            raise CropError(
                f"{scan.path}: expected in {decision.origin} a crop to accept, found "
                f"none. Give its crop_box instead. ({error})"
            ) from error
        raise
    box = found.transform.box
    if not decision.accepted:
        flag = f"refused by hand ({decision.origin})"
        return dataclasses.replace(found, flags=(*found.flags, flag))
    if decision.seen_box not in (None, box):
        what = f"the rules of now find the box {' '.join(map(str, box))}"
        return cut_box(scan, decision.seen_box, ACCEPTED, what)
    return dataclasses.replace(found, flags=(), by_hand=ACCEPTED, overruled=found.flags)


def keep_whole(scan: BoneScan) -> ThoraxImage:
    """Returns an image of a thorax, or of a part of one, in the middle of the canvas.

    It is padded with zeros, and its pixels are what they were.

    Raises:
        ScanError: if it is larger than the canvas, or its pixels are not square.
    """
    hw, region = scan.counts.shape, REGIONS[scan.region]
    if hw[0] > CANVAS_HW[0] or hw[1] > CANVAS_HW[1]:
        raise ScanError(
            f"{scan.path}: expected at most {CANVAS_HW[0]}x{CANVAS_HW[1]} pixels of a "
            f"{region}, found {hw[0]}x{hw[1]}. Cut it closer, or save it with larger "
            "pixels: it is not resampled here."
        )
    if scan.spacing_mm is not None:
        try:
            measure_pixel(scan)
        except NoThoraxError as error:
            raise ScanError(
                f"{scan.path}: expected square pixels, found {error}. Leave the file "
                "out."
            ) from error
    transform = CropTransform((0, 0, *hw), hw, CANVAS_HW)
    counts = transform.apply(scan.counts)
    return ThoraxImage(counts, scan, transform, None, (), None)


def cut_box(scan: BoneScan, box: Box, by_hand: str, *overruled: str) -> ThoraxImage:
    """Returns the thorax in a box that a person decided for.

    Pixels outside the body are 0 as in every crop, if a body is found and the box is
    of it.

    Raises:
        CropError: if the box does not fit the frame or the canvas, or has no counts, or
            if pixels are not square: a stretched thorax is none, whoever found it.
    """
    where = scan.crop_decision.origin if scan.crop_decision else "the call"
    (height, width), (most_rows, most_columns) = scan.counts.shape, CANVAS_HW
    fault = (
        f"{scan.path} (frame {scan.frame}, {scan.view}): expected in {where} a box y0 "
        f"x0 y1 x1 around the thorax in the frame of {height}x{width} pixels, at most "
        f"{most_rows}x{most_columns}, found {' '.join(map(str, box))}"
    )
    try:
        transform = CropTransform(box, scan.counts.shape, CANVAS_HW)
    except ValueError as error:
        raise CropError(f"{fault}. Correct it.") from error
    counts = transform.apply(scan.counts)
    if not counts.any():
        raise CropError(f"{fault}, without a count in it. Correct it.")
    try:
        pixel_mm = measure_pixel(scan)
    except NoThoraxError as error:
        raise CropError(
            f"{scan.path} (frame {scan.frame}, {scan.view}): expected square pixels, "
            f"found {error}. Leave the file out."
        ) from error
    try:
        body = find_body(scan.counts, pixel_mm)
    except NoThoraxError:
        pass
    else:
        counts = _cut_body(scan.counts, body, transform)
    return ThoraxImage(
        counts, scan, transform, None, (), None, by_hand=by_hand, overruled=overruled
    )


def find_thorax(scan: BoneScan, *, penalty_px: int = PENALTY_PX) -> ThoraxImage:
    """Crops the thorax by the five stages of [P2], and asks a network what it thinks.

    Args:
        scan: a whole-body view, head up.
        penalty_px: sigma of [P2] stage 5, in pixels: the box reaches so far beyond the
            rib cage on every side.

    Raises:
        CropError: if no body, no trunk or no rib cage can be made out, if pixels are
            not square, or if the box does not fit the canvas.
        ValueError: if `penalty_px` is not strictly within (5, 15).
    """
    low, high = PENALTY_RANGE_PX
    if not low < penalty_px < high:
        raise ValueError(f"Expected penalty_px in ({low}, {high}), got {penalty_px}.")
    frame_hw = scan.counts.shape
    try:
        pixel_mm = measure_pixel(scan)
        body = find_body(scan.counts, pixel_mm)
        opinion = ask_network(scan.counts)
        verdict, marks, evidence = _hear_both(body, opinion, frame_hw)
        box = _widen(verdict.rib_cage, penalty_px, frame_hw)
    except NoThoraxError as error:
        raise CropError(
            f"{scan.path} (frame {scan.frame}, {scan.view}): expected a whole-body "
            f"view from head to feet, found {error}. Leave the file out, or give "
            "its crop_box in crops.csv."
        ) from error
    transform = CropTransform(box, frame_hw, CANVAS_HW)
    known_mm = pixel_mm if scan.spacing_mm else None
    return ThoraxImage(
        counts=_cut_body(scan.counts, body, transform),
        scan=scan,
        transform=transform,
        landmarks=marks,
        flags=(*verdict.flags, *doubt_body(body, known_mm)),
        evidence=evidence,
        opinion=opinion,
        cleared=verdict.cleared,
    )


def _hear_both(
    body: Body, opinion: Opinion | None, frame_hw: tuple[int, int]
) -> tuple[Verdict, Landmarks | None, Evidence | None]:
    """Returns what rules and network say together, and what the rules found."""
    try:
        marks, evidence = _follow_rules(body)
    except NoThoraxError as error:
        if opinion is None or not is_sure(opinion, frame_hw):
            raise
        return judge_alone(opinion, str(error)), None, None
    ribs = marks.shoulders, marks.left, marks.lowest_ribs, marks.right
    doubts = doubt_box(marks, body, evidence.readings)
    return weigh(ribs, doubts, opinion, frame_hw), marks, evidence


def _follow_rules(body: Body) -> tuple[Landmarks, Evidence]:
    """Returns what stages 3 and 4 find, and what it was read from."""
    row_curve = count_rows(body)
    landmarks, readings = find_landmarks(body, row_curve)
    return landmarks, Evidence(body, row_curve, readings)


def _cut_body(counts: np.ndarray, body: Body, transform: CropTransform) -> np.ndarray:
    """Returns the counts in a box, without those around the body if it is of it."""
    every = transform.apply(counts)
    inside = transform.apply(remove_noise(counts, body))
    # Else what was taken for the body is something else, such as an arm.
    return inside if inside.sum() > _LEAST_INSIDE * every.sum() else every


def measure_pixel(scan: BoneScan) -> float:
    """Returns the side of a pixel in mm, a guess if the file does not say it.

    Raises:
        NoThoraxError: if no camera has such pixels, or they are not square.
    """
    if scan.spacing_mm is None:
        height = width = _USUAL_FRAME_MM / len(scan.counts)
    else:
        height, width = scan.spacing_mm
    low, high = _PIXEL_MM
    if not (low <= height <= high and low <= width <= high):
        guessed = (
            " (a guess, by the rows of the frame)" if scan.spacing_mm is None else ""
        )
        raise NoThoraxError(
            f"pixels of {height:g}x{width:g} mm{guessed}, not of {low:g} to {high:g} mm"
        )
    if abs(height - width) > _SQUARE_WITHIN * width:
        raise NoThoraxError(f"pixels of {height:g}x{width:g} mm, which are not square")
    return (height + width) / 2


def _widen(rib_cage: Box, margin: int, frame_hw: tuple[int, int]) -> Box:
    """Returns the box of the rib cage, `margin` wider on each side, in the frame."""
    top, left, bottom, right = rib_cage
    y0, x0 = max(0, top - margin), max(0, left - margin)
    y1, x1 = min(frame_hw[0], bottom + margin), min(frame_hw[1], right + margin)
    if y1 - y0 > CANVAS_HW[0] or x1 - x0 > CANVAS_HW[1]:
        raise NoThoraxError(
            f"a rib cage of {y1 - y0}x{x1 - x0} pixels, more than the "
            f"{CANVAS_HW[0]}x{CANVAS_HW[1]} of a thorax image"
        )
    return y0, x0, y1, x1
