"""What brings results to a destination, and learns whether they are kept there.

A result is sent again only if the node was ended between the answer of the destination
and the note of it, or if the destination says that it does not have it: its UID is the
same, and so a destination keeps it once.
"""

import sqlite3
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context

from spectjax.node.audit import Audit
from spectjax.node.classes import COMMITMENT, COMMITMENT_INSTANCE, FIND
from spectjax.node.config import Config, Destination
from spectjax.node.connections import MOST_PDU_BYTES
from spectjax.node.disk import DamagedFileError, Disk
from spectjax.node.log import tell, tell_bug
from spectjax.node.objects import name_instance
from spectjax.node.queue import Errand, Parcel, Queue
from spectjax.node.receiver import take_report
from spectjax.node.reports import make_request

_IDLE_SECONDS = 0.2
_REPORT_SECONDS = 1.0  # for a report on the same association
_ANSWER_SECONDS = 0.1  # for the answer to it: a release would overtake it
_TAKEN = (0x0000, 0xB000, 0xB006, 0xB007)  # with a warning, too: PS3.4, B.2.3
_PENDING = (0xFF00, 0xFF01)
_MOST_CONTEXTS = 126  # PS3.8 has 128


class AwayError(Exception):
    """A destination that cannot be reached, or does not answer."""


class RefusedError(Exception):
    """A destination that does not take something; the text is for people."""


