"""One frame's pixels out of a DICOM file, without trust in what it says of itself."""

import io

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import (
    encapsulate,
    generate_fragments,
    generate_frames,
    parse_basic_offsets,
)
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from spectjax.imaging.dicom.codestreams import (
    DamagedStreamError,
    JpegStream,
    Shape,
    check_jpeg,
    check_jpeg2000,
    check_rle,
)
from spectjax.imaging.scan import EmptyImageError, UnreadableFileError
from spectjax.system.limits import DICOM_FRAGMENTS

_BITS_ALLOCATED = (8, 16, 32, 64)
_ITEM = b"\xfe\xff\x00\xe0"  # begins a fragment
_STRICT = "pyjpegls"
_PROBE_BYTES, _FILLINGS = 8, (b"\x55", b"\x2a")
_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
_LOSSY_OR_NOT = (JPEG2000, HTJ2K)


def read_counts(dataset: Dataset, frame: int) -> tuple[np.ndarray, str | None]:
    """Returns the counts of one frame: stored value times slope plus intercept.

    Real World Value Mappings and display windows say what to show, not what was
    counted, and are ignored. The data set has its pixels, of one sample per pixel;
    frames count from zero.

    Returns:
        Counts, float32, (Rows, Columns), not negative; and a note on what was cut.
    """
    stored = decode_frame(dataset, frame)
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
            f"expected finite counts, found rescale slope {slope:g} and "
            f"intercept {intercept:g}. Export the original image."
        )
    negative = int((counts < 0).sum())
    counts = np.maximum(counts, 0)
    if not counts.any():
        raise EmptyImageError(
            f"expected counts, found none in frame {frame + 1}. Remove the "
            "file, or export it again."
        )
    notes = [f"{negative} negative values set to 0"] * (negative > 0)
    if ignored := _count_ignored(dataset):
        notes.append(f"bits above Bits Stored ignored in {ignored} words")
    return counts, ", ".join(notes) or None


def _count_ignored(dataset: Dataset) -> int:
    """Returns how many uncompressed words of a file hold more than Bits Stored."""
    allocated, bits = dataset.BitsAllocated, dataset.get("BitsStored") or 0
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID") or ""))
    if not 0 < bits < allocated or dataset.get("PixelRepresentation"):
        return 0  # negative numbers fill their words with ones
    if syntax.is_transfer_syntax and syntax.is_compressed:
        return 0
    order = "<" if not syntax.is_transfer_syntax or syntax.is_little_endian else ">"
    kind = np.dtype(f"{order}u{allocated // 8}")
    whole = len(dataset.PixelData) // kind.itemsize
    words = np.frombuffer(dataset.PixelData, kind, whole)
    return int(np.count_nonzero(words >> kind.type(bits)))


