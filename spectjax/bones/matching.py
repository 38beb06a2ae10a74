"""Hotspots of two studies of one patient, matched through the skeleton.

A patient lies otherwise the second time, on a frame with other pixels. So a place is
carried from one study to the other by the bones around it: each region has a map of its
own, and near ones are mixed. H and W are rows and columns; those of two studies differ.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from scipy import ndimage, spatial

from spectjax.bones.places import find_label
from spectjax.bones.regions import NAMES, REGIONS

Kind = Literal["new", "gone", "larger", "smaller", "unchanged", "cannot tell"]

# What a repeated scan shows, see docs/follow_up.md for how and on what it was measured.
# Edges of one lesion, carried, lie so near: the 99th percentile, and some more.
NEAR_MM = 8.0
# 95 % of the hotspots of a scan have in its repetition areas between 1 / this and this.
AREA_FACTOR = 1.6

_BLEND_MM = 15.0  # so far regions take part in the map of what lies beside them
# A region of less says little of where its ends are: of the sternum, from behind.
_LEAST_REGION_MM2 = 300.0
# No posture makes a bone look shorter or longer than that: it is cut off, or not found.
_LEAST_STRETCH, _MOST_STRETCH = 0.7, 1.4
# Where the size of a pixel is not known: real scans have 1024 rows of some 2.3 mm.
_USUAL_FRAME_MM = 1024 * 2.3
# Kinds whose bones meet, or cover each other in a view; side by side alone, as arm and
# ribs are, does not count.
_MEET = {
    frozenset(pair)
    for pair in (
        ("skull", "cervical spine"),
        ("cervical spine", "thoracic spine"),
        ("cervical spine", "clavicle"),
        ("cervical spine", "ribs"),
        ("cervical spine", "sternum"),
        ("thoracic spine", "lumbar spine"),
        ("thoracic spine", "ribs"),
        ("thoracic spine", "sternum"),
        ("thoracic spine", "clavicle"),
        ("thoracic spine", "scapula"),
        ("lumbar spine", "sacrum"),
        ("lumbar spine", "ribs"),
        ("lumbar spine", "hip bone"),
        ("sacrum", "hip bone"),
        ("sternum", "ribs"),
        ("sternum", "clavicle"),
        ("ribs", "clavicle"),
        ("ribs", "scapula"),
        ("clavicle", "scapula"),
        ("scapula", "humerus"),
        ("humerus", "forearm and hand"),
        ("hip bone", "femur"),
        ("femur", "lower leg and foot"),
    )
}


@dataclass(frozen=True)
class SeenSide:
    """One view of one study: what was found in it, and what can be said of the rest.

    Attributes:
        regions: which region each pixel belongs to, see `draw_regions`, uint8, (H, W).
        hotspots: pixels of each hotspot, bool, (H, W).
        seen: pixels that the model looked at, bool, (H, W).
        faint: pixels that it takes for a hotspot without marking one, bool, (H, W).
        spacing_mm: distance of rows and of columns; None if unknown.
        doubts: why a region is in doubt, by its name.
        unfit: why nothing can be said of what is not marked; empty if it can.
        unsized: why areas cannot be compared; empty if they can.
    """

    regions: np.ndarray
    hotspots: Sequence[np.ndarray]
    seen: np.ndarray
    faint: np.ndarray
    spacing_mm: tuple[float, float] | None
    doubts: Mapping[str, str] = field(default_factory=dict)
    unfit: str = ""
    unsized: str = ""

    @property
    def pixel_mm(self) -> np.ndarray:
        """Rows and columns of a pixel in mm, a guess if unknown, (2,)."""
        return assume_pixel(self.spacing_mm, len(self.regions))


def assume_pixel(spacing_mm: tuple[float, float] | None, rows: int) -> np.ndarray:
    """Returns rows and columns of a pixel in mm, (2,), a guess if they are unknown."""
    return np.array(spacing_mm or (_USUAL_FRAME_MM / rows,) * 2)


class Affine(NamedTuple):
    """A map of pixels (row, column) from one view to another: matrix @ point + offset.

    Attributes:
        matrix: (2, 2).
        offset: (2,).
        growth: how many times larger an area is in mm2 after it.
    """

    matrix: np.ndarray
    offset: np.ndarray
    growth: float

    def carry(self, mask: np.ndarray, hw: tuple[int, ...]) -> np.ndarray:
        """Returns a mask as it lies on the frame of the other view, bool, `hw`."""
        back = np.linalg.inv(self.matrix)
        moved = ndimage.affine_transform(
            mask.astype(np.uint8), back, -back @ self.offset, hw, order=0
        )
        return moved.astype(bool)

    def carry_points(self, mask: np.ndarray) -> np.ndarray:
        """Returns where the pixels of a mask come to lie, (N, 2)."""
        return np.argwhere(mask) @ self.matrix.T + self.offset


@dataclass(frozen=True)
class Change:
    """What became of hotspots that are one and the same.

    Attributes:
        kind: what happened.
        before: their numbers in the first study, from 0.
        after: in the second.
        region: where they lie; empty if on no bone.
        growth: area after over area before; None unless they are in both.
        why: of "cannot tell"; else empty.
        place: pixels where the other study should show what only one of them does,
            bool, (H, W); None if there is nothing of it.
    """

    kind: Kind
    before: tuple[int, ...]
    after: tuple[int, ...]
    region: str
    growth: float | None = None
    why: str = ""
    place: np.ndarray | None = field(default=None, repr=False)


class _Shape(NamedTuple):
    """Of a region's pixels, in mm: the mean (2,), the covariance (2, 2) and all."""

    mean: np.ndarray
    covariance: np.ndarray
    points: np.ndarray


