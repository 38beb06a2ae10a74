"""Whole-body views as they reach people, on the canvas that the network sees.

Each draws what it bears: a slim or broad chest, hot bags and spills, parts cut away, a
frame that ends early, smoothing, grey levels, a window, JPEG. Sizes are in pixels of
`patients.View`, some 4.6 mm wide; boxes are top, left, bottom, right.
"""

import io

import numpy as np
import scipy
from PIL import Image

from scripts.rib_finder.patients import View
from spectjax.imaging.thorax.network import (
    CANVAS_HW,
    Window,
    average_pixels,
    draw_canvas,
    place_window,
)

_BREADTH = (0.74, 1.06)  # real chests are slimmer than simulated ones
# Mean counts as simulated: few for a child or a quick scan, many for a late one.
_COUNTS = (0.25, 3.0)


def make_example(view: View, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns a canvas (H, W) from 0 to 1, and the box on it, (4,), in its pixels."""
    counts, box = _deliver(view, rng)
    window = place_window(counts)
    if window is None:
        window = (2.5, 0.0, 0.0)  # too little is left: whatever there is
    window = _move(window, rng)
    canvas = draw_canvas(counts, window)
    step, row, column = window
    target = (box - np.array([row, column, row, column])) / step
    if rng.random() < 0.35:
        return _turn(canvas, target, np.radians(rng.normal(0, 2.5)))
    return canvas, target


def _deliver(view: View, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns the counts or grey values of a view, and its box in their pixels."""
    image, box = view.image.astype(np.float32), view.box.astype(np.float64)
    breadth = rng.uniform(*_BREADTH)
    width = image.shape[1]
    image = image @ average_pixels(width, 0, 1 / breadth, round(width * breadth)).T
    box[1::2] *= breadth
    if rng.random() < 0.5:
        for _ in range(rng.integers(1, 4)):
            _add_hot_spot(image, box, rng)
    mean = np.minimum(image * _draw_log(rng, *_COUNTS), 1e6)
    image = rng.poisson(mean).astype(np.float32)
    if rng.random() < 0.5:
        image = scipy.ndimage.gaussian_filter(image, rng.uniform(0.3, 1.8), truncate=3)
    if rng.random() < 0.2:
        for _ in range(rng.integers(1, 4)):
            _cut_away(image, box, rng)
    image, corner = _cut_frame(image, box, rng)
    box = box - np.tile(corner, 2)
    if rng.random() < 0.6:
        image = _show_in_grey(image, rng)
    return image, box


def _draw_log(rng: np.random.Generator, low: float, high: float) -> float:
    """Draws a number between two, uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _measure_tissue(image: np.ndarray) -> float:
    """Returns the counts of bright tissue."""
    return float(np.percentile(image[image > 0.1 * np.percentile(image, 95)], 85))


def _add_hot_spot(image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> None:
    """Adds a bladder or bag, something beside legs or arms, a spill, or a lesion."""
    (height, width), (y0, x0, y1, x1) = image.shape, box
    y, x = (
        lambda: (rng.uniform(y1, y1 + 0.9 * (y1 - y0)), rng.uniform(x0, x1)),
        lambda: (rng.uniform(y1, 0.95 * height), rng.uniform(0, width)),
        lambda: (
            rng.uniform(y0, y1 + 60),
            rng.choice([rng.uniform(0, x0), rng.uniform(x1, width)]),
        ),
        lambda: (rng.uniform(y0 - 50, y1), rng.uniform(x0, x1)),
        lambda: (rng.uniform(0, height), rng.uniform(0, width)),
    )[rng.integers(5)]()
    long = _draw_log(rng, 1, 14)
    across = float(np.clip(long * _draw_log(rng, 0.4, 2.5), 1, 14))
    turn = rng.uniform(0, np.pi)
    reach = int(3 * max(long, across)) + 1
    rows = slice(max(0, int(y) - reach), max(0, int(y) + reach))
    columns = slice(max(0, int(x) - reach), max(0, int(x) + reach))
    part = image[rows, columns]
    dy = np.arange(part.shape[0])[:, None] + rows.start - y
    dx = np.arange(part.shape[1]) + columns.start - x
    along = (np.cos(turn) * dy + np.sin(turn) * dx) / long
    beside = (np.cos(turn) * dx - np.sin(turn) * dy) / across
    distance = along**2 + beside**2
    sharp = rng.random() < 0.5
    height_of = _measure_tissue(image) * _draw_log(rng, 0.5, 60)
    part += height_of * np.exp(-(distance**2 if sharp else distance) / 2)


def _cut_away(image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> None:
    """Sets a rectangle or an ellipse to 0, mostly below the ribs."""
    height, width = image.shape
    least = box[2] + 20 if rng.random() < 0.7 else 0
    y, x = rng.uniform(min(least, height - 1), height), rng.uniform(0, width)
    tall, wide = rng.uniform(4, 25, 2)
    dy = (np.arange(height)[:, None] - y) / tall
    dx = (np.arange(width) - x) / wide
    if rng.random() < 0.5:
        image[(np.abs(dy) < 1) & (np.abs(dx) < 1)] = 0
    else:
        image[dy**2 + dx**2 < 1] = 0


def _cut_frame(
    image: np.ndarray, box: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the image in another frame, never into the ribs, and its corner."""
    (bottom, right), (y0, x0, y1, x1) = image.shape, box
    top = left = 0
    if rng.random() < 0.15:
        top = int(rng.uniform(0, max(1, y0 - 3)))
    if rng.random() < 0.2:
        bottom = int(rng.uniform(min(bottom - 1, y1 + 25), bottom))
    if rng.random() < 0.1:
        left = int(rng.uniform(0, max(1, x0 - 1)))
    if rng.random() < 0.1:
        right = int(rng.uniform(min(right - 1, x1 + 1), right))
    image, corner = image[top:bottom, left:right], np.array([top, left])
    if rng.random() < 0.15:
        above, below = rng.integers(0, 60, 2)
        before, after = rng.integers(0, 30, 2)
        image = np.pad(image, ((above, below), (before, after)))
        corner -= (above, before)
    return np.ascontiguousarray(image), corner


def _show_in_grey(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns grey values: cut off above, and below too if windowed; JPEG at times."""
    tissue = _measure_tissue(image)
    low = rng.uniform(0, 0.55) if rng.random() < 0.5 else 0.0
    shown = np.clip((image / tissue - low) / _draw_log(rng, 0.8, 8), 0, 1)
    levels = _draw_log(rng, 20, 256)
    grey = np.round(shown ** np.exp(rng.normal(0, 0.25)) * levels)
    if rng.random() >= 0.4:
        return grey.astype(np.float32)
    file = io.BytesIO()
    picture = Image.fromarray((grey / levels * 255).astype(np.uint8))
    picture.save(file, "JPEG", quality=int(rng.integers(30, 95)))
    grey = np.asarray(Image.open(file), np.float32)
    if rng.random() < 0.7:
        grey = np.where(grey <= 2, 0, grey)  # the noise of JPEG in the background
    return grey.astype(np.float32)


def _move(window: Window, rng: np.random.Generator) -> Window:
    """Returns the window a little larger or smaller, and moved."""
    step, row, column = window
    larger = float(np.exp(rng.normal(0, 0.08)))
    height, width = (step * size for size in CANVAS_HW)
    down, aside = rng.normal(0, 0.03, 2)
    return (
        step * larger,
        row + height * ((1 - larger) / 2 + down),
        column + width * ((1 - larger) / 2 + aside),
    )


def _turn(
    canvas: np.ndarray, box: np.ndarray, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns canvas and box turned about the canvas's middle, for a tilted body.

    The box stays upright and goes where its middle goes.
    """
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.array(CANVAS_HW) / 2
    turned = scipy.ndimage.affine_transform(
        canvas, turn, middle - turn @ middle, order=1
    )
    centre = (box[:2] + box[2:]) / 2
    return turned, box + np.tile(turn.T @ (centre - middle) + middle - centre, 2)
