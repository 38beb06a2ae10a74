"""Matrix and pixel size of whole-body scans."""

from typing import NamedTuple

import numpy as np


class Frame(NamedTuple):
    """Rows and columns of an image, and the side of a pixel in mm."""

    hw: tuple[int, int]
    spacing_mm: float


USUAL_PIXEL_MM = 2.3
# Share, rows and columns, smallest and largest pixel. All are long enough for a body;
# in the widest it has wide empty sides. Sides are multiples of 16.
_FRAMES = [
    (0.50, (1024, 256), (2.0, 2.5)),
    (0.15, (512, 128), (4.2, 4.8)),
    (0.15, (1152, 288), (1.8, 2.1)),
    (0.15, (1024, 512), (2.0, 2.4)),
    (0.05, (1024, 1024), (2.0, 2.4)),
]


def draw_usual_frame(rng: np.random.Generator) -> Frame:
    """Draws one of the frames that the papers' scans have."""
    return Frame((1024, 256), float(rng.choice([2.26, 2.3, 2.33, 2.4])))


def draw_frame(rng: np.random.Generator) -> Frame:
    """Draws a frame of 128 to 1024 columns and pixels of 1.8 to 4.8 mm."""
    _, hw, pixels = _FRAMES[
        rng.choice(len(_FRAMES), p=[share for share, *_ in _FRAMES])
    ]
    return Frame(hw, round(float(rng.uniform(*pixels)), 2))
