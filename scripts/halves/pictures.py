"""Labelled pictures of half a chest, laid on canvases as models take them.

The number of pictures is N; height and width of the canvas are H and W.
"""

import dataclasses
import io
import pathlib

import numpy as np
from PIL import Image

from spectjax.imaging.diagnosis import NORMAL, clean_word, label_diagnosis
from spectjax.imaging.listed.csv_table import read_table
from spectjax.imaging.thorax.crop import CANVAS_HW
from spectjax.system.limits import PICTURE_BYTES, read_limited
from spectjax.system.messages import UserError

TABLE = "labels.csv"
COLUMNS = ("file", "patient", "view", "label")
VIEWS = ("anterior", "posterior")


@dataclasses.dataclass(frozen=True)
class Placing:
    """How a picture comes to lie on its canvas, always in the middle.

    Attributes:
        background: grey values up to this one become 0.
        mirrored: its mirror image lies beside it, as the other half of the chest.
        half: the patient's side that pictures show, "left" or "right".
    """

    background: int
    mirrored: bool
    half: str


@dataclasses.dataclass(frozen=True)
class Halves:
    """N pictures on their canvases.

    Attributes:
        rows: what the table says of each: file, patient, view and label.
        counts: float32, (N, H, W).
        inside: pixels of the picture, not of its mirror image, bool, (N, H, W).
        abnormal: 1 for every label but normal, int64, (N,).
    """

    rows: list[dict[str, str]]
    counts: np.ndarray
    inside: np.ndarray
    abnormal: np.ndarray


def read_halves(folder: pathlib.Path, placing: Placing) -> Halves:
    """Reads the pictures that a folder's table lists.

    Raises:
        ImageTableError: if the table cannot be read.
        UserError: if a row or its picture cannot be used, or if there is none.
    """
    path = folder / TABLE
    rows, errors = read_table(path, COLUMNS)
    if errors:
        raise errors[0]
    if not rows:
        raise UserError(f"{path}: expected a row for each picture, found none.")
    abnormal = [_read_label(cells, f"{path}: row {number}") for number, cells in rows]
    cells_of_all = [cells for _, cells in rows]
    width = CANVAS_HW[1] // (1 + placing.mirrored)
    placed = [
        _place(_read_picture(folder / cells["file"], width), cells["view"], placing)
        for cells in cells_of_all
    ]
    counts, inside = (np.stack(each) for each in zip(*placed, strict=True))
    return Halves(cells_of_all, counts, inside, np.array(abnormal))


def _read_label(cells: dict[str, str], row: str) -> int:
    """Returns 1 for a label that is not normal, after a look at the whole row.

    Raises:
        UserError: if a cell is empty or not what it should be.
    """
    if cells["view"] not in VIEWS or not cells["patient"] or not cells["file"]:
        raise UserError(
            f"{row}: expected a file, a patient and a view, {' or '.join(VIEWS)}, "
            f"found {cells['file']!r}, {cells['patient']!r} and {cells['view']!r}. "
            "Correct the row."
        )
    try:
        return int(label_diagnosis(clean_word(cells["label"])) != NORMAL)
    except ValueError as error:
        raise UserError(f"{row}: {error} Correct the row.") from error


def _read_picture(path: pathlib.Path, width: int) -> np.ndarray:
    """Returns the grey values of an 8-bit picture of at most H rows, uint8.

    Raises:
        UserError: if it is no such picture, or wider than `width`.
    """
    content = read_limited(path, PICTURE_BYTES, error=UserError)
    height = CANVAS_HW[0]
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            found = f"{picture.height}x{picture.width} pixels of mode {picture.mode}"
            fits = picture.height <= height and picture.width <= width
            if picture.mode == "L" and fits:
                return np.asarray(picture)
    except Exception as error:  # Pillow's are of many kinds
        found = f"what cannot be read ({error})"
    raise UserError(
        f"{path}: expected a grey picture of 8 bits, at most {height}x{width} pixels, "
        f"found {found}. Save it as a grey PNG, cut to the chest."
    )


def _place(
    grey: np.ndarray, view: str, placing: Placing
) -> tuple[np.ndarray, np.ndarray]:
    """Returns counts on the canvas, and which of its pixels are the picture's."""
    counts = np.where(grey > placing.background, grey, 0).astype(np.float32)
    own = np.ones(counts.shape, bool)
    if placing.mirrored:
        # The patient's right is on the left of an anterior view.
        is_left = (view == "anterior") == (placing.half == "right")
        order = slice(None) if is_left else slice(None, None, -1)
        counts = np.hstack([counts, counts[:, ::-1]][order])
        own = np.hstack([own, np.zeros_like(own)][order])
    margins = [
        ((total - size) // 2, total - size - (total - size) // 2)
        for total, size in zip(CANVAS_HW, counts.shape, strict=True)
    ]
    return np.pad(counts, margins), np.pad(own, margins)
