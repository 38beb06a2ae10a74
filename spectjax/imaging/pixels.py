"""One frame's pixels out of a DICOM file, without trust in what it says of itself."""

import struct
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from spectjax.imaging.scan import EmptyImageError, UnreadableFileError

_START_OF_JPEG2000 = b"\xff\x4f\xff\x51"
_START_OF_JPEG = b"\xff\xd8"
# Start-of-frame markers of all JPEG processes and of JPEG-LS.
_START_OF_FRAME = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC))
_START_OF_FRAME += (*range(0xCD, 0xD0), 0xF7)

_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
_LOSSY_OR_NOT = (JPEG2000, HTJ2K)


def read_counts(
    path: Path, dataset: Dataset, frame: int
) -> tuple[np.ndarray, str | None]:
    """Returns the counts of one frame: stored value times slope plus intercept.

    Real World Value Mappings and display windows say what to show, not what was
    counted, and are ignored.

    Args:
        path: the file, for messages.
        dataset: the file with its pixels, of one sample per pixel.
        frame: zero-based index.

    Returns:
        Counts, float32, (Rows, Columns), not negative; and a note on what was cut.

    Raises:
        UnreadableFileError: as `decode_frame`, or rescale tags that give no counts.
        EmptyImageError: no pixel holds a count.
    """
    stored = decode_frame(path, dataset, frame)
    slope, intercept = (
        float(value) if value not in (None, "") else default
        for value, default in (
            (dataset.get("RescaleSlope"), 1.0),
            (dataset.get("RescaleIntercept"), 0.0),
        )
    )
    counts = (stored.astype(np.float64) * slope + intercept).astype(np.float32)
    if not (slope > 0 and np.isfinite(counts).all()):
        raise UnreadableFileError(
            f"{path}: expected finite counts, found rescale slope {slope:g} and "
            f"intercept {intercept:g}. Export the original image."
        )
    negative = int((counts < 0).sum())
    counts = np.maximum(counts, 0)
    if not counts.any():
        raise EmptyImageError(
            f"{path}: expected counts, found none in frame {frame + 1}. Remove the "
            "file, or export it again."
        )
    return counts, f"{negative} negative values set to 0" if negative else None


def describe_compression(dataset: Dataset) -> str | None:
    """Returns a note if compression changed the values, or may have."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    stated = dataset.get("LossyImageCompression")
    if stated == "01" or syntax in _LOSSY:
        return "lossy compression"
    if stated != "00" and syntax in _LOSSY_OR_NOT:
        return f"possibly lossy compression ({syntax.name})"
    return None


def decode_frame(path: Path, dataset: Dataset, frame: int) -> np.ndarray:
    """Returns the stored values of one frame.

    Args:
        path: the file, for messages.
        dataset: the file with its pixels, of one sample per pixel.
        frame: zero-based index.

    Returns:
        Stored values, integer, (Rows, Columns). Bits above Bits Stored, where old
        files keep overlays, are no part of them (DICOM PS3.5, 8.1.1).

    Raises:
        UnreadableFileError: the pixels are missing, cut off, of another size than the
            header says, shifted within their words, or no installed decoder reads them.
    """
    bits, high = dataset.get("BitsStored"), dataset.get("HighBit")
    if bits and high is not None and high != bits - 1:
        raise UnreadableFileError(
            f"{path}: expected the highest of {bits} bits to be bit {bits - 1}, found "
            f"High Bit {high}. Export the file again."
        )
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID") or ""))
    is_compressed = syntax.is_transfer_syntax and syntax.is_compressed
    try:
        if is_compressed and syntax != RLELossless:
            _check_size(dataset, frame)
        return pydicom.pixels.pixel_array(dataset, index=frame)
    except Exception as error:  # every decoder raises errors of its own
        remedy = "The file is cut off or damaged: export it again."
        if is_compressed:
            remedy = (
                "Export it uncompressed, or install more decoders "
                "(pip install 'spectjax[codecs]')."
            )
        raise UnreadableFileError(
            f"{path}: expected pixels, found pixel data ({syntax.name}) that cannot be "
            f"decoded ({_shorten(error)}). {remedy}"
        ) from error


def _check_size(dataset: Dataset, frame: int) -> None:
    """Compares the size in a compressed frame with the header's.

    Decoders believe the frame: 90 kB that claim 60000x60000 pixels made one take 21 GB.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    encoded = get_frame(dataset.PixelData, frame, number_of_frames=count)
    found = _encoded_size(encoded)
    expected = dataset.Rows, dataset.Columns, 1
    if found is not None and found != expected:
        raise ValueError(
            "expected {}x{} pixels of {} sample, found {}x{} of {}".format(
                *expected, *found
            )
        )


def _encoded_size(encoded: bytes) -> tuple[int, int, int] | None:
    """Returns rows, columns and samples that a JPEG or JPEG 2000 frame states."""
    start = encoded.find(_START_OF_JPEG2000)
    if start >= 0:
        right, lower, left, upper = struct.unpack_from(">4I", encoded, start + 8)
        (samples,) = struct.unpack_from(">H", encoded, start + 40)
        return lower - upper, right - left, samples
    position = 2 if encoded.startswith(_START_OF_JPEG) else len(encoded)
    while position + 10 <= len(encoded):
        mark, marker, length = struct.unpack_from(">BBH", encoded, position)
        if marker in _START_OF_FRAME:
            return struct.unpack_from(">HHB", encoded, position + 5)
        # Before a marker stands 0xFF, more than once where it serves as filling.
        position += 1 if mark != 0xFF or marker == 0xFF else 2 + length
    return None


def _shorten(error: Exception) -> str:
    """Returns the reasons in an error's text, without the head of pydicom's lists."""
    lines = str(error).splitlines() or [type(error).__name__]
    text = "; ".join(" ".join(line.split()) for line in lines[1:] or lines)
    return text if len(text) <= 240 else text[:240] + "..."