class SkeletonMap:
    """Carries places of one view to the same view of another study.

    Each region is mapped by its first and second moments, so that mean and covariance
    become those that it has there: the map between them that turns nothing more than it
    must, the one of optimal transport between normal distributions (Dowson & Landau
    1982), A = S^-1/2 (S^1/2 T S^1/2)^1/2 S^-1/2 for covariances S and T. At a place the
    maps are mixed by exp(-d^2 / 2 b^2), with d the distance to each region and b =
    15 mm. On phantoms that lay anew this left errors of 3 to 4 mm (median) and 15 mm
    (95th percentile); one affine map of all regions' centres left 5 and 27.
    """

    def __init__(self, source: SeenSide, target: SeenSide) -> None:
        """Takes the two views."""
        self._from, self._to = source.pixel_mm, target.pixel_mm
        shapes, aims = _find_shapes(source), _find_shapes(target)
        maps = {}
        for name in shapes.keys() & aims.keys() - {*source.doubts, *target.doubts}:
            matrix = _transport(shapes[name].covariance, aims[name].covariance)
            maps[name] = (shapes[name], matrix, aims[name].mean)
        # Where pixels are of unknown size, the bones tell how much larger they look.
        known = source.spacing_mm is not None and target.spacing_mm is not None
        zooms = [np.sqrt(np.linalg.det(turn)) for _, turn, _ in maps.values()]
        zoom = 1.0 if known or not zooms else float(np.median(zooms))
        self._maps = {
            name: each for name, each in maps.items() if _is_likely(each[1] / zoom)
        }

    def knows(self, region: str) -> bool:
        """Whether both views show a region as one of the same bone."""
        return region in self._maps

    def find(self, mask: np.ndarray) -> Affine | None:
        """Returns the map around a hotspot; None if no region is known in both."""
        if not self._maps:
            return None
        centre = np.argwhere(mask).mean(axis=0) * self._from
        near = []
        for shape, _, _ in self._maps.values():
            near.append(np.linalg.norm(shape.points - centre, axis=1).min())
        squares = np.square(near)
        weights = np.exp((squares.min() - squares) / (2 * _BLEND_MM**2))
        weights /= weights.sum()
        matrix, offset = np.zeros((2, 2)), np.zeros(2)
        for weight, (shape, turn, aim) in zip(
            weights, self._maps.values(), strict=True
        ):
            matrix += weight * turn
            offset += weight * (aim - turn @ shape.mean)
        return Affine(
            matrix * self._from / self._to[:, None],
            offset / self._to,
            float(np.linalg.det(matrix)),
        )


def _is_likely(matrix: np.ndarray) -> bool:
    """Whether a posture may make a bone look so much shorter or longer."""
    stretch = np.linalg.eigvalsh(matrix)
    return bool(_LEAST_STRETCH <= stretch[0] and stretch[-1] <= _MOST_STRETCH)


