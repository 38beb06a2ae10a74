"""Walking through folders that others hand over."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk_files(
    folder: Path, on_error: Callable[[OSError], None] | None = None
) -> Iterator[Path]:
    """Yields the regular files below `folder`, in the order of their names.

    Symbolic links are followed; one that leads back to a folder already seen ends
    there. Hidden files and folders are passed over, and so are pipes and devices,
    which would block whoever opens them.

    Args:
        folder: where to start.
        on_error: called for each folder that cannot be read.
    """
    visited: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=on_error):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(parent, name)
            try:
                is_ours = not name.startswith(".") and file.is_file()
            except OSError as error:  # names can be listed here, files not looked at
                if on_error is not None:
                    on_error(error)
                break
            if is_ours:
                yield file
