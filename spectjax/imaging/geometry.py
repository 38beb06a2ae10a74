"""Mirrored, rotated and translated copies of an image ([P1] Eq. 2-4).

Coordinates are pixel indices: x counts columns to the right, y rows downwards, and the
centre of the first pixel is (0, 0). H is the number of rows, W of columns.
"""

import dataclasses
import functools
import itertools
import math

import numpy as np
import scipy  # its parts load when they are asked for: not before --help

# [P1]: integers up to t_T = 10 pixels horizontally, 4 vertically, and r_T = 5 degrees.
MAX_DX, MAX_DY, MAX_DEGREES = 10, 4, 5
# Sizes in which `training.randomise` shows images beside their own, as pixels of 1.8 to
# 2.9 mm do beside the usual 2.3 mm: what learned from them needs no other pixels.
SIZES = (0.78, 1.25)


@dataclasses.dataclass(frozen=True)
class GeometricCopy:
    """How a copy differs from its original: mirrored, then rotated, then translated.

    [P1] applies one operation to a copy and names no order for several.

    Attributes:
        mirror: swap left and right, [P1] Eq. 2.
        dx: columns by which the copy is moved to the right, [P1] Eq. 3.
        dy: rows by which the copy is moved down, [P1] Eq. 3.
        degrees: the angle of [P1] Eq. 4.
    """

    mirror: bool = False
    dx: int = 0
    dy: int = 0
    degrees: int = 0

    def matrix(self, image_hw: tuple[int, int]) -> np.ndarray:
        """Returns the matrix (3, 3) that maps points (x, y, 1) to those of the copy."""
        height, width = image_hw
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        # Eq. 2 prints w: with indices from 0, column 0 goes to column W - 1.
        mirror = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])

        theta = math.radians(self.degrees)
        cos, sin = math.cos(theta), math.sin(theta)
        # Eq. 4 as printed. With y downwards a positive angle turns the picture
        # counter-clockwise; [P1] calls its +5 degrees "to the right", which holds for y
        # upwards. Copies take both signs alike. The centre is the image's, as in [P1].
        rotation = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        about_centre = _shift(centre_x, centre_y) @ rotation
        about_centre = about_centre @ _shift(-centre_x, -centre_y)

        before = mirror if self.mirror else np.eye(3)
        return _shift(self.dx, self.dy) @ about_centre @ before


@functools.cache
def list_moves() -> tuple[GeometricCopy, ...]:
    """Returns every move within [P1]'s ranges, the one that moves nothing among them.

    [P1] does not say whether a copy undergoes one operation or several. Read as
    several, in one affine map, so that counts are interpolated once.
    """
    ranges = [range(-most, most + 1) for most in (MAX_DX, MAX_DY, MAX_DEGREES)]
    every = itertools.product((False, True), *ranges)
    return tuple(itertools.starmap(GeometricCopy, every))


def warp(image: np.ndarray, matrix: np.ndarray, *, order: int) -> np.ndarray:
    """Returns the image moved by a map of its points; zero where nothing came from.

    Mirroring, whole-pixel shifts and quarter turns of square images are exact to the
    bit: they move pixels and interpolate nothing.

    Args:
        image: (H, W), any real dtype or bool.
        matrix: invertible map from input (x, y, 1) to output, (3, 3).
        order: 0 for masks (nearest pixel), 1 for counts (linear interpolation).

    Returns:
        (H, W); float32 for order 1, the dtype of `image` for order 0.
    """
    if image.ndim != 2 or order not in (0, 1):
        raise ValueError(
            "Expected an image (H, W) and order 0 or 1, got shape "
            f"{image.shape} and order {order}."
        )
    # Rounding takes away 1e-16 of a sine, which would miss the pixels at the border.
    to_input = np.round(np.linalg.inv(matrix), 12)
    rows_first = to_input[[1, 0, 2]][:, [1, 0, 2]]  # scipy's points are (row, column)
    # Beyond the border lies background that takes part in the interpolation.
    moved = scipy.ndimage.affine_transform(
        image.astype(np.float32) if order else image.astype(np.float64),
        rows_first,
        order=order,
        mode="grid-constant",
    )
    return moved if order else moved.astype(image.dtype)


def _shift(dx: float, dy: float) -> np.ndarray:
    return np.array([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]])


def cut_centre(image: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    """Returns the central hw pixels of an image, (H, W) or (H, W, C)."""
    top, left = (image.shape[0] - hw[0]) // 2, (image.shape[1] - hw[1]) // 2
    return image[top : top + hw[0], left : left + hw[1]]
