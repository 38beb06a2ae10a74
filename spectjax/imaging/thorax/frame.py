"""The whole frame of a bone scan in place of its thorax: nothing of the body is cut."""

import numpy as np

from spectjax.imaging.canvas import FRAME_HW
from spectjax.imaging.hotspots import bound_mask
from spectjax.imaging.scan import REGIONS, BoneScan, ScanError
from spectjax.imaging.thorax.body import NoThoraxError, find_body
from spectjax.imaging.thorax.crop import ThoraxImage, measure_pixel
from spectjax.imaging.thorax.transform import Box, CropTransform


def keep_frame(scan: BoneScan) -> ThoraxImage:
    """Returns a whole body in the middle of a canvas of `FRAME_HW`, padded with zeros.

    Its pixels are what they were. Of a larger frame, as with wide empty sides, it is
    what lies around the body. What a person decided about the crop of the thorax does
    not matter here, and there is nothing to flag.

    Raises:
        ScanError: if it is no whole body by a person's word, the body is larger than
            the canvas, or pixels are not square.
    """
    name = f"{scan.path} (frame {scan.frame}, {scan.view})"
    if scan.region != "whole_body":
        raise ScanError(
            f"{name}: expected a whole body, found a {REGIONS[scan.region]} by a "
            "person's word. Ask a model that reads the thorax."
        )
    try:
        pixel_mm = measure_pixel(scan)
    except NoThoraxError as error:
        raise ScanError(
            f"{name}: expected square pixels, found {error}. Leave the file out."
        ) from error
    hw = scan.counts.shape
    box: Box | None = (0, 0, *hw)
    if hw[0] > FRAME_HW[0] or hw[1] > FRAME_HW[1]:
        box = _find_box(scan.counts, pixel_mm)
    if box is None:
        raise ScanError(
            f"{name}: expected a body of at most {FRAME_HW[0]}x{FRAME_HW[1]} pixels, "
            f"found none such in a frame of {hw[0]}x{hw[1]}. Save it with larger "
            "pixels: it is not resampled here."
        )
    transform = CropTransform(box, hw, FRAME_HW)
    counts = transform.apply(scan.counts)
    return ThoraxImage(counts, scan, transform, None, (), None)


def _find_box(counts: np.ndarray, pixel_mm: float) -> Box | None:
    """Returns the box of the canvas's size around the body; None if it does not fit."""
    try:
        found = bound_mask(find_body(counts, pixel_mm).mask)
    except NoThoraxError:
        return None
    sides: list[tuple[int, int]] = []
    for first, last, size, most in zip(
        found[:2], found[2:], counts.shape, FRAME_HW, strict=True
    ):
        if last - first > most:
            return None
        start = min(max((first + last - most) // 2, 0), max(size - most, 0))
        sides.append((start, min(start + most, size)))
    (y0, y1), (x0, x1) = sides
    return y0, x0, y1, x1
