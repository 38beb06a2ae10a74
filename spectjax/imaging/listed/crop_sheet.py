"""Contact sheets of doubtful crops: whole body with its box, the box enlarged, why."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spectjax.imaging.listed.crop_review import DoubtfulCrop
from spectjax.imaging.scan import find_stem
from spectjax.system.files import write_file
from spectjax.system.messages import DISCLAIMER, SYNTHETIC, make_printable

_ROWS, _COLUMNS = 2, 4
_PER_PAGE = _ROWS * _COLUMNS
_SIZE = (11.69, 8.27)  # inches, A4
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.01, 0.99, 0.03, 0.94  # of the page
_MARGIN_PX = 40  # shown around a box: too small is what a box is most often
_BOX = "#D55E00"  # Okabe and Ito's vermilion
_CHARACTERS = 44  # of a line beside a picture
_HOW = (
    "Numbers are rows and columns of the whole-body image. In crops.csv: accept_crop "
    "yes if the box holds the rib cage, no if not; or crop_box y0 x0 y1 x1: first row, "
    "first column, row after the last, column after the last."
)


def write_sheets(
    crops: Sequence[DoubtfulCrop], numbers: Sequence[int], output_dir: Path
) -> list[Path]:
    """Writes `crops_001.png` and so on, eight views each; removes older ones.

    Args:
        crops: what to show.
        numbers: of their rows in the table.
        output_dir: folder.

    Returns:
        The sheets.
    """
    starts = range(0, len(crops), _PER_PAGE)
    sheets = []
    for page, start in enumerate(starts, start=1):
        shown = slice(start, start + _PER_PAGE)
        figure = draw_sheet(
            crops[shown], numbers[shown], f"page {page} of {len(starts)}"
        )
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=170, metadata={"Software": None})
        sheets.append(output_dir / f"crops_{page:03d}.png")
        write_file(sheets[-1], png.getvalue())
    for old in output_dir.glob("crops_[0-9][0-9][0-9].png"):
        if old not in sheets:
            old.unlink()
    return sheets


def draw_sheet(
    crops: Sequence[DoubtfulCrop], numbers: Sequence[int], page: str
) -> Figure:
    """Draws up to eight views: grey is the square root of the counts, black is hot."""
    figure = Figure(figsize=_SIZE)
    FigureCanvasAgg(figure)
    width, height = (_RIGHT - _LEFT) / _COLUMNS, (_TOP - _BOTTOM) / _ROWS
    for place, (crop, number) in enumerate(zip(crops, numbers, strict=True)):
        row, column = divmod(place, _COLUMNS)
        left, bottom = _LEFT + column * width, _TOP - (row + 1) * height
        title = textwrap.shorten(
            _plain(f"row {number}: {find_stem(crop.file)}"), 60, placeholder=" ..."
        )
        figure.text(
            *(left + 0.004, bottom + height - 0.008, f"{title}\n{crop.view}"),
            va="top",
            size=6.5,
            weight="bold",
            parse_math=False,
        )
        body = (left + 0.022, bottom + 0.02, 0.32 * width, height - 0.062)
        _draw_body(figure.add_axes(body), crop)
        right = left + 0.45 * width
        if crop.box is not None:
            zoom = (right, bottom + 0.42 * height, 0.52 * width, 0.49 * height)
            _draw_zoom(figure.add_axes(zoom), crop)
        top = bottom + (0.36 if crop.box else 0.88) * height
        figure.text(
            right,
            top,
            _tell(crop),
            va="top",
            size=5.2,
            parse_math=False,
        )
    mark = f"{SYNTHETIC}  " * any(crop.synthetic for crop in crops)
    title = f"Crops to decide about, {page}"
    figure.text(_LEFT, 0.985, title, va="top", weight="bold")
    figure.text(_LEFT, 0.962, _HOW, va="top", size=6.5)
    figure.text(_RIGHT, 0.01, f"{mark}{DISCLAIMER}", ha="right", size=6.5)
    return figure


def _draw_body(axes: Axes, crop: DoubtfulCrop) -> None:
    _show(axes, crop)
    _draw_box(axes, crop)


def _draw_zoom(axes: Axes, crop: DoubtfulCrop) -> None:
    """Shows the box and what lies around it."""
    axes.set_anchor("N")
    _show(axes, crop)
    _draw_box(axes, crop)
    height, width = np.array(crop.grey.shape) * crop.step
    if crop.box is not None:
        y0, x0, y1, x1 = crop.box
        axes.set_xlim(max(0, x0 - _MARGIN_PX), min(width, x1 + _MARGIN_PX))
        axes.set_ylim(min(height, y1 + _MARGIN_PX), max(0, y0 - _MARGIN_PX))


def _show(axes: Axes, crop: DoubtfulCrop) -> None:
    height, width = np.array(crop.grey.shape) * crop.step
    axes.imshow(
        crop.grey,
        cmap="gray_r",
        vmin=0,
        vmax=255,
        extent=(0, width, height, 0),  # so that a tick at 7 is where pixel 7 begins
        interpolation="nearest",
        aspect="equal",
    )
    axes.tick_params(labelsize=4.5, length=1.5, width=0.4, pad=1)
    axes.grid(color="0.6", linewidth=0.15)
    for spine in axes.spines.values():
        spine.set(color="0.6", linewidth=0.4)


def _draw_box(axes: Axes, crop: DoubtfulCrop) -> None:
    if crop.box is not None:
        y0, x0, y1, x1 = crop.box
        size = (x1 - x0, y1 - y0)
        axes.add_patch(
            Rectangle((x0, y0), *size, fill=False, edgecolor=_BOX, linewidth=0.8)
        )


def _tell(crop: DoubtfulCrop) -> str:
    """Returns box and flags in lines that fit beside the picture."""
    box = "no box found"
    if crop.box is not None:
        box = f"box {' '.join(map(str, crop.box))}"
    lines = [box]
    for flag in crop.flags:
        lines += textwrap.wrap(f"- {_plain(flag)}", _CHARACTERS, subsequent_indent="  ")
    return "\n".join(lines[:16])


def _plain(text: str) -> str:
    """Returns text that the font can draw, with question marks for what it lacks."""
    return make_printable(text).encode("latin-1", "replace").decode("latin-1")
