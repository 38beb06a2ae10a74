"""The reference skeleton: every bone of an adult of 1.72 m, lying on the back.

Millimetres; x to the patient's left (0: midline), y down from the vertex, z from
front to back (0: middle of the trunk). Proportions were read off whole-body bone
scans. Uptake is tracer per volume, relative to a thoracic vertebra.
"""

import functools
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np

from spectjax.phantom.shapes import (
    Cloud,
    join,
    make_ellipsoid,
    make_plate,
    make_tube,
    mirror,
)

# What moves as one when a patient lies down; left and right follow the sign of x.
Segment = Literal["head", "trunk", "girdle", "arm", "forearm", "leg", "shank"]
SEGMENTS: tuple[Segment, ...] = get_args(Segment)


class Bone(NamedTuple):
    """One bone: its name, the segment that it moves with, and its weighted points."""

    name: str
    segment: Segment
    cloud: Cloud  # the weights are volume (mm3) times uptake
    volume_mm3: np.ndarray  # of each point


class Skeleton(NamedTuple):
    """All bones in one cloud of N points.

    Attributes:
        xyz_mm: positions, float64, (N, 3).
        weight: volume (mm3) times uptake, float64, (N,).
        volume_mm3: that each point stands for, float64, (N,).
        bone: index into `names` of each point, int16, (N,).
        segment: index into `SEGMENTS` of each point, int8, (N,).
        names: names of the B bones.
        ends: bone b has the points from ends[b] to ends[b + 1], (B + 1,).
    """

    xyz_mm: np.ndarray
    weight: np.ndarray
    volume_mm3: np.ndarray
    bone: np.ndarray
    segment: np.ndarray
    names: tuple[str, ...]
    ends: np.ndarray


@functools.cache
def build_skeleton() -> Skeleton:
    """Returns the reference skeleton; callers must not write into it."""
    bones = [*_head(), *_spine(), *_chest(), *_pelvis(), *_arms(), *_legs()]
    sizes = [len(bone.cloud[1]) for bone in bones]
    xyz_mm, weight = join([bone.cloud for bone in bones])
    segments = [SEGMENTS.index(bone.segment) for bone in bones]
    return Skeleton(
        xyz_mm=xyz_mm,
        weight=weight,
        volume_mm3=np.concatenate([bone.volume_mm3 for bone in bones]),
        bone=np.repeat(np.arange(len(bones), dtype=np.int16), sizes),
        segment=np.repeat(np.array(segments, np.int8), sizes),
        names=tuple(bone.name for bone in bones),
        ends=np.cumsum([0, *sizes]),
    )


# Height of the plates that a bone grows by, mm: shoulder, wrist, knee and ankle.
_GROWTH_PLATES_MM = {
    "humerus": (300,),
    "radius": (784,),
    "ulna": (784,),
    "femur": (1154,),
    "tibia": (1204, 1582),
    "fibula": (1232, 1588),
}
_PLATE_MM = 5.0  # half of the thickness


@functools.cache
def find_growth_plates() -> np.ndarray:
    """Returns which points of the skeleton are growth plates of a child, bool, (N,)."""
    skeleton = build_skeleton()
    found = np.zeros(len(skeleton.weight), bool)
    for number, name in enumerate(skeleton.names):
        _, _, kind = name.partition(" ")
        for y in _GROWTH_PLATES_MM.get(kind, ()):
            near = np.abs(skeleton.xyz_mm[:, 1] - y) < _PLATE_MM
            found |= near & (skeleton.bone == number)
    return found


def _fill(*parts: tuple[float, Cloud]) -> tuple[Cloud, np.ndarray]:
    """Joins (uptake, cloud) parts to one cloud with weights; its volumes, (N,)."""
    cloud = join([(xyz, uptake * volume) for uptake, (xyz, volume) in parts])
    return cloud, np.concatenate([volume for _, (_, volume) in parts])


