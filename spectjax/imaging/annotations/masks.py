"""Masks: the pixels of a polygon, and those of a PNG picture.

Points are (x, y) in continuous pixel coordinates: the pixel of row r and column c
covers [c, c + 1) x [r, r + 1), so its centre is (c + 0.5, r + 0.5). This is LabelMe's
convention. H is the number of rows, W of columns.
"""

import io

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from spectjax.system.messages import UserError


def fill_box(
    polygon_xy: np.ndarray, image_hw: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Finds the pixels whose centres lie in a closed polygon, in the box around it.

    Even-odd rule: a centre is inside if an odd number of edges lies to its left. Left
    and upper edges belong to the polygon, right and lower ones do not; so polygons that
    share an edge share no pixel and leave none out between them. The corners, float,
    (N, 2), may reach beyond the image.

    Returns:
        Mask of the box, bool, (h, w); and row and column of its first pixel.
    """
    corners = np.asarray(polygon_xy, np.float64)
    y0, x0, y1, x1 = bound_polygon(corners, image_hw)
    crossings = np.zeros((y1 - y0, x1 - x0 + 1), np.uint8)
    # Always downwards: a shared edge crosses at the same x in both its polygons.
    before = np.roll(corners, 1, axis=0)
    is_down = (before[:, 1] <= corners[:, 1])[:, None]
    upper, lower = (
        np.where(is_down, before, corners),
        np.where(is_down, corners, before),
    )
    # Along a row, each crossing of an edge switches between outside and inside. Edges
    # are taken some at a time: all their crossings may be more than memory holds.
    step = max(1, _CROSSINGS_AT_ONCE // max(1, y1 - y0))
    for i in range(0, len(corners), step):
        _cross(crossings, (y0, x0), upper[i : i + step], lower[i : i + step])
    inside = np.bitwise_xor.accumulate(crossings[:, :-1] & 1, axis=1)
    return inside.astype(bool), (y0, x0)


_CROSSINGS_AT_ONCE = 2**20


def bound_polygon(
    polygon_xy: np.ndarray, image_hw: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Returns a box (y0, x0, y1, x1), half-open, with all pixels of a polygon in it.

    It has a column to spare on either side, since crossings are rounded.
    """
    corners = np.asarray(polygon_xy, np.float64)
    height, width = image_hw
    y0, y1 = _first_rows(corners[[corners[:, 1].argmin(), corners[:, 1].argmax()], 1])
    x0, x1 = np.ceil([corners[:, 0].min() - 1.5, corners[:, 0].max() + 0.5])
    y0, y1 = (int(v) for v in np.clip((y0, y1), 0, height))
    x0, x1 = (int(v) for v in np.clip((x0, x1), 0, width))
    return y0, x0, y1, x1


def _first_rows(y: np.ndarray) -> np.ndarray:
    """Returns for each height the first row whose centre does not lie above it."""
    return np.ceil(y - 0.5)


def _cross(
    crossings: np.ndarray, corner: tuple[int, int], upper: np.ndarray, lower: np.ndarray
) -> None:
    """Counts where edges from `upper` to `lower`, (N, 2), cut a row; modulo 256."""
    (height, width), (top, left) = crossings.shape, corner
    first, last = (
        np.clip(_first_rows(ends[:, 1]), top, top + height).astype(int)
        for ends in (upper, lower)
    )
    edge = np.repeat(np.arange(len(first)), last - first)
    number = np.arange(len(edge)) - np.repeat(
        np.cumsum(last - first) - (last - first), last - first
    )
    rows = first[edge] + number
    (x0, y0), (x1, y1) = upper[edge].T, lower[edge].T
    x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
    columns = np.clip(np.ceil(x - 0.5) - left, 0, width - 1).astype(int)
    np.add.at(crossings.reshape(-1), (rows - top) * width + columns, np.uint8(1))


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
    """Returns the pixels of a PNG that are neither black nor transparent."""
    picture = _open(png, image_hw)
    if picture.mode in ("1", "L") and "transparency" not in picture.info:
        return _decode(picture, image_hw) > 0
    pixels = _decode(picture, image_hw, "RGBA")
    return np.any(pixels[..., :3] > 0, axis=2) & (pixels[..., 3] > 0)


def decode_labels(png: bytes, image_hw: tuple[int, int]) -> np.ndarray:
    """Returns the grey values of an 8-bit PNG, or its places in a palette, uint8."""
    picture = _open(png, image_hw)
    if picture.mode not in ("L", "P"):
        raise UserError(
            f"expected a PNG with 8 bits a pixel that are labels, found {picture.mode} "
            "pixels. Save the labels as grey values"
        )
    return _decode(picture, image_hw)


def _open(png: bytes, image_hw: tuple[int, int]) -> Image.Image:
    """Reads the header alone, so the size is compared before anything is unpacked."""
    try:
        picture = Image.open(io.BytesIO(png), formats=["PNG"])
    except Exception as error:  # a damaged header raises errors of many kinds
        raise UserError(f"{_expect(image_hw)} none that opens ({error})") from error
    if picture.size != (image_hw[1], image_hw[0]):
        raise UserError(f"{_expect(image_hw)} {picture.height}x{picture.width}")
    return picture


def _decode(
    picture: Image.Image, image_hw: tuple[int, int], mode: str = ""
) -> np.ndarray:
    """Returns the pixels, converted to a mode if one is named."""
    try:
        return np.asarray(picture.convert(mode) if mode else picture)
    except Exception as error:  # the decoder raises errors of many kinds
        raise UserError(f"{_expect(image_hw)} a damaged one") from error


def _expect(image_hw: tuple[int, int]) -> str:
    return f"expected a PNG of {image_hw[0]}x{image_hw[1]} pixels, found"


def encode_grey(picture: np.ndarray, comment: str = "") -> bytes:
    """Returns an 8-bit grey PNG of uint8 values (H, W), with a comment if any."""
    png, info = io.BytesIO(), PngInfo()
    if comment:
        info.add_text("Comment", comment)
    Image.fromarray(picture).save(png, format="PNG", pnginfo=info)
    return png.getvalue()
