"""Masks: the pixels of a polygon, and those of a PNG picture.

Points are (x, y) in continuous pixel coordinates: the pixel of row r and column c
covers [c, c + 1) x [r, r + 1), so its centre is (c + 0.5, r + 0.5). This is LabelMe's
convention. H is the number of rows, W of columns.
"""

import io

import numpy as np
from PIL import Image


def fill_polygon(polygon_xy: np.ndarray, image_hw: tuple[int, int]) -> np.ndarray:
    """Returns the pixels whose centres lie in a closed polygon.

    Even-odd rule: a centre is inside if an odd number of edges lies to its left. Left
    and upper edges belong to the polygon, right and lower ones do not; so polygons that
    share an edge share no pixel and leave none out between them.

    Args:
        polygon_xy: corners in order, float, (N, 2); may reach beyond the image.
        image_hw: (H, W).

    Returns:
        Mask, bool, (H, W).
    """
    height, width = image_hw
    corners = np.asarray(polygon_xy, np.float64)
    # For each corner the first row whose centre does not lie above it.
    first_rows = np.clip(np.ceil(corners[:, 1] - 0.5), 0, height).astype(int)
    top, bottom = first_rows.min(), first_rows.max()
    # Along a row, each crossing of an edge switches between outside and inside.
    crossings = np.zeros((bottom - top, width + 1), np.int64)
    for i in range(len(corners)):
        # Always downwards: a shared edge crosses at the same x in both its polygons.
        upper, lower = sorted((i - 1, i), key=lambda k: corners[k, 1])
        (x0, y0), (x1, y1) = corners[upper], corners[lower]
        rows = np.arange(first_rows[upper], first_rows[lower])
        if len(rows):
            x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.clip(np.ceil(x - 0.5), 0, width).astype(int)
            crossings[rows - top, columns] += 1
    mask = np.zeros(image_hw, bool)
    mask[top:bottom] = np.cumsum(crossings, axis=1)[:, :width] % 2 == 1
    return mask


def trace_circle(
    centre_xy: np.ndarray, edge_xy: np.ndarray, corners: int = 256
) -> np.ndarray:
    """Returns a polygon (corners, 2) around a centre through a point of the edge.

    With 256 corners it lies within 0.0001 of its radius inside of the circle.
    """
    centre_xy = np.asarray(centre_xy, np.float64)
    radius = np.hypot(*(np.asarray(edge_xy, np.float64) - centre_xy))
    angles = np.arange(corners) * (2 * np.pi / corners)
    return centre_xy + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def decode_mask(png: bytes, image_hw: tuple[int, int]) -> np.ndarray:
    """Returns the pixels of a PNG that are neither black nor transparent.

    Args:
        png: contents of the file.
        image_hw: the (H, W) that it must have.

    Returns:
        Mask, bool, (H, W).

    Raises:
        ValueError: no PNG, a damaged one, or one of another size.
    """
    expected = f"expected a PNG of {image_hw[0]}x{image_hw[1]} pixels, found"
    try:
        # Reads the header alone, so the size is compared before anything is unpacked.
        picture = Image.open(io.BytesIO(png), formats=["PNG"])
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{expected} none that opens ({error})") from error
    if picture.size != (image_hw[1], image_hw[0]):
        raise ValueError(f"{expected} {picture.height}x{picture.width}")
    try:
        pixels = np.asarray(picture.convert("RGBA"))
    except Exception as error:  # the decoder raises errors of many kinds
        raise ValueError(f"{expected} a damaged one") from error
    return np.any(pixels[..., :3] > 0, axis=2) & (pixels[..., 3] > 0)


def encode_grey(picture: np.ndarray) -> bytes:
    """Returns an 8-bit grey PNG of uint8 values (H, W)."""
    png = io.BytesIO()
    Image.fromarray(picture).save(png, format="PNG")
    return png.getvalue()
