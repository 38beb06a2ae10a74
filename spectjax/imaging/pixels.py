"""One frame's pixels out of a DICOM file, without trust in what it says of itself."""

import struct
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import UID, RLELossless

from spectjax.imaging.scan import UnreadableFileError

_START_OF_JPEG2000 = b"\xff\x4f\xff\x51"
_START_OF_JPEG = b"\xff\xd8"
# Start-of-frame markers of all JPEG processes and of JPEG-LS.
_START_OF_FRAME = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC))
_START_OF_FRAME += (*range(0xCD, 0xD0), 0xF7)


def decode_frame(path: Path, dataset: Dataset, frame: int) -> np.ndarray:
    """Returns the stored values of one frame.

    Args:
        path: the file, for messages.
        dataset: the file with its pixels, of one sample per pixel.
        frame: zero-based index.

    Returns:
        Stored values, integer, (Rows, Columns).

    Raises:
        UnreadableFileError: the pixels are missing, cut off, of another size than the
            header says, or no installed decoder reads them.
    """
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
