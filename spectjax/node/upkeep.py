"""What people decide about studies, and what time and a new start do."""

from collections.abc import Collection, Sequence
from typing import Any

from spectjax.node.errands import conclude
from spectjax.node.schema import Tables

ENDED = ("done", "sent", "nothing", "discarded")


class Upkeep(Tables):
    """What takes up, gives up, cleans and tells."""

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
            # At once, whatever time the process says that works on it.
            db.execute(
                "UPDATE study SET state=?, tries=0, due=0, note='', changed=? "
                "WHERE uid=?",
                (state, now, study),
            )
            db.execute("UPDATE errand SET tries=0, due=0 WHERE study=?", (study,))
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
            # No pause outlasts a start: the clock may have been set meanwhile.
            db.execute(
                "UPDATE study SET due=? WHERE state='waiting' AND due>?",
                (now + quiet_s, now),
            )
            db.execute("UPDATE errand SET due=? WHERE due>?", (now, now))
            db.execute("UPDATE study SET changed=? WHERE changed>?", (now, now))
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
                conclude(db, study, now)
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

    def forget_file(self, place: str, digest: str) -> None:
        """Notes that a file is no longer what it was: it may come again."""
        table = {"in": "instance", "out": "result"}[place]
        with self._tables.change() as db:
            db.execute(f"UPDATE {table} SET kept=0 WHERE digest=?", (digest,))

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
