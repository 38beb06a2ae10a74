"""The most that a reader takes of what others hand over: one table, one way to read.

A limit is checked before memory is asked for. Each lies far above what is met in
practice, and what it costs to reach it is seconds and some hundred MiB.
"""

import os
import stat
from pathlib import Path

from spectjax.messages import UserError

KIB, MIB = 1024, 1024 * 1024

# Bytes of a file.
DICOM_BYTES = 512 * MIB
PICTURE_BYTES = 64 * MIB
LABELME_BYTES = 64 * MIB  # with the picture that wkentaro's LabelMe embeds
BOXES_BYTES = 1 * MIB  # some five thousand boxes
TABLE_BYTES = 64 * MIB  # some half a million rows
CONFIG_BYTES = 1 * MIB
SCORES_BYTES = 256 * MIB  # curves and, of detections, all outlines
DATA_SET_INFO_BYTES = 64 * MIB  # a hundred bytes for each of its files

# Pixels of all frames of a whole-body file: 1024x256, two detectors, a few energy
# windows are a tenth of it. A damaged header can claim terabytes.
WHOLE_BODY_PIXELS = 4096 * 4096


def read_limited(path: Path, most: int, *, error: type[UserError] = UserError) -> bytes:
    """Returns the contents of a regular file of at most `most` bytes.

    The file is opened once, and what is read is what was measured: one that grows
    meanwhile is refused.

    Raises:
        UserError: of the kind `error`: the file is larger, no regular file, or cannot
            be opened or read.
    """
    try:
        # A pipe would block whoever opens it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise error(f"{path}: expected a file, found a folder or a device.")
            size = found.st_size
            contents = stream.read(most + 1) if size <= most else b""
    except OSError as problem:
        raise error(
            f"{path}: expected a readable file, found: "
            f"{problem.strerror or problem}. Check the path and its permissions."
        ) from None
    except ValueError as problem:  # a NUL byte in the path
        raise error(f"{path}: expected a path, found: {problem}.") from None
    if max(size, len(contents)) > most:
        raise error(
            f"{path}: expected a file of at most {_format_bytes(most)}, found "
            f"{_format_bytes(max(size, len(contents)))}."
        )
    return contents


def _format_bytes(count: int) -> str:
    return f"{count / MIB:.4g} MiB" if count >= MIB else f"{count / KIB:.4g} KiB"
