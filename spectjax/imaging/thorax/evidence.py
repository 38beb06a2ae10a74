"""The crop explains itself: the papers' Fig. 1-3 drawn for any scan."""

import io
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spectjax.imaging.thorax.crop import Evidence, ThoraxImage
from spectjax.imaging.thorax.curve import Curve
from spectjax.imaging.thorax.landmarks import Landmarks, Readings
from spectjax.imaging.thorax.network import AXES, Opinion
from spectjax.system.files import write_file
from spectjax.system.messages import make_printable

NOTICE = "Research software, not a medical device."
_LANDMARKS = ("head", "neck", "shoulders", "elbows", "legs", "feet")


def draw_evidence(thorax: ThoraxImage) -> Figure:
    """Draws how the box was found.

    From left to right: the whole-body view with body, landmarks, box and the edges of
    the ribs that it was made from, and where a network sees the rib cage; the row-count
    curve with its fit, peaks and valleys, and its two derivatives ([P1] Fig. 2); the
    band of the ribs and the row that ends it; the thorax image. Of a box that was given
    by hand: the first and the last of them.
    """
    scan, marks, evidence = thorax.scan, thorax.landmarks, thorax.evidence
    figure = Figure(figsize=(16, 9), layout="constrained")
    # A dollar sign in a file's name starts no formula.
    title = "\n".join(textwrap.wrap(_plain(scan.name), 40))
    ratios = (1.1, 1.4) if evidence is None else (1.1, 1, 1, 1.4)
    whole, *between, right = figure.subplots(1, len(ratios), width_ratios=ratios)
    _show_counts(whole, scan.counts)
    if marks is not None and evidence is not None:
        _draw_readings(whole, marks, evidence)
        _draw_row_curve(between[0], marks, evidence.row_curve, scan.counts.shape[0])
        _draw_rib_band(between[1], marks, evidence.readings)
        title += f"\nthr_N = {evidence.body.noise_threshold:g} counts"
    y0, x0, y1, x1 = thorax.transform.box
    whole.add_patch(
        Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color="red")
    )
    if thorax.opinion is not None:
        _draw_opinion(whole, thorax.opinion)
    whole.set_title(title, parse_math=False)

    _show_counts(right, thorax.counts)
    right.set_title(
        f"thorax {thorax.counts.shape[0]}x{thorax.counts.shape[1]}, {scan.view}"
    )
    flags = "; ".join(thorax.flags) or "none"
    cleared = "; ".join(thorax.cleared)
    cleared = f"Cleared, for a network agrees: {cleared}.  " * bool(cleared)
    decision = f"Note: {thorax.decision}.  " * bool(thorax.by_hand)
    synthetic = "SYNTHETIC.  " if scan.synthetic else ""
    warnings = "".join(f"WARNING: {warning}.  " for warning in scan.warnings)
    text = (
        f"{synthetic}View: {scan.view} ({scan.view_evidence}).  Flags: {flags}.  "
        f"{cleared}{decision}{warnings}{NOTICE}"
    )
    lines = textwrap.wrap(_plain(text), 190)
    figure.suptitle("\n".join(lines), fontsize=9, parse_math=False)
    return figure


def _plain(text: str) -> str:
    """Returns text that the font can draw, with question marks for what it lacks."""
    return make_printable(text).encode("latin-1", "replace").decode("latin-1")


def save_evidence(thorax: ThoraxImage, path: Path) -> None:
    """Writes the drawing as PNG."""
    png = io.BytesIO()
    draw_evidence(thorax).savefig(png, format="png", dpi=90)
    write_file(path, png.getvalue())


def _show_counts(axes: Axes, counts: np.ndarray) -> None:
    positive = counts[counts > 0]
    axes.imshow(counts, cmap="gray_r", vmin=0, vmax=np.percentile(positive, 99))
    axes.set_xlabel("column, px")


def _draw_readings(axes: Axes, marks: Landmarks, evidence: Evidence) -> None:
    """Marks the body, the landmarks, and where the ribs end.

    At the sides they end in each strip, below on each side.
    """
    axes.contour(evidence.body.mask, levels=[0.5], colors="tab:blue", linewidths=0.6)
    edges = evidence.readings.sides.edges
    trunk = marks.legs - marks.shoulders
    share = 0.25 + 0.25 * (np.arange(edges.shape[1]) + 0.5) / edges.shape[1]
    for side, edge, lowest in zip(
        (-1, 1), edges, evidence.readings.rib_band.lowest_by_side, strict=True
    ):
        columns = marks.spine + side * edge
        axes.plot(columns, marks.shoulders + share * trunk, ".", color="red", ms=2)
        axes.plot(np.median(columns), lowest, "_", color="red", ms=8)
    for name in _LANDMARKS:
        row = getattr(marks, name)
        axes.axhline(row, color="tab:green", linewidth=0.6)
        axes.text(2, row - 3, name, color="tab:green", fontsize=7)


def _draw_opinion(axes: Axes, opinion: Opinion) -> None:
    """Draws where the network sees the rib cage, and each edge's spread as a band."""
    top, left, bottom, right = opinion.box
    high, wide = bottom - top, right - left
    axes.add_patch(
        Rectangle((left, top), wide, high, fill=False, color="tab:orange", ls="--")
    )
    for edge, spread, axis in zip(opinion.box, opinion.spread, AXES, strict=True):
        band = (left, edge - spread, wide, 2 * spread)
        if axis == 1:
            band = (edge - spread, top, 2 * spread, high)
        x, y, width, height = band
        axes.add_patch(
            Rectangle((x, y), width, height, color="tab:orange", alpha=0.3, lw=0)
        )
    said = "orange: the network, with its spread"
    axes.set_xlabel(f"column, px\n{said}")


def _draw_row_curve(axes: Axes, marks: Landmarks, curve: Curve, n_rows: int) -> None:
    rows = curve.rows
    axes.plot(curve.counts, rows, color="0.7", label="counts in the row, clipped")
    axes.plot(curve.fitted, rows, color="black", label="fit")
    scale = curve.fitted.max()
    for values, colour, label in (
        (curve.first, "tab:orange", "first derivative"),
        (curve.second, "tab:purple", "second derivative"),
    ):
        scaled = values * 0.4 * scale / np.abs(values).max()
        axes.plot(scaled, rows, color=colour, linewidth=0.8, label=f"{label}, scaled")
    for extrema, marker, label in (
        (curve.peaks, ">", "peaks"),
        (curve.valleys, "<", "valleys"),
    ):
        indices = np.asarray(extrema, int) - rows[0]
        axes.plot(curve.fitted[indices], extrema, marker, color="red", label=label)
    for name in _LANDMARKS:
        axes.axhline(getattr(marks, name), color="tab:green", linewidth=0.6)
    axes.set_ylim(n_rows, 0)
    axes.legend(fontsize=7, loc="lower right")
    axes.set_title("row-count curve ([P1] Fig. 2)")


def _draw_rib_band(axes: Axes, marks: Landmarks, readings: Readings) -> None:
    band = readings.rib_band.curve
    axes.plot(band.counts, band.rows, color="0.7", label="counts beside the spine")
    axes.plot(band.fitted, band.rows, color="black", label="fit")
    for row, label in (
        (marks.shoulders, "shoulders"),
        (marks.lowest_ribs, "lowest ribs"),
        (marks.pelvis, "pelvis"),
    ):
        axes.axhline(row, color="tab:green", linewidth=0.8)
        axes.text(axes.get_xlim()[1], row, label, ha="right", va="bottom", fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=7, loc="lower right")
    axes.set_title("band of the ribs, where ribs end and pelvis begins")
