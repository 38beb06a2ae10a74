"""What a reader marked: polygons and masks, placed in the whole-body frame.

Points are (x, y) in continuous pixel coordinates of the frame (H rows, W columns).
"""

import dataclasses

import numpy as np

from spectjax.imaging.annotations.masks import bound_polygon, fill_box
from spectjax.system.limits import CORNERS, OUTLINES
from spectjax.system.messages import UserError

# A drawn point may stray so far beyond the frame, pixels; LabelMe itself cuts at the
# border. What lies further out was drawn on another image.
BORDER_TOLERANCE = 1.0


@dataclasses.dataclass(frozen=True)
class Region:
    """One thing that a reader marked, as a polygon or as a mask.

    Attributes:
        label: the reader's word for it.
        polygon_xy: corners, float64, (N, 2), frame pixels; None if there is a mask.
        mask: bool, (h, w), a part of the frame; None if there is a polygon.
        corner_yx: row and column of the frame where the mask's first pixel lies.
    """

    label: str
    polygon_xy: np.ndarray | None
    mask: np.ndarray | None
    corner_yx: tuple[int, int] = (0, 0)

    def bound(self, image_hw: tuple[int, int]) -> tuple[int, int, int, int]:
        """Returns a box (y0, x0, y1, x1), half-open, with all of its pixels in it."""
        if self.polygon_xy is not None:
            return bound_polygon(self.polygon_xy, image_hw)
        y0, x0 = self.corner_yx
        height, width = (0, 0) if self.mask is None else self.mask.shape
        return y0, x0, y0 + height, x0 + width

    def place(self, image_hw: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
        """Returns the pixels of a box, bool, (h, w), and where its first pixel lies."""
        if self.polygon_xy is not None:
            return fill_box(self.polygon_xy, image_hw)
        mask = np.zeros((0, 0), bool) if self.mask is None else self.mask
        return mask, self.corner_yx

    def fill(self, image_hw: tuple[int, int]) -> np.ndarray:
        """Returns the region's pixels, bool, (H, W)."""
        filled = np.zeros(image_hw, bool)
        mask, (y0, x0) = self.place(image_hw)
        filled[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]] = mask
        return filled


def cut_mask(label: str, mask: np.ndarray, corner_yx: tuple[int, int]) -> Region:
    """Returns the pixels of a mask (h, w) that lies at a corner, without its rim."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return Region(label, None, mask[:0, :0].copy(), corner_yx)
    y0, x0 = int(rows[0]), int(columns[0])
    inside = mask[y0 : rows[-1] + 1, x0 : columns[-1] + 1].copy()
    return Region(label, None, inside, (corner_yx[0] + y0, corner_yx[1] + x0))


def lies_inside(points_xy: np.ndarray, image_hw: tuple[int, int]) -> bool:
    """Tells whether points (N, 2) lie in the frame, give or take a pixel."""
    limits = np.array([image_hw[1], image_hw[0]]) + BORDER_TOLERANCE
    return bool(((points_xy >= -BORDER_TOLERANCE) & (points_xy <= limits)).all())


# What follows judges what a file holds; the errors do not name the file.


def check_count(outlines: int, corners: int) -> None:
    """Refuses more outlines, or more corners of them, than a reader draws."""
    for found, most, what in (
        (outlines, OUTLINES, "outlines"),
        (corners, CORNERS, "points"),
    ):
        if found > most:
            raise UserError(f"expected at most {most} {what}, found {found}")


def read_label(value: object) -> str:
    """Returns a label without blanks around it."""
    label = value.strip() if isinstance(value, str) else ""
    if not label:
        raise UserError("expected a label for every shape, found one without")
    return label


def read_points(value: object, label: str) -> np.ndarray:
    """Returns points as float64, (N, 2), all finite."""
    try:
        points = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise UserError(f"expected points (x, y), finite numbers, in {label!r}")
    return points


def check_inside(
    points: np.ndarray, image_hw: tuple[int, int] | None, label: str
) -> None:
    """Refuses points that lie outside of the frame, if its size is known."""
    if image_hw is not None and not lies_inside(points, image_hw):
        raise UserError(
            f"expected the points of {label!r} inside the frame of "
            f"{image_hw[0]}x{image_hw[1]} pixels (rows x columns), found x from "
            f"{points[:, 0].min():g} to {points[:, 0].max():g} and y from "
            f"{points[:, 1].min():g} to {points[:, 1].max():g}"
        )


def make_polygon(points: np.ndarray, label: str) -> Region:
    """Returns a region with these corners."""
    if len(points) < 3:
        raise UserError(
            f"expected at least three points in the polygon {label!r}, found "
            f"{len(points)}"
        )
    return Region(label, points, None)
