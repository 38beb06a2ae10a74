"""What is to be done with which study, and what became of it: the memory of a node.

| state | what it means | what comes next |
|---|---|---|
| waiting | instances have come, or a try has failed | running, when it is due |
| running | a worker has it, until its lease ends | sending, nothing, waiting, failed |
| sending | there are results that are not yet where they belong | done, sent, failed |
| done | every destination has confirmed every result | |
| sent | likewise, but a destination is not asked whether it keeps them | |
| nothing | the model has no use for it, and says why | |
| failed | given up; files are kept until a person decides | retry, discard |
| discarded | a person has decided | |

An instance that comes makes any of them waiting. Each method is one change: whatever
ends the process, the next one finds the state before or after it. Times are seconds
since 1970.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spectjax.node.objects import Instance, name_study
from spectjax.node.schema import Database
from spectjax.system.messages import UserError

Arrival = Literal["new", "same", "again", "different", "ours"]
ENDED = ("done", "sent", "nothing", "discarded")
_FAILED_NOTE = 400  # characters


@dataclass(frozen=True)
class Job:
    """A study that a worker has.

    Attributes:
        study: Study Instance UID.
        key: what it is called where people read.
        version: of its instances; another one means that more have come.
        tries: that have failed.
        digests: of its files.
        missing: how many of its instances are no longer on the disk.
        worker: who has it.
    """

    study: str
    key: str
    version: int
    tries: int
    digests: tuple[str, ...]
    missing: int
    worker: str


@dataclass(frozen=True)
class Parcel:
    """A result on its way.

    Attributes:
        uid: SOP Instance UID.
        digest: of its file.
        sop_class: SOP Class UID.
        series: Series Instance UID.
        syntax: Transfer Syntax UID.
        state: `waiting`, `sent` or `confirmed`.
        attempts: how many times its sending was begun.
    """

    uid: str
    digest: str
    sop_class: str
    series: str
    syntax: str
    state: str
    attempts: int


@dataclass(frozen=True)
class Errand:
    """Results of a study that are to go to a destination."""

    study: str
    key: str
    version: int
    destination: str
    tries: int
    parcels: tuple[Parcel, ...]


class ChangedResultError(UserError):
    """A result that was sent before with the same UID and says something else now."""


class Queue:
    """The queue in a folder; any process may open it, one works on it."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Opens it.

        Raises:
            QueueError: if it cannot be used.
        """
        self._tables = Database(folder)
        self._clock = clock

    def close(self) -> None:
        """Closes it."""
        self._tables.close()

    # What comes in.

    def compare(self, new: Instance) -> Arrival:
        """Tells what an object would be.

        `new`; `same` as one that is here; `again`: the same, but its file was cleaned;
        `different`, though it has the UID of another; `ours`: a result of this node.
        """
        rows = self._tables.ask(
            "SELECT content, kept FROM instance WHERE uid=?", new.uid
        )
        if rows:
            content, kept = rows[0]
            if content != new.content:
                return "different"
            return "same" if kept else "again"
        rows = self._tables.ask("SELECT content FROM result WHERE uid=?", new.uid)
        if rows:
            return "ours" if rows[0][0] == new.content else "different"
        return "new"

    def add(self, new: Instance, quiet_s: float) -> Arrival:
        """Takes an object whose file is on the disk; see `compare`.

        A new one makes its study waiting, with all tries before it. What is here again
        does so if the study has failed.
        """
        now = self._clock()
        with self._tables.change() as db:
            arrival = self.compare(new)
            if arrival == "new":
                db.execute(
                    "INSERT INTO study (uid, key, state, due, came, changed) "
                    "VALUES (?, ?, 'waiting', ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET "
                    "state='waiting', version=version+1, tries=0, due=excluded.due, "
                    "note='', changed=excluded.changed, cleaned=0",
                    (new.study, name_study(new.study), now + quiet_s, now, now),
                )
                db.execute(
                    "INSERT INTO instance (uid, study, digest, content, size, came) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (new.uid, new.study, new.digest, new.content, new.size, now),
                )
            elif arrival == "again":
                db.execute(
                    "UPDATE instance SET kept=1, digest=?, size=? WHERE uid=?",
                    (new.digest, new.size, new.uid),
                )
                db.execute(
                    "UPDATE study SET changed=?, cleaned=0, due=?, tries=0, "
                    "state=CASE state WHEN 'failed' THEN 'waiting' ELSE state END "
                    "WHERE uid=?",
                    (now, now + quiet_s, new.study),
                )
            return arrival

    def has_digest(self, place: str, digest: str) -> bool:
        """Tells whether a file is one that is kept."""
        table = {"in": "instance", "out": "result"}[place]
        query = f"SELECT 1 FROM {table} WHERE digest=? AND kept=1"
        return bool(self._tables.ask(query, digest))

    def knows_digest(self, digest: str) -> bool:
        """Tells whether a file of that name has ever come in."""
        return bool(self._tables.ask("SELECT 1 FROM instance WHERE digest=?", digest))

    def touch(self, studies: Collection[str], quiet_s: float) -> None:
        """Lets studies that wait for more wait that long from now on."""
        with self._tables.change() as db:
            for study in studies:
                db.execute(
                    "UPDATE study SET due=? WHERE uid=? AND state='waiting' "
                    "AND tries=0",
                    (self._clock() + quiet_s, study),
                )

    # What is asked of the model.

    def claim(
        self, worker: str, lease_s: float, held: Collection[str] = ()
    ) -> Job | None:
        """Gives a worker the study that has waited longest; None if none is due.

        A study whose worker let its lease end is one of them, with a try more.

        Args:
            worker: its name.
            lease_s: how long it has the study, unless it renews.
            held: studies of which more is to come.
        """
        now = self._clock()
        with self._tables.change() as db:
            db.execute(
                "UPDATE study SET state='waiting', tries=tries+1, "
                "note='its worker was lost' WHERE state='running' AND lease<?",
                (now,),
            )
            rows = db.execute(
                "SELECT uid, key, version, tries FROM study "
                "WHERE state='waiting' AND due<=? ORDER BY due",
                (now,),
            ).fetchall()
            for uid, key, version, tries in rows:
                if uid in held:
                    continue
                db.execute(
                    "UPDATE study SET state='running', worker=?, lease=?, changed=? "
                    "WHERE uid=?",
                    (worker, now + lease_s, now, uid),
                )
                files = db.execute(
                    "SELECT digest, kept FROM instance WHERE study=? ORDER BY uid",
                    (uid,),
                ).fetchall()
                digests = tuple(digest for digest, kept in files if kept)
                missing = len(files) - len(digests)
                return Job(uid, key, version, tries, digests, missing, worker)
        return None

    def renew(self, job: Job, lease_s: float) -> bool:
        """Extends a lease; False if the study has changed or is another's."""
        with self._tables.change() as db:
            done = db.execute(
                f"UPDATE study SET lease=? WHERE {_MINE}",
                (self._clock() + lease_s, *_own(job)),
            )
            return done.rowcount == 1

    def give_back(self, job: Job) -> None:
        """Lets a study wait again as if it had not been begun."""
        self._end(job, "waiting", "", self._clock(), job.tries)

    def postpone(self, job: Job, note: str, pause_s: float) -> None:
        """Lets a study wait for the node to be able to read it."""
        self._end(job, "waiting", note, self._clock() + pause_s, job.tries)

    def retry_later(self, job: Job, note: str, pause_s: float) -> bool:
        """Lets a study wait after a try that failed; False if it has changed."""
        return self._end(job, "waiting", note, self._clock() + pause_s, job.tries + 1)

    def fail(self, job: Job, note: str) -> bool:
        """Gives a study up; False if it has changed."""
        return self._end(job, "failed", note, 0.0, job.tries + 1)

    def note_nothing(self, job: Job, reason: str) -> bool:
        """Notes that there is nothing to say of a study; False if it has changed."""
        return self._end(job, "nothing", reason, 0.0, job.tries)

    def _end(self, job: Job, state: str, note: str, due: float, tries: int) -> bool:
        with self._tables.change() as db:
            done = db.execute(
                "UPDATE study SET state=?, note=?, due=?, tries=?, changed=?, "
                f"worker='' WHERE {_MINE}",
                (state, note[:_FAILED_NOTE], due, tries, self._clock(), *_own(job)),
            )
            return done.rowcount == 1

    def finish(
        self, job: Job, results: Sequence[Instance], destinations: Sequence[str]
    ) -> bool:
        """Takes the results of a study, whose files are on the disk.

        Those that an earlier version of the study has, and that are the same, are not
        sent again. Those of an earlier version that were not sent will not be.

        Returns:
            False if the study has changed meanwhile: the results are of a part of it.

        Raises:
            ChangedResultError: if one says something else than was sent under its UID.
        """
        now = self._clock()
        with self._tables.change() as db:
            done = db.execute(
                "UPDATE study SET state='sending', tries=0, note='', changed=?, "
                f"worker='' WHERE {_MINE}",
                (now, *_own(job)),
            )
            if done.rowcount != 1:
                return False
            _drop_unsent(db, job.study)
            for new in results:
                _take_result(db, job, new)
                for place in destinations:
                    db.execute(
                        "INSERT OR IGNORE INTO delivery (result, destination) "
                        "VALUES (?, ?)",
                        (new.uid, place),
                    )
            for place in destinations:
                db.execute(
                    "INSERT OR REPLACE INTO errand (study, destination, due) "
                    "VALUES (?, ?, ?)",
                    (job.study, place, now),
                )
            return True

    # What goes out.

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
            _mark(db, "sent", [uid], errand.destination, "state='waiting'")

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
            _mark(db, "waiting", lost, destination, "state='sent'", study)
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
                    self._clock() + (pause_s if open_ones else 0),
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
            _mark(db, "waiting", sent, errand.destination, "state='sent'")

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
            return _conclude(db, errand.study, self._clock())

    def fail_errand(self, errand: Errand, note: str) -> None:
        """Gives a study up whose results a destination does not take."""
        with self._tables.change() as db:
            db.execute(
                "UPDATE study SET state='failed', note=?, changed=? "
                "WHERE uid=? AND version=? AND state='sending'",
                (note[:_FAILED_NOTE], self._clock(), errand.study, errand.version),
            )

    # What people decide, and what time does.

    def find_study(self, name: str) -> str | None:
        """Returns the UID of a study that is called by its key or its UID."""
        rows = self._tables.ask(
            "SELECT uid FROM study WHERE key=? OR uid=?", name, name
        )
        return rows[0][0] if rows else None

    def retry(self, study: str) -> str | None:
        """Takes up a study that has failed, or has nothing: sending or the model.

        Returns:
            Its state now; None if it has neither failed nor nothing.
        """
        now = self._clock()
        with self._tables.change() as db:
            row = db.execute(
                "SELECT version FROM study WHERE uid=? AND state IN "
                "('failed', 'nothing')",
                (study,),
            ).fetchone()
            if row is None:
                return None
            (results, kept) = db.execute(
                "SELECT count(*), coalesce(sum(kept), 0) FROM result "
                "WHERE study=? AND version=?",
                (study, row[0]),
            ).fetchone()
            state = "sending" if results and results == kept else "waiting"
            db.execute(
                "UPDATE study SET state=?, tries=0, due=?, note='', changed=? "
                "WHERE uid=?",
                (state, now, now, study),
            )
            db.execute("UPDATE errand SET tries=0, due=? WHERE study=?", (now, study))
            return state

    def discard(self, study: str) -> bool:
        """Gives up a study that has failed for good; its files go with time."""
        with self._tables.change() as db:
            done = db.execute(
                "UPDATE study SET state='discarded', changed=? "
                "WHERE uid=? AND state='failed'",
                (self._clock(), study),
            )
            return done.rowcount == 1

    def fail_incomplete(self, study: str, note: str) -> bool:
        """Gives up a study of which something is known to be missing."""
        with self._tables.change() as db:
            done = db.execute(
                "UPDATE study SET state='failed', note=?, changed=? "
                "WHERE uid=? AND state='waiting'",
                (note, self._clock(), study),
            )
            return done.rowcount == 1

    def recover(self, quiet_s: float, destinations: Sequence[str]) -> dict[str, int]:
        """Takes up what another process left; nobody else may be at work.

        What ran waits; what waits for more does so for a while yet, since its sender
        has to find the way back; nothing goes to a destination that is no more.

        Returns:
            How many of what was found.
        """
        now = self._clock()
        marks = ",".join("?" * len(destinations))
        with self._tables.change() as db:
            running = db.execute(
                "UPDATE study SET state='waiting', due=?, worker='' "
                "WHERE state='running'",
                (now,),
            ).rowcount
            db.execute(
                "UPDATE study SET due=max(due, ?) WHERE state='waiting' AND tries=0 "
                "AND due>?",
                (now + quiet_s, now),
            )
            db.execute(
                f"DELETE FROM delivery WHERE destination NOT IN ({marks}) "
                "AND state<>'confirmed'",
                destinations,
            )
            gone = db.execute(
                f"DELETE FROM errand WHERE destination NOT IN ({marks}) "
                "AND state='open'",
                destinations,
            ).rowcount
            studies = db.execute(
                "SELECT uid FROM study WHERE state='sending'"
            ).fetchall()
            for (study,) in studies:
                _conclude(db, study, now)
        return {"running": running, "to_places_no_longer_configured": gone}

    def note_lost_files(self, place: str, present: Collection[str]) -> list[str]:
        """Gives up studies whose files are gone from the disk.

        Args:
            place: `in` or `out`.
            present: digests of the files that are there.

        Returns:
            The keys of these studies.
        """
        table = {"in": "instance", "out": "result"}[place]
        rows = self._tables.ask(
            f"SELECT {table}.digest, study.uid, study.key FROM {table} JOIN study ON "
            f"study.uid={table}.study WHERE kept=1 AND state IN ('waiting', 'running', "
            "'sending')"
        )
        lost = {(uid, key) for digest, uid, key in rows if digest not in present}
        note = "files of it are gone from the node's folder; send the study again"
        with self._tables.change() as db:
            for uid, _ in lost:
                db.execute(
                    "UPDATE study SET state='failed', note=?, changed=? WHERE uid=?",
                    (note, self._clock(), uid),
                )
            for digest in {row[0] for row in rows} - set(present):
                db.execute(f"UPDATE {table} SET kept=0 WHERE digest=?", (digest,))
        return sorted(key for _, key in lost)

    def clean(self, keep_s: float) -> list[tuple[str, str]]:
        """Forgets the files of studies that ended so long ago; what they were stays.

        Returns:
            The place and the digest of each file that may go.
        """
        marks = ",".join("?" * len(ENDED))
        with self._tables.change() as db:
            studies = db.execute(
                f"SELECT uid FROM study WHERE cleaned=0 AND changed<=? "
                f"AND state IN ({marks})",
                (self._clock() - keep_s, *ENDED),
            ).fetchall()
            files = []
            for (study,) in studies:
                for place, table in (("in", "instance"), ("out", "result")):
                    rows = db.execute(
                        f"UPDATE {table} SET kept=0 WHERE study=? AND kept=1 "
                        "RETURNING digest",
                        (study,),
                    )
                    files += [(place, digest) for (digest,) in rows.fetchall()]
                db.execute("UPDATE study SET cleaned=1 WHERE uid=?", (study,))
            return files

    def count_states(self) -> dict[str, int]:
        """Returns how many studies are in each state."""
        rows = self._tables.ask("SELECT state, count(*) FROM study GROUP BY state")
        return {str(state): int(count) for state, count in sorted(rows)}

    def list_studies(self, ended_since: float = 0.0) -> list[dict[str, Any]]:
        """Returns what there is to tell of studies, the oldest first.

        Of those that have ended only if that was not long ago.
        """
        names = ("study", "uid", "state", "tries", "due", "note", "came", "changed")
        marks = ",".join("?" * len(ENDED))
        rows = self._tables.ask(
            "SELECT key, uid, state, tries, due, note, came, changed FROM study "
            f"WHERE state NOT IN ({marks}) OR changed>=? ORDER BY came",
            *ENDED,
            ended_since,
        )
        listed = [dict(zip(names, row, strict=True)) for row in rows]
        for each in listed:
            errands = self._tables.ask(
                "SELECT destination, state, tries, note FROM errand WHERE study=?",
                each["uid"],
            )
            parts = ("destination", "state", "tries", "note")
            each["errands"] = [dict(zip(parts, row, strict=True)) for row in errands]
            (count,) = self._tables.ask(
                "SELECT count(*) FROM instance WHERE study=?", each["uid"]
            )[0]
            each["instances"] = count
        return listed

    def count_deliveries(self) -> dict[str, int]:
        """Returns how many results were sent, and how often one was begun again."""
        sent, repeated = self._tables.ask(
            "SELECT count(*), coalesce(sum(attempts-1), 0) FROM delivery "
            "WHERE attempts>0"
        )[0]
        return {"sent": sent, "begun_again": repeated}

    def check_writable(self) -> None:
        """Writes nothing, but as far as it can be told would have.

        Raises:
            sqlite3.Error: if it cannot.
        """
        with self._tables.change() as db:
            db.execute("UPDATE study SET note=note WHERE 0")


