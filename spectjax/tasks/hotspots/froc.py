"""Free-response curves: found lesions over false regions, of one model or several."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MultipleLocator, NullLocator

from spectjax.report.curves import PALETTE, STYLES
from spectjax.report.data_notes import Caption
from spectjax.report.markdown import bracket
from spectjax.report.picture_parts import add_caption

_LINEAR_BELOW = 0.1  # false regions per image; a logarithm has no place for 0
_NOTE = (
    "found: a region meets the lesion with IoU ≥ {min_iou:g}; in brackets: 95 %, "
    "bootstrap over patients\nlarge dots: {dots}, small dots: other thresholds; "
    "lines: best within so many false regions"
)
_TICKS = (0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def draw_froc(
    models: Mapping[str, Mapping[str, Any]], caption: Caption, *, dots: str = "p = 0.5"
) -> Figure:
    """Draws the sensitivity over the false regions per image.

    A pale dot is what one threshold gives. The line is the best sensitivity within that
    many false regions: low thresholds merge regions until they no longer meet lesions,
    so that the dots may turn back, and nobody would choose those.

    Args:
        models: by name, `lesion` and `intervals` as `metrics.json` has them.
        caption: title and more.
        dots: what the large dots are, a few words.
    """
    first = next(iter(models.values()))["lesion"]
    # Without a lesion there is nothing to find.
    shown = {name: m for name, m in models.items() if m["lesion"]["n"]}
    height = 7.55 + 0.22 * len(shown)
    figure = Figure(figsize=(7.2, height), dpi=150)
    bottom = (1.3 + 0.22 * len(shown)) / height
    axes = figure.add_axes((0.105, bottom, 0.865, 1 - 0.8 / height - bottom))
    last = _choose_limit([m["lesion"]["false_per_image"] for m in shown.values()])
    axes.axvline(1.0, color="0.55", linewidth=0.8, linestyle=":")
    for i, (name, model) in enumerate(shown.items()):
        at_one = bracket(model, "lesion", "sensitivity_at", "1")
        legend = f"{name}: {at_one} at 1 false region per image"
        _plot_curve(axes, model["lesion"], i, legend, last)
    _style(axes, last)
    if shown:
        found = figure.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 0.35 / height),
            fontsize=8.5,
            frameon=False,
            title=_NOTE.format(dots=dots, min_iou=first["min_iou"]),
            title_fontsize=8,
        )
        found.get_title().set_color("0.35")
    counts = dict.fromkeys(m["lesion"]["n"] for m in models.values())
    lesions = f"{caption.subtitle}, {', '.join(map(str, counts))} lesions"
    add_caption(figure, *caption._replace(subtitle=lesions))
    return figure


def _plot_curve(
    axes: Axes, lesion: Mapping[str, Any], number: int, legend: str, last: float
) -> None:
    """Adds the dots and the line of one model, and where its probability is 0.5."""
    color = PALETTE[number % len(PALETTE)]
    false = np.array(lesion["froc"]["false_per_image"])
    sensitivity = np.array(lesion["froc"]["sensitivity"])
    dots: dict[str, Any] = {"color": color, "linestyle": "none"}
    axes.plot(false, sensitivity, marker=".", markersize=4, alpha=0.45, **dots)
    axes.plot(
        *trace_best(false, sensitivity, last),
        color=color,
        linestyle=STYLES[number % len(STYLES)],
        linewidth=1.7,
        drawstyle="steps-post",
        label=legend,
    )
    axes.plot(
        lesion["false_per_image"],
        lesion["sensitivity"],
        marker="o",
        markersize=8,
        markeredgecolor="white",
        zorder=4,
        clip_on=False,
        **dots,
    )


def trace_best(
    false_per_image: np.ndarray, sensitivity: np.ndarray, last: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the corners of the best sensitivity within so many false regions.

    Args:
        false_per_image: of T thresholds, (T,), any order.
        sensitivity: likewise.
        last: false regions per image where the line ends.

    Returns:
        False regions per image, rising, and sensitivities, which never fall; both of
        one length, and empty where no threshold has as few false regions as `last`.
    """
    order = np.lexsort((sensitivity, false_per_image))
    order = order[false_per_image[order] <= last]
    if not order.size:
        return np.empty(0), np.empty(0)
    best = np.maximum.accumulate(sensitivity[order])
    return (np.append(false_per_image[order], last), np.append(best, best[-1]))


def _choose_limit(false_per_image: Sequence[float]) -> float:
    """Returns 10 false regions per image, or more where a model marks more at 0.5."""
    most = max(false_per_image, default=0.0)
    return next((float(x) for x in _TICKS if x >= max(10, most)), 1.05 * most)


def _style(axes: Axes, last: float) -> None:
    axes.set_xscale("symlog", linthresh=_LINEAR_BELOW, linscale=0.4)
    axes.set_xlim(-0.004, last)
    axes.set_ylim(-0.015, 1.015)
    ticks = [x for x in _TICKS if x <= last]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{x:g}" for x in ticks])
    axes.yaxis.set_major_locator(MultipleLocator(0.2))
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("False regions per image")
    axes.set_ylabel("Lesion sensitivity")
