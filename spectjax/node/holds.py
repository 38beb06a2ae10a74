"""Of which studies more is known to come: these are not read yet."""

import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field

_MOST_MISSING = 10_000  # instances; more are not remembered


@dataclass
class _Missing:
    since: float
    uids: set[str] = field(default_factory=set)


class Holds:
    """Associations that deliver, and instances that were announced and did not come.

    Lives in memory: who has to send again after a restart of the node will do so.
    """

    def __init__(self) -> None:
        """Knows of nothing."""
        self._lock = threading.Lock()
        self._delivering: dict[Hashable, set[str]] = {}
        self._missing: dict[str, _Missing] = {}

    def note_came(self, association: Hashable, study: str, uid: str) -> None:
        """Notes that an instance has come."""
        with self._lock:
            self._delivering.setdefault(association, set()).add(study)
            self._find(study, uid)

    def note_missing(self, study: str, uid: str) -> None:
        """Notes that an instance of a study was announced, and is not here."""
        with self._lock:
            if sum(len(each.uids) for each in self._missing.values()) < _MOST_MISSING:
                found = self._missing.setdefault(study, _Missing(time.monotonic()))
                found.uids.add(uid)

    def note_missing_with(self, association: Hashable, uid: str) -> None:
        """Notes an instance that is not here, of what an association brings."""
        with self._lock:
            studies = self._delivering.get(association, set())
        for study in studies:
            self.note_missing(study, uid)

    def end(self, association: Hashable, broken: str | None) -> set[str]:
        """Notes that an association has ended.

        Args:
            association: which.
            broken: the UID of an instance that was on its way, if there was one.

        Returns:
            Studies that nobody delivers any more.
        """
        with self._lock:
            studies = self._delivering.pop(association, set())
            if broken is not None:
                for study in studies:
                    found = self._missing.setdefault(study, _Missing(time.monotonic()))
                    found.uids.add(broken)
            return studies - set().union(*self._delivering.values())

    def list_held(self) -> set[str]:
        """Returns the studies of which more is known to come."""
        with self._lock:
            return set(self._missing).union(*self._delivering.values())

    def take_overdue(self, wait_s: float) -> dict[str, int]:
        """Returns studies that have missed instances for so long, and how many.

        They are held no longer.
        """
        with self._lock:
            delivering = set().union(*self._delivering.values())
            overdue = {
                study: len(each.uids)
                for study, each in self._missing.items()
                if time.monotonic() - each.since >= wait_s and study not in delivering
            }
            for study in overdue:
                del self._missing[study]
            return overdue

    def _find(self, study: str, uid: str) -> None:
        missing = self._missing.get(study)
        if missing is not None:
            missing.uids.discard(uid)
            if not missing.uids:
                del self._missing[study]
