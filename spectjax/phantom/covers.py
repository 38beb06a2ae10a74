"""What lies in front of the chest and takes photons away: cold spots of the front.

Breasts, prostheses, pacemakers and metal, as thickness of water that attenuates as
much. They hold no tracer and are seen from the front only.
"""

from typing import NamedTuple

import numpy as np

from spectjax.phantom.posture import Posture
from spectjax.phantom.skeleton import SEGMENTS

_TRUNK = SEGMENTS.index("trunk")


class Cover(NamedTuple):
    """A lens or disc on the skin.

    Attributes:
        centre_mm: reference position, x and y.
        radii_mm: semi-axes along x and y.
        water_mm: thickness of water that attenuates as much, in the middle.
        flat: as thick at the rim as in the middle.
    """

    centre_mm: tuple[float, float]
    radii_mm: tuple[float, float]
    water_mm: float
    flat: bool


def draw_covers(rng: np.random.Generator, sex: str) -> list[Cover]:
    """Draws breasts and what some patients carry: prosthesis, pacemaker, metal."""
    covers = []
    if sex == "F":
        covers += _draw_breasts(rng)
    if rng.random() < 0.025:
        side = rng.choice([1, -1], p=[0.8, 0.2])
        centre = (side * rng.uniform(70, 100), rng.uniform(300, 335))
        covers.append(Cover(centre, (24, 21), rng.uniform(50, 90), True))
    if rng.random() < 0.05:
        # A pendant, a buckle, a coin in the pocket.
        places = [(0.0, 350.0), (0.0, 690.0), (120.0, 770.0), (-120.0, 770.0)]
        radius = rng.uniform(8, 18)
        centre = places[rng.integers(len(places))]
        covers.append(Cover(centre, (radius, radius), rng.uniform(80, 200), True))
    return covers


def _draw_breasts(rng: np.random.Generator) -> list[Cover]:
    thickness = rng.uniform(4, 32)
    radii = (rng.uniform(52, 70), rng.uniform(48, 64))
    y = rng.uniform(395, 430)
    water = {side: thickness for side in (-1, 1)}
    operated = rng.choice([-1, 1])
    fate = rng.random()
    if fate < 0.05:
        water[operated] = 0.0
    elif fate < 0.10:
        water[operated] = rng.uniform(35, 60)
    return [
        Cover((side * 82.0, y), radii, mm, False) for side, mm in water.items() if mm
    ]


def draw_cover_map(
    covers: list[Cover], posture: Posture, frame_hw: tuple[int, int], spacing_mm: float
) -> np.ndarray:
    """Returns the thickness of water in front of the body, mm, float32, (H, W)."""
    water = np.zeros(frame_hw, np.float32)
    for cover in covers:
        middle = np.array([[*cover.centre_mm, -100.0]])
        row, column = posture.to_pixels(
            posture.place(middle, np.array([_TRUNK])), spacing_mm
        )
        half_w, half_h = (radius / spacing_mm for radius in cover.radii_mm)
        y0, x0 = max(int(row[0] - half_h), 0), max(int(column[0] - half_w), 0)
        part = water[y0 : int(row[0] + half_h) + 2, x0 : int(column[0] + half_w) + 2]
        y, x = np.indices(part.shape, np.float32) + 0.5
        inside = np.maximum(
            1
            - ((y + (y0 - row[0])) / half_h) ** 2
            - ((x + (x0 - column[0])) / half_w) ** 2,
            0,
        )
        part += cover.water_mm * ((inside > 0) if cover.flat else np.sqrt(inside))
    return water
