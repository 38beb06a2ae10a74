"""Benign bone that looks hot: worn joints, fractures, Paget's disease."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from spectjax.phantom.lesions import Spot, find_points, light_up
from spectjax.phantom.skeleton import Skeleton

# Share of the patients with Paget's disease of a bone; it takes the whole bone.
_PAGET_CHANCE = 0.03
_PAGET_BONES = (
    "left humerus", "right humerus", "left hip bone", "right hip bone", "left femur",
    "right femur", "right tibia", "left scapula", "L3", "skull",
)  # fmt: skip


class Joint(NamedTuple):
    """A place that wears out: how often, where, and how hot."""

    kind: str
    chance: float
    bones: tuple[str, ...]
    centre_mm: tuple[float, float, float]
    radius_mm: float
    contrast: float


def draw_mimics(rng: np.random.Generator, skeleton: Skeleton, age: float) -> list[Spot]:
    """Draws benign hot bone.

    Joints wear out and bone becomes brittle with age, in years. The skeleton has the
    patient's weights.
    """
    wear = float(np.clip((age - 30) / 40, 0.2, 1.2))
    spots = []
    for joint in _joints(rng):
        if rng.random() < joint.chance * wear:
            points = find_points(skeleton, joint.bones)
            spots.append(
                light_up(
                    joint.kind, joint.bones[0], skeleton, points,
                    np.array(joint.centre_mm), joint.radius_mm, joint.contrast,
                )
            )  # fmt: skip
    if rng.random() < 0.18:
        spots += _break_ribs(rng, skeleton)
    if rng.random() < 0.07 * wear:
        spots.append(_crush_vertebra(rng, skeleton))
    if rng.random() < _PAGET_CHANCE:
        bone = _PAGET_BONES[rng.integers(len(_PAGET_BONES))]
        points = find_points(skeleton, [bone])
        centre = skeleton.xyz_mm[points].mean(axis=0)
        spots.append(
            light_up(
                "Paget's disease", bone, skeleton, points, centre, 1e4,
                rng.uniform(2, 6),
            )
        )  # fmt: skip
    return spots


def _joints(rng: np.random.Generator) -> Iterator[Joint]:
    """Yields the places of both sides that wear out."""
    for side, sign in (("left", 1), ("right", -1)):
        yield from _limb_joints(rng, side, sign)
        level = rng.integers(1, 5)
        yield Joint(
            "degenerative spine", 0.3, (f"L{level}", f"L{level + 1}"),
            (sign * 22, 538 + 33.5 * level, 45), rng.uniform(11, 17),
            rng.uniform(1.5, 3.5),
        )  # fmt: skip
        # Bony spurs at the edges of thoracic discs, more often on the right.
        level = rng.integers(6, 12)
        y = 255 + np.linspace(19, 27, 12)[:level].sum()
        yield Joint(
            "degenerative spine", 0.08 if sign > 0 else 0.14,
            (f"T{level}", f"T{level + 1}"), (sign * 17, y, 52), rng.uniform(8, 13),
            rng.uniform(1.4, 2.8),
        )  # fmt: skip
    yield Joint(
        "manubriosternal joint", 0.1, ("sternum",), (0, 345, -90),
        rng.uniform(10, 14), rng.uniform(1.3, 2.0),
    )  # fmt: skip


def _limb_joints(rng: np.random.Generator, side: str, sign: int) -> Iterator[Joint]:
    humerus, clavicle, scapula = (
        f"{side} {bone}" for bone in ("humerus", "clavicle", "scapula")
    )
    yield Joint(
        "shoulder", 0.5, (humerus, scapula, clavicle),
        (sign * 160, rng.uniform(252, 285), 15), rng.uniform(14, 22),
        rng.uniform(1.2, 2.6),
    )  # fmt: skip
    yield Joint(
        "sternoclavicular joint", 0.2, (clavicle, "sternum"),
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


def _break_ribs(rng: np.random.Generator, skeleton: Skeleton) -> Iterator[Spot]:
    """Yields small hot spots on neighbouring ribs, one below the other."""
    side = rng.choice(["left", "right"])
    first = rng.integers(3, 8)
    along = rng.uniform(0.35, 0.9)
    for rib in range(first, first + rng.integers(2, 5)):
        bone = f"{side} rib {rib}"
        points = find_points(skeleton, [bone])
        # The points of a rib run from the spine to its front end.
        place = points[int((along + rng.normal(0, 0.02)) * (len(points) - 1))]
        yield light_up(
            "rib fracture", bone, skeleton, points, skeleton.xyz_mm[place],
            rng.uniform(6, 10), rng.uniform(2, 7),
        )  # fmt: skip


def _crush_vertebra(rng: np.random.Generator, skeleton: Skeleton) -> Spot:
    """Returns the band of a collapsed vertebra, mostly where chest and loin meet."""
    bone = str(rng.choice(["T7", "T8", "T9", "T11", "T12", "L1", "L2", "L3"]))
    points = find_points(skeleton, [bone])
    centre = skeleton.xyz_mm[points].mean(axis=0)
    return light_up(
        "compression fracture", bone, skeleton, points, centre,
        np.array([45.0, rng.uniform(6, 10), 45.0]), rng.uniform(2, 4.5),
    )  # fmt: skip