def describe_compression(dataset: Dataset) -> str | None:
    """Returns a note if compression changed the values, or may have."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    stated = dataset.get("LossyImageCompression")
    if stated == "01" or syntax in _LOSSY:
        return "lossy compression"
    if stated != "00" and syntax in _LOSSY_OR_NOT:
        return f"possibly lossy compression ({syntax.name})"
    return None


def decode_frame(dataset: Dataset, frame: int) -> np.ndarray:
    """Returns the stored values of one frame.

    The data set has its pixels, of one sample per pixel; frames count from zero.

    Returns:
        Stored values, integer, (Rows, Columns). Bits above Bits Stored, where old
        files keep overlays, are no part of them (DICOM PS3.5, 8.1.1).
    """
    bits, high = dataset.get("BitsStored"), dataset.get("HighBit")
    if bits and high is not None and high != bits - 1:
        raise UnreadableFileError(
            f"expected the highest of {bits} bits to be bit {bits - 1}, found "
            f"High Bit {high}. Export the file again."
        )
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID") or ""))
    is_compressed = syntax.is_transfer_syntax and syntax.is_compressed
    try:
        if not is_compressed:
            _check_length(dataset)
            return pydicom.pixels.pixel_array(dataset, index=frame)
        encoded = _split_frames(dataset)
        streams = [_check_stream(syntax, dataset, each) for each in encoded]
        return _decode(syntax, dataset, encoded[frame], streams[frame])
    except Exception as error:  # every decoder raises errors of its own
        remedy = "The file is cut off or damaged: export it again."
        if is_compressed and not isinstance(error, DamagedStreamError):
            remedy = (
                "Export it uncompressed, or install more decoders "
                "(pip install 'spectjax[codecs]')."
            )
        raise UnreadableFileError(
            f"expected pixels, found pixel data ({syntax.name}) that cannot be "
            f"decoded ({_shorten(error)}). {remedy}"
        ) from error


def _check_length(dataset: Dataset) -> None:
    """Compares the length of uncompressed pixels with the header's promise.

    Where there are more, Rows, Columns or Number of Frames is wrong, and every frame
    but the first would be read from the wrong place.
    """
    allocated = dataset.BitsAllocated
    if allocated not in _BITS_ALLOCATED:
        raise DamagedStreamError(f"expected whole bytes, found {allocated}")
    count = int(dataset.get("NumberOfFrames") or 1)
    rows, columns = dataset.Rows, dataset.Columns
    expected, found = count * rows * columns * allocated // 8, len(dataset.PixelData)
    if found - expected not in (0, expected % 2):  # a byte makes the length even
        raise DamagedStreamError(
            f"expected {expected} bytes, {count} frames of {rows}x{columns} pixels of "
            f"{allocated} bits, found {found}"
        )


def _split_frames(dataset: Dataset) -> list[bytes]:
    """Returns all encoded frames, which are as many as the header says."""
    count = int(dataset.get("NumberOfFrames") or 1)
    if dataset.PixelData.count(_ITEM) > DICOM_FRAGMENTS:
        raise DamagedStreamError(f"expected at most {DICOM_FRAGMENTS} fragments")
    table = [dataset.get(f"ExtendedOffsetTable{part}") for part in ("", "Lengths")]
    offsets = (table[0], table[1]) if all(table) else None
    frames = list(
        generate_frames(
            dataset.PixelData, number_of_frames=count, extended_offsets=offsets
        )
    )
    if len(frames) != count:
        raise DamagedStreamError(f"expected {count} frames, found {len(frames)}")
    stream = io.BytesIO(dataset.PixelData)
    parse_basic_offsets(stream)
    unused = sum(map(len, generate_fragments(stream))) - sum(map(len, frames))
    if not 0 <= unused <= count:  # a byte for each makes its length even
        raise DamagedStreamError(
            f"expected every fragment in one frame, found {unused} bytes in none"
        )
    return frames


def _check_stream(syntax: UID, dataset: Dataset, encoded: bytes) -> JpegStream | None:
    """Compares a compressed frame with the header, and looks for its end."""
    expected = Shape(dataset.Rows, dataset.Columns, 1, dataset.BitsStored)
    if syntax == RLELossless:
        check_rle(encoded, expected, dataset.BitsAllocated // 8)
    elif syntax in JPEG2000TransferSyntaxes:  # with high throughput as well
        check_jpeg2000(encoded, expected)
    elif syntax in JPEGTransferSyntaxes + JPEGLSTransferSyntaxes:
        return check_jpeg(encoded, expected)
    else:
        raise DamagedStreamError("expected a compression of still images")
    return None


def _decode(
    syntax: UID, dataset: Dataset, encoded: bytes, stream: JpegStream | None
) -> np.ndarray:
    """Returns the pixels of a frame, (Rows, Columns), if all of it is needed for them.

    CharLS (pyjpegls) makes sure of that itself, as OpenJPEG does. What reads the other
    JPEGs goes on without a word where coded pixels are missing or left over. So they
    are decoded again with bytes after the last, which must not matter, and with other
    bytes as the last, which must.
    """
    plugin = ""
    if syntax in JPEGLSTransferSyntaxes:
        plugin = _STRICT * (_STRICT in get_decoder(syntax).available_plugins)
    pixels = _decode_alone(syntax, dataset, encoded, plugin)
    if stream is None or plugin:
        return pixels

    def changes(count: int, filling: bytes) -> bool:
        changed = stream.replace_end(count, filling * _PROBE_BYTES)
        try:
            other = _decode_alone(syntax, dataset, changed, plugin)
        except Exception:  # the decoder came upon the filling
            return True
        return not np.array_equal(pixels, other)

    if any(changes(0, filling) for filling in _FILLINGS):
        raise DamagedStreamError(
            "expected all coded pixels, found some of them missing"
        )
    if not any(changes(_PROBE_BYTES, filling) for filling in _FILLINGS):
        raise DamagedStreamError("expected the last coded pixel, found more after it")
    return pixels


def _decode_alone(
    syntax: UID, dataset: Dataset, encoded: bytes, plugin: str
) -> np.ndarray:
    """Returns what a decoder makes of one encoded frame."""
    alone = dataset.group_dataset(0x0028)
    if "NumberOfFrames" in alone:  # the element is shared: to set it would change both
        del alone.NumberOfFrames
    alone.PixelData = encapsulate([encoded])
    alone["PixelData"].VR = "OB"
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = syntax
    return pydicom.pixels.pixel_array(alone, index=0, decoding_plugin=plugin)


def _shorten(error: Exception) -> str:
    """Returns the reasons in an error's text, without the head of pydicom's lists."""
    lines = str(error).splitlines() or [type(error).__name__]
    text = "; ".join(" ".join(line.split()) for line in lines[1:] or lines)
    return text if len(text) <= 240 else text[:240] + "..."
