"""The map between a whole-body frame and the thorax canvas: a shift, nothing else.

A pixel of the canvas is a pixel of the frame: no resampling, so counts stay counts and
every mask can be carried back exactly. What lies on the canvas around the box shows no
patient and has no place in the frame: the way back drops it. So canvas to frame to
canvas is the identity for all that lies in the box, and clears the rest.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Box = tuple[int, int, int, int]
Sides = TypeVar("Sides", Box, tuple[float, float, float, float])


@dataclass(frozen=True)
class CropTransform:
    """Cuts `box` out of a frame and centres it on an empty canvas.

    [P1] "enlarges the crop to 256x256 by filling the rest with background". Read as
    padding, not as zooming: filling is what the sentence says, and zooming would tie
    the size of a lesion to the size of its patient.

    Attributes:
        box: (y0, x0, y1, x1) in frame pixels, half-open.
        frame_hw: rows and columns of the frame.
        canvas_hw: rows and columns of the canvas.
    """

    box: Box
    frame_hw: tuple[int, int]
    canvas_hw: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        """Refuses a box that does not lie in the frame or does not fit the canvas."""
        y0, x0, y1, x1 = self.box
        height, width = self.frame_hw
        if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
            raise ValueError(
                f"Expected a box (y0, x0, y1, x1) inside {height}x{width} pixels, got "
                f"{self.box}."
            )
        if y1 - y0 > self.canvas_hw[0] or x1 - x0 > self.canvas_hw[1]:
            raise ValueError(
                f"A box of {y1 - y0}x{x1 - x0} pixels does not fit the canvas of "
                f"{self.canvas_hw[0]}x{self.canvas_hw[1]}."
            )

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the canvas where the box's first pixel lands."""
        y0, x0, y1, x1 = self.box
        return (
            (self.canvas_hw[0] - (y1 - y0)) // 2,
            (self.canvas_hw[1] - (x1 - x0)) // 2,
        )

    @property
    def _on_canvas(self) -> tuple[slice, slice]:
        y0, x0, y1, x1 = self.box
        row, column = self.corner
        return slice(row, row + y1 - y0), slice(column, column + x1 - x0)

    @property
    def _in_frame(self) -> tuple[slice, slice]:
        y0, x0, y1, x1 = self.box
        return slice(y0, y1), slice(x0, x1)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Returns the canvas (..., canvas_hw) of a frame image (..., frame_hw)."""
        return _move(
            image, self.frame_hw, self._in_frame, self.canvas_hw, self._on_canvas
        )

    def undo(self, canvas: np.ndarray) -> np.ndarray:
        """Returns a frame image (..., frame_hw) from a canvas, 0 outside the box.

        Pixels of the canvas around the box belong to no pixel of the box: they are
        dropped, even where the frame goes on beyond the box.
        """
        return _move(
            canvas, self.canvas_hw, self._on_canvas, self.frame_hw, self._in_frame
        )

    def points_to_thorax(self, points_xy: np.ndarray) -> np.ndarray:
        """Moves points (N, 2), x before y, from the frame onto the canvas."""
        return np.asarray(points_xy, np.float64) + self._shift_xy

    def points_to_frame(self, points_xy: np.ndarray) -> np.ndarray:
        """Moves points (N, 2), x before y, from the canvas into the frame."""
        return np.asarray(points_xy, np.float64) - self._shift_xy

    def box_to_frame(self, box: Sides) -> Sides:
        """Moves a box (y0, x0, y1, x1) from the canvas into the frame."""
        dx, dy = (int(shift) for shift in self._shift_xy)
        y0, x0, y1, x1 = box
        return y0 - dy, x0 - dx, y1 - dy, x1 - dx

    @property
    def _shift_xy(self) -> np.ndarray:
        row, column = self.corner
        return np.array([column - self.box[1], row - self.box[0]], np.float64)


def _move(
    image: np.ndarray,
    source_hw: tuple[int, int],
    source: tuple[slice, slice],
    target_hw: tuple[int, int],
    target: tuple[slice, slice],
) -> np.ndarray:
    """Copies one window of `image` into a window of an empty image."""
    if image.shape[-2:] != source_hw:
        raise ValueError(
            f"Expected an image of {source_hw[0]}x{source_hw[1]} pixels, got "
            f"{image.shape}."
        )
    moved = np.zeros(image.shape[:-2] + target_hw, image.dtype)
    moved[(..., *target)] = image[(..., *source)]
    return moved
