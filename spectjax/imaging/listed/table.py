"""Images that a table lists: pictures or DICOM files, with patient, view and label.

`images.csv` at the top of a folder has a row for each view. Columns: `file`, `patient`,
`view`, `label`, and, if needed, `region`, `mask`, `boxes`, `spacing_mm`, `inverted`,
`crop_box`, `accept_crop`, `found_box`. `words.csv` beside it says what a hospital's
words mean: columns `word` and `label`.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from spectjax.imaging.diagnosis import DIAGNOSES, clean_word
from spectjax.imaging.listed.cells import (
    WORDS_NAME,
    check_asked,
    check_view,
    read_diagnosis,
    read_region,
    read_spacing,
    read_view,
)
from spectjax.imaging.listed.crop_cells import (
    CROP_COLUMNS,
    read_answer,
    read_decision,
)
from spectjax.imaging.listed.csv_table import ImageTableError, read_table
from spectjax.imaging.listed.image import ImageRow
from spectjax.imaging.scan import PICTURE_SUFFIXES, REGIONS, View
from spectjax.system.messages import UserError

TABLE_NAME = "images.csv"
_REQUIRED = ("file", "patient", "view", "label")
_OPTIONAL = ("mask", "boxes", "spacing_mm", "inverted", "region", *CROP_COLUMNS)
_OTHER_PICTURES = (".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2")


def find_image_table(folder: Path) -> Path | None:
    """Returns the `images.csv` at the top of a folder, None if there is none."""
    return find_table(Path(folder), TABLE_NAME)


def find_table(folder: Path, name: str) -> Path | None:
    """Returns a table, also one that cannot be read: reading it will say why.

    Raises:
        ImageTableError: if its name is written in capitals.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        names = []
    found = sorted(each for each in names if each.casefold().strip() == name)
    if not found or name in found:
        return folder / name if found else None
    raise ImageTableError(
        f"{folder / found[0]}: expected {name!r} in small letters, found another name. "
        "Rename it."
    )


def read_words(folder: Path) -> dict[str, str]:
    """Reads `words.csv`: what a hospital's words mean.

    Returns:
        For each clean word one of `DIAGNOSES`, or nothing for outlines that are to be
        ignored.

    Raises:
        ImageTableError: a row cannot be read, has a label that is not known, or
            contradicts another one. There is no safe way to go on without it.
    """
    path = find_table(Path(folder), WORDS_NAME)
    if path is None:
        return {}
    rows, errors = read_table(path, ("word", "label"))
    if errors:
        raise errors[0]
    words: dict[str, str] = {}
    for number, cells in rows:
        word, label = clean_word(cells["word"]), clean_word(cells["label"])
        found = ""
        if not word:
            found = "no word"
        elif label and label not in DIAGNOSES:
            found = f"the label {label!r}"
        elif words.setdefault(word, label) != label:
            found = f"{word!r} a second time with another label"
        if found:
            raise ImageTableError(
                f"{path}: row {number}: expected a word and its label, one of "
                f"{', '.join(DIAGNOSES)}, or empty for outlines to be ignored, found "
                f"{found}. Correct the row."
            )
    return words


def read_image_table(
    path: Path, words: Mapping[str, str]
) -> tuple[list[ImageRow], list[ImageTableError]]:
    """Reads the rows of `images.csv`, without opening what they name.

    Args:
        path: the table; its files lie in its folder or below.
        words: from `read_words`.

    Returns:
        The rows that can be used, in their order, and one error for each of the others.

    Raises:
        ImageTableError: the table as a whole cannot be read.
    """
    path = Path(path)
    records, errors = read_table(path, _REQUIRED, _OPTIONAL)
    rows: list[ImageRow] = []
    first_rows: dict[tuple[Path, View | None], ImageRow] = {}
    for number, cells in records:
        try:
            row = _read_row(path, number, cells, words)
            _check_repeated(row, first_rows)
        except UserError as error:
            text = f"{path}: row {number}: {error}"
            contradicted = getattr(error, "contradicted", 0)
            errors.append(ImageTableError(text, path, cells.values(), contradicted))
        else:
            rows.append(row)
    return rows, errors


def drop_contradicted(
    rows: Sequence[ImageRow], errors: Sequence[ImageTableError]
) -> tuple[list[ImageRow], list[ImageTableError]]:
    """Returns the rows that no other row of their image contradicts, and all errors."""
    unclear = {error.contradicted for error in errors}
    reason = "another row says something else about its image: both are left out."
    dropped = [
        ImageTableError(f"{row.table}: row {row.number}: {reason} Delete one.")
        for row in rows
        if row.number in unclear
    ]
    return [row for row in rows if row.number not in unclear], [*errors, *dropped]


