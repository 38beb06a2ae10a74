"""The whole frame of a bone scan in place of its thorax: nothing is cut away."""

from spectjax.imaging.canvas import FRAME_HW
from spectjax.imaging.scan import REGIONS, BoneScan, ScanError
from spectjax.imaging.thorax.body import NoThoraxError
from spectjax.imaging.thorax.crop import ThoraxImage, measure_pixel
from spectjax.imaging.thorax.transform import CropTransform


def keep_frame(scan: BoneScan) -> ThoraxImage:
    """Returns a whole body in the middle of a canvas of `FRAME_HW`, padded with zeros.

    Its pixels are what they were. What a person decided about the crop of the thorax
    does not matter here, and there is nothing to flag.

    Raises:
        ScanError: if it is no whole body by a person's word, is larger than the canvas,
            or its pixels are not square.
    """
    name = f"{scan.path} (frame {scan.frame}, {scan.view})"
    if scan.region != "whole_body":
        raise ScanError(
            f"{name}: expected a whole body, found a {REGIONS[scan.region]} by a "
            "person's word. Ask a model that reads the thorax."
        )
    hw = scan.counts.shape
    if hw[0] > FRAME_HW[0] or hw[1] > FRAME_HW[1]:
        raise ScanError(
            f"{name}: expected a whole body of at most {FRAME_HW[0]}x{FRAME_HW[1]} "
            f"pixels, found {hw[0]}x{hw[1]}. Cut off empty rows and columns, or save "
            "it with larger pixels: it is not resampled here."
        )
    try:
        measure_pixel(scan)
    except NoThoraxError as error:
        raise ScanError(
            f"{name}: expected square pixels, found {error}. Leave the file out."
        ) from error
    transform = CropTransform((0, 0, *hw), hw, FRAME_HW)
    counts = transform.apply(scan.counts)
    return ThoraxImage(counts, scan, transform, None, (), None)
