"""A PACS that remembers all that it was sent, and can be made to misbehave."""

import collections
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pydicom
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from scripts.node_trial.loads import digest

TITLE = "PACS"
_VERIFICATION = "1.2.840.10008.1.1"
_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_COMMITMENT, _COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
_RESULT_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
    "1.2.840.10008.5.1.4.1.1.104.1",  # Encapsulated PDF
    "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
)
_ALL_THERE, _SOME_MISSING = 1, 2  # event types of PS3.4 J.3.3
_NO_SUCH_INSTANCE = 0x0112
SUCCESS, WARNING, OUT_OF_RESOURCES, REFUSED = 0x0000, 0xB000, 0xA700, 0x0122


class Pacs:
    """A Storage, Query and Storage Commitment SCP on the loopback.

    Attributes:
        port: where it listens.
        kept: UID and digest of what it holds.
        sent: every C-STORE that it answered well, in order: UID and digest.
        last_came: when the last of them came, as `time.monotonic` counts.
        asked: numbers of C-FIND, N-ACTION, C-ECHO and associations.
        answer: status of the nth C-STORE of a UID, from 1.
        loses: how many of those that it still answers well it does not keep.
        seconds: how long it takes to answer each.
        rejects: whether it knows nobody, from the next start on.
        commitment: it confirms by a "new" association to `node_port`, on the "same" as
            the request, or is "silent".
    """

    def __init__(self, port: int, node_port: int, node_title: str = "SPECTJAX") -> None:
        """Is away until `start`."""
        self.port, self.node_port, self._title = port, node_port, node_title
        self.kept: dict[str, str] = {}
        self.sent: list[tuple[str, str]] = []
        self.last_came = 0.0
        self.asked: collections.Counter[str] = collections.Counter()
        self.answer: Callable[[int], int] = lambda number: SUCCESS
        self.loses = 0
        self.seconds = 0.0
        self.commitment = "new"
        self.rejects = False
        self._studies: dict[str, tuple[str, str]] = {}
        self._tries: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self._server: ThreadedAssociationServer | None = None

    def start(self) -> None:
        """Is there from now on, with what it held before."""
        entity = AE(TITLE)
        entity.require_called_aet = True
        entity.maximum_associations = 20
        entity.require_calling_aet = ["NOBODY"] if self.rejects else []
        for sop_class in _RESULT_CLASSES:
            entity.add_supported_context(sop_class)
        entity.add_supported_context(_VERIFICATION)
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_N_ACTION, self._commit),
            (evt.EVT_ACCEPTED, self._count_association),
        ]
        entity.add_supported_context(_STUDY_ROOT_FIND)
        entity.add_supported_context(_COMMITMENT, scu_role=True, scp_role=True)
        self._server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers
        )

    def stop(self) -> None:
        """Is away from now on: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def forget(self) -> None:
        """Starts to remember anew."""
        with self._lock:
            self.kept.clear()
            self.sent.clear()

    def _count_association(self, event: Event) -> None:
        self.asked["associations"] += 1

    def _echo(self, event: Event) -> int:
        self.asked["echo"] += 1
        return SUCCESS

    def _store(self, event: Event) -> int:
        time.sleep(self.seconds)
        dataset = event.dataset
        uid, content = str(dataset.SOPInstanceUID), digest(dataset)
        with self._lock:
            self._tries[uid] += 1
            status = self.answer(self._tries[uid])
            if status in (SUCCESS, WARNING):
                self.sent.append((uid, content))
                self.last_came = time.monotonic()
                if self.loses:
                    self.loses -= 1
                else:
                    # As Orthanc: what is there stays.
                    self.kept.setdefault(uid, content)
                    self._studies[uid] = (
                        str(dataset.StudyInstanceUID),
                        str(dataset.SeriesInstanceUID),
                    )
        return status

    def _find(self, event: Event) -> Iterator[tuple[int, pydicom.Dataset | None]]:
        self.asked["find"] += 1
        query = event.identifier
        level = str(query.get("QueryRetrieveLevel", ""))
        found = set()
        with self._lock:
            known = [(u, *self._studies[u]) for u in self.kept]
        for uid, study, series in known:
            keys = {
                "SOPInstanceUID": uid,
                "StudyInstanceUID": study,
                "SeriesInstanceUID": series,
            }
            if all(_matches(query.get(name), value) for name, value in keys.items()):
                depth = {"STUDY": 1, "SERIES": 2}.get(level, 3)
                found.add((study, series, uid)[:depth])
        for values in sorted(found):
            answer = pydicom.Dataset()
            answer.QueryRetrieveLevel = level
            names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
            for name, value in zip(names, values, strict=False):
                setattr(answer, name, value)
            yield 0xFF00, answer

    def _commit(self, event: Event) -> tuple[int, pydicom.Dataset | None]:
        self.asked["commitment"] += 1
        wanted = event.action_information
        if self.commitment != "silent":
            threading.Thread(
                target=self._report, args=(wanted, event.assoc), daemon=True
            ).start()
        return SUCCESS, None

    def _report(self, wanted: pydicom.Dataset, association: object) -> None:
        """Tells the node which of the instances are here, as an N-EVENT-REPORT."""
        report = pydicom.Dataset()
        report.TransactionUID = wanted.TransactionUID
        there, missing = [], []
        for item in wanted.ReferencedSOPSequence:
            copy = pydicom.Dataset()
            copy.ReferencedSOPClassUID = item.ReferencedSOPClassUID
            copy.ReferencedSOPInstanceUID = item.ReferencedSOPInstanceUID
            if str(item.ReferencedSOPInstanceUID) in self.kept:
                there.append(copy)
            else:
                copy.FailureReason = _NO_SUCH_INSTANCE
                missing.append(copy)
        if there:
            report.ReferencedSOPSequence = there
        if missing:
            report.FailedSOPSequence = missing
        arguments = (
            report,
            _SOME_MISSING if missing else _ALL_THERE,
            _COMMITMENT,
            _COMMITMENT_INSTANCE,
        )
        time.sleep(0.1)  # the answer to the request goes first
        if self.commitment == "same":
            association.send_n_event_report(*arguments)  # type: ignore[attr-defined]
            return
        entity = AE(TITLE)
        entity.add_requested_context(_COMMITMENT)
        port, title = self.node_port, self._title
        back = entity.associate(
            "127.0.0.1",
            port,
            ae_title=title,
            ext_neg=[build_role(_COMMITMENT, scp_role=True)],
        )
        if not back.is_established:
            self.asked["reports not taken"] += 1
            return
        back.send_n_event_report(*arguments)
        self.asked["reports"] += 1
        back.release()


def _matches(wanted: object, value: str) -> bool:
    """Tells whether a key of a query, one UID or a list or none, matches."""
    if wanted is None or wanted == "":
        return True
    if isinstance(wanted, str):
        return wanted == value
    return value in [str(x) for x in wanted]  # type: ignore[attr-defined]
