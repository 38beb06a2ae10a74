"""What changed between two studies: hotspot by hotspot, and in the index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.bones.burden import LEAST_COUNTS, VIEWS, Burden
from spectjax.bones.carrying import SeenSide
from spectjax.bones.matching import Change, Kind, compare_views, name_region
from spectjax.bones.repeatability import Repeatability
from spectjax.follow_up.studies import NAMES, Relation, by_view
from spectjax.imaging.hotspots import Instances
from spectjax.imaging.scan import View
from spectjax.tasks.views import Finding, ModelInfo, Reading, SeenView

# A model that gives more to a pixel that it does not mark may have seen something: of
# the hotspots that repeated scans of simulated patients showed once and not again, this
# left 2 of 146, the limit of what is marked, 0.5, 12.
FAINT = 0.1
# An index on pixels of 4.7 mm is higher than on ones of 2.3 mm by what a patient with
# more metastases has (docs/burden.md); cameras of one kind differ by less than this.
PIXELS_ALIKE = 1.2


@dataclass(frozen=True)
class Found:
    """A change, where it stands.

    Attributes:
        number: in the outputs, from 1.
        view: that shows it.
        change: what became of the hotspots.
        areas: of before and after, mm2; None where there is none, or if unknown.
    """

    number: int
    view: View
    change: Change
    areas: tuple[float | None, float | None]

    @property
    def sentence(self) -> str:
        """One line about it."""
        change = self.change
        where = change.region or "on no bone that was found"
        sizes = [
            "size unknown" if area is None else f"{area:.0f} mm²"
            for area, numbers in zip(
                self.areas, (change.before, change.after), strict=True
            )
            if numbers
        ]
        said = f"{self.number}: {self.view}, {where}: {change.kind}, "
        said += " -> ".join(sizes)
        if change.growth is not None:
            said += f" (x {change.growth:.2f})"
        if len(change.before) > 1 or len(change.after) > 1:
            said += f", {len(change.before)} hotspots -> {len(change.after)}"
        if change.why:
            seen = " and ".join(
                name
                for name, own in zip(NAMES, (change.before, change.after), strict=True)
                if own
            )
            said += f", in {seen}: {change.why}"
        return said


@dataclass(frozen=True)
class IndexChange:
    """How much the index changed.

    Attributes:
        title: what the index is called.
        percents: of both studies, over the regions that both show; None if withheld.
        beyond: whether that is more than a repeated scan shows; None if it is withheld
            or nobody measured that.
        sentence: all of it in one line.
        withheld: why there is none, a sentence each.
    """

    title: str
    percents: tuple[float, float] | None
    beyond: bool | None
    sentence: str
    withheld: tuple[str, ...]


@dataclass(frozen=True)
class FollowUp:
    """Two studies of one patient, and what changed.

    Attributes:
        before: what was read of the first study.
        after: of the second.
        relation: what makes them those of one patient, in this order.
        model: what was asked.
        found: every change, view by view.
        index: what became of the index.
        warnings: reasons to doubt all of it, a sentence each.
    """

    before: Reading
    after: Reading
    relation: Relation
    model: ModelInfo
    found: tuple[Found, ...]
    index: IndexChange
    warnings: tuple[str, ...]

    @property
    def kinds(self) -> dict[Kind, int]:
        """How many changes there are of each kind that there are any of."""
        kinds = [each.change.kind for each in self.found]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def compare(
    before: Reading,
    after: Reading,
    relation: Relation,
    model: ModelInfo,
    repeatability: Repeatability,
) -> FollowUp:
    """Returns what changed between two studies.

    Args:
        before: with bones, see `spectjax.inference.bones.add_bones`.
        after: likewise.
        relation: what they have to do with each other.
        model: what marked the hotspots.
        repeatability: of an index of what was read.
    """
    studies = by_view(before), by_view(after)
    found: list[Found] = []
    warnings = list(relation.warnings)
    for view in VIEWS:
        pair = [study.get(view) for study in studies]
        sides = [show(*seen) if seen else None for seen in pair]
        for name, side in zip(NAMES, sides, strict=True):
            if side is None:
                warnings.append(f"No {view} view of {name} was read.")
        for name, seen in zip(NAMES, pair, strict=True):
            doubts = seen[0].thorax.doubts if seen else ()
            warnings += [f"{name}, {view} view: {doubt}" for doubt in doubts]
        for change in _compare(*sides):
            areas = _measure(sides[0], change.before), _measure(sides[1], change.after)
            found.append(Found(len(found) + 1, view, change, areas))
    index = compare_index(before, after, repeatability)
    return FollowUp(
        before, after, relation, model, tuple(found), index, tuple(warnings)
    )


def show(view: SeenView, finding: Finding) -> SeenSide:
    """Returns a view as matching needs it."""
    scan = view.thorax.scan
    marked = [each.mask for each in finding.hotspots or ()]
    bones = finding.bones
    return SeenSide(
        regions=bones.regions if bones else np.zeros(scan.counts.shape, np.uint8),
        hotspots=marked,
        seen=view.seen,
        faint=view.spread(_find_faint(view)) & ~_join(marked, scan.counts.shape),
        spacing_mm=scan.spacing_mm,
        doubts=dict(bones.flags) if bones else {},
        unfit="; ".join(_list_doubts(view, finding)),
        unsized="" if scan.shows_counts else "grey values show no sizes as counts do",
    )


def _list_doubts(view: SeenView, finding: Finding) -> list[str]:
    """Returns why nothing can be said of what a view does not show."""
    scan, doubts = view.thorax.scan, []
    if finding.bones is None:
        doubts.append(f"no bones were found: {finding.document['bones']['not_found']}")
    if view.thorax.flags:
        doubts.append(f"the crop is in doubt: {'; '.join(view.thorax.flags)}")
    if scan.has_weak_view:
        doubts.append(f"the view is in doubt: {scan.view_evidence}")
    counts = float(scan.counts.sum(dtype=np.float64))
    if scan.shows_counts and counts < LEAST_COUNTS:
        doubts.append(f"{counts:.0f} counts, fewer than {LEAST_COUNTS}")
    return doubts


def _find_faint(view: SeenView) -> np.ndarray:
    """Returns the pixels that a model takes for more than background, bool, (H, W)."""
    answer = view.answer
    if isinstance(answer, Instances):
        masks = np.asarray(answer.masks) & np.asarray(answer.valid)[:, None, None]
        return np.asarray(masks.any(axis=0))
    return np.asarray(answer[..., 1:].sum(axis=-1) > FAINT)


def _join(masks: Sequence[np.ndarray], hw: tuple[int, ...]) -> np.ndarray:
    return np.logical_or.reduce([np.zeros(hw, bool), *masks])


def _compare(before: SeenSide | None, after: SeenSide | None) -> list[Change]:
    """Returns the changes in a view; what the other study lacks cannot be told of."""
    if before and after:
        return compare_views(before, after)
    changes = []
    why = "the other study has no such view"
    for number, mask in enumerate(before.hotspots if before else ()):
        region = name_region(before, mask) if before else ""
        changes.append(Change("cannot tell", (number,), (), region, why=why))
    for number, mask in enumerate(after.hotspots if after else ()):
        region = name_region(after, mask) if after else ""
        changes.append(Change("cannot tell", (), (number,), region, why=why))
    return changes


def _measure(side: SeenSide | None, numbers: Sequence[int]) -> float | None:
    """Returns the area of hotspots, mm2; None without any, or if it is unknown."""
    if side is None or side.spacing_mm is None or not numbers:
        return None
    mask = _join([side.hotspots[i] for i in numbers], side.regions.shape)
    return float(mask.sum() * np.prod(side.spacing_mm))


def compare_index(
    before: Reading, after: Reading, repeatability: Repeatability
) -> IndexChange:
    """Returns what became of the index, over the regions that both studies show."""
    burdens = [_take_burden(reading) for reading in (before, after)]
    title = burdens[0].title
    withheld = [
        f"{name}: {reason.text}"
        for name, burden in zip(NAMES, burdens, strict=True)
        for reason in burden.reasons
    ]
    if burdens[0].extent != burdens[1].extent:
        withheld.append("Of the two studies other parts of the body were read.")
    withheld += _compare_pixels(before, after)
    one, other = (burden.index for burden in burdens)
    if withheld or one is None or other is None:
        said = f"Change of the {title}: withheld. {' '.join(withheld)}"
        return IndexChange(title, None, None, said, tuple(withheld))
    shown = one.regions.keys() & other.regions.keys()
    lost = sorted(one.regions.keys() ^ other.regions.keys())
    percents = _add(one.regions, shown), _add(other.regions, shown)
    counts = [
        [float(view.thorax.scan.counts.sum(dtype=np.float64)) for view, _ in each.views]
        for each in (before, after)
    ]
    beyond = repeatability.is_beyond(*percents, *counts)
    said = f"Change of the {title}: {percents[0]:.2f} -> {percents[1]:.2f}, "
    said += {
        True: "beyond what a repeated scan shows",
        False: "within what a repeated scan shows",
        None: "and nobody measured what a repeated scan shows there",
    }[beyond]
    if lost:
        said += f"; without what one study alone shows: {', '.join(lost)}"
    return IndexChange(title, percents, beyond, f"{said}.", ())


def _take_burden(reading: Reading) -> Burden:
    if reading.burden is None:
        raise ValueError("Expected a reading with bones, found one without.")
    return reading.burden


def _compare_pixels(before: Reading, after: Reading) -> list[str]:
    """Returns why the sizes of pixels forbid to compare indices, if they do."""
    edges = []
    for reading in (before, after):
        sizes = [view.thorax.scan.spacing_mm for view, _ in reading.views]
        if not all(sizes):
            return ["The size of a pixel is unknown, which an index depends on."]
        edges += [float(np.prod(size)) ** 0.5 for size in sizes if size]
    if max(edges, default=0) <= PIXELS_ALIKE * min(edges, default=0):
        return []
    return [
        f"Pixels of {min(edges):.1f} and of {max(edges):.1f} mm: on larger ones the "
        "index of the same patient is higher."
    ]


def _add(parts: Mapping[str, float], names: Any) -> float:
    return float(sum(parts[name] for name in names))
