"""Walking through folders that others hand over."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

BROKEN_LINK = "a link that leads nowhere"


def walk_folders(
    folder: Path, on_error: Callable[[OSError], None] | None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yields what `os.walk` does, links followed, and each folder once."""
    visited: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=on_error):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
        else:
            visited.add(real)
            yield parent, folders, files


def walk_files(
    folder: Path, on_error: Callable[[OSError], None] | None = None
) -> Iterator[Path]:
    """Yields the regular files below `folder`, in the order of their names.

    Symbolic links are followed; one that leads back to a folder already seen ends
    there. Hidden files and folders are passed over, and so are pipes and devices, which
    would block whoever opens them. `on_error` is called for each folder that cannot be
    read, and for each link that leads nowhere: what it led to is missed.
    """
    for parent, folders, files in walk_folders(folder, on_error):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        refusals: list[OSError] = []
        for name in sorted(files):
            file = Path(parent, name)
            if name.startswith("."):
                continue
            if _is_file(file, refusals):
                yield file
            elif on_error and is_broken_link(file):
                on_error(OSError(errno.ENOENT, BROKEN_LINK, str(file)))
        if refusals and on_error:  # its names can be listed, and none of them opened
            on_error(OSError(refusals[0].errno, refusals[0].strerror, parent))


def is_broken_link(path: Path) -> bool:
    """Returns whether there is a link that leads nowhere, or in a circle."""
    return os.path.islink(path) and not os.path.exists(path)


def _is_file(path: Path, refusals: list[OSError]) -> bool:
    """Returns whether there is a regular file; adds an error if nobody may look."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except PermissionError as error:
        refusals.append(error)
    except (OSError, ValueError):  # a link that leads nowhere
        pass
    return False
