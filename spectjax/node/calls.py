"""Associations that a node asks for."""

import contextlib
import ssl
from collections.abc import Iterable, Sequence
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.presentation import build_context
from pynetdicom.transport import AssociationSocket

from spectjax.node.connections import MOST_PDU_BYTES
from spectjax.node.sections import Destination

_MOST_CONTEXTS = 128
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


class AwayError(Exception):
    """A destination that cannot be reached, does not answer, or does not want us."""


class Line:
    """An association with a destination that stays while there is something to do."""

    def __init__(
        self,
        place: Destination,
        title: str,
        timeout_s: float,
        *,
        context: ssl.SSLContext | None,
        handlers: Sequence[Any],
    ) -> None:
        """Calls nobody yet.

        Args:
            place: whom to call.
            title: who calls.
            timeout_s: for everything.
            context: for TLS; None for none.
            handlers: of pynetdicom's events.
        """
        self._place, self._title, self._timeout_s = place, title, timeout_s
        self._tls = (context, place.host) if context is not None else None
        self._handlers = list(handlers)
        self._kinds: set[tuple[str, str]] = set()
        self._association: Any = None

    @property
    def is_open(self) -> bool:
        """Whether there is an association."""
        return self._association is not None and self._association.is_established

    def open(self, kinds: Iterable[tuple[str, str]]) -> Any:
        """Returns an association for SOP classes and how they are encoded.

        Raises:
            AwayError: if there is none to be had.
        """
        asked = set(kinds)
        if self.is_open and asked <= self._kinds:
            return self._association
        self.close()
        caller = Caller(self._title, self._timeout_s)
        # As many as fit (PS3.8, 9.3.2); what is too much is missed by whoever sends it.
        chosen = sorted(asked)[:_MOST_CONTEXTS]
        try:
            association = caller.associate(
                self._place.host,
                self._place.port,
                contexts=[build_context(kind, _list_ways(way)) for kind, way in chosen],
                ae_title=self._place.aet,
                tls_args=self._tls,
                evt_handlers=self._handlers,
            )
        except OSError:
            raise AwayError("has no address") from None
        if association.is_rejected:
            what = "is busy" if is_busy(association) else "rejects the association"
            raise AwayError(what)
        if not association.is_established:
            raise AwayError("takes no connection")
        self._association, self._kinds = association, asked
        return association

    def close(self) -> None:
        """Releases the association, if there is one."""
        association, self._association = self._association, None
        if association is not None and association.is_established:
            association.release()

    def drop(self) -> None:
        """Ends the association, of which nothing more is expected."""
        association, self._association = self._association, None
        if association is not None:
            association.abort()


def is_busy(association: Any) -> bool:
    """Tells whether an association was rejected for a reason that may pass."""
    answer = association.acceptor.primitive
    return bool(association.is_rejected and answer.result == _FOR_NOW)


def _list_ways(syntax: str) -> list[str]:
    """Returns how an object may be encoded on its way: uncompressed either way."""
    implicit = str(ImplicitVRLittleEndian)
    return [syntax, implicit] if syntax == str(ExplicitVRLittleEndian) else [syntax]