def _pair(
    name: str, segment: Segment, filled: tuple[Cloud, np.ndarray]
) -> Iterator[Bone]:
    """Yields the left bone, as given, and its mirror image."""
    cloud, volume_mm3 = filled
    yield Bone(f"left {name}", segment, cloud, volume_mm3)
    yield Bone(f"right {name}", segment, mirror(cloud), volume_mm3)


def _head() -> Iterator[Bone]:
    xyz, volume = make_ellipsoid((0, 84, 5), (76, 82, 93), hollow=0.9)
    # The shell is open below: there the base of the skull and the face follow.
    below = np.interp(xyz[:, 1], [115, 150], [1.0, 0.25])
    vault = (xyz, volume * below * np.interp(xyz[:, 2], [-60, 60], [1.0, 1.5]))
    base = make_ellipsoid((0, 138, 20), (56, 24, 60))
    yield Bone("skull", "head", *_fill((0.5, vault), (0.12, base)))

    nose = make_ellipsoid((0, 138, -70), (20, 26, 15))
    maxilla = make_ellipsoid((0, 160, -64), (34, 17, 20))
    brow = make_tube([(-54, 114, -48), (0, 110, -84), (54, 114, -48)], 6)
    cheek = make_tube([(26, 150, -70), (50, 142, -52), (64, 136, -10)], 6)
    bones = (0.75, nose), (0.75, maxilla), (0.45, brow), (0.5, cheek)
    yield Bone("face", "head", *_fill(*bones, (0.5, mirror(cheek))))
    jaw = make_tube(
        [(52, 138, -4), (48, 180, -18), (30, 196, -58), (0, 204, -78)],
        [7, 11, 13, 13],
        [4, 6, 7, 7],
    )
    yield Bone("mandible", "head", *_fill((0.45, jaw), (0.45, mirror(jaw))))


def _spine() -> Iterator[Bone]:
    heights = np.r_[np.full(7, 13.0), np.linspace(19, 27, 12), np.full(5, 33.5)]
    centres = 164 + np.cumsum(heights) - heights / 2
    # Depth of the vertebral bodies along the cervical, thoracic and lumbar curves.
    depths = np.interp(
        centres, [164, 255, 400, 530, 640, 705], [10, 24, 60, 52, 36, 45]
    )
    widths = np.interp(centres, [164, 255, 300, 530, 705], [13, 14, 15, 20, 26])
    names = [f"C{i}" for i in range(1, 8)] + [f"T{i}" for i in range(1, 13)]
    names += [f"L{i}" for i in range(1, 6)]
    for name, y, height, z, width in zip(
        names, centres, heights, depths, widths, strict=True
    ):
        half = height / 2
        neck = name.startswith("C")
        disc = 1.5 if neck else height * 0.09
        body = make_tube(
            [(0, y - half + disc, z), (0, y + half - disc, z)], width, width * 0.72
        )
        spine = make_tube(
            [(0, y, z + width), (0, y + half * 0.9, z + width + 24)], 3.5, half * 0.5
        )
        reach = width + (8 if neck else 15)
        ends = [(side * reach, y, z + width) for side in (-1, 1)]
        wings = make_tube([ends[0], (0, y - 2, z + width * 0.9), ends[1]], half * 0.45)
        joints = make_ellipsoid((width * 0.75, y + half, z + width * 0.9), (6, 7, 6))
        segment: Segment = "head" if neck and y < 200 else "trunk"
        joints = join([joints, mirror(joints)])
        parts = (1.3 if neck else 1.25, body), (1.0, spine), (1.3, wings), (1.2, joints)
        yield Bone(name, segment, *_fill(*parts))


# One row per rib: half width of the chest at the rib, fall from its head to its front
# end (both mm), and the angle around the chest from the spine (degrees) of that end.
_RIBS = np.array(
    [
        (61, 48, 150), (88, 72, 152), (109, 92, 150), (123, 107, 147),
        (133, 119, 143), (140, 127, 137), (144, 130, 129), (147, 126, 119),
        (149, 119, 110), (148, 112, 100), (142, 70, 76), (122, 40, 46),
    ]
)  # fmt: skip


