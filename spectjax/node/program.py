"""The program that reads studies: a process in which a model stays warm.

A line on its standard input is a request, `{"in": FOLDER, "out": FOLDER}`; a line on
its standard output the answer, a JSON object with one of these:

| answer | meaning |
|---|---|
| `{"ready": true}` | first of all, once it can be asked |
| `{"done": true}` | DICOM files of results lie in `out`, with the suffix `.dcm` |
| `{"nothing": REASON}` | there is nothing for it in this study |
| `{"failed": REASON}` | it cannot be read, however often it is tried |
| `{"error": REASON}` | it did not work |

Anything else, too late an answer, too much memory, or its end: it is killed, and
another one started. It has to end when its standard input is closed.
"""

import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from spectjax.node import leash
from spectjax.system.limits import MIB
from spectjax.system.messages import UserError

_ANSWER_BYTES = 2**16
_LOOK_SECONDS = 0.1
_END_SECONDS = 5.0


class ProgramError(UserError):
    """What became of a request, in a few words without those of a file."""


class StudyError(ProgramError):
    """The same, of a program that is still there."""


class UnreadableError(StudyError):
    """The same, of a study for which another try is of no use."""


class StoppedError(Exception):
    """The node has to stop: the program was ended."""


class Program:
    """A program that answers requests one after the other, and is started when need be.

    Attributes:
        starts: how many times it was started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        memory_bytes: int,
        log: pathlib.Path,
        tick: Callable[[], None],
    ) -> None:
        """Starts nothing yet.

        Args:
            command: the program and its arguments.
            memory_bytes: that it may use.
            log: file for its standard error, what it says of one study.
            tick: is called again and again while an answer is waited for; what it
                raises ends the program.
        """
        self._command, self._memory = list(command), memory_bytes
        self._log, self._tick = log, tick
        self._process: subprocess.Popen[bytes] | None = None
        self._said = b""
        self.starts = 0

    @property
    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self._process is not None and self._process.poll() is None

    def start(self, seconds: float) -> None:
        """Starts the program, and waits until it is ready.

        Raises:
            ProgramError: if it is not.
        """
        self.end()
        self._said = b""
        limits = [str(os.getpid()), str(self._memory)]
        leashed = [sys.executable, "-P", leash.__file__, *limits]
        with contextlib.suppress(FileNotFoundError):
            self._log.replace(self._log.with_suffix(".before.log"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with open(os.open(self._log, flags, 0o600), "wb") as log:
            try:
                self._process = subprocess.Popen(
                    [*leashed, *self._command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is the node's to handle
                )
            except OSError as error:
                raise ProgramError(f"cannot be started ({error.strerror})") from None
        self.starts += 1
        answer = self._await(seconds)
        if "ready" not in answer:
            self.end()
            raise ProgramError(f"is not ready, but says {_quote(answer)}")

    def ask(self, source: pathlib.Path, target: pathlib.Path, seconds: float) -> str:
        """Has a study read.

        Args:
            source: folder of its files.
            target: empty folder for results.
            seconds: time for it.

        Returns:
            Why there is nothing for it in this study; empty if there are results.

        Raises:
            UnreadableError: if the study cannot be read.
            StudyError: if it did not work.
            ProgramError: if the program is no more.
        """
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(OSError):
            os.truncate(self._log, 0)
        request = json.dumps({"in": str(source), "out": str(target)})
        try:
            self._process.stdin.write(f"{request}\n".encode())
            self._process.stdin.flush()
        except OSError:
            raise self._explain_end() from None
        answer = self._await(seconds)
        if answer.get("done") is True:
            return ""
        if isinstance(answer.get("nothing"), str):
            return answer["nothing"] or "it does not say why"
        if isinstance(answer.get("failed"), str):
            raise UnreadableError(f"cannot read it: {answer['failed']}")
        if isinstance(answer.get("error"), str):
            raise StudyError(f"says: {answer['error']}")
        self.end()
        raise ProgramError(f"gave what is no answer ({_quote(answer)})")

    def end(self) -> None:
        """Ends the program and all that it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def _await(self, seconds: float) -> dict[str, Any]:
        """Returns the next line of the program, read as JSON."""
        deadline = time.monotonic() + seconds
        try:
            while b"\n" not in self._said:
                self._tick()
                self._look(deadline, seconds)
        except BaseException:
            self.end()
            raise
        line, self._said = self._said.split(b"\n", 1)
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            self.end()
            raise ProgramError(f"gave what is no answer ({len(line)} bytes)")
        return answer

    def _look(self, deadline: float, seconds: float) -> None:
        """Reads what there is to read, and looks at time and memory."""
        assert self._process is not None and self._process.stdout is not None
        stream = self._process.stdout
        ready, _, _ = select.select([stream], [], [], _LOOK_SECONDS)
        if ready:
            piece = os.read(stream.fileno(), _ANSWER_BYTES)
            self._said += piece
            if not piece:
                raise self._explain_end()
            if len(self._said) > _ANSWER_BYTES:
                raise ProgramError("gave what is no answer (too long)")
        if time.monotonic() > deadline:
            raise ProgramError(f"took more than {seconds:g} s and was ended")
        if measure_memory(self._process.pid) > self._memory:
            raise ProgramError(
                f"took more than {self._memory / MIB:g} MiB of memory and was ended"
            )

    def _explain_end(self) -> ProgramError:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        status = self._process.poll()
        self.end()
        if status is not None and status < 0:
            try:
                return ProgramError(f"crashed ({signal.Signals(-status).name})")
            except ValueError:
                return ProgramError(f"crashed (signal {-status})")
        return ProgramError(
            f"ended with status {status}: its last words are in the node's folder log"
        )


def measure_memory(process: int) -> int:
    """Returns the bytes of memory that a process uses; 0 if it is no more."""
    try:
        if sys.platform == "linux":
            text = pathlib.Path(f"/proc/{process}/statm").read_text()
            return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
        said = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(process)], capture_output=True, check=False
        )
        return int(said.stdout) * 1024
    except (OSError, ValueError, IndexError):
        return 0


def _quote(answer: dict[str, Any]) -> str:
    """Returns the names in an answer: its values might be of a patient."""
    return f"an object with {', '.join(sorted(answer))[:80] or 'nothing'}"
