"""From an object that has come to one that may be acknowledged."""

import sqlite3
from dataclasses import dataclass

from spectjax.node.audit import Audit
from spectjax.node.disk import Disk
from spectjax.node.objects import Instance, name_instance, name_study
from spectjax.node.queue import Queue
from spectjax.node.studies import Arrival


class NoRoomError(Exception):
    """What could not be kept, on a full disk for one; the text is for people."""


@dataclass(frozen=True)
class Keeper:
    """Brings instances to the disk, then into the queue, then into the audit log.

    Attributes:
        queue: of the node.
        disk: likewise.
        audit: likewise.
        quiet_s: after which a study is due.
    """

    queue: Queue
    disk: Disk
    audit: Audit
    quiet_s: float

    def keep(self, new: Instance, contents: bytes, sender: dict[str, str]) -> Arrival:
        """Keeps an instance that is not here yet.

        What this returns is on the disk, and so is a line of the log about it, so that
        nothing is acknowledged that the log does not know: but of one that is different
        from what is here, which is not kept.

        Args:
            new: what it is.
            contents: its file.
            sender: who it came from, for the log.

        Raises:
            NoRoomError: if something of it could not be written.
        """
        try:
            arrival = self.queue.compare(new)
            if arrival in ("new", "again"):
                arrival = self._add(new, contents)
            facts = {**sender, **describe(new)}
            if arrival == "different":
                why = "another object has its UID"
                self.audit.refuse("refused instance", **facts, why=why)
            else:
                self.audit.write(
                    "received",
                    **facts,
                    arrival=arrival,
                    bytes=new.size,
                    syntax=new.syntax,
                )
        except (OSError, sqlite3.Error) as error:
            what = type(error).__name__
            raise NoRoomError(f"cannot be written ({what})") from error
        return arrival

    def _add(self, new: Instance, contents: bytes) -> Arrival:
        """Takes an instance; its file goes again if the queue does not take it.

        It may not have the room, or have taken another one at the same moment.
        """
        self.disk.keep("in", new.digest, contents)
        try:
            return self.queue.add(new, self.quiet_s)
        finally:
            if not self.queue.has_digest("in", new.digest):
                self.disk.drop("in", new.digest)


def describe(new: Instance) -> dict[str, str]:
    """Returns what logs say of an instance."""
    return {
        "study": name_study(new.study),
        "instance": name_instance(new.uid),
        "patient": new.patient,
    }
