"""What reads studies: takes one that is due, has the program read it, takes results."""

import contextlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from spectjax.node.audit import Audit
from spectjax.node.disk import DamagedFileError, Disk
from spectjax.node.holds import Holds
from spectjax.node.log import tell, tell_bug
from spectjax.node.objects import Instance, ObjectError, hide, read_instance
from spectjax.node.program import (
    Program,
    ProgramError,
    StoppedError,
    StudyError,
    UnreadableError,
)
from spectjax.node.queue import Queue
from spectjax.node.sections import Config
from spectjax.node.studies import ChangedResultError, Job
from spectjax.system.limits import MIB

_MOST_RESULTS = 1000
_RESULT_BYTES = 256 * MIB
_NAME_LETTERS = 16  # of a digest, in the name of a file: results may tell of it
_LEASE_SECONDS = 60.0
_RENEW_SECONDS = 10.0
_IDLE_SECONDS = 0.2


class OutputError(Exception):
    """What a program left is not what results are; the text is for people."""


class Worker:
    """A thread that drives one program."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        config: Config,
        queue: Queue,
        disk: Disk,
        audit: Audit,
        holds: Holds,
    ) -> None:
        """Takes what it works with."""
        self.name = name
        self._config, self._queue, self._disk = config, queue, disk
        self._audit, self._holds = audit, holds
        self._stop, self._abandon = threading.Event(), threading.Event()
        self._job: Job | None = None
        self._renewed = 0.0
        self._program = Program(
            command,
            memory_bytes=int(config.model.memory_mb * MIB),
            log=disk.folder / "log" / f"{name}.log",
            tick=self._tick,
        )

    def stop(self) -> None:
        """Takes no more studies; one that is being read is read to its end."""
        self._stop.set()

    def abandon(self) -> None:
        """Leaves a study that is being read for later."""
        self._stop.set()
        self._abandon.set()

    def run(self) -> None:
        """Works until it is stopped."""
        failures = 0
        try:
            while not self._stop.is_set():
                self._disk.beat(self.name)
                try:
                    if not self._program.is_running:
                        self._program.start(self._config.model.start_s)
                        tell("model ready", worker=self.name)
                    failures = 0
                    if not self._work_once():
                        self._stop.wait(_IDLE_SECONDS)
                except StoppedError:
                    break
                except ProgramError as error:  # it does not start: no study's fault
                    failures += 1
                    tell("model does not start", worker=self.name, why=str(error))
                    self._pause(self._config.retrying.pause_after(failures))
                except (OSError, sqlite3.Error) as error:  # a full disk
                    failures += 1
                    tell("cannot write", worker=self.name, why=type(error).__name__)
                    self._pause(self._config.retrying.pause_after(failures))
                except Exception as error:
                    failures += 1
                    tell_bug(self.name, error)
                    self._pause(self._config.retrying.pause_after(failures))
        finally:
            self._program.end()

    def _pause(self, seconds: float) -> None:
        """Waits, without a sign of life: who asks for health is to be told."""
        self._stop.wait(seconds)

    def _work_once(self) -> bool:
        """Reads a study; False if none is due."""
        if self._disk.measure_free() < self._config.receiving.min_free_bytes // 2:
            return False
        held = self._holds.list_held()
        job = self._queue.claim(self.name, _LEASE_SECONDS, held)
        if job is None:
            return False
        self._job, self._renewed = job, time.monotonic()
        work = None
        try:
            work = self._disk.make_work(job.key)
            self._read(job, work)
        except StoppedError:
            self._queue.give_back(job)
            tell("left for later", study=job.key)
            raise
        finally:
            self._job = None
            if work is not None:
                shutil.rmtree(work, ignore_errors=True)
        return True

    def _tick(self) -> None:
        """Shows that this thread lives, and keeps the study; raises if it must stop."""
        self._disk.beat(self.name)
        if self._abandon.is_set() or (self._stop.is_set() and self._job is None):
            raise StoppedError
        if self._job and time.monotonic() - self._renewed > _RENEW_SECONDS:
            self._renewed = time.monotonic()
            with contextlib.suppress(sqlite3.Error):
                self._queue.renew(self._job, _LEASE_SECONDS)

    def _read(self, job: Job, work: Path) -> None:
        """Reads a study and notes what became of it."""
        if job.missing:
            self._give_up(
                job,
                f"{job.missing} of its instances were cleaned away after it was done; "
                "send the whole study again",
            )
            return
        tell("reading", study=job.key, instances=len(job.digests), tries=job.tries)
        begun = time.monotonic()
        files: list[Path] = []
        try:
            files = self._lay_out(job, work / "in")
            nothing = self._program.ask(
                work / "in", work / "out", self._config.model.study_s
            )
            if nothing:
                self._note_nothing(job, hide(nothing, files))
                return
            results = self._take_results(job, work / "out")
            places = [place.name for place in self._config.destinations]
            current = self._queue.finish(job, results, places)
        except DamagedFileError as error:
            self._queue.forget_file("in", error.digest)
            self._give_up(job, f"{error}; send the study again")
        except ChangedResultError as error:
            self._give_up(job, str(error))
        except UnreadableError as error:
            self._give_up(job, f"model {hide(str(error), files)}")
        except StudyError as error:
            self._retry(job, f"model {hide(str(error), files)}")
        except ProgramError as error:
            self._retry(job, f"model {error}")
        except OutputError as error:
            self._retry(job, f"model gave no results: {error}")
        except (OSError, sqlite3.Error) as error:  # a full disk is no study's fault
            why = getattr(error, "strerror", None) or type(error).__name__
            pause = self._config.retrying.pause_s
            self._queue.postpone(job, f"node: {why}", pause)
            tell("waits for the node", study=job.key, why=why)
            self._stop.wait(pause)
        else:
            seconds = f"{time.monotonic() - begun:.1f}"
            if current:
                tell("read", study=job.key, results=len(results), seconds=seconds)
                self._audit.try_write("read", study=job.key, results=len(results))
            else:
                tell("more has come: read again", study=job.key)

    def _lay_out(self, job: Job, folder: Path) -> list[Path]:
        """Writes a study's files, checked, into a folder."""
        files = []
        for digest in job.digests:
            path = folder / f"{digest[:_NAME_LETTERS]}.dcm"
            path.write_bytes(self._disk.read("in", digest))
            files.append(path)
        return files

    def _take_results(self, job: Job, folder: Path) -> list[Instance]:
        """Brings results to the disk, and returns what they are.

        Raises:
            OutputError: if one is no result of this study.
        """
        paths = sorted(folder.rglob("*.dcm"))
        if not 0 < len(paths) <= _MOST_RESULTS:
            raise OutputError(f"{len(paths)} files")
        results = []
        for path in paths:
            if path.is_symlink() or not path.is_file():
                raise OutputError("what is no file")
            if path.stat().st_size > _RESULT_BYTES:
                raise OutputError("a file that is too large")
            contents = path.read_bytes()
            try:
                result = read_instance(contents)
            except ObjectError as error:
                raise OutputError(f"a file that {error}") from None
            if result.study != job.study:
                raise OutputError("a file of another study")
            results.append(result)
            self._disk.keep("out", result.digest, contents)
        if len({result.uid for result in results}) < len(results):
            raise OutputError("two files with one UID")
        return results

    def _note_nothing(self, job: Job, reason: str) -> None:
        if self._queue.note_nothing(job, reason):
            tell("nothing for us", study=job.key, why=reason)
            self._audit.try_write("nothing for us", study=job.key)

    def _give_up(self, job: Job, note: str) -> None:
        if self._queue.fail(job, note):
            tell("failed", study=job.key, why=note)
            self._audit.try_write("failed", study=job.key, why=note)

    def _retry(self, job: Job, note: str) -> None:
        """Lets a study wait, or gives it up after so many tries."""
        if job.tries + 1 >= self._config.model.tries:
            self._give_up(job, note)
            return
        pause = self._config.retrying.pause_after(job.tries + 1)
        if self._queue.retry_later(job, note, pause):
            tell("waits", study=job.key, why=note, tries=job.tries + 1)
