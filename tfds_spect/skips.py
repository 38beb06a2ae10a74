"""What is left out of a data set, and why."""

import csv
import io
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

from spectjax.files import write_file
from spectjax.messages import make_printable


@dataclass(frozen=True)
class Skip:
    """A file or an image that is left out of the data set.

    Attributes:
        name: the file, relative to its folder, or the image, `<DICOM stem>_<view>`.
        reason: why, in one line.
    """

    name: str
    reason: str

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
    writer.writerows((skip.name, skip.reason) for skip in skips)
    write_file(path, table.getvalue())


def read_skips(path: pathlib.Path) -> tuple[Skip, ...]:
    """Returns what `write_skips` wrote; nothing if the file is not there."""
    if not path.exists():
        return ()
    with path.open(newline="", encoding="utf-8") as stream:
        return tuple(Skip(**row) for row in csv.DictReader(stream))
