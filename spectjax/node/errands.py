"""Results on their way to destinations."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from spectjax.node.schema import MOST_NOTE, Tables


@dataclass(frozen=True)
class Parcel:
    """A result on its way.

    Attributes:
        uid: SOP Instance UID.
        digest: of its file.
        sop_class: SOP Class UID.
        series: Series Instance UID.
        syntax: Transfer Syntax UID.
        state: `waiting`; `lost`, if it is known not to be there; `sent`; `confirmed`.
        attempts: how many times its sending was begun.
    """

    uid: str
    digest: str
    sop_class: str
    series: str
    syntax: str
    state: str
    attempts: int

    @property
    def is_in_doubt(self) -> bool:
        """Whether it was begun to be sent, and it is not known how that ended."""
        return self.state == "waiting" and self.attempts > 0


@dataclass(frozen=True)
class Errand:
    """Results of a study that are to go to a destination."""

    study: str
    key: str
    version: int
    destination: str
    tries: int
    parcels: tuple[Parcel, ...]


class Errands(Tables):
    """What brings results to destinations, until they are known to be kept."""

    def next_errand(self, destination: str) -> Errand | None:
        """Returns results that are due at a destination; None if there are none."""
        rows = self._tables.ask(
            "SELECT study.uid, study.key, study.version, errand.tries FROM errand "
            "JOIN study ON study.uid=errand.study WHERE errand.destination=? "
            "AND errand.state='open' AND errand.due<=? AND study.state='sending' "
            "ORDER BY errand.due LIMIT 1",
            destination,
            self._clock(),
        )
        if not rows:
            return None
        study, key, version, tries = rows[0]
        parcels = self._tables.ask(
            "SELECT result.uid, digest, sop_class, series, syntax, state, attempts "
            "FROM result JOIN delivery ON delivery.result=result.uid "
            "WHERE study=? AND version=? AND destination=? ORDER BY result.uid",
            study,
            version,
            destination,
        )
        listed = tuple(Parcel(*row) for row in parcels)
        return Errand(study, key, version, destination, tries, listed)

    def begin_sending(self, errand: Errand, uid: str) -> bool:
        """Notes that a result is about to be sent; False if the study has changed."""
        with self._tables.change() as db:
            current = db.execute(
                "SELECT 1 FROM study WHERE uid=? AND version=? AND state='sending'",
                (errand.study, errand.version),
            ).fetchone()
            if current is None:
                return False
            db.execute(
                "UPDATE delivery SET attempts=attempts+1 "
                "WHERE result=? AND destination=?",
                (uid, errand.destination),
            )
            return True

    def note_sent(self, errand: Errand, uid: str) -> None:
        """Notes that a destination has taken a result."""
        with self._tables.change() as db:
            unsent = "state IN ('waiting', 'lost')"
            _mark(db, "sent", [uid], errand.destination, unsent)

    def note_refused(self, errand: Errand, uid: str) -> None:
        """Notes that a destination has not taken a result."""
        with self._tables.change() as db:
            _mark(db, "lost", [uid], errand.destination, "state='waiting'")

    def note_request(self, errand: Errand, request: str, pause_s: float) -> None:
        """Notes a request for Storage Commitment, before it is sent."""
        with self._tables.change() as db:
            db.execute(
                "INSERT INTO request VALUES (?, ?, ?, ?)",
                (request, errand.study, errand.destination, self._clock()),
            )
            _delay(db, errand, self._clock() + pause_s, "waits for a commitment")

    def take_report(
        self,
        request: str,
        destinations: Collection[str],
        kept: Sequence[str],
        lost: Sequence[str],
        pause_s: float,
    ) -> str | None:
        """Takes what a destination answers to a request for Storage Commitment.

        What is lost is to be sent again after a pause; what it does not speak of is to
        be asked for again.

        Returns:
            The study; None if nothing of the kind was asked of these destinations.
        """
        with self._tables.change() as db:
            row = db.execute(
                "SELECT study, destination FROM request WHERE uid=?", (request,)
            ).fetchone()
            if row is None or row[1] not in destinations:
                return None
            study, destination = row
            _mark(db, "confirmed", kept, destination, "state='sent'", study)
            _mark(db, "lost", lost, destination, "state='sent'", study)
            db.execute("DELETE FROM request WHERE uid=?", (request,))
            (open_ones,) = db.execute(
                "SELECT count(*) FROM delivery JOIN result ON result.uid=result "
                "JOIN study ON study.uid=study AND study.version=result.version "
                "WHERE study=? AND destination=? AND delivery.state<>'confirmed'",
                (study, destination),
            ).fetchone()
            db.execute(
                "UPDATE errand SET due=?, tries=tries+?, note=? WHERE study=? "
                "AND destination=? AND state='open'",
                (
                    # What is complete is closed before anything else is begun.
                    self._clock() + pause_s if open_ones else 0,
                    int(open_ones > 0),
                    f"{open_ones} results not confirmed" if open_ones else "",
                    study,
                    destination,
                ),
            )
            return str(study)

    def is_asked(self, errand: Errand) -> bool:
        """Tells whether a request of an errand has had no answer."""
        query = "SELECT 1 FROM request WHERE study=? AND destination=?"
        return bool(self._tables.ask(query, errand.study, errand.destination))

    def note_found(self, errand: Errand, found: Collection[str]) -> None:
        """Notes which results a destination lists."""
        with self._tables.change() as db:
            _mark(db, "confirmed", list(found), errand.destination, "state='sent'")

    def send_again(self, errand: Errand) -> None:
        """Lets what was sent and is not confirmed be sent again."""
        sent = [each.uid for each in errand.parcels if each.state == "sent"]
        with self._tables.change() as db:
            _mark(db, "lost", sent, errand.destination, "state='sent'")

    def delay(self, errand: Errand, note: str, pause_s: float, tried: bool) -> None:
        """Lets an errand wait; `tried` if it counts as a refusal."""
        with self._tables.change() as db:
            _delay(db, errand, self._clock() + pause_s, note, int(tried))

    def close_errand(self, errand: Errand, *, confirmed: bool) -> str:
        """Ends an errand, and with the last of them the study.

        Returns:
            The state of the study.
        """
        with self._tables.change() as db:
            state = "confirmed" if confirmed else "sent"
            db.execute(
                "UPDATE errand SET state=?, note='' WHERE study=? AND destination=?",
                (state, errand.study, errand.destination),
            )
            return conclude(db, errand.study, self._clock())

    def fail_errand(self, errand: Errand, note: str) -> None:
        """Gives a study up whose results a destination does not take."""
        with self._tables.change() as db:
            db.execute(
                "UPDATE study SET state='failed', note=?, changed=? "
                "WHERE uid=? AND version=? AND state='sending'",
                (note[:MOST_NOTE], self._clock(), errand.study, errand.version),
            )


def _mark(
    db: Any,
    state: str,
    uids: Sequence[str],
    destination: str,
    only: str,
    study: str | None = None,
) -> None:
    """Sets the state of deliveries whose state is another one, perhaps of one study."""
    for uid in uids:
        db.execute(
            f"UPDATE delivery SET state=? WHERE result=? AND destination=? AND {only} "
            "AND (? IS NULL OR result IN (SELECT uid FROM result WHERE study=?))",
            (state, uid, destination, study, study),
        )


def _delay(db: Any, errand: Errand, due: float, note: str, tried: int = 0) -> None:
    db.execute(
        "UPDATE errand SET due=?, note=?, tries=tries+? WHERE study=? "
        "AND destination=? AND state='open'",
        (due, note[:MOST_NOTE], tried, errand.study, errand.destination),
    )


def conclude(db: Any, study: str, now: float) -> str:
    """Ends a study whose errands have all ended; returns its state."""
    states = [
        state
        for (state,) in db.execute(
            "SELECT state FROM errand WHERE study=?", (study,)
        ).fetchall()
    ]
    if "open" not in states:
        state = "done" if all(each == "confirmed" for each in states) else "sent"
        state, note = (
            (state, "") if states else ("failed", "its destinations are no more")
        )
        db.execute(
            "UPDATE study SET state=?, note=?, changed=? "
            "WHERE uid=? AND state='sending'",
            (state, note, now, study),
        )
        db.execute("DELETE FROM request WHERE study=?", (study,))
    (state,) = db.execute("SELECT state FROM study WHERE uid=?", (study,)).fetchone()
    return str(state)