def _find_shapes(side: SeenSide) -> dict[str, _Shape]:
    """Returns the shape of each region that is large enough and whole."""
    shapes = {}
    labels, order = side.regions.ravel(), np.argsort(side.regions, axis=None)
    bounds = np.searchsorted(labels[order], np.arange(len(REGIONS) + 2))
    least = _LEAST_REGION_MM2 / side.pixel_mm.prod()
    last = np.array(side.regions.shape) - 1
    for label, region in enumerate(REGIONS, 1):
        pixels = order[bounds[label] : bounds[label + 1]]
        points = np.stack(np.unravel_index(pixels, side.regions.shape), axis=1)
        cut_off = ((points == 0) | (points == last)).any()
        if len(pixels) >= max(least, 3) and not cut_off:
            points = points * side.pixel_mm
            covariance = np.cov(points.T) + np.eye(2) * side.pixel_mm.mean() ** 2 / 12
            shapes[region.name] = _Shape(points.mean(axis=0), covariance, points)
    return shapes


def _transport(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns the symmetric matrix that makes one covariance of another, (2, 2)."""
    root = _take_root(source)
    inverse = np.linalg.inv(root)
    return np.asarray(inverse @ _take_root(root @ target @ root) @ inverse)


def _take_root(matrix: np.ndarray) -> np.ndarray:
    """Returns the square root of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(values)) @ vectors.T)


def compare_views(before: SeenSide, after: SeenSide) -> list[Change]:
    """Returns what became of the hotspots of one view, by their numbers.

    Carried to the other study, each is the same as the one that it overlaps most, else
    as the nearest within `NEAR_MM`, in the same region or in one that meets it. So
    several may be one that has split, or has merged: then their areas are added.
    """
    there, back = SkeletonMap(before, after), SkeletonMap(after, before)
    homes = [name_region(before, mask) for mask in before.hotspots]
    goals = [name_region(after, mask) for mask in after.hotspots]
    places = [there.find(mask) for mask in before.hotspots]
    links = _link(before, after, places, homes, goals)
    changes = []
    for first, second in _group(len(homes), len(goals), links):
        if first and second:
            changes.append(
                _compare_sizes(
                    before, after, there, places, homes, goals, first, second
                )
            )
        elif first:
            (number,) = first
            changes.append(
                _judge_absence("gone", number, homes[number], before, after, there)
            )
        else:
            (number,) = second
            changes.append(
                _judge_absence("new", number, goals[number], after, before, back)
            )
    return changes


def name_region(side: SeenSide, mask: np.ndarray) -> str:
    """Returns the region that a hotspot lies in or beside; empty if on no bone."""
    label, _ = find_label(mask, side.regions, side.spacing_mm)
    return NAMES[label - 1] if label else ""


def may_be_one(region: str, other: str) -> bool:
    """Whether a place in one region may be found in another the next time.

    They are one region or meet; what lies on no bone may be of any.
    """
    if region == other or not region or not other:
        return True
    one, two = (next(r for r in REGIONS if r.name == n) for n in (region, other))
    if one.kind == two.kind:
        return one.kind == "hip bone"  # which meet in front
    if one.side and two.side and one.side != two.side:
        return False
    return frozenset((one.kind, two.kind)) in _MEET


def _link(
    before: SeenSide,
    after: SeenSide,
    places: Sequence[Affine | None],
    homes: Sequence[str],
    goals: Sequence[str],
) -> set[tuple[int, int]]:
    """Returns the pairs of hotspots that are one."""
    gaps = np.full((len(homes), len(goals)), np.inf)
    trees = [_plant(np.argwhere(mask), after) for mask in after.hotspots]
    for i, (mask, place) in enumerate(zip(before.hotspots, places, strict=True)):
        if place is None:
            continue
        carried = place.carry(mask, after.regions.shape)
        points = place.carry_points(mask) * after.pixel_mm
        for j, other in enumerate(after.hotspots):
            if may_be_one(homes[i], goals[j]):
                # Of those that overlap it the one that does so most is nearest.
                gaps[i, j] = -(carried & other).sum() or trees[j].query(points)[0].min()
    if not gaps.size:
        return set()
    nearest = {(i, int(gaps[i].argmin())) for i in range(len(homes))}
    nearest |= {(int(gaps[:, j].argmin()), j) for j in range(len(goals))}
    return {pair for pair in nearest if gaps[pair] <= NEAR_MM}


def _plant(points: np.ndarray, side: SeenSide) -> spatial.cKDTree:
    return spatial.cKDTree(points * side.pixel_mm)


