"""A small encoder of JPEG lossless, first-order prediction (ITU-T T.81, process 14).

No library that tests may use writes it, and GE and many archives do.
"""

import struct

# Every category of differences, 0 to 16, gets a code of five bits: its own number.
CODE_BITS = 5
CATEGORIES = range(17)


def encode_jpeg_lossless(frame, precision):
    """Returns a frame (H, W) of unsigned integers as a JPEG of selection value 1."""
    rows, columns = frame.shape
    counts = [0] * 16
    counts[CODE_BITS - 1] = len(CATEGORIES)
    return b"".join(
        [
            b"\xff\xd8",
            _segment(
                0xC3, struct.pack(">BHHB", precision, rows, columns, 1), b"\1\x11\0"
            ),
            _segment(0xC4, b"\0", bytes(counts), bytes(CATEGORIES)),
            _segment(0xDA, b"\1\1\0", b"\1\0\0"),
            _pack("".join(_code(d) for d in _differences(frame.tolist(), precision))),
            b"\xff\xd9",
        ]
    )


def _segment(marker, *parts):
    contents = b"".join(parts)
    return struct.pack(">BBH", 0xFF, marker, len(contents) + 2) + contents


def _differences(rows, precision):
    """Yields each value less the one before it; a row begins from the row above."""
    start = 1 << (precision - 1)
    for row in rows:
        left = start
        for value in row:
            # Modulo 2**16, as -32767 to 32768.
            yield (value - left + 32767) % 65536 - 32767
            left = value
        start = row[0]


def _code(difference):
    """Returns bits: the category of a difference, then which one of it."""
    category = abs(difference).bit_length()
    code = format(category, f"0{CODE_BITS}b")
    if category in (0, 16):
        return code
    rest = difference if difference > 0 else difference + (1 << category) - 1
    return code + format(rest, f"0{category}b")


def _pack(bits):
    """Returns bits as bytes, filled with ones; after 0xFF stands a zero."""
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return packed.replace(b"\xff", b"\xff\0")