class Sender:
    """A thread that serves one destination."""

    def __init__(
        self,
        place: Destination,
        config: Config,
        queue: Queue,
        disk: Disk,
        audit: Audit,
        context: ssl.SSLContext | None,
    ) -> None:
        """Takes what it works with; `context` is for TLS, None for none."""
        self.name = f"sender-{place.name}"
        self._place, self._config, self._context = place, config, context
        self._queue, self._disk, self._audit = queue, disk, audit
        self._stop, self._reported = threading.Event(), threading.Event()
        self._failures = 0  # times that the destination was away, in a row

    def stop(self) -> None:
        """Begins nothing more; what is being sent is sent to its end."""
        self._stop.set()

    def run(self) -> None:
        """Works until it is stopped."""
        while not self._stop.is_set():
            self._disk.beat(self.name)
            try:
                errand = self._queue.next_errand(self._place.name)
                if errand is None:
                    self._stop.wait(_IDLE_SECONDS)
                else:
                    self._serve(errand)
            except Exception as error:
                tell_bug(self.name, error)
                self._stop.wait(self._config.retrying.pause_s)

    def _serve(self, errand: Errand) -> None:
        """Does the next step of an errand, or lets it wait."""
        facts = {"study": errand.key, "destination": self._place.name}
        retrying = self._config.retrying
        try:
            self._step(errand)
            self._failures = 0
        except AwayError as error:
            self._failures += 1
            pause = retrying.pause_after(self._failures)
            self._queue.delay(errand, str(error), pause, tried=False)
            tell("destination away", **facts, why=error)
            # The others would meet the same.
            self._wait(pause)
        except (RefusedError, DamagedFileError) as error:
            self._failures = 0
            if errand.tries + 1 >= self._config.sending.tries:
                self._queue.fail_errand(errand, f"{self._place.name}: {error}")
                tell("failed", **facts, why=error)
                self._audit.try_write("failed", **facts, why=str(error))
                return
            pause = retrying.pause_after(errand.tries + 1)
            self._queue.delay(errand, str(error), pause, tried=True)
            tell("refused", **facts, why=error, tries=errand.tries + 1)
        except (OSError, sqlite3.Error) as error:  # a full disk
            tell("waits for the node", **facts, why=type(error).__name__)
            self._stop.wait(retrying.pause_s)

    def _wait(self, seconds: float) -> None:
        """Waits, and shows meanwhile that this thread lives."""
        until = time.monotonic() + seconds
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            self._disk.beat(self.name)
            self._stop.wait(min(left, 5.0))

    def _step(self, errand: Errand) -> None:
        waiting = [each for each in errand.parcels if each.state == "waiting"]
        if waiting:
            self._send(errand, waiting)
            return
        unsure = [each for each in errand.parcels if each.state != "confirmed"]
        if not unsure or self._place.commitment == "none":
            state = self._queue.close_errand(errand, confirmed=not unsure)
            facts = {"study": errand.key, "destination": self._place.name}
            tell("delivered", **facts, state=state)
            self._audit.try_write("delivered", **facts, state=state)
        elif self._place.commitment == "find":
            self._find(errand, unsure)
        else:
            self._ask_for_commitment(errand, unsure)

    # C-STORE.

    def _send(self, errand: Errand, parcels: list[Parcel]) -> None:
        kinds = sorted({(each.sop_class, each.syntax) for each in parcels})
        with self._associate(kinds[:_MOST_CONTEXTS]) as association:
            for parcel in parcels:
                self._disk.beat(self.name)
                dataset = self._load(parcel)
                if self._stop.is_set() or not self._queue.begin_sending(
                    errand, parcel.uid
                ):
                    return  # more has come of the study: this is a part of it
                self._store(association, errand, parcel, dataset)

    def _load(self, parcel: Parcel) -> Dataset:
        contents = self._disk.read("out", parcel.digest)
        return pydicom.dcmread(BytesIO(contents))

    def _store(
        self, association: Any, errand: Errand, parcel: Parcel, dataset: Dataset
    ) -> None:
        """Sends a result.

        Raises:
            AwayError: if there is no answer.
            RefusedError: if it is not taken.
        """
        try:
            answer = association.send_c_store(dataset)
        except ValueError:  # its class, or how it is encoded, was not agreed to
            raise RefusedError(
                f"takes no {pydicom.uid.UID(parcel.sop_class).name}"
            ) from None
        except (RuntimeError, AttributeError):
            raise AwayError("the connection was lost") from None
        if "Status" not in answer:
            raise AwayError("does not answer")
        facts = {
            "study": errand.key,
            "destination": self._place.name,
            "instance": name_instance(parcel.uid),
            "status": f"{answer.Status:04X}",
        }
        if answer.Status not in _TAKEN:
            self._audit.try_write("not taken", **facts)
            raise RefusedError(f"answers {answer.Status:04X} to a result")
        self._queue.note_sent(errand, parcel.uid)
        again = {"attempt": parcel.attempts + 1} if parcel.attempts else {}
        tell("sent", **facts, **again)
        self._audit.try_write("sent", **facts, **again)

    # C-FIND.

    def _find(self, errand: Errand, parcels: list[Parcel]) -> None:
        """Asks for every instance, and lets what is not listed be sent again."""
        found: set[str] = set()
        with self._associate([(FIND, "1.2.840.10008.1.2.1")]) as association:
            for series in sorted({each.series for each in parcels}):
                found |= self._list_instances(association, errand.study, series)
        self._queue.note_found(errand, found & {each.uid for each in parcels})
        lost = [each for each in parcels if each.uid not in found]
        if not lost:
            return
        # A destination may list with delay: at first it is only asked again.
        if errand.tries % 2:
            self._queue.send_again(errand)
        raise RefusedError(f"does not list {len(lost)} of {len(parcels)} results")

    def _list_instances(self, association: Any, study: str, series: str) -> set[str]:
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID = study
        query.SeriesInstanceUID = series
        query.SOPInstanceUID = ""
        found = set()
        try:
            for status, listed in association.send_c_find(query, FIND):
                if "Status" not in status:
                    raise AwayError("does not answer to C-FIND")
                if status.Status in _PENDING and listed is not None:
                    found.add(str(listed.get("SOPInstanceUID") or ""))
                elif status.Status not in (0x0000, *_PENDING):
                    raise RefusedError(f"answers {status.Status:04X} to C-FIND")
        except (ValueError, RuntimeError):
            raise RefusedError("takes no C-FIND") from None
        return found

    # Storage Commitment.

    def _ask_for_commitment(self, errand: Errand, parcels: list[Parcel]) -> None:
        """Asks; the report comes on this association, or on another one."""
        if self._queue.is_asked(errand) and errand.tries + 1 >= (
            self._config.sending.tries
        ):
            raise RefusedError("does not report on Storage Commitment")
        tried = self._queue.is_asked(errand)
        request = str(generate_uid())
        self._reported.clear()
        kind = (COMMITMENT, "1.2.840.10008.1.2.1")
        with self._associate([kind]) as association:
            self._queue.note_request(errand, request, self._config.sending.confirm_s)
            if tried:
                pause = self._config.sending.confirm_s
                self._queue.delay(errand, "asked again", pause, tried=True)
            try:
                status, _ = association.send_n_action(
                    make_request(request, parcels),
                    1,
                    COMMITMENT,
                    COMMITMENT_INSTANCE,
                )
            except (ValueError, RuntimeError):
                raise RefusedError("takes no Storage Commitment") from None
            if "Status" not in status:
                raise AwayError("does not answer to N-ACTION")
            if status.Status != 0x0000:
                raise RefusedError(f"answers {status.Status:04X} to N-ACTION")
            if self._reported.wait(_REPORT_SECONDS):
                time.sleep(_ANSWER_SECONDS)

    @contextmanager
    def _associate(self, kinds: list[tuple[str, str]]) -> Iterator[Any]:
        """Connects; the association is released at the end.

        Raises:
            AwayError: if that cannot be.
            RefusedError: if the destination does not want this node.
        """
        place, timeout = self._place, self._config.sending.timeout_s
        ae = AE(self._config.node.aet)
        ae.maximum_pdu_size = MOST_PDU_BYTES
        ae.connection_timeout = ae.acse_timeout = timeout
        ae.network_timeout = ae.dimse_timeout = timeout
        tls = (self._context, place.host) if self._context is not None else None
        association = ae.associate(
            place.host,
            place.port,
            contexts=[build_context(kind, _list_ways(way)) for kind, way in kinds],
            ae_title=place.aet,
            tls_args=tls,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, self._limit),
                (evt.EVT_N_EVENT_REPORT, self._take_report),
            ],
        )
        if association.is_rejected:
            raise RefusedError("rejects the association")
        if not association.is_established:
            raise AwayError("takes no connection")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _limit(self, event: Any) -> None:
        """Ends what a destination that says nothing would block for ever."""
        event.assoc.dul.socket.socket.settimeout(self._config.sending.timeout_s)

    def _take_report(self, event: Any) -> tuple[int, None]:
        self._reported.set()
        return take_report(
            event, [self._place.name], self._config, self._queue, self._audit
        )


def _list_ways(syntax: str) -> list[str]:
    """Returns how an object may be encoded on its way: uncompressed either way."""
    implicit = str(ImplicitVRLittleEndian)
    return [syntax, implicit] if syntax == str(ExplicitVRLittleEndian) else [syntax]
