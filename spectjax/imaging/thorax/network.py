"""A second opinion on where the rib cage lies: a small network, run with plain numpy.

It was trained on simulated patients alone (`scripts/train_rib_finder.py` remakes its
weights). It sees the whole body on a small canvas and says for each edge of the rib
cage how probable every place is; the mean is the edge, the spread its own doubt.

Letters: H rows and W columns of the frame, h rows and w columns of the canvas.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy  # its parts load when they are asked for: not before --help

CANVAS_HW = (192, 64)
BIN = 2  # pixels of the canvas in a bin of the map of an edge
WEIGHTS = Path(__file__).with_name("rib_finder.safetensors")
# Top, left, bottom and right are found among rows, columns, rows and columns.
AXES = (0, 1, 0, 1)

_BODY_ON_CANVAS = 0.92  # of the canvas's rows
# The canvas shows so much of the body's length to both sides of it: arms spread wide
# beside a body that the frame cuts must not make it small.
_WIDEST = 0.45
_BLOCKS = 200  # the rows of the frame in which the body is looked for
_BODY = 0.1  # of bright tissue; see `body.find_body`
_LEAST_BLOCKS, _LEAST_SHARE = 12, 0.01  # of a region that is no speck
_BRIGHTEST = 1.6  # on the canvas; the square root of counts, in those of bright tissue
_KINDS = {"F16": np.float16, "F32": np.float32}

Window = tuple[float, float, float]
Layer = Mapping[str, np.ndarray]


class Opinion(NamedTuple):
    """Where the network sees the rib cage, in pixels of the frame.

    Attributes:
        box: top, left, bottom and right, (4,).
        spread: standard deviation of each edge, the network's own doubt, (4,).
        maps: how probable each place is for each edge, (h / BIN, w / BIN, 4).
        window: where the canvas lies in the frame, see `place_window`.
    """

    box: np.ndarray
    spread: np.ndarray
    maps: np.ndarray
    window: Window

    def to_json(self) -> dict[str, list[float]]:
        """Returns where each edge lies, and how far it may be off."""
        return {
            "rib_cage": [round(float(edge), 1) for edge in self.box],
            "spread_px": [round(float(spread), 1) for spread in self.spread],
        }


def ask_network(counts: np.ndarray) -> Opinion | None:
    """Returns what the network says of a whole-body view (H, W), None if it is empty.

    Left and right are alike to it: it is asked about the view and its mirror image.
    """
    window = place_window(counts)
    if window is None:
        return None
    canvas = draw_canvas(counts, window)
    weights = read_weights(WEIGHTS.read_bytes())
    maps = _to_probabilities(run_network(weights, canvas))
    mirrored = _to_probabilities(run_network(weights, canvas[:, ::-1]))
    maps = (maps + mirrored[:, ::-1, [0, 3, 2, 1]]) / 2
    step, *corner = window
    box, spread = np.empty(4), np.empty(4)
    for edge, axis in enumerate(AXES):
        shares = maps[..., edge].sum(axis=1 - axis)
        places = (np.arange(len(shares)) + 0.5) * BIN
        mean = shares @ places
        box[edge] = corner[axis] + step * mean
        spread[edge] = step * np.sqrt(shares @ (places - mean) ** 2)
    return Opinion(box, spread, maps, window)


def place_window(
    counts: np.ndarray, canvas_hw: tuple[int, int] = CANVAS_HW
) -> Window | None:
    """Returns side of a canvas pixel and the canvas's first row and column.

    All in pixels of the frame. The canvas (h, w) holds all regions that are brighter
    than the background, wherever the body is broken up; None if there is nothing.
    """
    height, width = counts.shape
    block = max(1, round(height / _BLOCKS))
    rows, columns = height // block, width // block
    blocks = counts[: rows * block, : columns * block]
    blocks = blocks.reshape(rows, block, columns, block).sum(axis=(1, 3))
    blocks = scipy.ndimage.uniform_filter(blocks.astype(np.float32), 3)
    cap = np.percentile(blocks, 95)
    if not cap > 0:
        return None
    labels, _ = scipy.ndimage.label(blocks > _BODY * cap)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = sizes >= min(sizes.max(), max(_LEAST_BLOCKS, _LEAST_SHARE * sizes.sum()))
    body = kept[labels]
    y0, y1 = _find_ends(body.any(axis=1), block)
    x0, x1 = _find_ends(body.any(axis=0), block)
    columns_of = np.minimum(blocks, cap) * body
    shares = columns_of.sum(axis=0) / columns_of.sum()
    centre = block * float(shares @ (np.arange(columns) + 0.5))
    wide = 2 * max(centre - x0, x1 - centre)
    h, w = canvas_hw
    step = max((y1 - y0) / (_BODY_ON_CANVAS * h), min(wide, _WIDEST * (y1 - y0)) / w)
    return step, (y0 + y1) / 2 - step * h / 2, centre - step * w / 2


def draw_canvas(
    counts: np.ndarray, window: Window, canvas_hw: tuple[int, int] = CANVAS_HW
) -> np.ndarray:
    """Returns the view on its canvas (h, w), float32 from 0 to 1."""
    step, row, column = window
    rows, columns = (
        average_pixels(size, first, step, n)
        for size, first, n in zip(counts.shape, (row, column), canvas_hw, strict=True)
    )
    # Sparse: few weights are not 0, and what BLAS would give depends on its threads, of
    # which two processes that share the work would have more than there are cores.
    down, across = (scipy.sparse.csr_array(each) for each in (rows, columns))
    canvas = np.maximum((across @ (down @ counts.astype(np.float32)).T).T, 0)
    tissue = canvas[canvas > 0.05 * np.percentile(canvas, 95)]
    bright = np.percentile(tissue, 85) if tissue.size else 1.0
    return np.minimum(np.sqrt(canvas / bright) / _BRIGHTEST, 1).astype(np.float32)


def average_pixels(size: int, first: float, step: float, n: int) -> np.ndarray:
    """Returns the weights of `size` pixels in each of `n` that begin at `first`.

    Returns:
        (n, size) float32: triangles as wide as two of the new pixels, which are `step`
        old ones wide.
    """
    centres = first + (np.arange(n) + 0.5) * step
    distances = np.abs(centres[:, None] - np.arange(size) - 0.5) / max(step, 1.0)
    return (np.maximum(1 - distances, 0) / max(step, 1.0)).astype(np.float32)


def run_network(weights: Mapping[str, Layer], canvas: np.ndarray) -> np.ndarray:
    """Returns the logits of the maps of a canvas (h, w), (h / BIN, w / BIN, 4).

    The same as `RibFinder` in `scripts/rib_finder/network.py`.
    """

    def convolve(x: np.ndarray, name: str, stride: int = 1) -> np.ndarray:
        return _convolve(x, weights[name], stride)

    x = _relu(convolve(canvas[..., None], "in", 2))
    x = _relu(convolve(x, "down1", 2))
    fine = x = x + _relu(convolve(x, "down1_more"))
    x = _relu(convolve(x, "down2", 2))
    middle = x = x + _relu(convolve(x, "down2_more"))
    x = _relu(convolve(x, "down3", 2))
    x = x + _relu(convolve(x, "down3_more"))
    x = x + _relu(convolve(x, "down3_most"))
    x = _relu(_double(convolve(x, "up2")) + middle)
    x = x + _relu(convolve(x, "up2_more"))
    x = _relu(_double(convolve(x, "up1")) + fine)
    x = x + _relu(convolve(x, "up1_more"))
    x = convolve(x, "out")
    h, w, _ = x.shape
    return x.reshape(h, w, 2, 2, 4).transpose(0, 2, 1, 3, 4).reshape(2 * h, 2 * w, 4)


@functools.lru_cache(maxsize=1)
def read_weights(content: bytes) -> dict[str, dict[str, np.ndarray]]:
    """Returns kernels and biases by layer, float32, from a safetensors file.

    The library that reads such files is not needed where predictions are made.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    weights: dict[str, dict[str, np.ndarray]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, end = (start + offset for offset in entry["data_offsets"])
        layer, kind = name.split("/")
        values = np.frombuffer(content[first:end], _KINDS[entry["dtype"]])
        values = values.reshape(entry["shape"]).astype(np.float32)
        weights.setdefault(layer, {})[kind] = values
    return weights


def _find_ends(mask: np.ndarray, block: int) -> tuple[int, int]:
    """Returns first and end of what is True in a mask of blocks, in pixels."""
    inside = np.flatnonzero(mask)
    return int(inside[0]) * block, (int(inside[-1]) + 1) * block


def _to_probabilities(logits: np.ndarray) -> np.ndarray:
    """Returns the softmax over rows and columns of (h, w, 4)."""
    shares = np.exp(logits - logits.max(axis=(0, 1)))
    return shares / shares.sum(axis=(0, 1))


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _double(x: np.ndarray) -> np.ndarray:
    """Returns each pixel of (h, w, c) four times."""
    return x.repeat(2, axis=0).repeat(2, axis=1)


def _convolve(x: np.ndarray, layer: Layer, stride: int) -> np.ndarray:
    """Returns (h / stride, w / stride, c'), padded with zeros as "SAME" is."""
    kernel, (height, width, channels) = layer["kernel"], x.shape
    size = len(kernel)
    h, w = height // stride, width // stride
    before = (size - stride) // 2 if size > stride else 0
    after = max(0, size - stride) - before
    x = np.pad(x, ((before, after), (before, after), (0, 0)))
    out = np.tile(layer["bias"], (h * w, 1))
    for i in range(size):
        for j in range(size):
            seen = x[i : i + h * stride : stride, j : j + w * stride : stride]
            out += seen.reshape(-1, channels) @ kernel[i, j]
    return out.reshape(h, w, -1)
