"""What listens: takes studies, and answers only when they are on the disk.

| answer | when |
|---|---|
| 0000 | it is on the disk, or was already; or is a result of ours that came back |
| A700 | it, or what its association has brought, is too large; the disk has no room |
| A900 | what was announced is something else than what came |
| C000 | it cannot be read |
| 0111 | another object has its SOP Instance UID: the first is kept |
| 0124 | who sends may not send |
"""

import ssl
from collections.abc import Sequence
from typing import Any, cast

from pydicom.pixels import get_decoder
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    NuclearMedicineImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import A_ASSOCIATE

from spectjax.node.audit import Audit
from spectjax.node.classes import COMMITMENT, VERIFICATION
from spectjax.node.connections import MOST_PDU_BYTES, Server
from spectjax.node.disk import Disk
from spectjax.node.holds import Holds
from spectjax.node.incoming import Keeper, NoRoomError, describe
from spectjax.node.log import tell, tell_bug
from spectjax.node.objects import ObjectError, name_study, read_instance
from spectjax.node.peers import Peers
from spectjax.node.queue import Queue
from spectjax.node.reports import read_report
from spectjax.node.sections import Config
from spectjax.system.limits import MIB
from spectjax.system.messages import UserError

SUCCESS, NO_ROOM, MISMATCH, UNREADABLE = 0x0000, 0xA700, 0xA900, 0xC000
DUPLICATE, NOT_ALLOWED, UNEXPECTED = 0x0111, 0x0124, 0x0110
_STORED = (
    NuclearMedicineImageStorage,
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
# What can be decoded here, as far as it is installed. Not deflated: a small object can
# unpack to fill the memory.
_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
)
_REJECTED = (0x01, 0x01)  # for good, by the service user; PS3.8, 9.3.4
_GREETING_SECONDS = 5.0  # for who has connected to say what it wants
_CALLING, _CALLED = 0x03, 0x07  # the AE title that is not recognised