# Of a job: nothing has come meanwhile, and no other worker has it.
_MINE = "uid=? AND version=? AND worker=? AND state='running'"


def _own(job: Job) -> tuple[str, int, str]:
    return job.study, job.version, job.worker


def _drop_unsent(db: Any, study: str) -> None:
    """Forgets results of earlier versions that have never been on their way."""
    unsent = (
        "SELECT uid FROM result WHERE study=? AND NOT EXISTS (SELECT 1 FROM delivery "
        "WHERE result=uid AND attempts>0)"
    )
    db.execute(f"DELETE FROM delivery WHERE result IN ({unsent})", (study,))
    db.execute(f"DELETE FROM result WHERE uid IN ({unsent})", (study,))
    db.execute("DELETE FROM request WHERE study=?", (study,))


def _take_result(db: Any, job: Job, new: Instance) -> None:
    known = db.execute(
        "SELECT study, findings FROM result WHERE uid=?", (new.uid,)
    ).fetchone()
    if known is None:
        db.execute(
            "INSERT INTO result (uid, study, version, digest, content, findings, "
            "sop_class, series, syntax) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.uid,
                job.study,
                job.version,
                new.digest,
                new.content,
                new.findings,
                new.sop_class,
                new.series,
                new.syntax,
            ),
        )
    elif known == (job.study, new.findings):
        # As it was sent: only its dates may differ.
        db.execute(
            "UPDATE result SET version=?, kept=1, "
            "digest=CASE kept WHEN 1 THEN digest ELSE ? END WHERE uid=?",
            (job.version, new.digest, new.uid),
        )
    else:
        raise ChangedResultError(
            "a result says something else than was sent under its UID before"
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
        (due, note[:_FAILED_NOTE], tried, errand.study, errand.destination),
    )


def _conclude(db: Any, study: str, now: float) -> str:
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
