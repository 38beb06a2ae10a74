"""An atlas of the skeleton, laid over a view along the lines of the body.

How often each place of a simulated body is of which region, in coordinates that turn
with the patient: down between head, shoulders, lowest ribs, iliac crests and toes;
across from the midline, from the outline beside an arm or from the middle of a leg, in
halves of the rib cage's width. `scripts/make_atlas.py` remakes the file.

Letters: H rows and W columns of the frame, R rows and C columns of a part of the atlas,
K regions of it.
"""

import functools
import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from spectjax.bones.lines import Lines
from spectjax.bones.regions import NAMES, REGIONS, mirror_sides
from spectjax.imaging.scan import View

FILE = Path(__file__).with_name("atlas.npz")
_STEPS = (24, 42, 8, 55, 55)  # between two lines across; some 8 to 10 mm each
_VIEWS: tuple[View, ...] = ("anterior", "posterior")
# A pixel is bone if that is so probable.
_LEAST = 0.4


class _Part(NamedTuple):
    """What is laid along one line: its kinds of regions, and columns from it."""

    kinds: tuple[str, ...]
    first: float
    last: float
    columns: int


# Of limbs one side is kept, with columns that rise inwards for arms, outwards for legs.
_PARTS = {
    "trunk": _Part(
        (
            *("skull", "cervical spine", "thoracic spine", "lumbar spine", "sacrum"),
            *("sternum", "ribs", "clavicle", "scapula", "hip bone"),
        ),
        -1.5,
        1.5,
        76,
    ),
    "arms": _Part(("humerus", "forearm and hand"), -0.7, 0.7, 36),
    "legs": _Part(("femur", "lower leg and foot"), -0.8, 0.8, 41),
}
Atlas = dict[str, np.ndarray]  # by part: probabilities of 0 to 1, (2, K, R, C)


class Example(NamedTuple):
    """A view whose regions are known: its lines and its map, (H, W)."""

    view: View
    lines: Lines
    regions: np.ndarray


def build_atlas(examples: Iterable[Example]) -> Atlas:
    """Returns how often each place of views and of their mirror images is what.

    Raises:
        ValueError: if a view has no example.
    """
    sums = {
        name: np.zeros(
            (len(_VIEWS), len(_find_labels(name, "left")), sum(_STEPS), part.columns)
        )
        for name, part in _PARTS.items()
    }
    counted = {(view, name): 0 for view in _VIEWS for name in _PARTS}
    for view, lines, regions in examples:
        for name, side, rows, columns in _lay(view, lines):
            seen = ndimage.map_coordinates(regions, [rows, columns], order=0)
            labels = _find_labels(name, side)
            both = [seen, mirror_sides(seen)] if name == "trunk" else [seen]
            for each in both:
                sums[name][_VIEWS.index(view)] += each == labels[:, None, None]
                counted[view, name] += 1
    if not all(counted.values()):
        raise ValueError("Expected examples of both views.")
    for name, planes in sums.items():
        for plane, view in zip(planes, _VIEWS, strict=True):
            plane /= counted[view, name]
    return sums


def draw_atlas(
    atlas: Atlas, view: View, lines: Lines, frame_hw: tuple[int, int]
) -> np.ndarray:
    """Returns the most probable region of each pixel, as of `draw_regions`, (H, W)."""
    best = np.zeros(frame_hw, np.float32)
    total = np.zeros(frame_hw, np.float32)
    drawn = np.zeros(frame_hw, np.uint8)
    for name, side, rows, columns in _find_places(view, lines, frame_hw):
        planes = atlas[name][_VIEWS.index(view)]
        for label, plane in zip(_find_labels(name, side), planes, strict=True):
            share = ndimage.map_coordinates(plane, [rows, columns], order=1)
            total += share
            better = share > best
            drawn[better], best[better] = label, share[better]
    drawn[total < _LEAST] = 0
    return drawn


def pack_atlas(atlas: Atlas) -> bytes:
    """Returns the file of an atlas; the same atlas always becomes the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _PARTS:
            array = io.BytesIO()
            coded = np.rint(255 * atlas[name]).astype(np.uint8)
            np.lib.format.write_array(array, coded, allow_pickle=False)
            # With no time of its own, unlike what numpy.savez writes.
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy"), array.getvalue(), zipfile.ZIP_DEFLATED
            )
    return stream.getvalue()


def unpack_atlas(content: bytes) -> Atlas:
    """Returns the atlas of a file that `pack_atlas` made."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name].astype(np.float32) / 255 for name in _PARTS}


@functools.cache
def read_atlas() -> Atlas:
    """Returns the atlas that ships with the package."""
    return unpack_atlas(FILE.read_bytes())


def _lines_of(view: View, lines: Lines) -> Iterator[tuple[str, str, np.ndarray, int]]:
    """Yields part, patient's side, line (H,) and direction of columns along rows."""
    to_left = 1 if view == "anterior" else -1
    yield "trunk", "left", lines.middle, to_left
    for picture in (0, 1):
        outwards = 2 * picture - 1
        side = "left" if outwards == to_left else "right"
        yield "arms", side, lines.arms[picture], -outwards
        yield "legs", side, lines.legs[picture], outwards


def _lay(view: View, lines: Lines) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yields part, side, and row and column of the frame of each of its places."""
    places = np.repeat(np.arange(len(_STEPS)), _STEPS) + np.concatenate(
        [(np.arange(n) + 0.5) / n for n in _STEPS]
    )
    rows = np.interp(places, np.arange(len(lines.rows)), lines.rows)
    for name, side, line, direction in _lines_of(view, lines):
        part = _PARTS[name]
        across = np.linspace(part.first, part.last, part.columns) * direction
        at = np.interp(rows, np.arange(len(line)), line)
        columns = at[:, None] + across * lines.half_width
        yield name, side, np.broadcast_to(rows[:, None], columns.shape), columns


def _find_places(
    view: View, lines: Lines, frame_hw: tuple[int, int]
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yields part, side, and row and column of the atlas of each pixel, (H, W)."""
    starts = np.r_[0, np.cumsum(_STEPS)]
    rows = np.arange(frame_hw[0])
    down = np.interp(rows, lines.rows, starts, left=-9, right=starts[-1] + 9) - 0.5
    for name, side, line, direction in _lines_of(view, lines):
        part = _PARTS[name]
        across = direction * (np.arange(frame_hw[1]) - line[:, None])
        columns = (across / lines.half_width - part.first) / (part.last - part.first)
        columns = columns * (part.columns - 1)
        yield name, side, np.broadcast_to(down[:, None], columns.shape), columns


@functools.cache
def _find_labels(name: str, side: str) -> np.ndarray:
    """Returns the labels of a part in the order of its planes; of one side of limbs."""
    sides = ("", "left", "right") if name == "trunk" else (side,)
    kinds = _PARTS[name].kinds
    return np.array(
        [
            NAMES.index(r.name) + 1
            for r in REGIONS
            if r.kind in kinds and r.side in sides
        ]
    )
