"""The picture of a follow-up: each view of both studies beside the other's."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from spectjax.bones.burden import VIEWS
from spectjax.bones.carrying import assume_pixel
from spectjax.bones.matching import Kind
from spectjax.follow_up.comparison import FollowUp, Found
from spectjax.follow_up.studies import NAMES, by_view, name_study
from spectjax.follow_up.writing import tell_sum
from spectjax.imaging.hotspots import bound_mask
from spectjax.imaging.scan import View
from spectjax.report.picture_parts import (
    WARNING,
    add_caption,
    find_upper,
    outline,
    show_counts,
    wrap_warnings,
)
from spectjax.tasks.hotspots.picture import spread_labels
from spectjax.tasks.views import Finding, SeenView

# Okabe and Ito (2008), which people of all kinds of colour vision tell apart; each
# number has its sign as well.
_LOOKS: dict[Kind, tuple[str, str]] = {
    "new": ("#D55E00", "+"),
    "gone": ("#0072B2", "-"),
    "larger": ("#CC79A7", ">"),
    "smaller": ("#56B4E9", "<"),
    "unchanged": ("#009E73", "="),
    "cannot tell": ("#666666", "?"),
}
_MARGIN_MM = 40.0  # around what holds counts
_HEIGHT_IN = 9.0
_LINES = 6  # of warnings


@dataclasses.dataclass(frozen=True)
class _Panel:
    """One view of one study, and where the body lies in it.

    Attributes:
        view, study: which, 0 or 1 for the study.
        seen: the view; None if the study has none.
        finding: what was found in it.
        pixel_mm: rows and columns, a guess if unknown.
        box: (y0, x0, y1, x1) of the body, mm.
        level: counts of a pixel of usual bone, which nothing marks.
    """

    view: View
    study: int
    seen: SeenView
    finding: Finding
    pixel_mm: np.ndarray
    box: np.ndarray
    level: float


def draw_follow_up(follow_up: FollowUp) -> Figure:
    """Draws both studies: the same view side by side, in one scale and one level.

    Black is the same multiple of what bone that nothing marks has in its own study:
    other counts then look alike. Numbers are those of the other outputs. Dotted is
    where a hotspot of the other study would lie.
    """
    panels = _list_panels(follow_up)
    size = np.max([p.box[2:] - p.box[:2] for p in panels], axis=0)
    lines = [tell_sum(follow_up), follow_up.index.sentence, *follow_up.warnings]
    lines = wrap_warnings(lines, width=105, most=_LINES, rest="JSON")
    wide = (_HEIGHT_IN - 2.0) * size[1] / size[0]
    figure = Figure(figsize=(max(4 * wide + 1.0, 9.0), _HEIGHT_IN), dpi=150)
    synthetic = any(panel.seen.thorax.scan.synthetic for panel in panels)
    title = f"{name_study(follow_up.before)} -> {name_study(follow_up.after)}"
    color = WARNING if follow_up.warnings else "black"
    lower = add_caption(
        figure, title, "\n".join(lines), synthetic, subtitle_color=color
    )
    top = 0.93 - lower - 0.018 * len(lines) - 0.02
    black = max(find_upper(p.seen.thorax.scan.counts) / p.level for p in panels)
    for number, (view, study) in enumerate((v, s) for v in VIEWS for s in (0, 1)):
        place = (0.01 + 0.245 * number, 0.07, 0.235, top - 0.07)
        axes = figure.add_axes(place)
        axes.set_title(f"{view}, {NAMES[study].lower()}", size=9)
        shown = [p for p in panels if (p.view, p.study) == (view, study)]
        if shown:
            _draw_panel(axes, shown[0], size, black)
            _mark(axes, shown[0], [f for f in follow_up.found if f.view == view])
        else:
            axes.text(0.5, 0.5, "not read", ha="center", transform=axes.transAxes)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_color("0.8")
    _explain(figure, list(follow_up.kinds))
    return figure


def _list_panels(follow_up: FollowUp) -> list[_Panel]:
    panels = []
    for study, reading in enumerate((follow_up.before, follow_up.after)):
        for view, (seen, finding) in by_view(reading).items():
            scan = seen.thorax.scan
            pixel = assume_pixel(scan.spacing_mm, len(scan.counts))
            body = finding.bones.regions > 0 if finding.bones else scan.counts > 0
            box = bound_mask(body) if body.any() else (0, 0, *scan.counts.shape)
            side = np.array(box) * np.tile(pixel, 2)
            side += np.array([-1, -1, 1, 1]) * _MARGIN_MM
            level = _find_level(seen, finding)
            panels.append(_Panel(view, study, seen, finding, pixel, side, level))
    return panels


def _find_level(seen: SeenView, finding: Finding) -> float:
    """Returns the median of what bone that nothing marks counts, at least 1."""
    counts = seen.thorax.scan.counts
    usual = finding.bones.regions > 0 if finding.bones else counts > 0
    for hotspot in finding.hotspots or ():
        usual = usual & ~hotspot.mask
    return max(float(np.median(counts[usual])), 1.0) if usual.any() else 1.0


def _draw_panel(axes: Axes, panel: _Panel, size: np.ndarray, black: float) -> None:
    """Shows the counts of a view, the body's top and middle where the others' are."""
    show_counts(axes, panel.seen.thorax.scan.counts, upper=black * panel.level)
    axes.set_aspect(panel.pixel_mm[0] / panel.pixel_mm[1])
    y0, x0, _, x1 = panel.box
    middle = (x0 + x1) / 2
    rows = np.array([y0 + size[0], y0]) / panel.pixel_mm[0]
    columns = np.array([middle - size[1] / 2, middle + size[1] / 2])
    axes.set_ylim(*rows)
    axes.set_xlim(*(columns / panel.pixel_mm[1]))


def _mark(axes: Axes, panel: _Panel, found: Sequence[Found]) -> None:
    """Outlines each hotspot of a panel, with its number, and places of the others'."""
    labels: dict[bool, list[tuple[float, float, str, str]]] = {True: [], False: []}
    left, right = axes.get_xlim()
    for each in found:
        color, sign = _LOOKS[each.change.kind]
        numbers = (each.change.before, each.change.after)[panel.study]
        masks = [(panel.finding.hotspots or ())[i].mask for i in numbers]
        for mask in masks:
            outline(axes, mask, color, linewidth=1.1)
        if not masks and each.change.place is not None and each.change.place.any():
            masks = [each.change.place]
            outline(axes, masks[0], color, linewidth=1.1, dotted=True)
        if masks:
            y0, x0, y1, x1 = bound_mask(np.logical_or.reduce(masks))
            on_left = x0 + x1 < left + right
            text = f"{each.number}{sign}"
            edge = x0 if on_left else x1
            labels[on_left].append(((y0 + y1) / 2, edge, text, color))
    bottom, top = axes.get_ylim()
    gap = (bottom - top) / 45
    for on_left, side in labels.items():
        side.sort()
        places = spread_labels([top, *(y for y, *_ in side)], gap, bottom - gap)[1:]
        for (y, x, text, color), place in zip(side, places, strict=True):
            axes.annotate(
                text,
                xy=(x, y),
                xytext=(left + gap / 3 if on_left else right - gap / 3, place),
                ha="left" if on_left else "right",
                va="center",
                size=8,
                color=color,
                weight="bold",
                path_effects=[withStroke(linewidth=2.0, foreground="white")],
                arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.5},
            )


def _explain(figure: Figure, kinds: Sequence[Kind]) -> None:
    """Writes what the colours and signs mean."""
    shown = [(kind, *look) for kind, look in _LOOKS.items() if kind in kinds]
    for number, (kind, color, sign) in enumerate(shown):
        figure.text(0.02 + 0.11 * number, 0.045, f"{sign} {kind}", color=color, size=9)
    if kinds:
        figure.text(
            0.02 + 0.11 * len(shown),
            0.045,
            "dotted: where the other study's would lie",
            size=9,
            color="0.35",
        )
