"""A node at work: its threads, how it begins and how it ends."""

import contextlib
import gc
import signal
import sqlite3
import threading
import time
import warnings
from collections.abc import Sequence
from types import FrameType

from spectjax.node.audit import Audit
from spectjax.node.config import make_contexts
from spectjax.node.connections import free
from spectjax.node.disk import Disk
from spectjax.node.holds import Holds
from spectjax.node.log import tell, tell_bug, tell_lost_thread
from spectjax.node.objects import ObjectError, name_study, read_instance
from spectjax.node.queue import Queue
from spectjax.node.receiver import Receiver
from spectjax.node.schema import QueueError
from spectjax.node.sections import Config
from spectjax.node.sender import Sender
from spectjax.node.worker import Worker

_TICK_SECONDS = 0.5
_CLEAN_SECONDS = 600.0
_ORPHAN_SECONDS = 3600.0  # a result is brought to the disk before it is noted
_CLOSE_SECONDS = 2.0


class Service:
    """All of a node; one a folder, which `system.locks.hold` is to see to.

    Attributes:
        queue: what is to be done.
        port: on which it listens; 0 before it does.
    """

    def __init__(self, config: Config, command: Sequence[str]) -> None:
        """Opens the folder, and takes up what is in it.

        Args:
            config: the node's.
            command: the program that reads studies.

        Raises:
            QueueError: if the queue cannot be used.
            OSError: if the folder cannot be written.
        """
        self._config = config
        self._disk = Disk(config.node.folder)
        self.queue = Queue(config.node.folder)
        self._audit = Audit(config.node.folder / "audit")
        self._holds = Holds()
        contexts = make_contexts(config.tls) if config.tls else None
        shared = (config, self.queue, self._disk, self._audit)
        self._receiver = Receiver(
            *shared, self._holds, contexts.inward if contexts else None
        )
        self._workers = [
            Worker(f"worker-{number}", command, *shared, self._holds)
            for number in range(config.node.workers)
        ]
        self._senders = [
            Sender(
                place,
                *shared,
                contexts.outward if contexts and config.uses_tls(place) else None,
            )
            for place in config.destinations
        ]
        self._stop, self.port = threading.Event(), 0
        try:
            recover(config, self.queue, self._disk)
        except sqlite3.Error as error:
            raise QueueError(
                f"{config.node.folder}: expected room for the node's queue, found none "
                f"({error}). Make room, then start the node again."
            ) from None

    def run(self) -> None:
        """Works until SIGTERM or SIGINT, or `stop`.

        Raises:
            UserError: if the address to listen on is not to be had.
        """
        port = self._receiver.start()
        threads = [
            threading.Thread(target=each, name=name, daemon=True)
            for name, each in (
                ("receiver", self._receiver.serve),
                *((worker.name, worker.run) for worker in self._workers),
                *((sender.name, sender.run) for sender in self._senders),
            )
        ]
        for path in (self._disk.folder / "alive").iterdir():
            path.unlink()
        for thread in threads:
            self._disk.beat(thread.name)
            thread.start()
        self.port, host = port, self._config.node.host
        tell("listening", aet=self._config.node.aet, host=host, port=port)
        self._audit.try_write("started")
        cleaned = -_CLEAN_SECONDS
        while not self._stop.wait(_TICK_SECONDS):
            if threads[0].is_alive():
                self._disk.beat("receiver")
            self._give_up_incomplete()
            if time.monotonic() - cleaned > _CLEAN_SECONDS:
                cleaned = time.monotonic()
                self._clean()
        self._end(threads)

    def note_lost_thread(self, args: threading.ExceptHookArgs) -> None:
        """Says what ended a thread; a hook for `threading.excepthook`."""
        if free(args.thread):
            kind = args.exc_type.__name__
            self._audit.refuse("broken association", why=f"no DICOM ({kind})")
        else:
            tell_lost_thread(args)

    def stop(self) -> None:
        """Lets `run` end."""
        self._stop.set()

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        """Lets what is under way end, as long as there is time, then leaves it."""
        tell("stopping")
        until = time.monotonic() + self._config.node.stop_s
        self._receiver.stop()
        for worker in self._workers:
            worker.stop()
        for sender in self._senders:
            sender.stop()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic() - _CLOSE_SECONDS))
        for worker in self._workers:
            worker.abandon()
        for thread in threads:
            thread.join(max(0.1, until - time.monotonic()))
        self._audit.try_write("stopped")
        self.queue.close()
        tell("stopped")

    def _give_up_incomplete(self) -> None:
        wait_s = self._config.receiving.incomplete_s
        for study, count in self._holds.take_overdue(wait_s).items():
            note = (
                f"{count} of its instances were broken off or refused, and have not "
                "come since; --retry reads what is here"
            )
            try:
                failed = self.queue.fail_incomplete(study, note)
            except sqlite3.Error as error:  # a full disk
                tell("cannot write", why=type(error).__name__)
                continue
            if failed:
                tell("failed", study=name_study(study), why=note)
                self._audit.try_write("failed", study=name_study(study), why=note)

    def _clean(self) -> None:
        """Removes files of what is done, and results that were never to be sent."""
        try:
            files = self.queue.clean(self._config.keeping.hours * 3600)
            for place, digest in files:
                self._disk.drop(place, digest)
            orphans = drop_orphans(self.queue, self._disk, _ORPHAN_SECONDS)
            if files or orphans:
                tell("cleaned", files=len(files), orphans=orphans)
                self._audit.try_write("cleaned", files=len(files))
        except (OSError, sqlite3.Error) as error:  # a full disk
            tell("cannot clean", why=type(error).__name__)
        except Exception as error:
            tell_bug("cleaning", error)
        gc.collect()  # a data set is a cycle of megabytes


