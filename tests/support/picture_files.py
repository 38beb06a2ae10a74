"""Pictures of whole-body views for tests, in the variations that people save."""

import struct
import zlib

import numpy as np
from PIL import Image


def draw_body(height=256, width=64):
    """Grey values, uint8: 0 outside of an upright body, a spine of 250 in it."""
    y, x = np.mgrid[:height, :width]
    across = (x - (width - 1) / 2) / (0.3 * width)
    along = (y - (height - 1) / 2) / (0.45 * height)
    inside = across**2 + along**2 < 1
    shade = 40 + (y * 7 + x * 13) % 60  # no two neighbours alike
    grey = np.where(inside, shade, 0)
    grey[inside & (np.abs(x - width // 2) <= 2)] = 250
    return grey.astype(np.uint8)


def save(path, values, **options):
    """Writes values (H, W) or (H, W, C), and returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def encode_png(width, height, bits, colour_type, rows):
    """A PNG of any bit depth, straight from its specification.

    Args:
        width: columns.
        height: rows.
        bits: per sample.
        colour_type: 0 grey, 2 RGB, 4 grey with alpha.
        rows: bytes of all rows, each after its filter byte.
    """

    def chunk(kind, body):
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
