"""Where the bone of the healthy is hot: joints, edges of muscles, the worn spine.

Nobody outlines these places, with or without metastases elsewhere. How hot they are
was set by the halves of 400 normal chests from each side (BS-80K) and by five
whole-body views; they differ between people and between the sides of one.
"""

from typing import NamedTuple

import numpy as np

from spectjax.phantom.lesions import find_points
from spectjax.phantom.skeleton import SEGMENTS, Skeleton

_SPINE = {
    "C": tuple(f"C{i}" for i in range(3, 8)),
    "T": tuple(f"T{i}" for i in range(1, 13)),
    "L": tuple(f"L{i}" for i in range(1, 6)),
}
# The usual uptake of a rib from the spine to its front end, at places between which
# it changes smoothly: the joints with the vertebra are hot, the flank is not.
_ALONG_RIB = np.log([1.55, 1.35, 1.3, 1.1, 0.85, 0.68, 0.66, 0.75, 0.85])

_SLICES = 28  # of a rib, some 10 mm each, which differ from each other


class Place(NamedTuple):
    """A hot place on the left, with its mirror image on the right.

    Attributes:
        bones: which it belongs to, without their side.
        centre_mm: reference position.
        radii_mm: semi-axes within which the uptake falls to 0.6 of its excess.
        usual: uptake over that of the same bone around it, the median of patients.
        spread: standard deviation of its logarithm between patients.
        uneven: the same between the two sides of a patient.
    """

    bones: tuple[str, ...]
    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    usual: float
    spread: float
    uneven: float


_PLACES = (
    # The lower angle of the scapula, where it lies on ribs, and its outer edge.
    Place(("scapula",), (110, 375, 76), (13, 16, 22), 1.6, 0.30, 0.20),
    Place(("scapula",), (124, 350, 66), (12, 20, 25), 1.25, 0.25, 0.18),
    Place(("scapula",), (100, 283, 74), (18, 14, 20), 0.6, 0.2, 0.15),
    # Acromioclavicular, shoulder, sternoclavicular joint; first rib at the manubrium.
    Place(("scapula", "clavicle"), (151, 250, 12), (11, 8, 16), 1.3, 0.40, 0.20),
    Place(("humerus", "scapula"), (158, 280, 18), (16, 20, 22), 1.25, 0.30, 0.18),
    Place(("clavicle", "sternum"), (27, 304, -74), (15, 14, 16), 1.75, 0.2, 0.15),
    Place(("sternum", "rib 1"), (34, 320, -82), (16, 14, 18), 1.5, 0.2, 0.15),
)


def draw_uptake(rng: np.random.Generator, skeleton: Skeleton, age: int) -> np.ndarray:
    """Returns the factor of each point, (N,): bones and their parts differ.

    Bone of the old, in years, is patchier and its joints are worn.
    """
    bones = rng.lognormal(0, 0.07 + 0.001 * max(age - 50, 0), len(skeleton.names))
    segments = rng.lognormal(0, 0.12, len(SEGMENTS))
    uptake = bones[skeleton.bone] * segments[skeleton.segment]
    wear = float(np.clip((age - 30) / 33, 0.4, 1.5))
    _heat_spine(rng, skeleton, uptake, wear)
    _heat_ribs(rng, skeleton, uptake)
    _heat_sternum(rng, skeleton, uptake)
    for place in _PLACES:
        common = np.log(place.usual) + rng.normal(0, place.spread)
        for side, sign in (("left", 1), ("right", -1)):
            names = [
                bone if bone == "sternum" else f"{side} {bone}" for bone in place.bones
            ]
            factor = np.exp(common + rng.normal(0, place.uneven))
            _heat(
                uptake, skeleton, names, place.centre_mm, place.radii_mm, factor, sign
            )
    if rng.random() < 0.1:
        _replace_joint(rng, skeleton, uptake)
    return uptake


def _heat(
    uptake: np.ndarray,
    skeleton: Skeleton,
    bones: list[str],
    centre_mm: tuple[float, float, float],
    radii_mm: tuple[float, float, float],
    factor: float,
    sign: int = 1,
) -> None:
    """Multiplies the uptake around a centre; -1 for its mirror image on the right."""
    points = find_points(skeleton, bones)
    offset = (skeleton.xyz_mm[points] - np.multiply(centre_mm, (sign, 1, 1))) / radii_mm
    uptake[points] *= 1 + (factor - 1) * np.exp(-0.5 * (offset**2).sum(axis=1))


