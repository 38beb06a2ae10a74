"""Who sent what, who was refused, and where results went: lines that are only added.

`audit/YYYY-MM.jsonl`, a JSON object a line. Patients, studies and objects stand there
by pseudonyms (`spectjax.imaging.identity`): no name, number or UID.
"""

import datetime
import json
import os
import threading
import time
from pathlib import Path

from spectjax.node.log import tell
from spectjax.system.messages import make_printable

_QUIET_SECONDS = 60.0  # in which the same refusal is counted, not written
_MOST_REFUSED = 1000  # different ones of which is kept count


class Audit:
    """The audit log of a node."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder of the files."""
        self._folder = folder
        self._lock = threading.Lock()
        self._refused: dict[tuple[str, ...], tuple[float, int]] = {}

    def write(self, event: str, **facts: str | int) -> None:
        """Adds a line; it is on the disk when this returns.

        Raises:
            OSError: if it cannot be added.
        """
        now = datetime.datetime.now(datetime.UTC)
        shown = {
            name: make_printable(fact) if isinstance(fact, str) else fact
            for name, fact in facts.items()
        }
        line = json.dumps(
            {"time": now.isoformat("T", "milliseconds"), "event": event} | shown
        )
        path = self._folder / f"{now:%Y-%m}.jsonl"
        with self._lock:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            descriptor = os.open(path, flags, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                data = f"{line}\n".encode()
                try:
                    if os.write(descriptor, data) != len(data):
                        raise OSError("no room for a line of the audit log")
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, size)  # whole lines, or none
                    raise
            finally:
                os.close(descriptor)

    def try_write(self, event: str, **facts: str | int) -> None:
        """Adds a line about what has happened already; stderr says if it cannot."""
        try:
            self.write(event, **facts)
        except OSError as error:
            tell("audit log cannot be written", error=error.strerror or "no room")

    def refuse(self, event: str, **facts: str) -> None:
        """Adds a line about something refused, and says so on stderr.

        The same again within a minute is counted, and the next line says how often:
        nobody fills the disk by knocking.
        """
        name, now = (event, *facts.values()), time.monotonic()
        with self._lock:
            since, count = self._refused.get(name, (-_QUIET_SECONDS, 0))
            if now - since < _QUIET_SECONDS:
                self._refused[name] = (since, count + 1)
                return
            if len(self._refused) >= _MOST_REFUSED:
                self._refused.clear()
            self._refused[name] = (now, 0)
        more = {"again_before": count} if count else {}
        tell(event, **facts, **more)
        self.try_write(event, **facts, **more)
