"""What is left out of a data set, and why; and what is doubtful in the rest."""

import csv
import io
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectjax.imaging.listed.crop_review import DoubtfulCrop
from spectjax.imaging.problems import append_traceback
from spectjax.system.files import format_csv, write_file
from spectjax.system.messages import make_printable
from tfds_spect.errors import PrepareError
from tfds_spect.example import ThoraxExample

if TYPE_CHECKING:
    from tfds_spect.sheets import SheetExample


@dataclass(frozen=True)
class Skip:
    """A file or an image that is left out of the data set.

    Attributes:
        name: the file, relative to its folder, or the image, `<DICOM stem>_<view>`.
        reason: why, in one line.
        traceback: of an unexpected error, a bug of ours; else empty.
        crop: the crop, if it is doubtful or there is none; else None.
    """

    name: str
    reason: str
    traceback: str = ""
    crop: DoubtfulCrop | None = None

    def __post_init__(self) -> None:
        """Makes both printable: they quote what others named and wrote."""
        object.__setattr__(self, "name", make_printable(self.name))
        object.__setattr__(self, "reason", make_printable(self.reason))


def write_skips(path: pathlib.Path, skips: Sequence[Skip]) -> None:
    """Writes what was left out as a table.

    Raises:
        WriteError: if the file cannot be written.
    """
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("name", "reason"))
    writer.writerows((make_printable(skip.name), skip.reason) for skip in skips)
    write_file(path, table.getvalue())


def write_tracebacks(path: pathlib.Path, skips: Sequence[Skip]) -> int:
    """Writes the tracebacks of unexpected errors and returns how many there are.

    Raises:
        WriteError: if the file cannot be written.
    """
    unexpected = [skip for skip in skips if skip.traceback]
    path.unlink(missing_ok=True)
    for skip in unexpected:
        append_traceback(path, skip.name, skip.traceback)
    return len(unexpected)


def write_warnings(
    path: pathlib.Path, examples: "Sequence[ThoraxExample] | Sequence[SheetExample]"
) -> None:
    """Writes what there is to doubt of images that are used, a row for each reason.

    Raises:
        WriteError: if the file cannot be written.
    """
    rows = [
        (make_printable(e.name), e.example_id, each)
        for e in examples
        for each in e.warnings
    ]
    write_file(path, format_csv(("name", "example_id", "warning"), rows))


def read_skips(path: pathlib.Path) -> tuple[Skip, ...]:
    """Returns what `write_skips` wrote; nothing if the file is not there.

    Raises:
        PrepareError: if it cannot be read.
    """
    if not path.exists():
        return ()
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            return tuple(Skip(str(row["name"]), str(row["reason"])) for row in rows)
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise PrepareError(
            f"{path}: expected the table of what was left out, found: {error}. Remove "
            "this file to go on without it."
        ) from error
