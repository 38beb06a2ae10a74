"""A process of its own for programs of others: limited in time and in memory.

What a file makes a library do there - loop for ever, fill the memory, crash - ends that
process, and becomes one line here. Requests and answers are JSON and bare bytes, of
which no more is read than the asker expects: nothing that the process sends is
executed, and no object is made of it but numbers and text.

Memory is limited by the system on Linux, and by a look at what is in use five times a
second on macOS; on Windows, which has neither, only time is limited.

Imports nothing of the project but its messages and the standard library.
"""

import contextlib
import importlib
import json
import os
import pathlib
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from spectjax.system.messages import UserError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# What stands before the parts of a message.
Header = dict[str, Any]
Parts = Sequence[bytes | memoryview]
_HEADER_BYTES = 2**16
_LENGTH = struct.Struct("<Q")
_OUT_OF_MEMORY = 86  # exit status
_LOOKS_SECONDS = 0.2
_LOG_BYTES = 2**24  # of what libraries print; no other file is written
_LAST_BYTES = 2**14  # of that, what is looked at
_GRACE_SECONDS = 10  # until the process ends itself where nobody does it any more


class ChildError(UserError):
    """What became of a request; a few words, for a line that names the file."""


class Child:
    """A process that answers requests, one after the other.

    It ends with this object, and with the process that made it.
    """

    def __init__(self, module: str, *, memory: int) -> None:
        """Starts a process whose requests the function `answer` of `module` answers.

        Args:
            module: of this package.
            memory: bytes that it may use.
        """
        self._memory = memory
        self._fate: str | None = None  # why it answers no more
        self._log = tempfile.TemporaryFile()
        path = [str(pathlib.Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]
        code = f"import sys; from {__name__} import serve; serve(*sys.argv[1:])"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, module, str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))},
            bufsize=0,
        )
        self.end = weakref.finalize(self, _end, self._process, self._log)

    def ask(
        self, header: Header, parts: Parts = (), *, seconds: float, most: int
    ) -> tuple[Header, list[bytes]]:
        """Returns the answer to a request.

        Args:
            header: anything that JSON holds.
            parts: bytes that go with it.
            seconds: time for the answer; after it the process is ended.
            most: bytes that the answer may have.

        Raises:
            ChildError: if there is none; says why.
        """
        if self._fate is not None:
            raise ChildError(self._fate)
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        watch = threading.Timer(seconds, stop)
        watch.daemon = True
        watch.start()
        try:
            assert self._process.stdin is not None  # mypy
            assert self._process.stdout is not None
            _send(self._process.stdin, header | {"seconds": seconds}, parts)
            answer, answered = _receive(self._process.stdout, most)
        except (OSError, EOFError, ValueError) as error:
            watch.cancel()
            if isinstance(error, ValueError):  # neither is it ours, nor a pipe's end
                self._process.kill()
            self._fate = self._explain_end(error, late, seconds)
            raise ChildError(self._fate) from None
        finally:
            watch.cancel()
        if "error" in answer:
            raise ChildError(str(answer["error"]))
        if "bug" in answer:
            raise RuntimeError(f"in the process of a model: {answer['bug']}")
        return answer, answered

    def _explain_end(
        self, error: Exception, late: threading.Event, seconds: float
    ) -> str:
        """Returns in a few words why there is no answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)
        status = self._process.poll()
        if late.is_set():
            return f"took more than {seconds:g} s and was ended"
        if status == _OUT_OF_MEMORY:
            return f"took more than {self._memory / 2**30:.3g} GiB of memory"
        if isinstance(error, ValueError):
            return f"gave what is no answer ({error})"
        if status is not None and status < 0:
            return (
                f"crashed ({_name_signal(-status)}; it was allowed "
                f"{self._memory / 2**30:.3g} GiB of memory)"
            )
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LAST_BYTES))
        said = self._log.read(_LAST_BYTES).decode(errors="replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), "without a word")
        return f"ended with status {status} ({last[:200]})"


def _end(process: subprocess.Popen[bytes], log: Any) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, log):
        with contextlib.suppress(OSError):  # what is still in a pipe's buffer
            if stream is not None:
                stream.close()


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _send(stream: Any, header: Header, parts: Parts) -> None:
    sizes = [memoryview(part).nbytes for part in parts]
    text = json.dumps(header | {"sizes": sizes}).encode()
    for part in (_LENGTH.pack(len(text)), text, *parts):
        # What is empty cannot be cast.
        left = memoryview(part).cast("B") if len(part) else memoryview(b"")
        while left:
            left = left[stream.write(left) :]
    stream.flush()


def _receive(stream: Any, most: int) -> tuple[Header, list[bytes]]:
    """Reads a message of at most `most` bytes behind its header.

    Raises:
        EOFError: if the other end is closed.
        ValueError: if it is no message.
    """
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    if length > _HEADER_BYTES:
        raise ValueError(f"a header of {length} bytes")
    try:
        header = json.loads(_read(stream, length))
        sizes = header.pop("sizes")
        if not all(type(size) is int and size >= 0 for size in sizes):
            raise ValueError("no sizes")
    except (RecursionError, LookupError, TypeError, AttributeError) as error:
        raise ValueError("a header of something else") from error
    if sum(sizes) > most:
        raise ValueError(f"{sum(sizes)} bytes, expected at most {most}")
    return header, [_read(stream, size) for size in sizes]


def _read(stream: Any, size: int) -> bytes:
    content = bytearray(size)
    left = memoryview(content)
    while left:
        count = stream.readinto(left)
        if not count:
            raise EOFError
        left = left[count:]
    return bytes(content)


# What follows runs in the process itself.


def serve(module: str, memory: str) -> None:
    """Answers requests from standard input until it is closed."""
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print is no answer
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked ends it
    _limit(int(memory))
    waiting: queue.Queue[tuple[Header, list[bytes]]] = queue.Queue()
    threading.Thread(target=_listen, args=(requests, waiting), daemon=True).start()
    answer = importlib.import_module(module).answer
    while True:
        header, parts = waiting.get()
        seconds = header.pop("seconds")
        if hasattr(signal, "alarm"):
            # Ends the process whatever it does, should nobody else do so.
            signal.alarm(int(seconds) + _GRACE_SECONDS)
        _send(answers, *_try(answer, header, parts))
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        del header, parts


def _try(
    answer: Callable[[Header, list[bytes]], tuple[Header, Parts]],
    header: Header,
    parts: list[bytes],
) -> tuple[Header, Parts]:
    """Returns an answer, or what became of it."""
    try:
        return answer(header, parts)
    except UserError as error:
        return {"error": str(error)}, ()
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except Exception:
        return {"bug": traceback.format_exc()[-8000:]}, ()


def _listen(requests: BinaryIO, waiting: "queue.Queue[Any]") -> None:
    """Takes requests; ends the process when there is nobody left to ask."""
    try:
        while True:
            # Whoever asks is trusted.
            waiting.put(_receive(requests, sys.maxsize))
    finally:
        os._exit(0)


def _limit(memory: int) -> None:
    """Limits this process's memory and what it writes, as far as the system can."""
    if resource is None:
        return
    for kind, most in (
        (resource.RLIMIT_CORE, 0),  # nobody's images in a file
        (resource.RLIMIT_FSIZE, _LOG_BYTES),
        # What is in use for data, not what is reserved: libraries for GPUs reserve
        # hundreds of GiB of addresses.
        (resource.RLIMIT_DATA, memory),
    ):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, hard))
    threading.Thread(target=_watch, args=(memory,), daemon=True).start()


def _watch(memory: int) -> None:
    """Ends this process when it uses more memory than it may."""
    while _measure_memory() <= memory:
        time.sleep(_LOOKS_SECONDS)
    os._exit(_OUT_OF_MEMORY)


def _measure_memory() -> int:
    """Returns the bytes of memory that this process uses."""
    if sys.platform == "linux":
        # The peak that getrusage tells begins with that of whoever started it.
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
