"""Limits a process, then becomes another program: `leash PARENT MEMORY_BYTES PROGRAM`.

On Linux the program ends with who started it, and may not have more memory for its data
than it is allowed; on macOS a look at what it uses has to do (`program.py`). Imports
nothing but the standard library.
"""

import contextlib
import ctypes
import os
import signal
import sys

_PDEATHSIG = 1  # PR_SET_PDEATHSIG of prctl(2)
_MOST_FILE_BYTES = 2**30  # that a program may write: no single file fills a disk


def main(argv: list[str]) -> None:
    """Becomes the program."""
    import resource

    parent, memory = int(argv[1]), int(argv[2])
    for kind, most in (
        (resource.RLIMIT_CORE, 0),  # nobody's images in a file
        (resource.RLIMIT_FSIZE, _MOST_FILE_BYTES),
        # What is used: libraries for GPUs reserve hundreds of GiB of addresses.
        (resource.RLIMIT_DATA, memory),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it went before it could be followed
            sys.exit(1)
    os.execvp(argv[3], argv[3:])


if __name__ == "__main__":
    main(sys.argv)
