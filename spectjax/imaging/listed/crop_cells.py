"""The cells of a row that say what a person decided about a crop."""

import re
from collections.abc import Mapping

from spectjax.imaging.crop_decision import CropDecision
from spectjax.imaging.thorax.crop import CANVAS_HW
from spectjax.imaging.thorax.transform import Box
from spectjax.system.messages import UserError

CROP_COLUMNS = ("crop_box", "accept_crop", "found_box")
_ANSWERS = {"": None, "yes": True, "true": True, "no": False, "false": False}
# With brackets and commas too, as JSON has it.
_BOX = re.compile(r"[\[(]?\s*(\d{1,6})" + r"[\s,;]+(\d{1,6})" * 3 + r"\s*[\])]?")


def read_decision(cells: Mapping[str, str], origin: str) -> CropDecision | None:
    """Returns what a row decides about a crop, None if it decides nothing.

    Args:
        cells: of `CROP_COLUMNS` and others.
        origin: the table and the row.

    Raises:
        UserError: if a cell cannot be read, both a box and an answer are given, or the
            box is none or too large; the reason.
    """
    box = _read_box("crop_box", cells["crop_box"])
    accepted = read_answer("accept_crop", cells["accept_crop"])
    if box is not None and accepted is not None:
        raise UserError(
            "expected crop_box or accept_crop, found both. Leave one empty: a box that "
            "is given needs no acceptance."
        )
    if box is None and accepted is None:
        return None
    seen = _read_box("found_box", cells["found_box"])
    return CropDecision(origin, box, accepted, seen)


def write_box(box: Box) -> str:
    """Returns a box as a cell has it."""
    return " ".join(map(str, box))


def read_answer(column: str, text: str) -> bool | None:
    """Returns what yes or no means, None for an empty cell.

    Raises:
        UserError: if it is something else.
    """
    answer = text.lower()
    if answer not in _ANSWERS:
        raise UserError(
            f"expected yes or no as {column}, or nothing, found {text[:80]!r}. Correct "
            "it."
        )
    return _ANSWERS[answer]


def _read_box(column: str, text: str) -> Box | None:
    if not text:
        return None
    height, width = CANVAS_HW
    found = _BOX.fullmatch(text)
    if found is not None:
        y0, x0, y1, x1 = map(int, found.groups())
        if 0 < y1 - y0 <= height and 0 < x1 - x0 <= width:
            return y0, x0, y1, x1
    raise UserError(
        f"expected as {column} y0 x0 y1 x1 in whole-body pixels: first row and column, "
        "row and column after the last; at most "
        f"{height} rows and {width} columns, found {text[:80]!r}. Correct it, or leave "
        "it empty."
    )
