"""Soft tissue unlike that around it: liver, stomach, blood, breasts, and lungs."""

from typing import NamedTuple

import numpy as np

from spectjax.phantom.posture import Posture
from spectjax.phantom.skeleton import SEGMENTS
from spectjax.phantom.tracer import clear_soft_tissue

_TRUNK = SEGMENTS.index("trunk")


class Pool(NamedTuple):
    """An organ with a soft edge, as seen through the whole depth of the trunk.

    Attributes:
        centre_mm: reference position, x and y.
        radii_mm: along x and y, where the excess has fallen to 0.6.
        gain: uptake over that of the soft tissue around it.
    """

    centre_mm: tuple[float, float]
    radii_mm: tuple[float, float]
    gain: float


def draw_pools(
    rng: np.random.Generator, sex: str, hours: float, pertechnetate: bool
) -> list[Pool]:
    """Draws what holds tracer besides bone and urine.

    Blood shows in the first hours after the injection, the stomach where the tracer
    holds free pertechnetate, liver and spleen where it holds colloid.
    """
    colloid = rng.uniform(1.5, 4.0) if rng.random() < 0.04 else 1.0
    blood = 1 + 0.25 * clear_soft_tissue(hours) * rng.lognormal(0, 0.5)
    lungs = np.clip(rng.lognormal(np.log(0.62), 0.2), 0.3, 0.95)
    stomach = rng.uniform(1.5, 5.0) if pertechnetate else rng.lognormal(0.05, 0.1)
    pools = [
        Pool((-72, 528), (48, 38), rng.lognormal(0.08, 0.12) * colloid),
        Pool((92, 525), (22, 32), rng.lognormal(0.05, 0.12) * colloid**0.8),
        Pool((62, 520), (26, 34), stomach),
        Pool((22, 425), (42, 40), blood),
        Pool((4, 320), (20, 60), blood),
        *(Pool((side * 68, 400), (34, 62), lungs) for side in (-1, 1)),
    ]
    if sex == "F":
        breast = rng.lognormal(np.log(1.12), 0.2)
        pools += [
            Pool((side * 82, 412), (34, 32), breast * rng.lognormal(0, 0.1))
            for side in (-1, 1)
        ]
    return pools


def fill_pools(
    tracer: np.ndarray, pools: list[Pool], posture: Posture, spacing_mm: float
) -> None:
    """Raises the uptake of the soft tissue (H, W) in place where pools lie."""
    for pool in pools:
        middle = np.array([[*pool.centre_mm, 0.0]])
        row, column = posture.to_pixels(
            posture.place(middle, np.array([_TRUNK])), spacing_mm
        )
        across, along = (radius / spacing_mm for radius in pool.radii_mm)
        top, left = int(max(row[0] - 3 * along, 0)), int(max(column[0] - 3 * across, 0))
        part = tracer[top : int(row[0] + 3 * along), left : int(column[0] + 3 * across)]
        y = (np.arange(part.shape[0]) + top + 0.5 - row[0]) / along
        x = (np.arange(part.shape[1]) + left + 0.5 - column[0]) / across
        share = np.exp(-0.5 * y**2)[:, None] * np.exp(-0.5 * x**2)
        part *= (1 + (pool.gain - 1) * share).astype(np.float32)
