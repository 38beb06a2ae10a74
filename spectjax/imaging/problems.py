"""One bad scan does not take the good ones down, and a bug stays visible as one.

| what happened | what tells of it | exit status |
|---|---|---|
| nothing, or scans were refused but not all | a line on stderr for each of them | 0 |
| nothing was written | these lines, and a summary | 1 |
| an unexpected error of one scan: a bug | a line, and its traceback in a file | 3 |

A full disk, too little memory and Ctrl-C are no scan's: they end the command.
"""

import contextlib
import os
import re
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from spectjax.imaging.scan import ScanError
from spectjax.system.files import WriteError
from spectjax.system.messages import UserError, make_printable

LOG_NAME = "problems.log"
BUG_STATUS = 3


class Problems:
    """What went wrong with single scans of one run of a command.

    Attributes:
        log: file that receives the tracebacks.
        refused: number of files and views that are not what they should be.
        unexpected: number of files and views that met a bug.
        recent: what was printed about files and views that are passed over, since
            somebody emptied it: `Intake` does before each examination.
        told: the same since the command began.
    """

    def __init__(self, folder: Path) -> None:
        """Takes the folder that the log is written to, should there be one."""
        self.log = folder / LOG_NAME
        self.refused = 0
        self.unexpected = 0
        self.recent: list[str] = []
        self.told: list[str] = []

    def refuse(self, error: UserError, n_files: int = 1) -> None:
        """Prints one line about a file or view that is passed over, or about several.

        Its text starts with a path.
        """
        self.refused += n_files
        self._tell(str(error))

    def mention(self, note: str) -> None:
        """Prints one line about files that hold no image for us."""
        print(make_printable(f"note: {note}"), file=sys.stderr)

    @contextlib.contextmanager
    def passing_over(self, path: Path) -> Iterator[None]:
        """Makes an error in the `with` block one line about the scan in `path`.

        Raises:
            WriteError: if a file cannot be written, the log included.
            MemoryError: if there is too little.
            UserError: what is no scan's fault, such as a model that does not fit.
        """
        try:
            yield
        except ScanError as error:
            self.refuse(error)
        except (UserError, WriteError, MemoryError):
            raise
        except Exception as error:
            self._note(path, error)

    def conclude(self, n_written: int, folder: Path, *notes: str) -> None:
        """Prints the summary of the command, as its last word.

        Raises:
            UserError: if nothing was written.
            SystemExit: with `BUG_STATUS`, if a bug was met.
        """
        n_skipped = self.refused + self.unexpected
        summary = f"{n_written} views written to {folder}, {n_skipped} files skipped."
        if self.unexpected:
            summary += (
                f" UNEXPECTED ERROR in {self.unexpected} of them, a bug of spectjax: "
                f"please report it, the traceback is in {self.log}."
            )
        if not (n_written or self.unexpected):
            raise UserError(summary)
        print("\n".join([make_printable(summary), *notes]))
        if self.unexpected:
            sys.exit(BUG_STATUS)

    def _note(self, path: Path, error: Exception) -> None:
        """Reports a bug: a line for the user, the traceback for who mends it."""
        self.unexpected += 1
        self._tell(describe_bug(path, error, self.log))
        append_traceback(self.log, str(path), error)

    def _tell(self, sentence: str) -> None:
        print(f"skipped: {sentence}", file=sys.stderr)
        self.recent.append(sentence)
        self.told.append(sentence)


def describe_bug(path: Path | str, error: Exception, log: Path | str) -> str:
    """Returns one line about an unexpected error of one file."""
    what = f"{type(error).__name__}: {error}"[:200]
    return make_printable(
        f"{path}: unexpected error, a bug of spectjax ({what}). Please report it; the "
        f"traceback is in {log}."
    )


def append_traceback(log: Path, name: str, error: Exception | str) -> None:
    """Adds a traceback to a log, which is made if it is not there.

    The error may be its traceback as text, the name is that of the scan.
    """
    text = error if isinstance(error, str) else format_traceback(error)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"{time.strftime('%F %T')} {make_printable(name)}\n{text}\n")
    except OSError as problem:
        raise WriteError(
            f"{log}: cannot be written ({problem.strerror or problem}). Make room or "
            "choose another folder, then run the command again."
        ) from problem


def format_traceback(error: Exception) -> str:
    """Returns the traceback of an error as text."""
    return "".join(traceback.format_exception(error))


def drop_folders(sentences: Iterable[str], folders: Iterable[Path]) -> list[str]:
    """Returns sentences about files without the folders that these lie in.

    Folders have names of patients at times, and what leaves the command names files
    alone. A sentence begins with a path; what it says of other files has these folders.
    """
    known = {make_printable(f"{folder}/") for folder in folders}
    return [_cut(text, known | {_find_start(text)}) for text in sentences]


def _cut(text: str, folders: set[str]) -> str:
    """Returns a text without these folders, wherever one begins a path."""
    longest_first = sorted(folders - {"", "/", "./"}, key=len, reverse=True)
    if not longest_first:
        return text
    return re.sub(
        rf"(?<![^\s('\"])(?:{'|'.join(map(re.escape, longest_first))})", "", text
    )


def _find_start(sentence: str) -> str:
    """Returns the folder that a sentence begins with, as it stands there."""
    end = sentence.find(": ")
    while end >= 0 and not os.path.lexists(sentence[:end]):
        end = sentence.find(": ", end + 1)
    # Else its signs were escaped, or it is gone.
    start = sentence[:end] if end >= 0 else sentence.partition(": ")[0]
    return start[: start.rfind("/") + 1]
