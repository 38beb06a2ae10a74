"""What brings results to a destination, and learns whether they are kept there.

A result is sent again only if the destination says that it does not have it, or if the
node was ended before it noted the answer and the destination does not tell what it has:
its UID is the same, and so a destination keeps it once.
"""

import sqlite3
import ssl
import threading
import time
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pynetdicom import evt

from spectjax.node.audit import Audit
from spectjax.node.calls import AwayError, Line
from spectjax.node.classes import COMMITMENT, COMMITMENT_INSTANCE, FIND
from spectjax.node.disk import DamagedFileError, Disk
from spectjax.node.errands import Errand, Parcel
from spectjax.node.log import tell, tell_bug
from spectjax.node.objects import name_instance
from spectjax.node.queue import Queue
from spectjax.node.receiver import take_report
from spectjax.node.reports import make_request
from spectjax.node.sections import Config, Destination

_IDLE_SECONDS = 0.2
_LINGER_SECONDS = 1.0  # on the line, for a report that may come on it
_TAKEN = (0x0000, 0xB000, 0xB006, 0xB007)  # with a warning, too: PS3.4, B.2.3
_PENDING = (0xFF00, 0xFF01)


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
        self._place, self._config = place, config
        self._queue, self._disk, self._audit = queue, disk, audit
        self._stop = threading.Event()
        self._failures = 0  # times that the destination was away, in a row
        self._used = 0.0  # when the line was
        self._line = Line(
            place,
            config.node.aet,
            config.sending.timeout_s,
            context=context,
            handlers=[(evt.EVT_N_EVENT_REPORT, self._take_report)],
        )

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
                    self._rest()
                else:
                    self.serve(errand)
            except (OSError, sqlite3.Error) as error:  # a full disk
                tell("cannot write", sender=self.name, why=type(error).__name__)
                self._stop.wait(self._config.retrying.pause_s)
            except Exception as error:
                tell_bug(self.name, error)
                self._line.drop()
                self._stop.wait(self._config.retrying.pause_s)
        self.close()

    def close(self) -> None:
        """Hangs up."""
        self._line.close()

    def _rest(self) -> None:
        """Waits, and hangs up if nothing has come to do for a while."""
        self._stop.wait(_IDLE_SECONDS)
        if self._line.is_open and time.monotonic() - self._used > _LINGER_SECONDS:
            self._line.close()

    def serve(self, errand: Errand) -> None:
        """Does the next step of an errand, or lets it wait."""
        facts = {"study": errand.key, "destination": self._place.name}
        retrying = self._config.retrying
        try:
            self._step(errand)
            self._failures = 0
        except AwayError as error:
            self._line.drop()
            self._failures += 1
            pause = retrying.pause_after(self._failures)
            self._queue.delay(errand, str(error), pause, tried=False)
            tell("destination away", **facts, why=error)
            # The others would meet the same.
            self._wait(pause)
        except DamagedFileError as error:
            # Who takes the study up again has it read again.
            self._queue.forget_file("out", error.digest)
            self._give_up(errand, str(error))
        except RefusedError as error:
            self._failures = 0
            if errand.tries + 1 >= self._config.sending.tries:
                self._give_up(errand, str(error))
                return
            pause = retrying.pause_after(errand.tries + 1)
            self._queue.delay(errand, str(error), pause, tried=True)
            tell("refused", **facts, why=error, tries=errand.tries + 1)

    def _give_up(self, errand: Errand, why: str) -> None:
        facts = {"study": errand.key, "destination": self._place.name, "why": why}
        self._queue.fail_errand(errand, f"{self._place.name}: {why}")
        tell("failed", **facts)
        self._audit.try_write("failed", **facts)

    def _wait(self, seconds: float) -> None:
        """Waits, and shows meanwhile that this thread lives."""
        until = time.monotonic() + seconds
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            self._disk.beat(self.name)
            self._stop.wait(min(left, 5.0))

    def _step(self, errand: Errand) -> None:
        waiting = [e for e in errand.parcels if e.state in ("waiting", "lost")]
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

    def _open(self, kinds: Iterable[tuple[str, str]] = ()) -> Any:
        """Returns an association for some classes, and for what is asked about them."""
        self._used = time.monotonic()
        services = {(str(FIND), str(ExplicitVRLittleEndian))}
        if self._place.commitment == "storage":
            services.add((str(COMMITMENT), str(ExplicitVRLittleEndian)))
        return self._line.open(services.union(kinds))

    # C-STORE.

    def _send(self, errand: Errand, parcels: list[Parcel]) -> None:
        """Sends results, but for those that turn out to be there already."""
        there = self._find_sent(errand, [each for each in parcels if each.is_in_doubt])
        for uid in there:
            self._queue.note_sent(errand, uid)
            tell("was sent", study=errand.key, destination=self._place.name)
        association = self._open({(each.sop_class, each.syntax) for each in parcels})
        for parcel in parcels:
            if parcel.uid in there:
                continue
            self._disk.beat(self.name)
            dataset = pydicom.dcmread(BytesIO(self._disk.read("out", parcel.digest)))
            # If more has come of the study, this is a part of it.
            if self._stop.is_set() or not self._queue.begin_sending(errand, parcel.uid):
                return
            self._store(association, errand, parcel, dataset)

    def _find_sent(self, errand: Errand, parcels: list[Parcel]) -> set[str]:
        """Returns results whose sending was begun, and that are there.

        The node was ended, or the line was cut, before the answer was noted.
        """
        try:
            found = self._list_instances(errand.study, parcels)
        except RefusedError:
            return set()
        return found & {each.uid for each in parcels}

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
            self._queue.note_refused(errand, parcel.uid)
            raise RefusedError(f"takes no {UID(parcel.sop_class).name}") from None
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
            self._queue.note_refused(errand, parcel.uid)
            self._audit.try_write("not taken", **facts)
            raise RefusedError(f"answers {answer.Status:04X} to a result")
        self._queue.note_sent(errand, parcel.uid)
        again = {"attempt": parcel.attempts + 1} if parcel.attempts else {}
        tell("sent", **facts, **again)
        self._audit.try_write("sent", **facts, **again)

    # C-FIND.

    def _find(self, errand: Errand, parcels: list[Parcel]) -> None:
        """Asks for every instance, and lets what is not listed be sent again."""
        found = self._list_instances(errand.study, parcels)
        self._queue.note_found(errand, found & {each.uid for each in parcels})
        lost = [each for each in parcels if each.uid not in found]
        if not lost:
            return
        # A destination may list with delay: at first it is only asked again.
        if errand.tries % 2:
            self._queue.send_again(errand)
        raise RefusedError(f"does not list {len(lost)} of {len(parcels)} results")

    def _list_instances(self, study: str, parcels: list[Parcel]) -> set[str]:
        """Returns what a destination lists of the series of some results.

        Raises:
            AwayError: if there is no answer.
            RefusedError: if it does not list anything.
        """
        found = set()
        for series in sorted({each.series for each in parcels}):
            query = Dataset()
            query.QueryRetrieveLevel = "IMAGE"
            query.StudyInstanceUID = study
            query.SeriesInstanceUID = series
            query.SOPInstanceUID = ""
            try:
                for status, listed in self._open().send_c_find(query, FIND):
                    if "Status" not in status:
                        raise AwayError("does not answer to C-FIND")
                    if status.Status in _PENDING and listed is not None:
                        found.add(str(listed.get("SOPInstanceUID") or ""))
                    elif status.Status not in (0x0000, *_PENDING):
                        raise RefusedError(f"answers {status.Status:04X} to C-FIND")
            except ValueError:
                raise RefusedError("takes no C-FIND") from None
            except RuntimeError:
                raise AwayError("the connection was lost") from None
        return found

    # Storage Commitment.

    def _ask_for_commitment(self, errand: Errand, parcels: list[Parcel]) -> None:
        """Asks; the report comes on this association, or on another one."""
        sending, asked = self._config.sending, self._queue.is_asked(errand)
        if asked and errand.tries + 1 >= sending.tries:
            raise RefusedError("does not report on Storage Commitment")
        association = self._open()
        request = str(generate_uid())
        # Before it is asked: the report may be quicker than the answer.
        self._queue.note_request(errand, request, sending.confirm_s)
        if asked:
            self._queue.delay(errand, "asked again", sending.confirm_s, tried=True)
        try:
            status, _ = association.send_n_action(
                make_request(request, parcels), 1, COMMITMENT, COMMITMENT_INSTANCE
            )
        except ValueError:
            raise RefusedError("takes no Storage Commitment") from None
        except RuntimeError:
            raise AwayError("the connection was lost") from None
        if "Status" not in status:
            raise AwayError("does not answer to N-ACTION")
        if status.Status != 0x0000:
            raise RefusedError(f"answers {status.Status:04X} to N-ACTION")

    def _take_report(self, event: Any) -> tuple[int, None]:
        self._used = time.monotonic()  # the answer is still to go the same way
        return take_report(
            event, [self._place.name], self._config, self._queue, self._audit
        )
