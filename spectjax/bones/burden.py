"""Whether an index may be told, and what belongs beside it where it is.

A number that cannot be trusted is withheld, and every reason is told: then no other
number stands in its place. Shares need no size of a pixel, and views no common one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spectjax.bones.agreement import WHY
from spectjax.bones.found import FoundBones
from spectjax.bones.index import LEAST_SHOWN, Index, measure_index
from spectjax.bones.regions import MASSES, NAMES, REGIONS, THORAX
from spectjax.bones.repeatability import Extent, Repeatability
from spectjax.imaging.scan import View

# Anand et al. (J Nucl Med 2016;57:1865): fewer counts of a view, and the index is off.
LEAST_COUNTS = 500_000
# Of a region that counts the model has to have looked at so much; of a scapula, which
# its crop cuts most, a crop that is right holds 0.92 and more.
LEAST_READ = 0.9
VIEWS: tuple[View, ...] = ("anterior", "posterior")
TITLES: Mapping[Extent, str] = {
    "thorax": "thoracic bone involvement (planar)",
    "whole body": "planar bone scan index",
}
UNIT = "% of the skeleton's mass"
METHOD = (
    "the share of each region's projected area that is marked, mean of both views, "
    f"times the region's share of the skeleton's mass ({MASSES}), summed"
)
WITHHELD = "The index is withheld."
# Where two ways to find bones disagree, the index may move by so much between them,
# percent: less than a repeated scan moves it.
MOST_MOVED = 0.1
# True metastases never made the indices of both views differ by more than this and by
# more than their mean, in 622 simulated scans: what one view alone shows is no bone.
MOST_APART = 1.5
# A frame may end at the hands and the feet: what it does not show is told, no reason.
_MAY_BE_CUT = ("forearm and hand", "lower leg and foot")


@dataclass(frozen=True)
class BurdenView:
    """A view of an examination, as an index needs it.

    Attributes:
        view: which one.
        bones: what was found in it; None if nothing was.
        not_found: why not, a sentence without its full stop.
        hotspots: pixels that are marked, bool, (H, W) of the whole frame.
        read: pixels that the model looked at, likewise.
        counts: of the whole frame; None if its values may be none.
        crop_doubts: why what was read may be something else than the thorax.
        view_doubt: why it may be the other view; empty if nothing speaks for that.
    """

    view: View
    bones: FoundBones | None
    hotspots: np.ndarray
    read: np.ndarray
    counts: float | None
    not_found: str = ""
    crop_doubts: Sequence[str] = ()
    view_doubt: str = ""


@dataclass(frozen=True)
class Reason:
    """Why an index is withheld.

    Attributes:
        code: the rule, for programs.
        text: a sentence.
        view: that it is about; None: the examination.
        regions: that it is about, by name; (): any.
    """

    code: str
    text: str
    view: View | None = None
    regions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Burden:
    """An index that may be told, or why it may not.

    Attributes:
        extent: what was read for it.
        index: None if it is withheld.
        reasons: why; empty if it is not.
        interval: where the index of 95 % of repeated scans lies, percent; None if it is
            withheld, or if nobody measured that.
        interval_note: what the interval is of, or why there is none, a sentence.
        measured: on what it was measured; empty without one.
        unsettled: regions that two ways to find bones see in different places, though
            the index is nearly the same with either.
    """

    extent: Extent
    index: Index | None
    reasons: tuple[Reason, ...]
    interval: tuple[float, float] | None
    interval_note: str
    measured: Mapping[str, str | int | None] = field(default_factory=dict)
    unsettled: tuple[str, ...] = ()

    def withhold(self, reason: Reason) -> "Burden":
        """Returns it without its number, for one more reason."""
        return Burden(self.extent, None, (*self.reasons, reason), None, WITHHELD)

    @property
    def title(self) -> str:
        """What the index is called."""
        return TITLES[self.extent]

    @property
    def not_shown(self) -> list[str]:
        """The regions that would count, and that neither view shows."""
        shown = self.index.regions if self.index else ()
        return [name for name in list_counting(self.extent) if name not in shown]

    @property
    def sentence(self) -> str:
        """The index and what belongs beside it, or that it is withheld, in one line."""
        if self.index is None:
            reasons = " ".join(reason.text for reason in self.reasons)
            return f"{self.title}: withheld. {reasons}"
        said = f"{self.title}: {self.index.percent:.2f} {UNIT} ({MASSES})"
        if self.interval:
            low, high = self.interval
            said += f", {low:.2f} to {high:.2f} in 95 % of repeated scans, simulated"
        if self.not_shown:
            said += f"; not shown and not counted: {', '.join(self.not_shown)}"
        if self.unsettled:
            said += (
                f"; in doubt, but worth at most {MOST_MOVED} together: "
                f"{', '.join(self.unsettled)}"
            )
        return f"{said}." if self.interval else f"{said}. {self.interval_note}"

    def to_json(self) -> dict[str, Any]:
        """Returns all that is known of it, with null for what is withheld."""
        index = self.index
        return {
            "name": self.title,
            "percent": index and index.percent,
            "unit": UNIT,
            "masses": MASSES,
            "method": METHOD,
            "withheld": [dict(vars(reason)) for reason in self.reasons],
            "interval": self.interval and list(self.interval),
            "interval_note": self.interval_note,
            "interval_measured": dict(self.measured) or None,
            "views": index and dict(index.views),
            "regions": index
            and {
                name: {"percent": percent, "share": index.shares[name]}
                for name, percent in index.regions.items()
            },
            "mass_percent": index and index.mass_percent,
            "not_shown": self.not_shown if index else None,
            "unsettled": list(self.unsettled) if index else None,
        }


def list_counting(extent: Extent) -> list[str]:
    """Returns the names of the regions that an index is of."""
    kinds = THORAX if extent == "thorax" else ()
    return [r.name for r in REGIONS if not kinds or r.kind in kinds]


def measure_burden(
    views: Sequence[BurdenView], extent: Extent, repeatability: Repeatability
) -> Burden:
    """Returns the index of an examination, or why it is withheld.

    Args:
        views: those that were read.
        extent: what was read of them.
        repeatability: of this extent.
    """
    unsettled = _list_unsettled(views, extent)
    reasons = tuple(_list_reasons(views, extent, unsettled))
    index = None if reasons else _measure(views, extent)
    if index is not None:
        reasons = tuple(_compare_views(index))
    if index is None or reasons:
        return Burden(extent, None, reasons, None, WITHHELD)
    counts = [each.counts for each in views if each.counts is not None]
    interval = repeatability.interval(index.percent, counts)
    measured: Mapping[str, str | int | None] = {}
    if not index.percent:
        interval = None
        note = (
            "Nothing is marked in these bones, which does not mean that nothing is "
            "there: no interval is told."
        )
    elif interval is None:
        note = (
            "No interval is known: at this index and these counts no repeated scans "
            "were measured."
        )
    else:
        measured = repeatability.measured
        note = (
            "The interval is that of simulated patients who were scanned again: it "
            "tells of chance, not of how right the index is."
        )
    return Burden(extent, index, (), interval, note, measured, unsettled)


def _measure(
    views: Sequence[BurdenView], extent: Extent, other: Sequence[str] = ()
) -> Index:
    """Returns the index, with the `other` map of some regions in place of the first.

    What the model did not look at is neither marked nor free of marks.
    """
    kinds = THORAX if extent == "thorax" else ()
    labels = [NAMES.index(name) + 1 for name in other]
    regions = {}
    for each in views:
        if each.bones is None:
            continue
        drawn = each.bones.regions
        if each.bones.other is not None and labels:
            drawn = np.where(np.isin(drawn, labels), 0, drawn)
            there = np.isin(each.bones.other, labels) & (drawn == 0)
            drawn = np.where(there, each.bones.other, drawn)
        regions[each.view] = np.where(each.read, drawn, 0)
    hotspots = {each.view: each.hotspots for each in views if each.bones is not None}
    return measure_index(regions, hotspots, kinds)


def _compare_views(index: Index) -> Iterator[Reason]:
    """Yields that the views contradict each other, if they do."""
    apart = float(np.ptp(list(index.views.values())))
    if apart > max(MOST_APART, index.percent):
        told = ", ".join(f"{each:.2f} {view}" for view, each in index.views.items())
        text = f"Each view alone gives another index ({told}): look at what is marked."
        yield Reason("views_differ", text)


def _list_unsettled(views: Sequence[BurdenView], extent: Extent) -> tuple[str, ...]:
    """Returns regions in doubt that hardly matter, whichever way sees them right.

    Two ways to find bones see them in different places, and their parts of the index
    with the one map and with the other differ by at most `MOST_MOVED` in all.
    """
    apart = []
    for name in list_counting(extent):
        seen = [v.bones for v in views if v.bones and v.bones.flags.get(name) == WHY]
        if seen and all(bones.other is not None for bones in seen):
            apart.append(name)
    if not apart:
        return ()
    one, other = (_measure(views, extent, names).regions for names in ((), apart))
    moved = [abs(one.get(name, 0) - other.get(name, 0)) for name in apart]
    order = np.argsort(moved, kind="stable")
    little = order[np.cumsum(np.sort(moved)) <= MOST_MOVED]
    return tuple(name for place, name in enumerate(apart) if place in little)


def _list_reasons(
    views: Sequence[BurdenView], extent: Extent, unsettled: Sequence[str]
) -> Iterator[Reason]:
    """Yields every reason to withhold the index; none is of regions left unsettled."""
    for view in VIEWS:
        n = sum(each.view == view for each in views)
        if n == 0:
            yield Reason("missing_view", f"No {view} view was read.", view)
        elif n > 1:
            text = f"{n} {view} views were read, and nothing tells which counts."
            yield Reason("several_views", text, view)
    for each in views:
        yield from _list_doubts(each)
    found = [(each, each.bones) for each in views if each.bones is not None]
    if found and len(found) == len(views):
        yield from _list_region_doubts(found, extent, unsettled)


def _list_doubts(each: BurdenView) -> Iterator[Reason]:
    """Yields what speaks against a view, whatever its bones are."""
    view, name = each.view, each.view.capitalize()
    if each.crop_doubts:
        text = f"{name}: the crop is in doubt: {'; '.join(each.crop_doubts)}."
        yield Reason("crop_in_doubt", text, view)
    if each.view_doubt:
        text = f"{name}: the view is in doubt: {each.view_doubt}."
        yield Reason("view_in_doubt", text, view)
    if each.bones is None:
        text = f"{name}: no bones were found: {each.not_found}."
        yield Reason("no_bones", text, view)
    if each.counts is None:
        text = f"{name}: its values are grey values and may be no counts."
        yield Reason("no_counts", text, view)
    elif each.counts < LEAST_COUNTS:
        text = f"{name}: {each.counts:.0f} counts, fewer than {LEAST_COUNTS}."
        yield Reason("few_counts", text, view)


def _list_region_doubts(
    views: Sequence[tuple[BurdenView, FoundBones]],
    extent: Extent,
    unsettled: Sequence[str],
) -> Iterator[Reason]:
    """Yields what speaks against the regions that count, view by view."""
    counting = list_counting(extent)
    areas = [_measure_areas(bones.regions) for _, bones in views]
    largest = {name: max(area[name] for area in areas) for name in counting}
    kinds = {region.name: region.kind for region in REGIONS}
    missing = [name for name in counting if not largest[name]]
    needed = tuple(name for name in missing if kinds[name] not in _MAY_BE_CUT)
    if needed:
        text = f"No view shows {', '.join(needed)}."
        yield Reason("region_not_shown", text, None, needed)
    for (each, bones), area in zip(views, areas, strict=True):
        title = each.view.capitalize()
        flags = {
            name: bones.flags[name]
            for name in counting
            if name in bones.flags
            and largest[name]
            and not (name in unsettled and bones.flags[name] == WHY)
        }
        for why, names in group_doubts(flags).items():
            text = f"{title}: {', '.join(names)} in doubt: {why}."
            yield Reason("region_in_doubt", text, each.view, names)
        read = _measure_areas(bones.regions[each.read])
        for name in counting:
            counts = area[name] > LEAST_SHOWN * largest[name]
            if counts and read[name] < LEAST_READ * area[name]:
                share = 100 * read[name] / area[name]
                text = f"{title}: the model looked at {share:.0f} % of {name} alone."
                yield Reason("region_not_read", text, each.view, (name,))


def group_doubts(flags: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Returns the regions of each doubt: what is wrong with one is with many."""
    whys = dict.fromkeys(flags.values())
    return {why: tuple(n for n, own in flags.items() if own == why) for why in whys}


def _measure_areas(regions: np.ndarray) -> dict[str, int]:
    """Returns how many pixels show each region."""
    areas = np.bincount(regions.ravel(), minlength=len(REGIONS) + 1)
    return {r.name: int(n) for r, n in zip(REGIONS, areas[1:], strict=True)}
