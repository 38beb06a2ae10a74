"""Hotspots of two studies of one patient, matched through the skeleton.

Places are carried from one to the other by `spectjax.bones.carrying`. H and W are rows
and columns; those of two studies differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import ndimage, spatial

from spectjax.bones.carrying import Affine, SeenSide, SkeletonMap
from spectjax.bones.places import find_label
from spectjax.bones.regions import NAMES, REGIONS

Kind = Literal["new", "gone", "larger", "smaller", "unchanged", "cannot tell"]

# What a repeated scan shows, see docs/follow_up.md for how and on what it was measured.
# Edges of one lesion, carried, lie so near: the 99th percentile, and some more.
NEAR_MM = 8.0
# 95 % of the hotspots of a scan have in its repetition areas between 1 / this and this.
AREA_FACTOR = 1.6

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
