"""Zip archives of others, opened without trusting what they say about themselves.

Imports nothing but the standard library, so that every room may use it.
"""

import zipfile
from typing import BinaryIO

_TAIL_BYTES = 2**17  # where Python's reader looks for the end of the list, and more


class _Cautious:
    """A file that gives no more than `most` bytes at a time, while that is not None."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream = stream
        self.most: int | None = most
        self.seek, self.tell = stream.seek, stream.tell
        self.seekable = stream.seekable

    def read(self, size: int = -1) -> bytes:
        if self.most is None:
            return self._stream.read(size)
        content = self._stream.read(self.most + 1 if size < 0 else min(size, self.most))
        if len(content) > self.most or size > self.most:
            raise zipfile.BadZipFile(f"a list of entries of over {self.most} bytes")
        return content


def open_archive(stream: BinaryIO, *, directory: int) -> zipfile.ZipFile:
    """Returns an archive whose list of entries takes at most `directory` bytes.

    Python's reader makes an object of each entry, and takes the length of the list from
    the file.

    Raises:
        zipfile.BadZipFile: if it is no archive, or its list is longer.
    """
    cautious = _Cautious(stream, max(directory, _TAIL_BYTES))
    archive = zipfile.ZipFile(cautious)
    cautious.most = None
    return archive


def check_stored(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Checks that the entries of a file of `size` bytes lie in it as they are.

    Raises:
        zipfile.BadZipFile: if one is compressed, or they claim more than there is.
    """
    for entry in entries:
        stored = entry.compress_type == zipfile.ZIP_STORED
        if not stored or entry.file_size != entry.compress_size:
            raise zipfile.BadZipFile(f"{entry.filename[:60]!r} is compressed")
    total = sum(entry.file_size for entry in entries)
    if total > size:
        raise zipfile.BadZipFile(f"{total} bytes of entries in a file of {size}")
    if len({entry.filename for entry in entries}) != len(entries):
        raise zipfile.BadZipFile("two entries of one name")
