"""What is left out of a data set, and why."""

import csv
import io
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

from spectjax.files import write_file
from spectjax.messages import make_printable
from tfds_spect.errors import PrepareError


@dataclass(frozen=True)
class Skip:
    """A file or an image that is left out of the data set.

    Attributes:
        name: the file, relative to its folder, or the image, `<DICOM stem>_<view>`.
        reason: why, in one line.
    """

    name: str
    reason: str


def write_skips(path: pathlib.Path, skips: Sequence[Skip]) -> None:
    """Writes what was left out as a table.

    Raises:
        WriteError: if the file cannot be written.
    """
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("name", "reason"))
    # Names that are not UTF-8, and line breaks in them, are escaped.
    writer.writerows(
        (make_printable(skip.name), make_printable(skip.reason)) for skip in skips
    )
    write_file(path, table.getvalue())


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
