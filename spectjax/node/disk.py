"""The folder of a node: files that are there when they are said to be.

| folder | holds |
|---|---|
| `in`, `out` | objects that came, results; `<SHA-256>.dcm`, no name from outside |
| `work` | what the model is given and writes, gone after a start |
| `audit`, `log` | `audit.py`; what the model's program printed last |
| `alive` | when each thread was last seen |
"""

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from spectjax.system.files import write_file

FOLDERS = ("in", "out", "work", "audit", "log", "alive")
_SUFFIX = ".dcm"


class DamagedFileError(OSError):
    """A file that is not what its name says: damaged on the disk, or gone.

    Attributes:
        digest: what it was.
    """

    def __init__(self, text: str, digest: str) -> None:
        """Takes a few words for people, and what the file was."""
        super().__init__(text)
        self.digest = digest


class Disk:
    """Files of a node."""

    def __init__(self, folder: Path) -> None:
        """Makes the folders that are missing, for the owner's eyes."""
        self.folder = folder
        self._lock = threading.Lock()
        for name in FOLDERS:
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def measure_free(self) -> int:
        """Returns bytes that are free."""
        return shutil.disk_usage(self.folder).free

    def measure_used(self) -> int:
        """Returns bytes of all files of the node."""
        total = 0
        # Not `rglob`, which stops at a folder of `work` that goes meanwhile.
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
        return total

    def find(self, place: str, digest: str) -> Path:
        """Returns the path of an object in `in` or `out`."""
        return self.folder / place / f"{digest}{_SUFFIX}"

    def keep(self, place: str, digest: str, contents: bytes) -> None:
        """Writes an object; it is on the disk, whatever happens, when this returns.

        Raises:
            WriteError: if it is not.
        """
        path = self.find(place, digest)
        with self._lock:
            write_file(path, contents, private=True)
            _sync_folder(path.parent)

    def read(self, place: str, digest: str) -> bytes:
        """Returns an object.

        Raises:
            DamagedFileError: if it is not what was kept.
            OSError: if it cannot be read.
        """
        try:
            contents = self.find(place, digest).read_bytes()
        except FileNotFoundError:
            what = "a file is gone from the node's folder"
            raise DamagedFileError(what, digest) from None
        if hashlib.sha256(contents).hexdigest() != digest:
            raise DamagedFileError("a file in the node's folder is damaged", digest)
        return contents

    def drop(self, place: str, digest: str) -> None:
        """Removes an object, if it is there."""
        self.find(place, digest).unlink(missing_ok=True)

    def list_digests(self, place: str) -> set[str]:
        """Returns the names of objects in `in` or `out`, without suffix."""
        return {path.stem for path in (self.folder / place).glob(f"*{_SUFFIX}")}

    def sweep(self) -> int:
        """Removes what a process that was killed has left half-written.

        Returns:
            Number of files.
        """
        partial = [p for name in ("in", "out") for p in self._list_partial(name)]
        for path in partial:
            path.unlink(missing_ok=True)
        for path in (self.folder / "work").iterdir():
            shutil.rmtree(path, ignore_errors=True)
        return len(partial)

    def _list_partial(self, place: str) -> Iterator[Path]:
        for path in (self.folder / place).iterdir():
            if path.suffix != _SUFFIX:
                yield path

    def make_work(self, name: str) -> Path:
        """Returns a new empty folder with `in` and `out` in it."""
        work = self.folder / "work" / f"{name}-{time.monotonic_ns()}"
        for part in ("in", "out"):
            (work / part).mkdir(mode=0o700, parents=True)
        return work

    def beat(self, name: str) -> None:
        """Notes that a thread is alive."""
        with contextlib.suppress(OSError):
            (self.folder / "alive" / name).touch()

    def read_beats(self) -> dict[str, float]:
        """Returns for each thread the seconds since it was seen."""
        now, beats = time.time(), {}
        for path in (self.folder / "alive").glob("*"):
            with contextlib.suppress(OSError):
                beats[path.name] = now - path.stat().st_mtime
        return beats


def _sync_folder(folder: Path) -> None:
    """Brings names to the disk; the files are there already."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
