"""Studies that come in, and what the model makes of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from spectjax.node.objects import Instance, name_study
from spectjax.node.schema import MOST_NOTE, Tables
from spectjax.system.messages import UserError

Arrival = Literal["new", "same", "again", "different", "ours"]


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


class ChangedResultError(UserError):
    """A result that was sent before with the same UID and says something else now."""


class Studies(Tables):
    """What takes instances, and gives studies to workers."""

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
                (state, note[:MOST_NOTE], due, tries, self._clock(), *_own(job)),
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
