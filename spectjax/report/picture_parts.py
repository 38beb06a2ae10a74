"""What pictures are made of, drawn without a display and without global state.

Counts are shown as in a reading room: inverse grey, few counts white and many black.
Axes are pixels; pixel (row 0, column 0) covers [0, 1) x [0, 1). Height and width are H
and W.
"""

import io
import pathlib
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spectjax.imaging.hotspots import bound_mask
from spectjax.imaging.scan import BoneScan
from spectjax.system.files import write_file
from spectjax.system.messages import DISCLAIMER, SYNTHETIC, make_printable

TRUTH = "#e41a1c"  # red and green as in [P1] Fig. 13
MODEL = "#00b050"
CROP = "#1f78b4"
WARNING = "#c04000"

_WARNING_LINES = 14  # a third of the height of a picture


def start_view(
    scan: BoneScan, crop_box: tuple[int, int, int, int], warnings: Sequence[str]
) -> tuple[Figure, Axes, float]:
    """Returns a figure with caption and whole body, and room for more at its right.

    Args:
        scan: the whole body.
        crop_box: (y0, x0, y1, x1) of the thorax in its frame, pixels, half-open.
        warnings: reasons to doubt what is shown, a sentence each.

    Returns:
        The figure, the panel of the body, and where the room ends above, as a fraction
        of the figure's height.
    """
    figure = Figure(figsize=(9.0, 9.0), dpi=150)
    lines = wrap_warnings(warnings, width=110)
    caption = scan.title, "\n".join(lines), scan.synthetic
    lower = add_caption(figure, *caption, subtitle_color=WARNING)
    top = 0.93 - lower - 0.018 * len(lines)
    body = figure.add_axes((0.02, 0.05, 0.24, top - 0.05))
    show_counts(body, scan.counts)
    y0, x0, y1, x1 = crop_box
    body.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=CROP))
    return figure, body, top


def wrap_warnings(
    warnings: Sequence[str],
    *,
    width: int,
    most: int = _WARNING_LINES,
    rest: str = "JSON",
) -> list[str]:
    """Returns lines of at most `width` characters, as many as leave room to draw.

    Args:
        warnings: a sentence each.
        width: in letters.
        most: how many lines there is room for.
        rest: where all of them stand.
    """
    lines = [line for text in warnings for line in textwrap.wrap(_plain(text), width)]
    left_out = len(lines) - most
    if left_out > 0:
        lines[most - 1 :] = [f"... and {left_out + 1} more lines: see {rest}"]
    return lines


def save_figure(figure: Figure, path: pathlib.Path) -> None:
    """Writes a figure as PNG, whole or not at all.

    Raises:
        WriteError: if the file cannot be written.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    write_file(path, stream.getvalue())


def trace_outline(mask: np.ndarray) -> np.ndarray:
    """Returns the pixel edges between a mask and its surroundings.

    The outline runs along pixel borders, so it encloses the mask's pixels and no part
    of another; an interpolated contour line would cut their corners.

    Args:
        mask: bool, (H, W).

    Returns:
        Line segments ((x, y), (x, y)), integer, (S, 2, 2).
    """
    padded = np.pad(mask.astype(bool), 1)
    y, x = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    along_rows = np.stack([np.stack([x, y], -1), np.stack([x + 1, y], -1)], axis=1)
    y, x = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    along_columns = np.stack([np.stack([x, y], -1), np.stack([x, y + 1], -1)], axis=1)
    return np.concatenate([along_rows, along_columns])


def show_counts(axes: Axes, counts: np.ndarray, *, upper: float | None = None) -> None:
    """Shows counts in inverse grey from 0 to `upper`, see `find_upper` for the usual.

    Args:
        axes: the panel.
        counts: (H, W).
        upper: so many are black; None: as many as `find_upper` says.
    """
    upper = find_upper(counts) if upper is None else upper
    height, width = counts.shape
    axes.imshow(
        counts,
        cmap="gray_r",
        vmin=0.0,
        vmax=upper,
        interpolation="nearest",
        extent=(0, width, height, 0),
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("0.8")


def find_upper(counts: np.ndarray) -> float:
    """Returns the 99.5th percentile of what counted.

    The few hottest pixels are cut off so that bladder or lesions do not bleach bone.
    """
    counted = counts[counts > 0]
    return float(np.percentile(counted, 99.5)) if counted.size else 1.0


def zoom_to(axes: Axes, content: np.ndarray, *, side_px: int) -> None:
    """Limits a panel to a square around `content`, with room for labels at its sides.

    Args:
        axes: the panel.
        content: what must be seen, bool, (H, W).
        side_px: columns to leave free left and right of it.
    """
    if not content.any():
        return
    y0, x0, y1, x1 = bound_mask(content)
    half = max((y1 - y0) / 2 + 3, (x1 - x0) / 2 + side_px)
    y, x = (y0 + y1) / 2, (x0 + x1) / 2
    axes.set_xlim(x - half, x + half)
    axes.set_ylim(y + half, y - half)


def outline(
    axes: Axes,
    mask: np.ndarray,
    color: str,
    *,
    linewidth: float,
    dotted: bool = False,
) -> None:
    """Adds the outline of a mask to a panel; dotted, only every other part of it."""
    edges = trace_outline(mask)
    if dotted:
        edges = edges[edges[:, 0].sum(axis=1) // 2 % 2 == 0]
    axes.add_collection(
        LineCollection(
            list(edges),
            colors=color,
            linewidths=linewidth,
            capstyle="butt" if dotted else "projecting",
        ),
        autolim=False,
    )


def add_caption(
    figure: Figure,
    title: str,
    subtitle: str,
    synthetic: bool,
    *,
    subtitle_color: str = "black",
) -> float:
    """Adds title, subtitle and the line that says what the picture is not.

    A title that does not fit is wrapped, in smaller letters.

    Args:
        figure: the picture.
        title: what is shown, one line.
        subtitle: what else to know, one line.
        synthetic: whether the images are simulated.
        subtitle_color: of the subtitle.

    Returns:
        How much lower the subtitle stands for that, in heights of the figure.
    """
    note = f"{SYNTHETIC} {DISCLAIMER}" if synthetic else DISCLAIMER
    title, size, lower = _plain(title), 11, 0.0
    width, height = figure.get_size_inches()
    if len(title) > 6.5 * width:  # so many of the widest letters fit
        lines = textwrap.wrap(title, int(8.5 * width))
        title, size = "\n".join(lines), 8
        lower = max(0.0, 0.135 * len(lines) - 0.2) / height
    figure.text(0.5, 0.975, title, ha="center", va="top", size=size, parse_math=False)
    figure.text(
        0.5,
        0.975 - 0.25 / height - lower,
        subtitle,
        ha="center",
        va="top",
        size=9,
        color=subtitle_color,
        parse_math=False,
    )
    figure.text(
        0.5,
        0.015,
        note,
        ha="center",
        size=9,
        color=WARNING if synthetic else "0.35",
        weight="bold" if synthetic else "normal",
    )
    return lower


def _plain(text: str) -> str:
    """Returns text of a user that the font can draw.

    Letters that it lacks become question marks. Whoever draws it says
    `parse_math=False`: a dollar sign must not start a formula.
    """
    return make_printable(text).encode("latin-1", "replace").decode("latin-1")
