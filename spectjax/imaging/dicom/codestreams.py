"""Whether a compressed frame is whole, and of the size that the file's header says.

Decoders believe a frame: 90 kB that claim 60000x60000 pixels made one take 21 GB, and
most fill up a stream that was cut off without a word. So each codec's own marks are
checked first: JPEG, JPEG lossless (ITU-T T.81) and JPEG-LS (T.87), JPEG 2000 (T.800),
and the run lengths of RLE (DICOM PS3.5, annex G).
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

_START_OF_JPEG = b"\xff\xd8"
_START_OF_JPEG2000, _END_OF_JPEG2000 = b"\xff\x4f\xff\x51", b"\xff\xd9"
# Start-of-frame markers of all JPEG processes, and of JPEG-LS.
_JPEG_LS = 0xF7
_START_OF_FRAME = {*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC}
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
_END, _SCAN, _RESTART_INTERVAL, _TILE_PART = 0xD9, 0xDA, 0xDD, 0x90
# In a scan a marker is what no data look like: JPEG stuffs a zero byte after 0xFF,
# JPEG-LS a zero bit. Restart markers are part of the scan.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]")
_END_OF_LS_SCAN = re.compile(rb"\xff[\x80-\xcf\xd8-\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_FILLING = re.compile(rb"\xff+")
_CODING_STYLE = 0x52
# Bytes of zero at the end of coded pixels beside those of empty packets, one for each;
# more of them stand where a part of a file got lost.
_MOST_ZEROS = 8
_MOST_SEGMENTS = 10_000  # few have more than ten, or than the tiles of a picture
_RLE_HEADER = struct.Struct("<16L")


class Shape(NamedTuple):
    """What a compressed frame says of itself."""

    rows: int
    columns: int
    samples: int
    bits: int

    def __str__(self) -> str:
        """Says it in words."""
        return (
            f"{self.rows}x{self.columns} pixels of {self.samples} sample, "
            f"{self.bits} bits"
        )


class DamagedStreamError(Exception):
    """A frame that is cut off, damaged or of another size; says expected and found."""


class JpegStream(NamedTuple):
    """The parts of a JPEG or JPEG-LS frame, which together are the whole.

    Attributes:
        head: up to where the coded pixels begin.
        scan: the coded pixels.
        tail: from the end-of-image marker.
    """

    head: bytes
    scan: bytes
    tail: bytes

    def replace_end(self, count: int, filling: bytes) -> bytes:
        """Returns the frame with the last bytes of its pixels replaced by a filling."""
        end = max(len(self.scan) - count, 0)
        while end and self.scan[end - 1] == 0xFF:  # a filling must not make a marker
            end -= 1
        return self.head + self.scan[:end] + filling + self.tail


def check_jpeg(encoded: bytes, expected: Shape) -> JpegStream:
    """Checks a frame of JPEG, JPEG lossless or JPEG-LS from its start to its end."""
    if not encoded.startswith(_START_OF_JPEG):
        raise DamagedStreamError("expected a start-of-image marker, found none")
    position, frame, scan, interval = 2, 0, slice(0, 0), 0
    for _ in range(_MOST_SEGMENTS):
        marker, contents, position = _read_segment(encoded, position)
        if marker == _END:
            break
        if marker in _START_OF_FRAME:
            bits, rows, columns, samples = _unpack(">BHHB", contents)
            _compare(Shape(rows, columns, samples, bits), expected)
            frame = marker
        elif marker == _RESTART_INTERVAL:
            (interval,) = _unpack(">H", contents)
        elif marker == _SCAN:
            if not frame or scan.stop:
                raise DamagedStreamError("expected one scan after a frame header")
            ends = _END_OF_LS_SCAN if frame == _JPEG_LS else _END_OF_SCAN
            end = ends.search(encoded, position)
            if end is None:
                raise DamagedStreamError("expected an end-of-image marker, found none")
            scan = slice(position, end.start())
            position = end.start()
    if marker != _END or not scan.stop:
        raise DamagedStreamError("expected a scan and its end, found none")
    _check_rest(encoded[position:])
    stream = JpegStream(encoded[: scan.start], encoded[scan], encoded[scan.stop :])
    if interval and frame != _JPEG_LS:
        _check_restarts(stream.scan, expected, interval, 1 if frame in _LOSSLESS else 8)
    return stream


def _read_segment(encoded: bytes, position: int) -> tuple[int, bytes, int]:
    """Returns a marker, what stands in its segment, and where the next one begins."""
    filling = _FILLING.match(encoded, position)
    position = max(position, filling.end() - 1 if filling else 0)
    mark, marker = _unpack(">BB", encoded[position : position + 2])
    if mark != 0xFF or marker == 0:
        raise DamagedStreamError("expected a marker, found other bytes")
    position += 2
    if marker == _END:
        return marker, b"", position
    (length,) = _unpack(">H", encoded[position : position + 2])
    contents = encoded[position + 2 : position + length]
    if length < 2 or len(contents) != length - 2:
        raise DamagedStreamError("expected a whole segment, found its beginning")
    return marker, contents, position + length


def _check_restarts(scan: bytes, shape: Shape, interval: int, unit_px: int) -> None:
    """Compares the restart markers of a scan with its number of coded units."""
    units = -(-shape.rows // unit_px) * -(-shape.columns // unit_px)
    expected, found = -(-units // interval) - 1, len(_RESTART.findall(scan))
    if found != expected:
        raise DamagedStreamError(f"expected {expected} restart markers, found {found}")


def check_jpeg2000(encoded: bytes, expected: Shape) -> None:
    """Checks a codestream of JPEG 2000 from its start to its end."""
    position = encoded.find(_START_OF_JPEG2000)  # before it may stand boxes of JP2
    if position < 0:
        raise DamagedStreamError("expected a codestream of JPEG 2000, found none")
    right, lower, left, upper = _unpack(">4I", encoded[position + 8 :])
    samples, sign_and_bits = _unpack(">HB", encoded[position + 40 :])
    bits = (sign_and_bits & 0x7F) + 1
    _compare(Shape(lower - upper, right - left, samples, bits), expected)
    position += 2
    most_zeros = len(encoded)
    tile_parts: set[tuple[int, int]] = set()
    for _ in range(_MOST_SEGMENTS):
        if encoded[position : position + 2] == _END_OF_JPEG2000:
            break
        start = position
        marker, contents, position = _read_segment(encoded, position)
        if marker == _TILE_PART:
            tile, length, part = _unpack(">HIB", contents)
            if (tile, part) in tile_parts:
                raise DamagedStreamError(
                    "expected each tile-part once, found one twice"
                )
            tile_parts.add((tile, part))
            if length == 0:  # the last one: to the end of the codestream
                position = max(encoded.rfind(_END_OF_JPEG2000), position)
            elif start + length > len(encoded) or start + length <= start:
                raise DamagedStreamError(
                    f"expected a tile-part of {length} bytes, found "
                    f"{len(encoded) - start}"
                )
            else:
                position = max(start + length, position)
        elif marker == _CODING_STYLE:
            style, _, layers, _, levels = _unpack(">BBHBB", contents)
            if not style & 1:  # one precinct for each resolution
                most_zeros = layers * (levels + 1) + _MOST_ZEROS
        elif tile_parts:
            raise DamagedStreamError("expected a tile-part or the end, found neither")
    else:
        raise DamagedStreamError(f"expected at most {_MOST_SEGMENTS} segments")
    if not tile_parts:
        raise DamagedStreamError("expected a tile-part, found none")
    coded = encoded[:position]
    if len(coded) - len(coded.rstrip(b"\0")) > most_zeros:
        raise DamagedStreamError("expected coded pixels up to the end, found zeros")
    _check_rest(encoded[position + 2 :])


def check_rle(encoded: bytes, expected: Shape, bytes_per_sample: int) -> None:
    """Checks that each segment of an RLE frame holds one byte of every pixel."""
    count, *offsets = _unpack("<16L", encoded)
    offsets = offsets[:count]
    is_ordered = offsets == sorted(offsets) and offsets[:1] == [_RLE_HEADER.size]
    if count != bytes_per_sample or not is_ordered:
        raise DamagedStreamError(
            f"expected {bytes_per_sample} segments one after the other, found {count}"
        )
    pixels = expected.rows * expected.columns
    for start, end in zip(offsets, [*offsets[1:], len(encoded)], strict=True):
        found, rest = 0, 0
        for length, position in _runs(encoded, start, end):
            if found == pixels:
                rest = end - position
                break
            found += length
        if found != pixels or rest > 1:  # one byte to make the length even
            raise DamagedStreamError(
                f"expected a segment of {pixels} pixels, found "
                f"{'more' if rest > 1 else found}"
            )


def _runs(encoded: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the pixels of each run of a segment, and where the run begins."""
    position = start
    while position < end:
        control = encoded[position]
        begin = position
        if control < 128:
            position += 2 + control
            length = 1 + control - max(position - end, 0)
        else:
            length = 257 - control if control > 128 and position + 1 < end else 0
            position += 2 if control > 128 else 1
        yield length, begin


def _compare(found: Shape, expected: Shape) -> None:
    if found != expected:
        raise DamagedStreamError(f"expected {expected}, found {found}")


def _check_rest(rest: bytes) -> None:
    """Refuses what follows an end marker, but for what makes a length even."""
    if rest.strip(b"\0") not in (b"", b"\xff"):
        raise DamagedStreamError(
            f"expected the end of the frame, found {len(rest)} bytes more"
        )


def _unpack(form: str, contents: bytes) -> tuple[int, ...]:
    size = struct.calcsize(form)
    if len(contents) < size:
        raise DamagedStreamError("expected a whole frame, found its beginning")
    return struct.unpack(form, contents[:size])
