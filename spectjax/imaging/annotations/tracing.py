"""From masks to polygons that a reader can drag: few corners, the same pixels.

Points are (x, y) in continuous pixel coordinates, see `annotations.masks`. H is the
number of rows, W of columns.
"""

import math
from collections.abc import Collection, Iterator

import numpy as np
from scipy import ndimage

from spectjax.imaging.hotspots import number_regions

# How far a corner that is left out lies from the side that takes its place, pixels.
_MOST_AWAY = 0.5
_Side = tuple[int, int, int, int]  # of a pixel: start x and y, direction x and y


def trace_polygons(mask: np.ndarray) -> list[np.ndarray]:
    """Returns a polygon around each 8-connected region of a mask.

    Its pixels, as `fill_box` finds them, are those of the region with its holes filled:
    LabelMe's polygons have none.

    Args:
        mask: bool, (H, W).

    Returns:
        Corners of each, float64, (N, 2), in the order of the regions' first rows.
    """
    numbers, count = number_regions(mask)
    return [
        _drop_corners(_trace(region))
        for region in (
            ndimage.binary_fill_holes(numbers == number)
            for number in range(1, count + 1)
        )
    ]


def trace_edges(mask: np.ndarray) -> np.ndarray:
    """Returns one closed polygon on pixel edges whose area is the mask's pixel count.

    Holes and further parts hang on seams without width, walked there and back. The
    corner of the first pixel is (0, 0), as in DICOM PS3.3 C.18.6.1.2.

    Args:
        mask: bool, (H, W), at least one pixel.

    Returns:
        Corners, float64, (N, 2), clockwise on the screen; the last is the first.
    """
    sides = set(_list_sides(np.pad(mask, 1)))
    rings = []
    for first in sorted(sides, key=lambda side: (side[1], side[0])):
        if first not in sides:
            continue
        ring = list(_follow(first, sides))
        sides.difference_update(ring)
        turns = [a[2:] != b[2:] for a, b in zip(ring[-1:] + ring, ring, strict=False)]
        corners = np.array([side[:2] for side in ring], float)[turns]
        rings.append(np.concatenate([corners, corners[:1]]))
    polygon, *others = rings
    for other in others:
        gaps = np.abs(polygon[:, None] - other[None]).sum(axis=-1)
        at, start = np.unravel_index(gaps.argmin(), gaps.shape)
        around = np.concatenate([other[start:], other[1 : start + 1]])
        polygon = np.concatenate([polygon[: at + 1], around, polygon[at:]])
    return polygon


def _trace(region: np.ndarray) -> np.ndarray:
    """Returns the middles of the sides of the pixels along a region's border, (N, 2).

    The region is connected and without holes.
    """
    row, column = np.argwhere(region)[0]
    sides = set(_list_sides(np.pad(region, 1)))
    ring = _follow((int(column), int(row), 1, 0), sides)
    return np.array([(x + dx / 2, y + dy / 2) for x, y, dx, dy in ring])


def _follow(first: _Side, sides: Collection[_Side]) -> Iterator[_Side]:
    """Yields the sides of pixels along a border, from the first until it comes again.

    Clockwise, the region at the right; where two of its pixels touch by a corner, the
    way leads on to the other.
    """
    side = first
    while True:
        yield side
        x, y, dx, dy = side
        x, y = x + dx, y + dy
        left, right = (dy, -dx), (-dy, dx)
        side = next(
            (x, y, *turn) for turn in (left, (dx, dy), right) if (x, y, *turn) in sides
        )
        if side == first:
            return


def _list_sides(inside: np.ndarray) -> Iterator[_Side]:
    """Yields the sides of pixels towards the outside: start x, y and direction x, y."""
    for (down, right), (x, y), (dx, dy) in (
        ((-1, 0), (0, 0), (1, 0)),  # the upper side of a pixel, from its left end
        ((0, 1), (1, 0), (0, 1)),
        ((1, 0), (1, 1), (-1, 0)),
        ((0, -1), (0, 1), (0, -1)),
    ):
        outside = ~np.roll(inside, (-down, -right), (0, 1))
        for row, column in np.argwhere(inside & outside) - 1:
            yield int(column) + x, int(row) + y, dx, dy


def _drop_corners(corners: np.ndarray) -> np.ndarray:
    """Returns fewer of the corners (N, 2), which fill the same pixels.

    Without one, a polygon loses or gains the triangle at that corner.
    """
    kept: list[np.ndarray] = list(corners)
    i = 0
    while i < len(kept):
        before, corner, after = kept[i - 1], kept[i], kept[(i + 1) % len(kept)]
        triangle = np.array([before, corner, after])
        if _measure_height(triangle) < _MOST_AWAY and not _fills_any(triangle):
            del kept[i]
        else:
            i += 1
    return np.array(kept)


def _measure_height(triangle: np.ndarray) -> float:
    """Returns how far the second corner lies from the line through the others."""
    (x0, y0), (x, y), (x1, y1) = triangle
    twice_area = abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0))
    return float(twice_area / max(np.hypot(x1 - x0, y1 - y0), 1e-9))


def _fills_any(triangle: np.ndarray) -> bool:
    """Tells whether the centre of any pixel lies in a triangle, as `fill_box` does.

    Each row that the triangle meets is cut by two sides.
    """
    cuts: dict[int, int] = {}
    corners = triangle.tolist()
    for i in range(3):
        (x0, y0), (x1, y1) = sorted((corners[i - 1], corners[i]), key=lambda c: c[1])
        for row in range(math.ceil(y0 - 0.5), math.ceil(y1 - 0.5)):
            x = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            column = math.ceil(x - 0.5)
            if cuts.setdefault(row, column) != column:
                return True
    return False
