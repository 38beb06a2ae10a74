"""Lines on stderr: one an event, printable, without names and numbers of patients."""

import sys
import threading
import time
import traceback
from typing import Any

from spectjax.system.messages import make_printable

_LOCK = threading.Lock()


def tell(event: str, **facts: Any) -> None:
    """Prints a line: the time, what happened, and facts as `name=value`."""
    words = [f"{name}={value}" for name, value in facts.items() if value != ""]
    line = make_printable(" ".join([f"{time.strftime('%FT%T%z')} {event}", *words]))
    with _LOCK:
        print(line, file=sys.stderr, flush=True)


def tell_bug(where: str, error: BaseException) -> None:
    """Prints what an unexpected error was and where, not its words.

    These may be of a patient.
    """
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        for frame in reversed(frames)
    )
    tell("unexpected error", where=where, kind=type(error).__name__, at=places)


def tell_lost_thread(args: threading.ExceptHookArgs) -> None:
    """Prints what ended a thread; a hook for `threading.excepthook`."""
    if args.exc_value is not None:
        name = args.thread.name if args.thread is not None else "?"
        tell_bug(name, args.exc_value)
