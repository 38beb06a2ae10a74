"""Pages of thorax images with their outlines, boxes and labels, to look through."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from spectjax.system.messages import DISCLAIMER
from tfds_spect.example import OUTLINES
from tfds_spect.survey import StoredImage

ROWS, COLUMNS = 6, 6
IMAGES_PER_PAGE = ROWS * COLUMNS
# Okabe and Ito's vermilion and blue: apart for every kind of colour vision.
OUTLINE, BOX = "#D55E00", "#0072B2"
_PERCENTILE = 99.5
_MARGIN_PX = 3
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.02, 0.98, 0.03, 0.95  # of the page


def choose_images(
    images: Sequence[StoredImage], max_pages: int
) -> list[Sequence[StoredImage]]:
    """Returns the images of each page: all, or as many as fit, evenly over the list."""
    n_shown = min(len(images), max_pages * IMAGES_PER_PAGE)
    shown = [images[i * len(images) // n_shown] for i in range(n_shown)]
    return [
        shown[start : start + IMAGES_PER_PAGE]
        for start in range(0, n_shown, IMAGES_PER_PAGE)
    ]


def draw_page(
    images: Sequence[StoredImage], *, data_set: str, page: str, leaking: bool
) -> Figure:
    """Draws up to 36 images.

    All are shown at the same size of a pixel. Grey values are inverse, as in a reading
    room, and each image has its own scale: white is no count, black the 99.5th
    percentile of the pixels that hold a count. In between, grey is the square root, or
    one hot lesion would leave the rest of its image blank.
    """
    figure = Figure(figsize=(8.27, 11.69))
    FigureCanvasAgg(figure)
    extent_hw = np.max([image.box_hw for image in images], axis=0) + 2 * _MARGIN_PX
    width, height = (_RIGHT - _LEFT) / COLUMNS, (_TOP - _BOTTOM) / ROWS
    for place, image in enumerate(images):
        row, column = divmod(place, COLUMNS)
        left, bottom = _LEFT + column * width, _TOP - (row + 1) * height
        axes = figure.add_axes(
            (left + 0.004, bottom + 0.004, width - 0.008, height - 0.044)
        )
        _draw_image(axes, image, extent_hw)
    _draw_frame(figure, images, data_set, page, leaking)
    return figure


def _draw_image(axes: Axes, image: StoredImage, extent_hw: np.ndarray) -> None:
    example = image.read()
    counts = example["image"][..., 0].astype(np.float32)
    positive = counts[counts > 0]
    black = float(np.percentile(positive, _PERCENTILE)) if positive.size else 1.0
    grey = np.sqrt(np.minimum(counts / black, 1))
    axes.imshow(grey, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    for mask in example["instance_masks"]:
        axes.contour(mask, levels=[0.5], colors=OUTLINE, linewidths=0.7)
    for y0, x0, y1, x1 in example["instance_boxes"].tolist():
        corner, size = (x0 - 0.5, y0 - 0.5), (x1 - x0, y1 - y0)
        axes.add_patch(
            Rectangle(corner, *size, fill=False, edgecolor=BOX, linewidth=0.6)
        )
    middle_y, middle_x = (np.array(counts.shape) - 1) / 2
    half_y, half_x = extent_hw / 2
    axes.set_xlim(middle_x - half_x, middle_x + half_x)
    axes.set_ylim(middle_y + half_y, middle_y - half_y)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color="0.75", linewidth=0.5)
    axes.set_title(_caption(image), fontsize=6.2, loc="left", pad=2, linespacing=1.15)
    remarks = ["SYNTHETIC"] * image.synthetic
    if image.mask_evidence != OUTLINES:
        remarks.append(f"mask: {image.mask_evidence}")
    if image.crop_by_hand:
        remarks.append(f"crop {image.crop_by_hand}")
    text = "\n".join(remarks)
    axes.text(0.02, 0.01, text, transform=axes.transAxes, fontsize=5, color="0.25")


def _caption(image: StoredImage) -> str:
    """Returns id, place, view and diagnosis in three short lines."""
    patient, _, source = image.example_id.split("_")[:3]
    return f"{patient[:8]} {source[:8]}\n{image.part} · {image.view}\n{image.diagnosis}"


def _draw_frame(
    figure: Figure,
    images: Sequence[StoredImage],
    data_set: str,
    page: str,
    leaking: bool,
) -> None:
    mark = "LEAKING   " * leaking + "SYNTHETIC" * any(i.synthetic for i in images)
    figure.text(_LEFT, 0.985, data_set, va="top", size=10, weight="bold")
    figure.text(_RIGHT, 0.985, mark, va="top", ha="right", size=10, weight="bold")
    figure.text(
        _LEFT,
        0.965,
        f"Original images, {page}. Grey is the square root of the counts, from none "
        f"(white) to the {_PERCENTILE:g}th percentile of each image (black).",
        va="top",
        size=7,
    )
    handles = [
        Line2D([], [], color=OUTLINE, linewidth=1.2, label="lesion, outlined"),
        Line2D([], [], color=BOX, linewidth=1.2, label="its box"),
    ]
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(_LEFT - 0.012, 0.002),
        ncols=2,
        fontsize=7,
        frameon=False,
    )
    figure.text(_RIGHT, 0.012, DISCLAIMER, ha="right", size=7)