def recover(config: Config, queue: Queue, disk: Disk) -> None:
    """Makes files and queue agree, and says on stderr what was found.

    A file that the queue does not know may have been acknowledged, if the queue is
    another's or gone: it is taken in. A file that the queue knows and that is gone
    makes its study fail.
    """
    facts = queue.recover(
        config.receiving.quiet_s, [place.name for place in config.destinations]
    )
    facts["half_written_files"] = disk.sweep()
    facts["unknown_files_taken_in"] = _take_in_unknown(config, queue, disk)
    facts["results_never_noted"] = drop_orphans(queue, disk, 0.0)
    lost = [
        *queue.note_lost_files("in", disk.list_digests("in")),
        *queue.note_lost_files("out", disk.list_digests("out")),
    ]
    facts["studies_with_lost_files"] = len(lost)
    tell("recovered", **{name: count for name, count in facts.items() if count})
    for study in lost:
        tell("failed", study=study, why="files of it are gone")


def _take_in_unknown(config: Config, queue: Queue, disk: Disk) -> int:
    """Takes in objects that the queue does not know, and drops what it has cleaned."""
    taken = 0
    for digest in sorted(disk.list_digests("in")):
        if queue.has_digest("in", digest):
            continue
        if queue.knows_digest(digest):
            disk.drop("in", digest)
            continue
        with contextlib.suppress(OSError, ObjectError):
            new = read_instance(disk.read("in", digest))
            arrival = queue.add(new, config.receiving.quiet_s)
            taken += arrival in ("new", "again")
            if arrival in ("new", "again"):
                continue
        path = disk.find("in", digest)
        tell("a file that is no object of the queue's was put aside", file=path.name)
        with contextlib.suppress(OSError):
            path.rename(disk.folder / "log" / path.name)
    return taken


def drop_orphans(queue: Queue, disk: Disk, age_s: float) -> int:
    """Removes results that no study has, and that are so old."""
    dropped = 0
    for digest in disk.list_digests("out"):
        path = disk.find("out", digest)
        with contextlib.suppress(OSError):
            old = time.time() - path.stat().st_mtime >= age_s
            if old and not queue.has_digest("out", digest):
                path.unlink()
                dropped += 1
    return dropped


def run_until_told(service: Service) -> None:
    """Runs a node in the main thread of a process, until SIGTERM or SIGINT."""

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        service.stop()

    warnings.simplefilter("ignore")  # pydicom's quote what is in a file
    threading.excepthook = service.note_lost_thread
    before = {
        number: signal.signal(number, note)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        service.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
