"""The figure of `scripts/measure_burden.py`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.burden.examinations import BURDEN, FIRST
from scripts.burden.finders import BONES, WHOLE
from scripts.burden.measures import TRUE
from scripts.burden.summary import PRODUCT, TRUTH, VOLUME, Record, pick
from scripts.burden.tables import name_source
from spectjax.report.curves import PALETTE
from spectjax.report.picture_parts import add_caption


def draw_agreement(records: Sequence[Record], document: Mapping[str, Any]) -> Figure:
    """Draws the index of the whole body over the planar truth, and the differences.

    It is that of found hotspots and bones, or the nearest to it that was measured.
    """
    ways = (PRODUCT["whole body"], f"{WHOLE}/{TRUE}", f"{TRUE}/{BONES}", TRUTH)
    known = {row["found"] for row in document["agreement"]}
    who = next(way for way in ways if way in known)
    truth = VOLUME if who == TRUTH else TRUTH
    row = next(
        row
        for row in document["agreement"]
        if (row["found"], row["truth"], row["extent"], row["part"])
        == (who, truth, "whole body", "percent")
    )
    records = [record for record in records if record["group"] == BURDEN]
    x, y = (np.array(pick(records, FIRST, each, "whole body")) for each in (truth, who))
    figure = Figure(figsize=(9.0, 4.4), dpi=110)
    left, right = figure.subplots(1, 2)
    top = float(np.nanmax([x, y]) * 1.05)
    left.plot([0, top], [0, top], color="0.6", linewidth=0.8)
    left.scatter(x, y, s=12, color=PALETTE[0], linewidth=0, alpha=0.7)
    left.set_title(f"r {row['r']:.3f}, slope {row['slope_origin']:.2f}", size=10)
    _finish(left, "True index, percent", "Measured index, percent")
    right.scatter((x + y) / 2, y - x, s=12, color=PALETTE[0], linewidth=0, alpha=0.7)
    for key, style in (("bias", "-"), ("low", "--"), ("high", "--")):
        right.axhline(row[key], color="0.2", linewidth=1, linestyle=style)
    limits = f"{row['low']:+.2f} to {row['high']:+.2f}"
    right.set_title(f"bias {row['bias']:+.2f}, 95 % limits {limits}", size=10)
    _finish(right, "Mean of both, percent", "Measured − true, points")
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.2, top=0.78, wspace=0.28)
    truth_name = "truth by volume" if truth == VOLUME else "planar truth"
    subtitle = f"{row['n']} patients, {name_source(who)}, against the {truth_name}"
    add_caption(figure, "Planar bone scan index", subtitle, True)
    return figure


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
