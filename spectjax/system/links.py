"""Folders under a second name, for libraries that take a path for a pattern.

Imports nothing but the standard library, so that every room may use it.
"""

import contextlib
import pathlib
import re
import tempfile
from collections.abc import Iterator

# What is taken for a pattern, an escape or the end of a scheme's name.
_PATTERN = re.compile(r"[\[\]*?\\:]")


@contextlib.contextmanager
def without_patterns(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a path to a folder that means the same as a pattern.

    Orbax finds the parts of a checkpoint by a pattern that begins with the folder's
    path, and brackets in it are part of that pattern: then it finds none. Such a folder
    gets a second name, a link in the system's folder for temporary files.

    Raises:
        OSError: if there can be no link.
    """
    if _is_plain(folder):
        yield folder
        return
    with contextlib.ExitStack() as exits:
        place = tempfile.TemporaryDirectory(prefix="spectjax-")
        link = pathlib.Path(exits.enter_context(place), folder.name)
        if not _is_plain(link):
            raise OSError(f"pattern characters in {link} as well")
        try:
            link.symlink_to(folder, target_is_directory=True)
        except NotImplementedError as error:
            raise OSError(str(error)) from error
        exits.callback(link.unlink, missing_ok=True)  # never what it leads to
        yield link


def _is_plain(path: pathlib.Path) -> bool:
    try:
        return not _PATTERN.search(str(path)) and bool(str(path).encode())
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return False