def _chest() -> Iterator[Bone]:
    heads = 255 + np.cumsum(np.linspace(19, 27, 12)) - 12
    depths = np.interp(np.arange(12), [0, 2, 6, 11], [48, 78, 95, 92])
    for number, ((half_width, fall, end), y, half_depth) in enumerate(
        zip(_RIBS, heads, depths, strict=True), 1
    ):
        angle = np.radians(np.linspace(9, end, 40))
        # A square-shouldered ellipse: the back of a chest is flatter than its sides.
        path = np.stack(
            [
                half_width * np.sin(angle) ** 0.85,
                y + fall * np.linspace(0, 1, 40) ** 1.1,
                np.interp(number, [1, 3, 12], [15, 0, 0])
                + half_depth * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.85,
            ],
            axis=-1,
        )
        tube = make_tube(path, 6.0, 4.0)
        yield from _pair(f"rib {number}", "trunk", _fill((1.05, tube)))

    manubrium = make_tube([(0, 296, -74), (0, 342, -90)], [29, 19], 6)
    body = make_tube([(0, 347, -91), (0, 410, -97), (0, 450, -100)], [15, 19, 14], 5)
    tip = make_tube([(0, 452, -100), (0, 475, -99)], [7, 3], 3)
    yield Bone("sternum", "trunk", *_fill((2.0, manubrium), (1.6, body), (0.9, tip)))

    clavicle = make_tube(
        [(24, 303, -74), (55, 292, -74), (105, 268, -40), (148, 252, 4)],
        [9, 6, 5.5, 7],
        [8, 5, 4.5, 5],
    )
    yield from _pair("clavicle", "girdle", _fill((0.6, clavicle)))

    # Lying, with the arms at the sides, the lower angle is near the edge of the chest.
    blade = make_plate(
        [(84, 270, 76), (118, 263, 55), (144, 288, 30), (133, 335, 60), (113, 386, 77),
         (94, 335, 86)],
        4,
    )  # fmt: skip
    ridge = make_tube([(82, 296, 84), (114, 272, 68), (154, 248, 22)], [4, 5, 8], 5)
    border = make_tube([(143, 298, 34), (132, 335, 60), (113, 388, 77)], 5, 4)
    inner = make_tube([(84, 270, 76), (91, 328, 86), (112, 388, 78)], 3.5, 3)
    socket = make_ellipsoid((145, 284, 28), (8, 17, 13))
    parts = (0.8, blade), (0.9, ridge), (0.8, border), (0.7, inner), (1.1, socket)
    yield from _pair("scapula", "girdle", _fill(*parts))


def _pelvis() -> Iterator[Bone]:
    middle = make_tube(
        [(0, 708, 56), (0, 750, 78), (0, 800, 88), (0, 826, 76)],
        [46, 32, 15, 6],
        [15, 11, 7, 5],
    )
    yield Bone("sacrum", "trunk", *_fill((1.35, middle)))

    wing = make_plate(
        [
            (44, 700, 88), (66, 662, 80), (96, 640, 48), (122, 648, 8),
            (128, 676, -34), (122, 702, -52), (104, 742, -42), (92, 772, -8),
            (64, 772, 44), (48, 732, 76),
        ],
        5,
    )  # fmt: skip
    crest = make_tube(
        [
            (44, 702, 88), (66, 660, 80), (96, 638, 48),
            (122, 646, 8), (129, 676, -34), (121, 704, -53),
        ],
        4.5,
    )  # fmt: skip
    joint = make_tube([(50, 704, 72), (44, 742, 80), (34, 776, 80)], [7, 7, 4], 12)
    roof = make_ellipsoid((92, 772, -2), (30, 14, 28), hollow=0.5)
    ischium = make_tube(
        [(88, 800, 18), (66, 842, 36), (50, 846, 14), (22, 816, -36)], [12, 13, 8, 6]
    )
    pubis = make_tube([(84, 778, -26), (48, 778, -50), (6, 796, -56)], [8, 6, 11], 6)
    parts = (1.05, wing), (1.5, crest), (2.0, joint), (0.85, roof), (0.9, ischium)
    yield from _pair("hip bone", "trunk", _fill(*parts, (0.9, pubis)))


