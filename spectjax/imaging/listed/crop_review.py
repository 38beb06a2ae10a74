"""Doubtful crops, for a person to look at and decide about: a table and contact sheets.

The table is a `crops.csv` as `spectjax.imaging.listed.crops` reads it, still to be
filled in; the sheets show each of its views under the number of its row.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectjax.imaging.crop_decision import CropDecision, CropDecisions
from spectjax.imaging.listed.crop_cells import write_box
from spectjax.imaging.listed.crops import COLUMNS, CROPS_NAME, read_crop_table
from spectjax.imaging.listed.csv_table import ImageTableError
from spectjax.imaging.scan import BoneScan, View
from spectjax.imaging.thorax import Box, CropError, ThoraxImage
from spectjax.system.files import format_csv, write_file
from spectjax.system.messages import make_printable

_BLACK_PERCENTILE = 99.5
_MOST_ROWS = 1100  # of a picture; frames have 1024


@dataclass(frozen=True)
class DoubtfulCrop:
    """A view whose crop is left out unless somebody decides about it.

    Attributes:
        file: of the view.
        view: the view.
        box: (y0, x0, y1, x1) in whole-body pixels, half-open; None if no thorax was
            found.
        flags: what there is to doubt, or why there is no box.
        synthetic: whether the patient is simulated.
        grey: the whole body, uint8, 0 no count; each `step`th row and column.
        step: see there.
    """

    file: Path
    view: View
    box: Box | None
    flags: tuple[str, ...]
    synthetic: bool
    grey: np.ndarray
    step: int


def doubt_crop(scan: BoneScan, found: ThoraxImage | CropError) -> DoubtfulCrop:
    """Returns what is to be decided about a view: its crop is flagged, or none."""
    if isinstance(found, ThoraxImage):
        box, flags = found.transform.box, found.flags
    else:
        start = f"{scan.path} (frame {scan.frame}, {scan.view}): "
        box, flags = None, (str(found).removeprefix(make_printable(start)),)
    step = -(-len(scan.counts) // _MOST_ROWS)
    counts = scan.counts[::step, ::step]
    positive = counts[counts > 0]
    black = np.percentile(positive, _BLACK_PERCENTILE) if positive.size else 1
    # The square root, or one hot bladder would leave the rest blank.
    grey = np.rint(255 * np.sqrt(np.minimum(counts / black, 1))).astype(np.uint8)
    return DoubtfulCrop(scan.path, scan.view, box, flags, scan.synthetic, grey, step)


def write_review(
    crops: Sequence[DoubtfulCrop],
    decisions: CropDecisions,
    output_dir: Path,
    *,
    place: Path,
) -> str:
    """Writes table and contact sheets, and returns a line that says what to do.

    The table holds what is decided already, so that it can take the place of the old
    one. An older table with decisions in it is kept under another name.

    Args:
        crops: those to decide about.
        decisions: those that were made, as `read_crops` returns them.
        output_dir: folder for table and sheets.
        place: folder that the table is meant for: names of files are from there.

    Raises:
        WriteError: if a file cannot be written.
    """
    from spectjax.imaging.listed.crop_sheet import write_sheets

    rows, numbers = _list_rows(crops, decisions, place)
    table = output_dir / CROPS_NAME
    _keep_decided(table, decisions)
    write_file(table, format_csv(COLUMNS, rows))
    sheets = write_sheets(crops, numbers, output_dir)
    what = f"Crops to decide about: {len(crops)}"
    if not crops:
        return f"{what}."
    then = f"name it with --crops={table}"
    if place != output_dir:
        then = f"put it at the top of {place}"
    return make_printable(
        f"{what}, drawn in {sheets[0]} and after. Write yes or no as accept_crop, or a "
        f"crop_box, into {table}, then {then}."
    )


def _list_rows(
    crops: Sequence[DoubtfulCrop], decisions: CropDecisions, place: Path
) -> tuple[list[list[str]], list[int]]:
    """Returns the rows of the table, and the number of that of each doubtful crop."""
    rest = {path: dict(of_file) for path, of_file in decisions.items()}
    rows: list[list[str]] = []
    for crop in crops:
        of_file = rest.get(crop.file.resolve(), {})
        decision = of_file.pop(crop.view, None) or of_file.pop(None, None)
        box, accepted, seen = _write_cells(decision)
        seen = write_box(crop.box) if crop.box else seen
        file = _name_file(crop.file, place)
        rows.append([file, crop.view, box, accepted, seen, "; ".join(crop.flags)])
    numbers = list(range(2, len(rows) + 2))  # names of columns are row 1
    for path, of_file in sorted(rest.items()):
        for view, decision in of_file.items():
            file = _name_file(path, place)
            rows.append([file, view or "", *_write_cells(decision), ""])
    return [[make_printable(cell) for cell in row] for row in rows], numbers


def _write_cells(decision: CropDecision | None) -> tuple[str, str, str]:
    """Returns crop_box, accept_crop and found_box as they stand in a table."""
    if decision is None:
        return "", "", ""
    box, seen = (write_box(b) if b else "" for b in (decision.box, decision.seen_box))
    return box, {True: "yes", False: "no", None: ""}[decision.accepted], seen


def _name_file(file: Path, place: Path) -> str:
    """Returns a file's name as seen from a folder."""
    name = os.path.relpath(file.absolute(), place.absolute())
    if name.startswith(".."):  # a link on the way would lead elsewhere
        name = os.path.relpath(file.resolve(), place.resolve())
    return name


def _keep_decided(table: Path, known: CropDecisions) -> None:
    """Gives a table that decides more than is known a name under which it stays."""
    if not table.is_file():
        return
    try:
        decisions, errors = read_crop_table(table)
        is_known = not errors and decisions in ({}, known)
    except ImageTableError:
        is_known = False
    if not is_known:
        number = 1
        while (kept := table.with_name(f"crops_before_{number}.csv")).exists():
            number += 1
        table.rename(kept)