class Receiver:
    """Listens for studies, and for reports on Storage Commitment."""

    def __init__(
        self,
        config: Config,
        queue: Queue,
        disk: Disk,
        audit: Audit,
        holds: Holds,
        context: ssl.SSLContext | None,
    ) -> None:
        """Takes what it works with; `context` is for TLS, None for none."""
        self._config, self._limits = config, config.receiving
        self._queue, self._disk, self._audit = queue, disk, audit
        self._holds, self._context = holds, context
        self._peers = Peers(config)
        self._keeper = Keeper(queue, disk, audit, config.receiving.quiet_s)
        self._server: Server | None = None

    def start(self) -> int:
        """Listens from now on; returns the port.

        Raises:
            UserError: if the address is not to be had.
        """
        limits = self._limits
        ae = AE(self._config.node.aet)
        ae.maximum_associations = limits.associations
        ae.maximum_pdu_size = MOST_PDU_BYTES
        ae.network_timeout = ae.dimse_timeout = limits.timeout_s
        ae.acse_timeout = min(limits.timeout_s, _GREETING_SECONDS)
        for sop_class in _STORED:
            ae.add_supported_context(sop_class, _list_syntaxes())
        ae.add_supported_context(VERIFICATION)
        # Who was asked for a commitment reports as its provider.
        ae.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
        host, port = self._config.node.host, self._config.node.port
        try:
            server = ae.make_server(
                (host, port),
                ssl_context=self._context,
                evt_handlers=self._list_handlers(),
                server_class=Server,
                limits=limits,
                allows=self._peers.allow,
                refuse=self._refuse_connection,
            )
        except OSError as error:
            raise UserError(
                f"node.host and node.port: expected an address to listen on, found "
                f"{host}:{port} ({error.strerror}). Is another node running?"
            ) from None
        self._server = cast(Server, server)
        return int(server.server_address[1])

    def _list_handlers(self) -> list[Any]:
        return [
            (evt.EVT_REQUESTED, self._check_peer),
            (evt.EVT_REJECTED, self._note_rejection),
            (evt.EVT_CONN_CLOSE, self._end),
            (evt.EVT_ABORTED, self._end),
            (evt.EVT_RELEASED, self._end),
            (evt.EVT_C_ECHO, lambda event: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._take_report),
        ]

    def serve(self) -> None:
        """Lets in who calls, until `stop`."""
        assert self._server is not None  # mypy
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """Listens no more, and ends what is under way: it is sent again."""
        if self._server is None:
            return
        self._server.shutdown()
        for association in self._server.active_associations:
            association.abort(block=False)

    # Who may.

    def _check_peer(self, event: Any) -> None:
        """Rejects who is not listed, before anything is agreed."""
        association = event.assoc
        request = association.requestor.primitive
        if not isinstance(request, A_ASSOCIATE):  # the peer has gone
            association.is_aborted = True
            association.kill()
            return
        calling, address = _name_peer(association)
        diagnostic, why = 0, ""
        if request.called_ae_title.strip() != self._config.node.aet:
            diagnostic, why = _CALLED, "called another AE title"
        elif not self._peers.know(calling, address):
            diagnostic, why = _CALLING, "AE title not listed, or not at this address"
        if not diagnostic:
            return
        association.acse.send_reject(*_REJECTED, diagnostic)
        association.kill()
        self._audit.refuse("refused association", aet=calling, address=address, why=why)

    def _refuse_connection(self, address: str, why: str) -> None:
        self._audit.refuse("refused connection", address=address, why=why)

    def _note_rejection(self, event: Any) -> None:
        calling, address = _name_peer(event.assoc)
        why = "too many associations"
        self._audit.refuse("refused association", aet=calling, address=address, why=why)

    def _get_flow(self, event: Any) -> Any:
        return event.assoc.flow

    def _end(self, event: Any) -> None:
        """Lets studies become due whose association has ended."""
        association, broken = event.assoc, None
        flow = self._get_flow(event)
        if flow.in_message:
            broken = "broken off"
        if flow.cut:
            calling, address = _name_peer(association)
            why = "too large or too slow"
            self._audit.refuse("cut connection", aet=calling, address=address, why=why)
        ended = self._holds.end(association, broken)
        if ended:
            self._queue.touch(ended, self._limits.quiet_s)

    # What comes.

    def _store(self, event: Any) -> int:
        """Answers a C-STORE."""
        try:
            return self._take(event)
        except Exception as error:
            tell_bug("C-STORE", error)
            return UNEXPECTED

    def _take(self, event: Any) -> int:
        """Takes an instance, or says why not; see the module."""
        calling, address = _name_peer(event.assoc)
        sender = {"aet": calling, "address": address}
        if not self._peers.may_send(calling, address):
            self._audit.refuse("refused instance", **sender, why="may not send")
            return NOT_ALLOWED
        request = event.request
        announced = str(request.AffectedSOPInstanceUID or "")
        size = request.DataSet.getbuffer().nbytes
        if size > self._limits.max_object_bytes:
            return self._refuse(event, NO_ROOM, "too large")
        contents = event.encoded_dataset()
        try:
            new = read_instance(contents)
        except ObjectError as error:
            return self._refuse(event, UNREADABLE, str(error))
        if (new.uid, new.sop_class) != (announced, str(request.AffectedSOPClassUID)):
            return self._refuse(event, MISMATCH, "is not what was announced")
        # Before it is due: more may come over this association.
        self._holds.note_came(event.assoc, new.study, new.uid)
        try:
            self._check_room(event, len(contents))
            arrival = self._keeper.keep(new, contents, sender)
        except NoRoomError as error:
            self._holds.note_missing(new.study, new.uid)
            facts = {**sender, **describe(new)}
            self._audit.refuse("refused instance", **facts, why=str(error))
            return NO_ROOM
        if arrival == "different":
            return DUPLICATE
        tell("received", **sender, **describe(new), arrival=arrival)
        return SUCCESS

    def _refuse(self, event: Any, status: int, why: str) -> int:
        """Refuses an instance of which it is only known what it came with."""
        calling, address = _name_peer(event.assoc)
        announced = str(event.request.AffectedSOPInstanceUID or "")
        self._holds.note_missing_with(event.assoc, announced)
        self._audit.refuse("refused instance", aet=calling, address=address, why=why)
        return status

    def _check_room(self, event: Any, size: int) -> None:
        """Checks that there is room for so many bytes.

        Raises:
            NoRoomError: if there is not.
        """
        if self._get_flow(event).total > self._limits.max_association_mb * MIB:
            raise NoRoomError("the association has brought too much")
        if self._disk.measure_free() - size < self._limits.min_free_bytes:
            raise NoRoomError("too little room on the disk")

    # What destinations report.

    def _take_report(self, event: Any) -> tuple[int, None]:
        """Answers an N-EVENT-REPORT."""
        calling, address = _name_peer(event.assoc)
        places = [d.name for d in self._config.destinations if d.aet == calling]
        if not places:
            self._audit.refuse("refused report", aet=calling, address=address)
            return NOT_ALLOWED, None
        try:
            return take_report(event, places, self._config, self._queue, self._audit)
        except Exception as error:
            tell_bug("N-EVENT-REPORT", error)
            return UNEXPECTED, None


def take_report(
    event: Any, places: Sequence[str], config: Config, queue: Queue, audit: Audit
) -> tuple[int, None]:
    """Takes a report on Storage Commitment, and returns the status to answer.

    `places` are the destinations of which whoever reports may be one.
    """
    place = " or ".join(places)
    report = read_report(event)
    if report is None:
        audit.refuse("refused report", destination=place, why="cannot be read")
        return UNEXPECTED, None
    study = queue.take_report(
        report.request, places, report.kept, report.lost, config.retrying.pause_s
    )
    if study is None:
        audit.refuse("refused report", destination=place, why="nothing was asked")
        return SUCCESS, None
    facts: dict[str, str | int] = {
        "destination": place,
        "study": name_study(study),
        "kept": len(report.kept),
        "lost": len(report.lost),
    }
    tell("commitment", **facts)
    audit.try_write("commitment", **facts)
    return SUCCESS, None


def _name_peer(association: Any) -> tuple[str, str]:
    """Returns the AE title and the address of who calls."""
    request = association.requestor.primitive
    asked = isinstance(request, A_ASSOCIATE)
    title = request.calling_ae_title.strip() if asked else ""
    return title, str(association.requestor.address)


def _list_syntaxes() -> list[str]:
    return [syntax for syntax in _SYNTAXES if get_decoder(syntax).is_available]
