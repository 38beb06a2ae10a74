"""A small disk in memory, to see what a full one does; for root on Linux."""

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator


def may_mount() -> bool:
    """Tells whether a disk in memory may be mounted: in a container often not."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


@contextlib.contextmanager
def mount_small_disk(folder: pathlib.Path, options: str) -> Iterator[None]:
    """Puts a disk in memory on a folder; `options` are those of tmpfs."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
