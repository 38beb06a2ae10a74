"""Associations that a node asks for."""

import contextlib
import ssl
from typing import Any

from pynetdicom import AE
from pynetdicom.transport import AssociationSocket

from spectjax.node.connections import MOST_PDU_BYTES

_FOR_NOW = 2  # the result of a rejection that may pass; PS3.8, 9.3.4


class _Wire(AssociationSocket):
    """A connection that waits no longer than it may, and is closed in the end."""

    def connect(self, primitive: Any) -> None:
        """Connects; pynetdicom lifts all limits of time after that."""
        super().connect(primitive)
        if self.socket is not None:
            self.socket.settimeout(self.assoc.network_timeout)

    def _shutdown_socket(self) -> None:
        wire = self.socket
        super()._shutdown_socket()
        # One that was never connected stays open else.
        with contextlib.suppress(OSError):
            if wire is not None:
                wire.close()


class Caller(AE):
    """An application entity that calls others."""

    def __init__(self, title: str, timeout_s: float) -> None:
        """Takes its title, and how long it waits for anything."""
        super().__init__(title)
        self.maximum_pdu_size = MOST_PDU_BYTES
        self.connection_timeout = self.acse_timeout = timeout_s
        self.network_timeout = self.dimse_timeout = timeout_s

    def _create_socket(
        self, assoc: Any, address: Any, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
        wire = _Wire(assoc, address=address)
        wire.tls_args = tls_args
        return wire


def is_busy(association: Any) -> bool:
    """Tells whether an association was rejected for a reason that may pass."""
    answer = association.acceptor.primitive
    return association.is_rejected and answer.result == _FOR_NOW
