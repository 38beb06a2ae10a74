"""How the processes of one run find each other, and notice that one is missing.

jax's own client ends the process with a stack trace of C++ where another one is
missing, after minutes. So the processes meet here first, and stay connected: a process
that ends closes its connections, and one that hangs falls silent. Whoever loses another
ends with one line. Imports nothing but the standard library.
"""

import contextlib
import os
import selectors
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from types import TracebackType

from spectjax.system.messages import Stop, UserError, make_printable

_GREETING = "spectjax process {} of {}\n"
_GO, _ALIVE, _BYE = b"go\n", b".", b"!"
_LONGEST = 200  # bytes of a greeting or an answer
_GRACE = 2.0  # seconds in which a process may end with an error of its own


class ProcessError(UserError):
    """Processes that do not find or do not fit each other; one line for the user."""


class ProcessWatch(contextlib.AbstractContextManager["ProcessWatch"]):
    """The connections of one process to those that it must not lose.

    As a context: what ends it with an error ends the process, since jax would wait for
    the others to do the same; and it cannot be left by one process alone.
    """

    def __init__(
        self, peers: Mapping[int, socket.socket], count: int, timeout: float
    ) -> None:
        """Begins to watch.

        Args:
            peers: connections by the numbers of the processes behind them.
            count: how many processes there are.
            timeout: seconds of silence after which a process is missing.
        """
        self._peers, self._count, self._timeout = dict(peers), count, timeout
        self._closing = threading.Event()  # the watch is to end
        self._left = threading.Event()  # the run has ended well
        self._lost: str | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Says goodbye; after an error, tells it and ends the process."""
        del kind, trace
        if error is None or isinstance(error, Stop):  # which all of them do together
            self._closing.set()
            self._thread.join()
            self._send(_BYE)
            self._left.set()
            return
        if isinstance(error, RuntimeError | ValueError) and not isinstance(
            error, UserError
        ):
            self._thread.join(_GRACE / 2)  # it may know why a collective failed
        self._closing.set()
        if self._lost is not None:
            _end(self._lost)
        if isinstance(error, UserError | OSError | FloatingPointError):
            _end(str(error))
        if isinstance(error, KeyboardInterrupt):
            _end("stopped; the same command goes on from the last checkpoint.")
        traceback.print_exception(error)
        _end("this process has ended with the error above, and the others will.")

    def relay(self, coordinator: str) -> str:
        """Returns a host:port of this process behind which `coordinator` answers.

        jax's client ends its process, with a stack trace, as soon as the connection to
        process 0 is closed. Behind this one it only falls silent, until the context is
        left, so that the watch can tell what happened.
        """
        host, _, port = coordinator.rpartition(":")
        server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(
            target=self._serve,
            args=(server, (host.strip("[]"), int(port))),
            daemon=True,
        ).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    def _serve(self, server: socket.socket, address: tuple[str, int]) -> None:
        while True:
            near, _ = server.accept()
            try:
                far = socket.create_connection(address, timeout=self._timeout)
            except OSError:
                near.close()  # process 0 is not ready; jax tries again
                continue
            far.settimeout(None)
            for source, target in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pass_on,
                    args=(source, target, source is far),
                    daemon=True,
                ).start()

    def _pass_on(
        self, source: socket.socket, target: socket.socket, hold: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        if hold:
            self._left.wait()
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def _watch(self) -> None:
        pause = min(self._timeout / 4, 5.0)
        heard = dict.fromkeys(self._peers, time.monotonic())
        with selectors.DefaultSelector() as selector:
            for number, peer in self._peers.items():
                peer.setblocking(False)
                selector.register(peer, selectors.EVENT_READ, number)
            sent = 0.0
            while self._peers and not self._closing.is_set():
                now = time.monotonic()
                if now - sent >= pause:
                    self._send(_ALIVE)
                    sent = now
                for key, _ in selector.select(min(pause, 0.2)):
                    said = _receive(key.fileobj)  # type: ignore[arg-type]
                    if not said:
                        self._lose(key.data, "has ended")
                        return
                    heard[key.data] = time.monotonic()
                    if _BYE in said:
                        selector.unregister(key.fileobj)
                        del self._peers[key.data], heard[key.data]
                silent = [n for n in heard if now - heard[n] > self._timeout]
                if silent:
                    self._lose(silent[0], f"said nothing for {self._timeout:g} s")
                    return

    def _lose(self, number: int, what: str) -> None:
        self._lost = (
            f"Process {number} of {self._count} {what}. See what it said last, then "
            "start all of them again: they go on from the last checkpoint."
        )
        # This one may be about to end with an error of its own, which tells more.
        if not self._closing.wait(_GRACE):
            print(file=sys.stderr)  # ends the line of a progress bar
            _end(self._lost)

    def _send(self, what: bytes) -> None:
        for peer in list(self._peers.values()):
            # Who cannot be reached is noticed by what it does not say.
            with contextlib.suppress(OSError):
                peer.send(what)


def _receive(peer: socket.socket) -> bytes:
    """Returns what was sent; nothing from one that has ended."""
    try:
        return peer.recv(4096)
    except BlockingIOError:
        return _ALIVE
    except OSError:
        return b""


def _end(text: str) -> None:
    """Ends the process with one line; its main thread may wait in a library."""
    print(make_printable(f"error: {text}"), file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(1)


def meet(
    coordinator: str, num_processes: int, process_id: int, timeout: float
) -> ProcessWatch:
    """Waits until all processes of a run are there.

    Args:
        coordinator: host:port of process 0; the port is free again afterwards.
        num_processes: how many there are.
        process_id: number of this one, from 0.
        timeout: seconds to wait, and of silence afterwards.

    Raises:
        ProcessError: if one is missing, or does not fit the others.
    """
    host, _, port = coordinator.rpartition(":")
    host = host.strip("[]")  # around an IPv6 address
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ProcessError(f"--coordinator={coordinator}: expected HOST:PORT.")
    deadline = time.monotonic() + timeout
    if process_id:
        peer = _greet(host, int(port), num_processes, process_id, deadline, timeout)
        return ProcessWatch({0: peer}, num_processes, timeout)
    peers = _gather(coordinator, int(port), num_processes, deadline, timeout)
    return ProcessWatch(peers, num_processes, timeout)


def _gather(
    coordinator: str, port: int, count: int, deadline: float, timeout: float
) -> dict[int, socket.socket]:
    """Returns connections to all other processes, once all are there."""
    peers: dict[int, socket.socket] = {}
    try:
        server = _listen(port)
    except OSError as error:
        raise ProcessError(
            f"--coordinator={coordinator}: process 0 cannot listen there "
            f"({error.strerror}). Choose another port."
        ) from error
    with server:
        while len(peers) < count - 1:
            server.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                peer, _ = server.accept()
            except TimeoutError:
                _refuse_all(peers, count, timeout)
            _admit(peer, peers, count)
    for peer in peers.values():
        with contextlib.suppress(OSError):
            peer.sendall(_GO)
    return peers


def _admit(peer: socket.socket, peers: dict[int, socket.socket], count: int) -> None:
    """Adds one that came to those that wait, or tells it why not."""
    number = _read_greeting(peer, count)
    if number is None:
        _answer(peer, f"process 0 expects {count} of this version's processes")
    elif number in peers and _is_there(peers[number]):
        _answer(peer, f"there is a process {number} already; check --process_id")
    else:
        peers[number] = peer


def _listen(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # IPv6 may be switched off
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True
            )
    return socket.create_server(("", port))


def _refuse_all(peers: dict[int, socket.socket], count: int, timeout: float) -> None:
    missing = [str(n) for n in range(1, count) if n not in peers]
    text = (
        f"process {', '.join(missing)} of {count} (from 0) did not come within "
        f"{timeout:g} s"
    )
    for peer in peers.values():
        _answer(peer, text)
    raise ProcessError(
        f"The processes of this run do not find each other: {text}. Start all of them, "
        "with one --coordinator=HOST:PORT that each can reach; --process_timeout says "
        "how long to wait."
    )


def _answer(peer: socket.socket, text: str) -> None:
    with contextlib.suppress(OSError), peer:
        peer.sendall(f"{text}\n".encode())


def _is_there(peer: socket.socket) -> bool:
    """Returns whether a process that waits, and so says nothing, has not ended."""
    peer.setblocking(False)
    there = bool(_receive(peer))
    peer.setblocking(True)
    return there


def _read_greeting(peer: socket.socket, count: int) -> int | None:
    """Returns the number of the process that came, or None if it is none of ours."""
    said = _read_line(peer, 2.0)
    known = {_GREETING.format(n, count).strip(): n for n in range(1, count)}
    return known.get(said)


def _read_line(peer: socket.socket, seconds: float) -> str:
    """Returns what was said up to the end of its line; "" if there was nothing."""
    said = b""
    try:
        peer.settimeout(max(seconds, 0.001))
        while b"\n" not in said and len(said) < _LONGEST:
            more = peer.recv(_LONGEST)
            if not more:
                break
            said += more
    except OSError:  # a timeout is one
        return ""
    return said.decode(errors="replace").partition("\n")[0]


def _greet(
    host: str, port: int, count: int, number: int, deadline: float, timeout: float
) -> socket.socket:
    """Returns the connection to process 0, once all processes are there."""
    problem = "it does not answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            peer = socket.create_connection((host, port), timeout=left)
            peer.sendall(_GREETING.format(number, count).encode())
        except OSError as error:
            problem = error.strerror or str(error) or problem
            time.sleep(min(0.2, left))
            continue
        # Process 0 may have begun to wait later than this one.
        answer = _read_line(peer, timeout + 5)
        if answer == _GO.decode().strip():
            return peer
        peer.close()
        problem = answer or "it did not let this process in"
        break
    raise ProcessError(
        f"The processes of this run do not find each other: {host}:{port}, process 0: "
        f"{problem} (waited up to {timeout:g} s). Start all of them, with one "
        "--coordinator=HOST:PORT that each can reach; --process_timeout says how long "
        "to wait."
    )