def _read_row(
    table: Path, number: int, cells: Mapping[str, str], words: Mapping[str, str]
) -> ImageRow:
    """Returns a row; raises UserError with the reason why it cannot be used."""
    folder = table.parent
    file = _find_file(folder, "file", cells["file"])
    if file is None:
        raise UserError("expected a file, found an empty cell. Name one.")
    suffix = file.suffix.lower()
    if suffix in _OTHER_PICTURES:
        raise UserError(
            f"expected PNG, JPEG or DICOM, found a {suffix} file. Save it as PNG."
        )
    is_picture = suffix in PICTURE_SUFFIXES
    if is_picture and not cells["patient"]:
        raise UserError(
            "expected a patient for a picture, found an empty cell. Give each patient "
            "a pseudonym of their own: it keeps them on one side of a split."
        )
    view = read_view(cells["view"])
    if is_picture and view is None:
        raise UserError(
            "expected anterior or posterior as view of a picture, found an empty cell. "
            "State it."
        )
    check_view(PurePosixPath(cells["file"].replace("\\", "/")), view)
    mask = _find_file(folder, "mask", cells["mask"])
    boxes = _find_file(folder, "boxes", cells["boxes"])
    if mask and boxes:
        raise UserError("expected a mask or boxes, found both. Leave one empty.")
    inverted = read_answer("inverted", cells["inverted"])
    if inverted and not is_picture:
        raise UserError(
            "expected counts of a DICOM file as they are, found 'inverted' set. Leave "
            "it empty."
        )
    region = read_region(cells["region"])
    crop = read_decision(cells, f"{table.name}, row {number}")
    if region not in (None, "whole_body"):
        if crop is not None:
            raise UserError(
                f"expected no decision about the crop of a {REGIONS[region]}, which is "
                f"not cropped, found one. Leave {', '.join(CROP_COLUMNS)} empty."
            )
        check_asked(region, cells["spacing_mm"], is_picture=is_picture)
    return ImageRow(
        table=table,
        number=number,
        file=file,
        patient=cells["patient"],
        view=view,
        diagnosis=read_diagnosis(cells["label"], words),
        mask=mask,
        boxes=boxes,
        spacing_mm=read_spacing(cells["spacing_mm"]),
        inverted=inverted,
        crop=crop,
        region=region,
    )


def _find_file(folder: Path, column: str, text: str) -> Path | None:
    """Returns a file in a folder that a cell names, None for an empty cell."""
    if not text:
        return None
    name = text.replace("\\", "/")  # as Windows writes it
    parts = PurePosixPath(name).parts
    if name.startswith("/") or PureWindowsPath(name).drive or ".." in parts:
        raise UserError(
            f"expected as {column} a path within the table's folder, found {text!r}. "
            "Put the file there and name it from there, without '..'."
        )
    path = folder.joinpath(*parts)
    try:
        is_inside = path.resolve(strict=True).is_relative_to(folder.resolve())
        is_file = path.is_file()
    # RuntimeError: links in a circle; ValueError: a NUL byte.
    except (OSError, RuntimeError, ValueError):
        is_inside = is_file = False
    else:
        if not is_inside:
            raise UserError(
                f"expected as {column} a file within the table's folder, found "
                f"{text!r}, a link that leads out of it. Copy the file."
            )
    if not is_file:
        raise UserError(
            f"expected the {column} {text!r} in the table's folder, found no such "
            "file. Correct the name; capitals count."
        )
    return path


class _RepeatedError(UserError):
    """A second row for an image, and the number of the first if that says otherwise."""

    def __init__(self, text: str, *, contradicted: int) -> None:
        super().__init__(text)
        self.contradicted = contradicted


def _check_repeated(
    row: ImageRow, first_rows: dict[tuple[Path, View | None], ImageRow]
) -> None:
    """Refuses a second row for a picture, or for a view of a DICOM file."""
    file = row.file.resolve()
    is_picture = file.suffix.lower() in PICTURE_SUFFIXES
    for view in ("anterior", "posterior", None):
        first = first_rows.get((file, view))
        if first and (is_picture or row.view is None or view in (row.view, None)):
            is_other = dataclasses.replace(row, number=first.number) != first
            raise _RepeatedError(
                f"expected each image once, found the one of row {first.number} again. "
                "Delete a row, or state the view of a DICOM file in each.",
                contradicted=first.number * is_other,
            )
    first_rows[file, row.view] = row