def _heat_spine(
    rng: np.random.Generator, skeleton: Skeleton, uptake: np.ndarray, wear: float
) -> None:
    """The spine is hotter than ribs, by what differs between patients, and worn.

    Most of all its neck: anterior views of normal patients show it as hot as the
    sternum. Facets and edges of discs are hot on one side, at some levels.
    """
    levels = {
        "C": rng.lognormal(np.log(1.1 + 0.3 * wear), 0.30),
        "T": rng.lognormal(np.log(1.2), 0.18),
        "L": rng.lognormal(np.log(1.35), 0.20),
    }
    for part, bones in _SPINE.items():
        uptake[find_points(skeleton, bones)] *= levels[part]
        for bone in bones:
            if rng.random() > 0.16 * wear:
                continue
            points = find_points(skeleton, [bone])
            centre = skeleton.xyz_mm[points].mean(axis=0)
            centre += [rng.choice([-1, 1]) * rng.uniform(9, 18), rng.normal(0, 5), 0]
            radius = rng.uniform(6, 10)
            _heat(
                uptake, skeleton, [bone], tuple(centre), (radius, radius, 30),
                1 + rng.lognormal(np.log(0.7), 0.5),
            )  # fmt: skip


def _heat_ribs(
    rng: np.random.Generator, skeleton: Skeleton, uptake: np.ndarray
) -> None:
    """Ribs change along their length; their ends and angles may be hot in a row."""
    level = rng.lognormal(np.log(1.35), 0.26)
    ends = rng.lognormal(np.log(1.15), 0.22)
    # Insertions of the muscles of the back: dots one below the other.
    angles = rng.lognormal(np.log(1.6), 0.3) if rng.random() < 0.15 else 1.0
    patchy = rng.uniform(0.0, 0.3)
    for side in ("left", "right"):
        uneven = rng.lognormal(0, 0.08)
        for number in range(1, 13):
            points = find_points(skeleton, [f"{side} rib {number}"])
            knots = _ALONG_RIB + rng.normal(0, 0.16, len(_ALONG_RIB))
            # The lower ribs lie behind each other in the flank.
            knots[3:] += np.log(np.interp(number, [5, 10], [0.95, 0.55]))
            # The first ribs, behind, hardly show.
            knots[:3] += np.log(np.interp(number, [1, 4], [0.6, 1.0]))
            if number <= 10:
                # Worn are the ends of the lower ones.
                low = np.interp(number, [2, 6, 8, 10], [0.75, 1.0, 1.0, 0.7])
                knots[-1] += np.log(ends * low) + rng.normal(0, 0.17)
            knots[2] += np.log(angles) * rng.uniform(0.3, 1.3)
            # The points of a rib run from the spine to its front end.
            along = np.linspace(0, len(knots) - 1, len(points))
            change = np.interp(along, np.arange(len(knots)), knots)
            # Points of a slice across the rib follow each other.
            slices = np.linspace(0, _SLICES - 1, len(points))
            change += np.interp(
                slices, np.arange(_SLICES), rng.normal(0, patchy, _SLICES)
            )
            uptake[points] *= level * uneven * np.exp(change)


def _heat_sternum(
    rng: np.random.Generator, skeleton: Skeleton, uptake: np.ndarray
) -> None:
    """A hot manubrium; some sterna have a hole above their lower end."""
    factor = rng.lognormal(np.log(1.5), 0.18)
    _heat(uptake, skeleton, ["sternum"], (0, 318, -82), (30, 18, 20), factor)
    if rng.random() < 0.06:
        radius = rng.uniform(5, 9)
        centre = (0.0, rng.uniform(420, 442), -99.0)
        _heat(uptake, skeleton, ["sternum"], centre, (radius, radius, 30), 0.1)


def _replace_joint(
    rng: np.random.Generator, skeleton: Skeleton, uptake: np.ndarray
) -> None:
    """A hip or a knee of metal is a cold gap."""
    x, y = skeleton.xyz_mm[:, 0], skeleton.xyz_mm[:, 1]
    metal = (770, 900) if rng.random() < 0.5 else (1150, 1235)
    side = rng.choice([-1, 1])
    lower = skeleton.segment >= SEGMENTS.index("leg")
    uptake[lower & (x * side > 0) & (y > metal[0]) & (y < metal[1])] *= 0.1
