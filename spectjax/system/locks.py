"""Folders that one process at a time writes to.

A lock is the system's own (`flock`) on a file in the folder: it ends with its process,
however that ends, and whoever only reads need not ask. The file tells who holds it, and
is removed at the end.
"""

import contextlib
import datetime
import errno
import json
import os
import pathlib
import platform
import sys
import time
from collections.abc import Callable, Iterator

from spectjax.system.files import WriteError
from spectjax.system.messages import UserError, make_printable

LOCK_NAME = ".spectjax.lock"
_ATTEMPTS = 10
_OWN_FILE = getattr(os, "O_NOFOLLOW", 0)  # what a link leads to is not ours to empty
_MOST_BYTES = 4096  # of what a holder tells of itself


class LockedError(UserError):
    """A folder that another process writes to; one line for the user."""


@contextlib.contextmanager
def hold(
    folder: pathlib.Path, *, name: str = LOCK_NAME, wait: bool = False
) -> Iterator[None]:
    """Keeps all other processes that ask from writing to `folder` for a while.

    The folder is made; if nothing is in it in the end, it is removed again. Where the
    file system knows no locks, a line on stderr says so and nothing is kept away.

    Args:
        folder: where this process is about to write.
        name: of the lock's file, for what is less than the whole folder.
        wait: whether to wait for the other process, and say so, rather than to raise.

    Raises:
        LockedError: if another process holds the lock.
        WriteError: if there can be no lock, for the folder cannot be written.
    """
    path = folder / name
    made = [f for f in (folder, *folder.parents) if not f.exists()]
    try:
        try:
            descriptor = _take(path, wait)
        except OSError as error:
            raise WriteError(
                f"{error.filename or path}: cannot be written "
                f"({error.strerror or error}). Choose another folder, or mend its "
                "permissions."
            ) from error
        try:
            yield
        finally:
            # Before it is let go: a later one is another's.
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)
    finally:
        with contextlib.suppress(OSError):
            for empty in made:
                empty.rmdir()


def _take(path: pathlib.Path, wait: bool) -> int:
    """Returns the descriptor of the file at `path`, locked for this process.

    Raises:
        LockedError: if another process has it, unless this one is to wait.
        OSError: if it cannot be opened.
    """
    lock, told = _choose_lock(), False
    while True:
        try:
            descriptor = _open(path)
        except PermissionError as error:
            # Another user's, left behind: what can be read can be locked.
            try:
                descriptor = os.open(path, os.O_RDONLY | _OWN_FILE)
            except FileNotFoundError:  # there is none: the folder is shut
                raise error from None
        try:
            lock(descriptor, False)
            # The one before may have removed the file between our two calls.
            if _is_at(descriptor, path):
                with contextlib.suppress(OSError):  # a full disk: then nobody is named
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, _describe_this_process().encode())
                return descriptor
        except BlockingIOError:
            holder = _describe_holder(path)
            if not wait:
                os.close(descriptor)
                raise LockedError(
                    f"{path.parent}: in use by {holder}. Wait until it is done, or "
                    "choose another folder."
                ) from None
            if not told:
                line = f"Waiting: {path.parent} is in use by {holder}."
                print(make_printable(line), file=sys.stderr, flush=True)
                told = True
            lock(descriptor, True)
        except OSError as error:  # ENOLCK, ENOTSUP, ENOSYS ...: no such thing here
            line = (
                f"{path.parent}: its file system knows no locks "
                f"({error.strerror or error}). See that no other process writes there."
            )
            print(make_printable(line), file=sys.stderr, flush=True)
            return descriptor
        os.close(descriptor)


def _open(path: pathlib.Path) -> int:
    """Opens the file of a lock, and makes it and its folder if need be."""
    for _ in range(_ATTEMPTS):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The one before may remove a folder with nothing in it in between.
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_CREAT | _OWN_FILE, 0o666)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _is_at(descriptor: int, path: pathlib.Path) -> bool:
    """Returns whether the file that is open is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _choose_lock() -> Callable[[int, bool], None]:
    """Returns what locks a file: the open file, and whether to wait.

    It raises BlockingIOError if another process has it, any other OSError if there are
    no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows

        def refuse(descriptor: int, wait: bool) -> None:
            raise OSError("Windows")

        return refuse
    return lambda descriptor, wait: fcntl.flock(
        descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
    )


def _describe_this_process() -> str:
    # The command alone: its arguments may name files, and files patients.
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    command = pathlib.Path(sys.argv[0]).name
    if spec is not None:
        command = f"python -m {spec.name.removesuffix('.__main__')}"
    since = datetime.datetime.now().astimezone().isoformat(" ", timespec="seconds")
    return json.dumps(
        {
            "pid": os.getpid(),
            "host": platform.node(),
            "command": command,
            "since": since,
        }
    )


def _describe_holder(path: pathlib.Path) -> str:
    """Returns who holds a lock, as far as its file tells."""
    for _ in range(_ATTEMPTS):  # it may have to write that yet
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            with path.open("rb") as stream:
                told = json.loads(stream.read(_MOST_BYTES))
            return (
                f"process {told['pid']} on {told['host']} since {told['since']} "
                f"({told['command']})"
            )
        time.sleep(0.02)
    return "another process"
