"""Soft parts of the reference patient: the body's outline and the organs.

Same millimetres and axes as `spectjax.phantom.skeleton`.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from spectjax.phantom.shapes import Cloud, join, make_ellipsoid, make_tube, mirror
from spectjax.phantom.skeleton import Segment


class Limb(NamedTuple):
    """A part of the body as a stack of S elliptical slices; each moves with a segment.

    Their centres are (S, 3), y increasing; semi-axes are along x and z, (S,).
    """

    segment: tuple[Segment, ...]
    centre_mm: np.ndarray
    half_width_mm: np.ndarray
    half_depth_mm: np.ndarray


# y, x, z, half width, half depth of each slice
_HEAD = [
    (-9, 0, 5, 4, 4), (-4, 0, 5, 34, 40), (8, 0, 5, 54, 64), (25, 0, 5, 67, 81),
    (50, 0, 5, 80, 96), (85, 0, 5, 86, 102), (125, 0, 5, 87, 100),
    (160, 0, -4, 80, 90), (190, 0, -8, 70, 80), (212, 0, 2, 64, 62),
    (245, 0, 12, 62, 56), (275, 0, 10, 56, 58),
]  # fmt: skip
_TRUNK = [
    (205, 0, 30, 30, 14), (222, 0, 28, 70, 34), (240, 0, 24, 108, 52),
    (260, 0, 16, 142, 74), (280, 0, 8, 162, 88), (320, 0, 2, 165, 102),
    (400, 0, 0, 157, 110), (500, 0, 0, 153, 110), (590, 0, 0, 141, 98),
    (660, 0, 0, 148, 102), (740, 0, 2, 168, 110), (800, 0, 4, 176, 106),
    (850, 0, 8, 172, 96), (880, 0, 10, 152, 80), (892, 0, 10, 120, 50),
]  # fmt: skip
_ARM = [
    (242, 160, 14, 8, 10), (254, 162, 16, 30, 34), (285, 170, 20, 42, 48),
    (340, 181, 26, 43, 50), (450, 192, 36, 39, 50), (560, 198, 46, 38, 42),
    (620, 200, 46, 37, 40), (720, 202, 44, 33, 32), (800, 205, 42, 30, 24),
    (850, 207, 40, 39, 22), (915, 210, 36, 34, 16), (954, 211, 34, 6, 6),
]  # fmt: skip
_LEG = [
    (800, 92, 8, 82, 90), (860, 92, 10, 89, 94), (950, 91, 14, 86, 92),
    (1050, 84, 20, 62, 76), (1130, 79, 24, 52, 66), (1180, 78, 22, 51, 62),
    (1240, 77, 26, 51, 60), (1320, 76, 34, 53, 62), (1420, 74, 44, 46, 54),
    (1520, 70, 52, 36, 42), (1585, 69, 52, 33, 42), (1625, 72, 48, 35, 52),
    (1665, 75, 24, 37, 44), (1705, 78, -6, 36, 34), (1730, 80, -24, 28, 22),
    (1738, 80, -28, 8, 8),
]  # fmt: skip


@functools.cache
def build_outline() -> tuple[Limb, ...]:
    """Returns head, trunk, both arms and both legs; callers must not write into it."""
    arm = np.array(_ARM, float)
    leg = np.array(_LEG, float)
    arm_segments: list[Segment] = ["arm" if y < 560 else "forearm" for y in arm[:, 0]]
    leg_segments: list[Segment] = ["leg" if y < 1190 else "shank" for y in leg[:, 0]]
    sides = np.array([1.0, -1.0, 1.0, 1.0, 1.0])
    return (
        _stack(np.array(_HEAD, float), ["head"] * len(_HEAD)),
        _stack(np.array(_TRUNK, float), ["trunk"] * len(_TRUNK)),
        _stack(arm, arm_segments),
        _stack(arm * sides, arm_segments),
        _stack(leg, leg_segments),
        _stack(leg * sides, leg_segments),
    )


def _stack(table: np.ndarray, segments: list[Segment]) -> Limb:
    return Limb(tuple(segments), table[:, [1, 0, 2]], table[:, 3], table[:, 4])


@functools.cache
def build_organs() -> dict[str, Cloud]:
    """Returns the organs that can show up; the weights are volumes in mm3."""
    lobe = make_ellipsoid((16, 268, -32), (9, 20, 8))
    # The cartilage of the throat turns to bone with the years.
    larynx = make_tube([(0, 222, -34), (0, 256, -38)], [17, 13], [11, 9], hollow=0.4)
    left = _make_kidney((72, 545, 62))
    right = mirror(_make_kidney((70, 560, 62)))
    bowel = [
        make_tube([(-100, 690, -30), (-104, 600, -40), (-60, 586, -70)], 17),
        make_tube([(-60, 586, -70), (30, 610, -76), (98, 580, -40)], 17),
        make_tube([(98, 580, -40), (106, 680, -20), (60, 740, 0)], 15),
    ]
    return {
        "left kidney": left,
        "right kidney": right,
        "bladder": make_ellipsoid((0, 752, -34), (34, 28, 30)),
        "urethra": make_tube(
            [(0, 812, -50), (3, 850, -72), (2, 895, -74)], [9, 13, 11]
        ),
        "thyroid": join([lobe, (lobe[0] * [-1, 1, 1], lobe[1])]),
        "larynx": larynx,
        "bowel": join(bowel),
    }


def _make_kidney(centre_mm: tuple[float, float, float]) -> Cloud:
    """Returns the left kidney: its lower end points outwards, and it moves with breath.

    The scan takes a minute over it, so its edge is soft.
    """
    inner, outer = (
        make_ellipsoid((0, 0, 0), axes) for axes in ((23, 42, 20), (33, 54, 24))
    )
    xyz, volume = join([inner, outer])
    xyz[:, 0] += 0.25 * xyz[:, 1]
    return xyz + np.array(centre_mm), volume


# Uptake of the soft tissue per volume along the body, thoracic vertebra = 1.
_TRACER_Y_MM = [0, 200, 260, 400, 600, 800, 1000, 1200, 1500, 1740]
_TRACER = [0.066, 0.068, 0.050, 0.046, 0.041, 0.046, 0.040, 0.040, 0.042, 0.044]


def draw_tracer(
    rng: np.random.Generator, y_mm: np.ndarray, width: int, level: float
) -> np.ndarray:
    """Draws the uptake of the soft tissue per volume, float32, (H, W).

    `y_mm` is the position on the reference of each row, (H,), W the width and `level`
    the factor of this patient.
    """
    height = len(y_mm)
    along = level * np.interp(y_mm, _TRACER_Y_MM, _TRACER)
    # Muscle, fat, liver and lung: uptake that wanders by a tenth over some centimetres.
    grain = rng.normal(0, 0.08, (height // 16, width // 16)).astype(np.float32)
    grain = ndimage.zoom(grain, 16, order=1, grid_mode=True, mode="nearest")
    return (along[:, None] * np.exp(grain)).astype(np.float32)