def _group(
    n_before: int, n_after: int, links: set[tuple[int, int]]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yields what hangs together, numbers of before and of after, in their order."""
    groups = [({i}, set[int]()) for i in range(n_before)]
    groups += [(set[int](), {j}) for j in range(n_after)]
    for i, j in links:
        joined = [g for g in groups if i in g[0] or j in g[1]]
        groups = [g for g in groups if g not in joined]
        firsts, seconds = zip(*joined, strict=True)
        groups.append((set().union(*firsts), set().union(*seconds)))
    groups.sort(key=lambda g: (not g[0], min(g[0] or g[1])))
    for first, second in groups:
        yield tuple(sorted(first)), tuple(sorted(second))


def _compare_sizes(
    before: SeenSide,
    after: SeenSide,
    there: SkeletonMap,
    places: Sequence[Affine | None],
    homes: Sequence[str],
    goals: Sequence[str],
    first: tuple[int, ...],
    second: tuple[int, ...],
) -> Change:
    """Returns whether hotspots that are in both studies grew."""
    one = np.logical_or.reduce([before.hotspots[i] for i in first])
    other = np.logical_or.reduce([after.hotspots[j] for j in second])
    areas = [one.sum() * before.pixel_mm.prod(), other.sum() * after.pixel_mm.prod()]
    if before.spacing_mm is None or after.spacing_mm is None:
        place = places[max(first, key=lambda i: before.hotspots[i].sum())]
        areas[0] *= place.growth if place else 1.0
    growth = float(areas[1] / areas[0])
    region = homes[max(first, key=lambda i: before.hotspots[i].sum())]
    named = dict.fromkeys(
        (region, *(homes[i] for i in first), *(goals[j] for j in second))
    )
    doubts = [_doubt_region(name, before, after, there) for name in named]
    for side in (before, after):
        doubts += [side.unfit, side.unsized]
    why = next(filter(None, doubts), "")
    for side, mask in ((before, one), (after, other)):
        rim = ndimage.binary_dilation(mask) & ~side.seen
        if not why and rim.any():
            why = "it is cut off by the edge of what the model saw"
    kind: Kind = "unchanged"
    if why:
        kind = "cannot tell"
    elif growth > AREA_FACTOR:
        kind = "larger"
    elif growth < 1 / AREA_FACTOR:
        kind = "smaller"
    return Change(kind, first, second, region, growth, why)


def _judge_absence(
    kind: Literal["new", "gone"],
    number: int,
    region: str,
    here: SeenSide,
    there: SeenSide,
    skeleton: SkeletonMap,
) -> Change:
    """Returns whether a hotspot of one study can be said not to be in the other."""
    mask = here.hotspots[number]
    place = skeleton.find(mask)
    carried = place.carry(mask, there.regions.shape) if place else None
    why = _doubt_region(region, here, there, skeleton) or there.unfit
    if not why and place is not None and carried is not None:
        why = _doubt_place(mask, carried, place, there)
    before, after = ((), (number,)) if kind == "new" else ((number,), ())
    said: Kind = "cannot tell" if why else kind
    return Change(said, before, after, region, None, why, carried)


def _doubt_region(
    region: str, one: SeenSide, other: SeenSide, skeleton: SkeletonMap
) -> str:
    """Returns why nothing can be compared in a region; empty if it can."""
    if not region:
        return "it lies on no bone that was found"
    for side in (one, other):
        if region in side.doubts:
            return f"the {region} is in doubt: {side.doubts[region]}"
    if not skeleton.knows(region):
        return f"the {region} is not shown alike in both studies"
    return ""


def _doubt_place(
    mask: np.ndarray, carried: np.ndarray, place: Affine, there: SeenSide
) -> str:
    """Returns why a place may hold a hotspot that is not marked; empty if it cannot."""
    reach = np.maximum(np.round(NEAR_MM / there.pixel_mm), 1).astype(int)
    near = tuple(2 * reach + 1)
    looked_at = ndimage.minimum_filter(there.seen, near, mode="constant", cval=True)
    points = np.round(place.carry_points(mask)).astype(int)
    inside = ((points >= 0) & (points < there.seen.shape)).all(axis=1)
    if not inside.all() or not looked_at[tuple(points[inside].T)].all():
        return "the other study was not looked at there"
    if (ndimage.maximum_filter(carried, near) & there.faint).any():
        return "the other study may have it, too faint to be marked"
    return ""