def _arms() -> Iterator[Bone]:
    head = make_ellipsoid((166, 281, 18), (23, 24, 22))
    shaft = make_tube(
        [(172, 290, 20), (184, 340, 28), (192, 480, 40), (196, 552, 46)],
        [17, 11, 9, 12],
        hollow=0.6,
    )
    elbow = make_ellipsoid((196, 562, 48), (25, 15, 12))
    yield from _pair("humerus", "arm", _fill((0.6, head), (0.6, shaft), (0.5, elbow)))

    radius = make_tube(
        [(208, 578, 46), (208, 690, 42), (214, 796, 40)], [8, 6, 11], hollow=0.4
    )
    ulna = make_tube(
        [(184, 562, 54), (192, 690, 52), (196, 796, 46)], [9, 6, 6], hollow=0.4
    )
    yield from _pair("radius", "forearm", _fill((0.75, radius)))
    yield from _pair("ulna", "forearm", _fill((0.75, ulna)))

    parts = [(1.0, make_ellipsoid((206, 814, 42), (21, 15, 10)))]
    for x, length in ((-23, 82), (-10, 110), (4, 118), (17, 110), (29, 92)):
        finger = make_tube(
            [(206 + x * 0.6, 826, 42), (206 + x, 826 + length, 36)], [5, 4], 4
        )
        parts.append((0.8, finger))
    yield from _pair("hand", "forearm", _fill(*parts))


def _legs() -> Iterator[Bone]:
    head = make_ellipsoid((92, 786, -2), (22, 22, 22))
    neck = make_tube([(95, 790, 0), (120, 814, 12)], 14)
    greater = make_ellipsoid((124, 810, 14), (14, 21, 16))
    shaft = make_tube(
        [(119, 818, 14), (112, 880, 8), (98, 1010, 0), (84, 1120, 16), (79, 1150, 20)],
        [17, 14, 13, 15, 30],
        [15, 14, 13, 14, 20],
        hollow=0.6,
    )
    medial = make_ellipsoid((56, 1168, 24), (22, 21, 26), hollow=0.4)
    lateral = make_ellipsoid((100, 1168, 24), (22, 21, 26), hollow=0.4)
    femur = (0.6, head), (0.6, neck), (0.7, greater), (0.65, shaft), (0.45, medial)
    yield from _pair("femur", "leg", _fill(*femur, (0.45, lateral)))
    patella = make_ellipsoid((78, 1152, -26), (20, 21, 9))
    yield from _pair("patella", "leg", _fill((0.4, patella)))

    plateau = make_tube(
        [(78, 1191, 24), (78, 1216, 22)], [38, 30], [26, 22], hollow=0.4
    )
    shin = make_tube(
        [
            (78, 1214, 20),
            (77, 1260, 18),
            (72, 1420, 30),
            (67, 1560, 46),
            (66, 1590, 48),
        ],
        [26, 14, 12, 12, 20],
        [20, 14, 12, 12, 16],
        hollow=0.6,
    )
    yield from _pair("tibia", "shank", _fill((0.4, plateau), (0.55, shin)))
    fibula = make_tube(
        [(112, 1222, 40), (104, 1400, 50), (90, 1560, 58), (89, 1604, 58)],
        [9, 6, 6, 10],
        hollow=0.4,
    )
    yield from _pair("fibula", "shank", _fill((0.55, fibula)))

    ankle = make_ellipsoid((70, 1614, 48), (26, 18, 26))
    heel = make_ellipsoid((72, 1636, 76), (18, 22, 18))
    instep = make_tube([(70, 1622, 40), (74, 1668, 4)], [26, 28], [16, 12])
    parts = [(0.2, ankle), (0.3, heel), (0.25, instep)]
    for spread in (-20, -8, 3, 14, 25):
        toe = make_tube(
            [(74 + spread, 1664, 6), (78 + spread * 1.3, 1722, -28)], [6, 4.5]
        )
        parts.append((0.35, toe))
    yield from _pair("foot", "shank", _fill(*parts))
