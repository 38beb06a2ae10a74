"""Connections of a node that nobody can hold, flood or stall.

pynetdicom reads what a peer announces, however much and however slowly it comes, and
shakes hands for TLS where it accepts connections, one peer at a time. Here every
connection has its thread from the beginning, and every part of a message a limit of
size and of time.
"""

import functools
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import A_P_ABORT
from pynetdicom.transport import (
    RequestHandler,
    ThreadedAssociationServer,
)

from spectjax.node.sections import ReceivingSection
from spectjax.system.limits import KIB, MIB

MOST_PDU_BYTES = 64 * KIB  # of a part of a message, what a peer is told
_MOST_READ_BYTES = 1 * MIB  # what is read of one: a request to associate may be longer
_MOST_WAITING = 4  # messages; a peer has to wait for each answer
_BEGIN_SECONDS = 1.0  # until an association has begun to listen
_PIECE_BYTES = 64 * KIB


class Flow:
    """What comes over one connection, counted.

    Attributes:
        total: bytes of the connection.
        cut: whether it was ended here for its size or slowness.
    """

    def __init__(self, association: Association, limits: ReceivingSection) -> None:
        """Takes the association whose socket it reads from now on."""
        self._limits = limits
        self._dimse = association.dimse
        self._wrapped = cast(Any, association.dul.socket)
        self._wrapped.recv = self.receive  # pynetdicom reads by it alone
        self._events = association.dul.event_queue
        self._take_part = association.dimse.receive_primitive
        cast(Any, association.dimse).receive_primitive = self._take_safely
        self._begun_at = time.monotonic()
        self._begun: float | None = None  # when the first part of a message came
        self._since = 0  # bytes since the last whole message
        self.total = 0
        self.cut = False

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and is not whole."""
        return self._dimse.message is not None

    def end_message(self) -> None:
        """Notes that a message is whole."""
        self._begun, self._since = None, 0

    def _take_safely(self, part: Any) -> None:
        """Takes a part of a message; a broken one ends the association alone."""
        try:
            self._take_part(part)
        except Exception:
            self._events.put("Evt19")  # an invalid part

    def is_over(self, association: Association) -> bool:
        """Tells whether a peer has gone before it has asked for an association."""
        dul = association.dul
        began = time.monotonic() - self._begun_at < _BEGIN_SECONDS
        idle = dul.state_machine.current_state == "Sta1" or not dul.is_alive()
        return idle and not began and not association.is_established

    def receive(self, count: int) -> bytearray:
        """Reads so many bytes: pynetdicom's way to the socket.

        Raises:
            OSError: if more is announced than can be meant, if it comes too slowly, or
                if the connection is lost; pynetdicom ends the association then.
        """
        now = time.monotonic()
        self._begun = self._begun or now
        late = now - self._begun > self._limits.object_s
        much = self._since > 2 * self._limits.max_object_bytes
        ahead = self._dimse.msg_queue.qsize() > _MOST_WAITING
        if count > _MOST_READ_BYTES or late or much or ahead:
            self.cut = True
            raise OSError("more, or slower, than a peer is allowed")
        data = self._read(count, now + self._limits.timeout_s)
        self.total += len(data)
        self._since += len(data)
        return data

    def _read(self, count: int, deadline: float) -> bytearray:
        wire = self._wrapped.socket
        data = bytearray()
        while wire is not None and len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                self.cut = True
                raise TimeoutError("a part of a message came too slowly")
            wire.settimeout(left)
            try:
                piece = wire.recv(min(count - len(data), _PIECE_BYTES))
            finally:
                wire.settimeout(self._limits.timeout_s)
            if not piece:
                break
            data += piece
        return data


class Handler(RequestHandler):
    """Makes an association of a connection, in the thread of the connection."""

    server: "Server"

    def handle(self) -> None:
        """Shakes hands, if need be, and starts the association."""
        wire = self.request
        try:
            if isinstance(wire, ssl.SSLSocket):
                wire.do_handshake()
        except OSError as error:
            self.server.refuse(self.client_address[0], f"no TLS ({error})")
            self.server.shutdown_request(wire)
            return
        finally:
            self.server.leave()
        association = self._create_association()
        flow = Flow(association, self.server.limits)
        cast(Any, association).flow = flow
        for event in (evt.EVT_ESTABLISHED, evt.EVT_DIMSE_RECV):
            association.bind(event, lambda _: flow.end_message())
        evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
        association.start()


class Server(ThreadedAssociationServer):
    """Listens, and lets in whom it may.

    Attributes:
        limits: on each connection.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        *arguments: Any,
        limits: ReceivingSection,
        allows: Callable[[str], bool],
        refuse: Callable[[str, str], None],
        **named: Any,
    ) -> None:
        """Listens.

        Args:
            arguments: pynetdicom's.
            limits: on each connection.
            allows: tells whether an address may connect at all.
            refuse: is told an address and why it is refused.
            named: pynetdicom's.
        """
        self.limits, self.allows, self.refuse = limits, allows, refuse
        self._entering = 0
        self._lock = threading.Lock()
        named["request_handler"] = Handler
        super().__init__(*arguments, **named)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Takes a connection, without waiting for what its peer says."""
        wire, address = cast(socket.socket, self.socket).accept()
        wire.settimeout(self.limits.timeout_s)
        if self.ssl_context is not None:
            wrap = functools.partial(self.ssl_context.wrap_socket, server_side=True)
            wire = wrap(wire, do_handshake_on_connect=False)
        return wire, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Tells whether a connection is let in: an address, and room for one more."""
        if not self.allows(client_address[0]):
            self.refuse(client_address[0], "address not listed")
            return False
        with self._lock:
            # Twice as many as associations: those above are told that there is no room.
            if self._entering + len(self.active_associations) >= self._most:
                self.refuse(client_address[0], "too many connections")
                return False
            self._entering += 1
        return True

    def service_actions(self) -> None:
        """Frees the places of peers that have gone; called again and again.

        An association waits else for the request of a peer that has hung up.
        """
        super().service_actions()
        for association in self.active_associations:
            flow = getattr(association, "flow", None)
            if flow is not None and flow.is_over(association):
                association.dul.to_user_queue.put(A_P_ABORT())

    def shutdown(self) -> None:
        """Listens no more."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()

    @property
    def _most(self) -> int:
        return 2 * self.limits.associations

    def leave(self) -> None:
        """Notes that a connection has become an association, or has ended."""
        with self._lock:
            self._entering -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing more of a connection that broke."""
        self.refuse(client_address[0], "connection broke")


def free(thread: threading.Thread | None) -> bool:
    """Frees what a thread of pynetdicom held that ended by an error.

    It ends so for many a thing that a peer says out of turn.

    Returns:
        Whether it was one.
    """
    if isinstance(thread, Association):
        thread.dul.kill_dul()
        if thread.dul.socket is not None:
            thread.dul.socket.close()
    return isinstance(thread, Association | DULServiceProvider)
