"""Files that are whole or absent: the one way in which results reach a disk.

Imports nothing but the standard library, so that every room may use it.
"""

import csv
import hashlib
import io
import json
import math
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any


class WriteError(OSError):
    """A file that could not be written; the message is one line for the user."""


def write_file(
    path: pathlib.Path, content: bytes | str, *, private: bool = False
) -> None:
    """Writes `content` to `path` in one piece, over what may have been there.

    The bytes go to a temporary file in the same folder that then takes the place of
    `path`: a reader finds the old file or the new one, never half of one. Folders on
    the way are made.

    Args:
        path: target file.
        content: bytes, or text that is written as UTF-8.
        private: for its owner's eyes alone, from the first byte on.

    Raises:
        WriteError: if the system refuses (full disk, no permission, ...). The
            temporary file is gone and `path` is as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    name = os.fsencode(path.name)
    # A name as long as a disk takes has no room for more.
    stem = path.name if len(name) <= 200 else hashlib.sha256(name).hexdigest()
    temporary = path.with_name(f".{stem}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A new one always: of an old one the permissions would stay.
        temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        mode = 0o600 if private else 0o666
        with open(os.open(temporary, flags, mode), "wb") as stream:
            stream.write(data)
            stream.flush()
            # Some file systems report a full disk or a quota only here.
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be written ({error.strerror or error}). Make room or "
            "choose another folder, then run the command again."
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def write_json(path: pathlib.Path, document: Any) -> None:
    """Writes `document` as indented JSON, with null where a number is not finite.

    Lists of numbers stand on one line: boxes and masks would fill pages otherwise.

    Raises:
        WriteError: if the file cannot be written.
    """
    text = json.dumps(replace_undefined(document), indent=2, allow_nan=False)
    # A line break is never part of a JSON string, so only lists of numbers match.
    text = re.sub(r"\[\n[^]\[{}\"]*\]", lambda m: _join_lines(m.group()), text)
    write_file(path, text + "\n")


def replace_undefined(value: Any) -> Any:
    """Returns `value` with None for NaN and infinities, which JSON does not know."""
    if isinstance(value, dict):
        return {key: replace_undefined(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_undefined(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _join_lines(text: str) -> str:
    """Returns an indented list of numbers as one line."""
    return "[" + " ".join(text.strip("[]").split()) + "]"


def format_csv(names: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Returns a table as CSV text: the names of the columns, then the rows."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return stream.getvalue()
