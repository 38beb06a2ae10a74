"""The tables of a node's queue, and how a process opens them."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from spectjax.system.messages import UserError

NAME = "queue.sqlite"
_VERSION = 1
MOST_NOTE = 400  # characters of what people are told about a study
_WAIT_SECONDS = 30.0  # for another process's change
_TABLES = """
CREATE TABLE study (
    uid TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1, tries INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL, worker TEXT NOT NULL DEFAULT '', lease REAL NOT NULL DEFAULT 0,
    note TEXT NOT NULL DEFAULT '', came REAL NOT NULL, changed REAL NOT NULL,
    cleaned INTEGER NOT NULL DEFAULT 0);
CREATE INDEX study_by_state ON study (state, due);
CREATE TABLE instance (
    uid TEXT PRIMARY KEY, study TEXT NOT NULL REFERENCES study, digest TEXT NOT NULL,
    content TEXT NOT NULL, size INTEGER NOT NULL, kept INTEGER NOT NULL DEFAULT 1,
    came REAL NOT NULL);
CREATE INDEX instance_by_study ON instance (study);
CREATE TABLE result (
    uid TEXT PRIMARY KEY, study TEXT NOT NULL REFERENCES study,
    version INTEGER NOT NULL, digest TEXT NOT NULL, content TEXT NOT NULL,
    findings TEXT NOT NULL,
    sop_class TEXT NOT NULL, series TEXT NOT NULL, syntax TEXT NOT NULL,
    kept INTEGER NOT NULL DEFAULT 1);
CREATE INDEX result_by_study ON result (study);
CREATE TABLE delivery (
    result TEXT NOT NULL REFERENCES result, destination TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (result, destination));
CREATE TABLE errand (
    study TEXT NOT NULL REFERENCES study, destination TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open', tries INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL, note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (study, destination));
CREATE INDEX errand_by_destination ON errand (destination, state, due);
CREATE TABLE request (
    uid TEXT PRIMARY KEY, study TEXT NOT NULL, destination TEXT NOT NULL,
    asked REAL NOT NULL);
"""


# Steps of the computer's clock, as it is set right, neither hold nor hurry anything.
_STARTED = time.time() - time.monotonic()


def tell_time() -> float:
    """Returns seconds since 1970, by a clock that nobody sets while a process runs."""
    return _STARTED + time.monotonic()


class QueueError(UserError):
    """A queue that cannot be used; one line for the user."""


class Database:
    """The tables, for all threads of a process, one change at a time.

    What is committed is on the disk: SQLite's write-ahead log is synced each time.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the tables, makes them if there are none.

        Raises:
            QueueError: if what is there is of another version, or no queue.
        """
        path = folder / NAME
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(
                path,
                timeout=_WAIT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            with self.change():
                (version,) = self._db.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    for statement in _TABLES.split(";"):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA user_version={_VERSION}")
        except sqlite3.Error as error:
            raise QueueError(
                f"{path}: expected a node's queue, found a file that cannot be opened "
                f"({error}). Give the node room, or another folder."
            ) from None
        if version not in (0, _VERSION):
            raise QueueError(
                f"{path}: expected a queue of version {_VERSION}, found {version}. "
                "Start the version of spectjax that wrote it, or give another folder."
            )

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Makes what is done in the `with` block one change: all of it, or nothing.

        Raises:
            sqlite3.Error: if it could not be made, as on a full disk.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def ask(self, query: str, *values: object) -> list[tuple]:
        """Returns the rows of a query."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def close(self) -> None:
        """Closes the tables."""
        with self._lock:
            self._db.close()


class Tables:
    """A part of the queue, over its tables."""

    def __init__(self, folder: Path, clock: Callable[[], float] = tell_time) -> None:
        """Opens them.

        Raises:
            QueueError: if they cannot be used.
        """
        self._tables = Database(folder)
        self._clock = clock

    def close(self) -> None:
        """Closes them."""
        self._tables.close()
