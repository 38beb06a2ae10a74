"""Hot spots of bone, and metastases: where, how large, how hot.

A spot is a cloud of tracer on top of the normal skeleton, in reference millimetres.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spectjax.imaging.diagnosis import (
    METASTASIS,
    MULTIPLE,
    NORMAL,
    OUTSIDE_SPINE,
    SPINAL,
)
from spectjax.phantom.skeleton import Skeleton, build_skeleton

_NO_POINTS = np.empty(0, np.intp)


class Spot(NamedTuple):
    """Tracer on top of normal bone.

    Attributes:
        kind: "metastasis", or what it is instead.
        site: bone or organ.
        xyz_mm: reference positions, (M, 3).
        segment: index into `SEGMENTS` of each point, (M,).
        weight: volume times uptake, (M,).
        core: whether a point has at least half of the spot's contrast, bool, (M,).
        points: which points of the skeleton these are, (M,); none of an organ.
    """

    kind: str
    site: str
    xyz_mm: np.ndarray
    segment: np.ndarray
    weight: np.ndarray
    core: np.ndarray
    points: np.ndarray = _NO_POINTS


class Focus(NamedTuple):
    """A metastasis before it lights up a patient's skeleton.

    Attributes:
        site: its bone.
        points: of the skeleton, that it may reach, (P,).
        centre_mm: reference position, (3,).
        axes_mm: semi-axes, (3,).
        contrast: uptake over that of the same bone without it.
    """

    site: str
    points: np.ndarray
    centre_mm: np.ndarray
    axes_mm: np.ndarray
    contrast: float

    def light_up(self, skeleton: Skeleton) -> Spot:
        """Returns its spot in a skeleton with the patient's weights."""
        return light_up(METASTASIS, self.site, skeleton, *self[1:])

    def grow(self, factor: float) -> "Focus":
        """Returns it with other semi-axes."""
        return self._replace(axes_mm=factor * self.axes_mm)


def _sides(*names: str) -> tuple[str, ...]:
    return tuple(f"{side} {name}" for name in names for side in ("left", "right"))


# Share of the metastases and bones of each site.
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
_SPINE = {"cervical spine", "thoracic spine", "lumbar spine", "sacrum"}
_THORAX = {"thoracic spine", "ribs", "sternum", "scapula", "clavicle"}
# Percent of the red marrow of adults, ICRP Publication 70: where metastases settle.
_MARROW = {
    "thoracic spine": 16.1,
    "ribs": 16.1,
    "sternum": 3.1,
    "scapula": 2.8,
    "clavicle": 0.8,
    "cervical spine": 3.9,
    "lumbar spine": 12.3,
    "humerus": 2.3,
    "pelvis": 17.5,
    "sacrum": 9.9,
    "skull": 7.6,
    "femur": 6.7,
}
# It ends in the upper thirds of arm and thigh.
_MARROW_END_MM = {"humerus": 430.0, "femur": 950.0}


def is_spinal(bone: str) -> bool:
    """Returns whether a bone belongs to the spine: a vertebra or the sacrum."""
    return any(bone in _SITES[site][1] for site in _SPINE)


def draw_metastases(
    rng: np.random.Generator, skeleton: Skeleton, diagnosis: str
) -> list[Focus]:
    """Draws metastases by site, size and contrast.

    Contrast to the same bone without the lesion is log-uniform in 1.6 to 14. The
    diagnosis is the patient's: "metastasis" stands for any number at any site, one of
    them in the thorax. The skeleton has the patient's weights.
    """
    sites = _draw_sites(rng, diagnosis)
    return [_draw_metastasis(rng, skeleton, site) for site in sites]


def draw_anywhere(
    rng: np.random.Generator, skeleton: Skeleton, taken: np.ndarray
) -> Focus:
    """Draws one more metastasis in the red marrow that is not taken, bool, (N,).

    In all of the marrow, if nothing of it is left.
    """
    site_of, marrow = _find_marrow()
    likely = np.where(taken, 1e-9, 1) * marrow
    centre = int(rng.choice(len(likely), p=likely / likely.sum()))
    bone = skeleton.names[skeleton.bone[centre]]
    return _draw_focus(rng, skeleton, site_of[bone], bone, centre)


