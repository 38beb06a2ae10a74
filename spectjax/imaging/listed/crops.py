"""What crops.csv says: which crops are right, and where the box of others lies.

A row for each view that somebody decided about. Columns: `file`, and if needed `view`,
`crop_box`, `accept_crop`, `found_box`, `flags`. `spectjax.imaging.listed.crop_review`
writes such a table for people to fill in.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from spectjax.imaging.crop_decision import CropDecision, CropDecisions
from spectjax.imaging.listed.cells import read_view
from spectjax.imaging.listed.crop_cells import CROP_COLUMNS, read_decision
from spectjax.imaging.listed.csv_table import ImageTableError, read_table
from spectjax.imaging.listed.table import find_table
from spectjax.imaging.scan import View
from spectjax.system.messages import UserError

CROPS_NAME = "crops.csv"
COLUMNS = ("file", "view", *CROP_COLUMNS, "flags")


def find_crop_table(folder: Path) -> Path | None:
    """Returns the `crops.csv` at the top of a folder, None if there is none.

    Raises:
        ImageTableError: if its name is written in capitals.
    """
    return find_table(Path(folder), CROPS_NAME)


def read_crops(path: Path | None) -> CropDecisions:
    """Returns what a table of crops decides; nothing if there is no table.

    Raises:
        ImageTableError: the table or a row of it cannot be read: without it a crop that
            somebody looked at would be taken for one that nobody did.
    """
    if path is None:
        return {}
    decisions, errors = read_crop_table(path)
    if errors:
        more = f" ({len(errors) - 1} more rows cannot be read.)" * (len(errors) > 1)
        raise ImageTableError(f"{errors[0]}{more}", path)
    return decisions


def read_crop_table(path: Path) -> tuple[CropDecisions, list[ImageTableError]]:
    """Reads `crops.csv`, without opening what it names.

    Args:
        path: the table; names of files are as seen from its folder.

    Returns:
        What was decided, and one error for each row that cannot be read. Rows that
        decide nothing are passed over.

    Raises:
        ImageTableError: the table as a whole cannot be read.
    """
    path = Path(path)
    records, errors = read_table(path, COLUMNS[:1], COLUMNS[1:])
    decisions: dict[Path, dict[View | None, CropDecision]] = {}
    for number, cells in records:
        try:
            decision = read_decision(cells, f"{path.name}, row {number}")
            if decision is None:
                continue
            of_file = decisions.setdefault(_find_file(path, cells["file"]), {})
            view = read_view(cells["view"])
            _check_first(view, of_file)
            of_file[view] = decision
        except UserError as error:
            text = f"{path}: row {number}: {error}"
            errors.append(ImageTableError(text, path, cells.values()))
    return decisions, errors


def list_idle(
    decisions: CropDecisions, read: Iterable[Path]
) -> Iterator[tuple[Path, str]]:
    """Yields the files of decisions that hold no image for us, and what to say."""
    known = {path.resolve() for path in read}
    for path, of_file in decisions.items():
        for decision in of_file.values() if path not in known else ():
            yield (
                path,
                f"expected in {decision.origin} a DICOM file or one that images.csv "
                "lists, found another. Correct the name.",
            )


def _find_file(path: Path, text: str) -> Path:
    if not text:
        raise UserError("expected a file, found an empty cell. Name one.")
    file = path.parent / text.replace("\\", "/")  # as Windows writes it
    try:
        if file.is_file():
            return file.resolve()
    # RuntimeError: links in a circle; ValueError: a NUL byte.
    except (OSError, RuntimeError, ValueError):
        pass
    raise UserError(
        f"expected a file as seen from the folder of {path.name}, found no {text!r} "
        "there. Correct the name; capitals count."
    )


def _check_first(
    view: View | None, of_file: Mapping[View | None, CropDecision]
) -> None:
    """Refuses a second decision about a view; without a view one is about them all."""
    first = next(
        (d for v, d in of_file.items() if None in (v, view) or v == view), None
    )
    if first is not None:
        raise UserError(
            f"expected each view once, found that of {first.origin} again. Delete a "
            "row, or state the view in each."
        )
