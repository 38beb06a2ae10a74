"""Small tables that users write, from a spreadsheet or an editor."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from spectjax.imaging.annotations.text_encoding import name_encoding
from spectjax.system.limits import TABLE_BYTES, TABLE_ROWS, read_limited
from spectjax.system.messages import UserError

_SEPARATORS = (",", ";", "\t")


class ImageTableError(UserError):
    """A table, or a row of one, that cannot be used; the text starts with a path.

    Attributes:
        path: the table.
        cells: the row's.
        contradicted: number of another row of the same image that says something else,
            which is not to be used either; 0 for none.
    """

    def __init__(
        self,
        text: str,
        path: Path = Path(),
        cells: Iterable[str] = (),
        contradicted: int = 0,
    ) -> None:
        """Takes the text for the user, and what it is about."""
        super().__init__(text)
        self.path = path
        self.cells = tuple(cells)
        self.contradicted = contradicted


def read_table(
    path: Path, required: Sequence[str], optional: Sequence[str] = ()
) -> tuple[list[tuple[int, dict[str, str]]], list[ImageTableError]]:
    """Reads a CSV file whose first line names its columns.

    UTF-8 with or without its mark; separated by comma, semicolon or tab, whichever
    makes the most known columns of the first line. Names of columns may be in capitals
    and have blanks around them; rows without content are passed over.

    Returns:
        Row number, as a spreadsheet counts, and content of each column without blanks
        around it, empty for a column that is not there; and one error for each row
        that does not fit the first line.

    Raises:
        ImageTableError: the file as a whole cannot be read.
    """
    text = _read_text(path)
    known = (*required, *optional)
    separator = _find_separator(text, known)
    records = _split(path, text, separator)
    _, names = next(records, (0, []))
    columns = _name_columns(path, names, required, known)

    rows: list[tuple[int, dict[str, str]]] = []
    errors: list[ImageTableError] = []
    for number, cells in records:
        nameless = {i for i, cell in enumerate(cells) if cell} - {*columns.values()}
        broken = [i for i, cell in enumerate(cells) if not cell.isprintable()]
        if len(cells) < 1 + max(columns.values()) or nameless:
            found = f"content in cell {max(nameless) + 1}" if nameless else "fewer"
            errors.append(
                ImageTableError(
                    f"{path}: row {number}: expected a cell for each of the "
                    f"{len(columns)} columns, found {found}. Add what is missing, or "
                    "quote a cell that holds a separator.",
                    path,
                    cells,
                )
            )
        elif broken:
            # The cell itself is not repeated: it may name the patient.
            errors.append(
                ImageTableError(
                    f"{path}: row {number}: expected printable characters, found a "
                    f"line break or an invisible one in cell {broken[0] + 1}. Type the "
                    "cell again.",
                    path,
                    cells,
                )
            )
        else:
            content = {name: cells[i] for name, i in columns.items()}
            rows.append((number, dict.fromkeys(known, "") | content))
    return rows, errors


def _read_text(path: Path) -> str:
    contents = read_limited(path, TABLE_BYTES, error=ImageTableError)
    try:
        return contents.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ImageTableError(
            f"{path}: expected text in UTF-8, found {name_encoding(contents)}. Save it "
            "as 'CSV UTF-8'."
        ) from None


def _find_separator(text: str, known: Sequence[str]) -> str:
    line = next((line for line in text.splitlines() if line.strip()), "")

    def count_known(separator: str) -> int:
        names = (name.strip('"') for name in line.split(separator))
        return sum(_clean_name(name) in known for name in names)

    return max(_SEPARATORS, key=count_known)


def _split(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yields number and cells of each row that has content."""
    # Strict, so that a quote left open does not swallow the rest of the file.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise ImageTableError(
                f"{path}: row {number}: expected CSV, found a row that cannot be split "
                f"({error}). Look for a quote that is not closed."
            ) from None
        if number > TABLE_ROWS:
            raise ImageTableError(
                f"{path}: expected at most {TABLE_ROWS} rows, found more. Split the "
                "folder."
            )
        if any(cells):
            yield number, cells


def _name_columns(
    path: Path, names: Sequence[str], required: Sequence[str], known: Sequence[str]
) -> dict[str, int]:
    """Returns the place of each column."""
    columns: dict[str, int] = {}
    for place, name in enumerate(map(_clean_name, names)):
        if name and (name not in known or name in columns):
            found = "twice the column" if name in columns else "the column"
            raise ImageTableError(
                f"{path}: expected the columns {', '.join(known)}, found {found} "
                f"{name[:80]!r}. Rename or delete it."
            )
        if name:
            columns[name] = place
    missing = [name for name in required if name not in columns]
    if missing:
        raise ImageTableError(
            f"{path}: expected the columns {', '.join(required)} in the first line, "
            f"found no {' and no '.join(missing)}. Add them; cells may be empty."
        )
    return columns


def _clean_name(name: str) -> str:
    return "_".join(name.strip().lower().split())
