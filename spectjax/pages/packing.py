"""Counts as text that a page carries: every value as it is, and small.

An image has few values beside its pixels, whether they are counts or counts times a
rescale slope: it is written as the list of its values and the number of each pixel's.
`unpack` in `study.js` reads it.
"""

import base64
import gzip
from typing import Any

import numpy as np


def pack_counts(counts: np.ndarray) -> dict[str, Any]:
    """Returns counts for a page's JSON, to the last bit of a float32.

    Args:
        counts: finite, exact in float32, (H, W).

    Returns:
        `hw`: H and W. `levels`: how many values there are, V. `planes`: of how many
        bytes a number is. `gzip`: base64 of the gzipped values, float32, little-endian,
        (V,), then of the least byte of each pixel's number, (H, W), of the next, ...
    """
    levels, numbers = np.unique(counts.astype("<f4"), return_inverse=True)
    numbers = numbers.reshape(-1)
    planes = max(1, -(-(len(levels) - 1).bit_length() // 8))
    # Byte by byte: the upper ones are nearly all 0.
    parts = [(numbers >> 8 * plane).astype(np.uint8) for plane in range(planes)]
    content = b"".join(each.tobytes() for each in (levels, *parts))
    return {
        "hw": counts.shape,
        "levels": len(levels),
        "planes": planes,
        "gzip": base64.b64encode(gzip.compress(content, 9, mtime=0)).decode(),
    }
