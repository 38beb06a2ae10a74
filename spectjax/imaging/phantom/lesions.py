"""Hot spots of a patient: metastases, and what looks like them and is none.

A spot is a cloud of tracer on top of the normal skeleton, in reference millimetres.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from spectjax.imaging.phantom.body import build_organs
from spectjax.imaging.phantom.shapes import Cloud, make_ellipsoid, make_tube
from spectjax.imaging.phantom.skeleton import SEGMENTS, Segment, Skeleton

METASTASIS = "metastasis"


class Spot(NamedTuple):
    """Tracer on top of normal bone.

    Attributes:
        kind: "metastasis", or what it is instead.
        site: bone or organ.
        xyz_mm: reference positions, (M, 3).
        segment: index into `SEGMENTS` of each point, (M,).
        weight: volume times uptake, (M,).
        core: whether a point has at least half of the spot's contrast, bool, (M,).
    """

    kind: str
    site: str
    xyz_mm: np.ndarray
    segment: np.ndarray
    weight: np.ndarray
    core: np.ndarray


class Joint(NamedTuple):
    """A place that wears out: how often, where, and how hot."""

    kind: str
    chance: float
    bones: tuple[str, ...]
    centre_mm: tuple[float, float, float]
    radius_mm: float
    contrast: float


def _sides(*names: str) -> tuple[str, ...]:
    return tuple(f"{side} {name}" for name in names for side in ("left", "right"))


# Share of the metastases and bones of each site; the first five are in the thorax.
_SITES: dict[str, tuple[float, tuple[str, ...]]] = {
    "thoracic spine": (0.22, tuple(f"T{i}" for i in range(1, 13))),
    "ribs": (0.30, _sides(*(f"rib {i}" for i in range(1, 12)))),
    "sternum": (0.07, ("sternum",)),
    "scapula": (0.09, _sides("scapula")),
    "clavicle": (0.04, _sides("clavicle")),
    "cervical spine": (0.02, tuple(f"C{i}" for i in range(3, 8))),
    "lumbar spine": (0.10, tuple(f"L{i}" for i in range(1, 6))),
    "humerus": (0.03, _sides("humerus")),
    "pelvis": (0.08, _sides("hip bone")),
    "sacrum": (0.02, ("sacrum",)),
    "skull": (0.02, ("skull",)),
    "femur": (0.03, _sides("femur")),
}
_THORAX_SITES = 5
# Red marrow, where metastases settle, ends in the upper thirds of arm and thigh.
_MARROW_END_MM = {"humerus": 430.0, "femur": 950.0}


def draw_metastases(
    rng: np.random.Generator, skeleton: Skeleton, weight: np.ndarray, count: int
) -> list[Spot]:
    """Draws metastases by site, size and contrast; the first lies in the thorax.

    Contrast to the same bone without the lesion is log-uniform in 1.5 to 12.

    Args:
        rng: source of randomness.
        skeleton: the reference skeleton.
        weight: normal tracer of each point of it in this patient, (N,).
        count: number of metastases.
    """
    names = list(_SITES)
    shares = np.array([share for share, _ in _SITES.values()])
    thorax = np.where(np.arange(len(names)) < _THORAX_SITES, shares, 0)
    spots: list[Spot] = []
    for number in range(count):
        share = shares if number else thorax
        site = names[rng.choice(len(names), p=share / share.sum())]
        bone = str(rng.choice(_SITES[site][1]))
        # A large lesion in the spine does not stop at the next vertebra.
        spread = _SITES[site][1] if site.endswith("spine") else (bone,)
        points = _points_of(skeleton, spread)
        points = points[
            skeleton.xyz_mm[points, 1]
            < _MARROW_END_MM.get(bone.removeprefix("left ").removeprefix("right "), 1e4)
        ]
        likely = weight[points] * (skeleton.bone[points] == skeleton.names.index(bone))
        centre = skeleton.xyz_mm[rng.choice(points, p=likely / likely.sum())]
        diameter_mm = np.clip(rng.lognormal(np.log(48), 0.45), 9, 95)
        axes = diameter_mm / 2 * rng.lognormal(0, 0.2, 3)
        contrast = np.exp(rng.uniform(np.log(1.5), np.log(12)))
        spots.append(
            _light(METASTASIS, bone, skeleton, weight, points, centre, axes, contrast)
        )
    return spots


def _points_of(skeleton: Skeleton, bones: Sequence[str]) -> np.ndarray:
    """Returns the indices of the points of some bones."""
    wanted = [skeleton.names.index(bone) for bone in bones]
    return np.concatenate(
        [
            np.arange(*np.searchsorted(skeleton.bone, [number, number + 1]))
            for number in wanted
        ]
    )


def _light(
    kind: str,
    site: str,
    skeleton: Skeleton,
    weight: np.ndarray,
    points: np.ndarray,
    centre_mm: np.ndarray,
    axes_mm: np.ndarray | float,
    contrast: float,
) -> Spot:
    """Raises the uptake around a centre to `contrast` times the normal one.

    The rim is soft: full contrast within 80 % of the semi-axes, none beyond 120 %.
    """
    offset = (skeleton.xyz_mm[points] - centre_mm) / axes_mm
    distance = np.linalg.norm(offset, axis=1)
    share = np.clip((1.2 - distance) / 0.4, 0, 1)
    # However small the spot, the point nearest to its centre belongs to it.
    share[distance.argmin()] = 1
    hit, share = points[share > 0], share[share > 0]
    excess = (contrast - 1) * share * weight[hit]
    return Spot(
        kind, site, skeleton.xyz_mm[hit], skeleton.segment[hit], excess, share >= 0.5
    )


def draw_mimics(
    rng: np.random.Generator, skeleton: Skeleton, weight: np.ndarray, age: float
) -> list[Spot]:
    """Draws benign hot bone: worn joints, degenerative spine, ribs broken in a row.

    Args:
        rng: source of randomness.
        skeleton: the reference skeleton.
        weight: normal tracer of each point of it in this patient, (N,).
        age: years; joints wear out with age.
    """
    wear = np.clip((age - 30) / 40, 0.2, 1.2)
    spots = []
    for joint in _joints(rng):
        if rng.random() < joint.chance * wear:
            points = _points_of(skeleton, joint.bones)
            spots.append(
                _light(
                    joint.kind, joint.bones[0], skeleton, weight, points,
                    np.array(joint.centre_mm), joint.radius_mm, joint.contrast,
                )
            )  # fmt: skip
    if rng.random() < 0.18:
        spots += _break_ribs(rng, skeleton, weight)
    return spots


def _joints(rng: np.random.Generator) -> Iterator[Joint]:
    """Yields the joints of both sides."""
    for side, sign in (("left", 1), ("right", -1)):
        humerus, clavicle, scapula = (
            f"{side} {bone}" for bone in ("humerus", "clavicle", "scapula")
        )
        yield Joint(
            "shoulder", 0.5, (humerus, scapula, clavicle),
            (sign * 160, rng.uniform(252, 285), 15), rng.uniform(14, 22),
            rng.uniform(1.2, 2.6),
        )  # fmt: skip
        yield Joint(
            "sternoclavicular joint", 0.35, (clavicle, "sternum"),
            (sign * 25, 302, -74), rng.uniform(10, 14), rng.uniform(1.3, 2.6),
        )  # fmt: skip
        yield Joint(
            "knee", 0.4, (f"{side} femur", f"{side} tibia"),
            (sign * rng.choice([54, 102]), rng.uniform(1165, 1205), 24),
            rng.uniform(12, 24), rng.uniform(1.5, 6),
        )  # fmt: skip
        yield Joint(
            "foot", 0.35, (f"{side} foot",),
            (sign * 72, rng.uniform(1605, 1690), 20), rng.uniform(10, 16),
            rng.uniform(1.5, 5),
        )  # fmt: skip
        level = rng.integers(1, 5)
        yield Joint(
            "degenerative spine", 0.3, (f"L{level}", f"L{level + 1}"),
            (sign * 22, 538 + 33.5 * level, 45), rng.uniform(11, 17),
            rng.uniform(1.5, 3.5),
        )  # fmt: skip


def _break_ribs(
    rng: np.random.Generator, skeleton: Skeleton, weight: np.ndarray
) -> Iterator[Spot]:
    """Yields small hot spots on neighbouring ribs, one below the other."""
    side = rng.choice(["left", "right"])
    first = rng.integers(3, 8)
    along = rng.uniform(0.35, 0.9)
    for rib in range(first, first + rng.integers(2, 5)):
        bone = f"{side} rib {rib}"
        points = _points_of(skeleton, [bone])
        # The points of a rib run from the spine to its front end.
        place = points[int((along + rng.normal(0, 0.02)) * (len(points) - 1))]
        yield _light(
            "rib fracture", bone, skeleton, weight, points, skeleton.xyz_mm[place],
            rng.uniform(6, 10), rng.uniform(2, 7),
        )  # fmt: skip


def draw_organs(rng: np.random.Generator) -> list[Spot]:
    """Draws what the tracer does outside bone: urine, thyroid, bowel, injection."""
    organs = build_organs()
    kidneys = rng.lognormal(np.log(0.45), 0.5)
    catheter = rng.random() < 0.1
    levels = {
        "left kidney": kidneys * rng.lognormal(0, 0.1),
        "right kidney": kidneys * rng.lognormal(0, 0.1),
        "bladder": rng.lognormal(np.log(1.2), 0.7) * (0.3 if catheter else 1.0),
        "urethra": rng.choice([0.0, rng.uniform(0.1, 0.5)], p=[0.6, 0.4]),
        "thyroid": rng.lognormal(np.log(0.15), 0.8),
        "bowel": rng.choice([0.0, rng.uniform(0.03, 0.12)], p=[0.75, 0.25]),
    }
    spots = [
        _place_organ(name, organs[name], "trunk", level)
        for name, level in levels.items()
        if level > 0
    ]
    sign = rng.choice([-1, 1])
    if rng.random() < 0.4:
        # Elbow, wrist or back of the hand, where the tracer was injected.
        place = [(196, 560, 20), (208, 796, 28), (208, 850, 30)][rng.integers(3)]
        spot = make_ellipsoid(
            (sign * place[0], place[1] + rng.normal(0, 8), place[2]),
            (rng.uniform(4, 7), rng.uniform(5, 12), 4),
        )
        segment: Segment = "arm" if place[1] < 566 else "forearm"
        level = rng.lognormal(np.log(6), 0.8)
        spots.append(_place_organ("injection", spot, segment, level))
    if catheter:
        x, y = (sign * 170, 1060) if rng.random() < 0.6 else (sign * 40, 1790)
        tube = make_tube(
            [(0, 800, -60), (sign * 70, 880, -70), (x, y - 120, 10), (x, y, 40)], 3
        )
        bag = make_ellipsoid((x, y, 40), (38, 70 if y < 1500 else 30, 12))
        spots.append(_place_organ("catheter", tube, "trunk", rng.uniform(0.3, 1.5)))
        spots.append(_place_organ("urine bag", bag, "trunk", rng.uniform(0.3, 2.0)))
    return spots


def _place_organ(name: str, cloud: Cloud, segment: Segment, level: float) -> Spot:
    xyz, volume = cloud
    moves = np.full(len(volume), SEGMENTS.index(segment))
    return Spot(name, name, xyz, moves, volume * level, np.ones(len(volume), bool))