@functools.cache
def _find_marrow() -> tuple[dict[str, str], np.ndarray]:
    """Returns the site of each bone with red marrow, and the marrow of points, (N,)."""
    skeleton = build_skeleton()
    marrow = np.zeros(len(skeleton.bone))
    for site, percent in _MARROW.items():
        points = _find_room(skeleton, site, _SITES[site][1])
        volume = skeleton.volume_mm3[points]
        marrow[points] = percent * volume / volume.sum()
    return {bone: site for site in _MARROW for bone in _SITES[site][1]}, marrow


def _draw_sites(rng: np.random.Generator, diagnosis: str) -> list[str]:
    """Returns the site of each metastasis; those in the thorax come first."""
    anywhere, outside = set(_SITES), set(_SITES) - _SPINE
    if diagnosis == NORMAL:
        return []
    if diagnosis == SPINAL:
        count = 1 + min(int(rng.geometric(0.5)), 3)
        return _choose(rng, [_THORAX & _SPINE, *[_SPINE] * (count - 1)])
    if diagnosis == OUTSIDE_SPINE:
        return _choose(rng, [_THORAX - _SPINE])
    count = 1 + int(12 * rng.random() ** 0.7)
    if diagnosis == MULTIPLE:
        count = max(count, 2)
        return _choose(rng, [_THORAX & outside, _THORAX, *[anywhere] * (count - 2)])
    return _choose(rng, [_THORAX, *[anywhere] * (count - 1)])


def _choose(rng: np.random.Generator, choices: list[set[str]]) -> list[str]:
    """Draws one site of each set, by the shares of the sites."""
    names = list(_SITES)
    shares = np.array([share for share, _ in _SITES.values()])
    drawn = []
    for allowed in choices:
        likely = np.where([name in allowed for name in names], shares, 0)
        drawn.append(names[rng.choice(len(names), p=likely / likely.sum())])
    return drawn


def _draw_metastasis(rng: np.random.Generator, skeleton: Skeleton, site: str) -> Focus:
    bone = str(rng.choice(_SITES[site][1]))
    points = _find_room(skeleton, site, (bone,))
    likely = skeleton.weight[points]
    centre = int(rng.choice(points, p=likely / likely.sum()))
    return _draw_focus(rng, skeleton, site, bone, centre)


def _draw_focus(
    rng: np.random.Generator, skeleton: Skeleton, site: str, bone: str, centre: int
) -> Focus:
    """Draws size and contrast of a metastasis around a point of a bone."""
    # A large lesion in the spine does not stop at the next vertebra.
    bones = _SITES[site][1] if "spine" in site else (bone,)
    # In ribs they are small dots or follow the bone; elsewhere they have more room.
    usual_mm, spread = (24, 0.5) if site == "ribs" else (40, 0.5)
    diameter_mm = np.clip(rng.lognormal(np.log(usual_mm), spread), 9, 95)
    axes = diameter_mm / 2 * rng.lognormal(0, 0.2, 3)
    if site == "ribs" and rng.random() < 0.08:
        axes = np.full(3, rng.uniform(40, 140))  # all along the rib
    contrast = np.exp(rng.uniform(np.log(1.6), np.log(14)))
    points = _find_room(skeleton, site, bones)
    return Focus(bone, points, skeleton.xyz_mm[centre], axes, float(contrast))


def _find_room(skeleton: Skeleton, site: str, bones: Sequence[str]) -> np.ndarray:
    """Returns the points of bones of a site that metastases may reach."""
    points = find_points(skeleton, bones)
    end_mm = _MARROW_END_MM.get(site, np.inf)
    return points[skeleton.xyz_mm[points, 1] < end_mm]


def find_points(skeleton: Skeleton, bones: Sequence[str]) -> np.ndarray:
    """Returns the indices of the points of some bones."""
    wanted = [skeleton.names.index(bone) for bone in bones]
    return np.concatenate(
        [np.arange(*skeleton.ends[number : number + 2]) for number in wanted]
    )


def light_up(
    kind: str,
    site: str,
    skeleton: Skeleton,
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
    excess = (contrast - 1) * share * skeleton.weight[hit]
    return Spot(
        kind,
        site,
        skeleton.xyz_mm[hit],
        skeleton.segment[hit],
        excess,
        share >= 0.5,
        hit,
    )
