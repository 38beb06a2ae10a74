"""A node as a process: its configuration, start, end, and what it says of itself."""

import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

from scripts.node_trial import wire
from scripts.node_trial.processes import find_family, kill
from scripts.node_trial.rows import Row
from scripts.node_trial.wire import Address

ROOT = pathlib.Path(__file__).parents[2]
TITLE, CAMERA = "SPECTJAX", "CAMERA"
_START_SECONDS = 90.0
_ENDED = {"done", "sent", "nothing", "failed", "discarded"}
# Everything is quick: what lasts minutes in a hospital is to be seen in seconds.
_CONFIG: dict[str, dict[str, Any]] = {
    "node": {"aet": TITLE, "host": "127.0.0.1", "stop_s": 10},
    "receiving": {
        "associations": 25,
        "max_object_mb": 8,
        "min_free_mb": 1,
        "timeout_s": 5,
        "object_s": 20,
        "quiet_s": 0.5,
        "incomplete_s": 5,
    },
    "model": {"start_s": 60, "study_s": 5, "memory_mb": 1024, "tries": 3},
    "sending": {"timeout_s": 10, "confirm_s": 5, "tries": 4},
    "retrying": {"pause_s": 0.2, "longest_s": 2},
    "keeping": {"hours": 24},
}


class Node:
    """A node on a port of the loopback, with a folder of its own.

    Attributes:
        folder: of configuration, log and queue.
        address: where cameras send to.
        process: that runs, None before the first start.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        port: int,
        pacs_port: int,
        *,
        real_model: bool = False,
        first_path: pathlib.Path = ROOT,
        **changes: dict[str, Any],
    ) -> None:
        """Writes the configuration.

        Args:
            folder: there, for all that belongs to it.
            port: to listen on.
            pacs_port: where results go.
            real_model: whether the model that ships reads studies, not the fake one.
            first_path: folder of modules that come before all others.
            **changes: keys of tables of the configuration.
        """
        self.folder, self.address = folder, Address(port, TITLE, CAMERA)
        self.process: subprocess.Popen[bytes] | None = None
        path = os.pathsep.join((str(first_path), str(ROOT)))
        self._environment = os.environ | {"PYTHONPATH": path}
        self.behave("well")
        tables = {name: dict(table) for name, table in _CONFIG.items()}
        tables["node"] |= {"port": port, "folder": str(folder / "queue")}
        if not real_model:
            tables["model"]["command"] = [
                *(sys.executable, "-m", "scripts.node_trial.fake_model"),
                f"--behaviour={self._behaviour}",
            ]
        destination = {
            **{"name": "pacs", "aet": "PACS", "host": "127.0.0.1", "port": pacs_port},
            **changes.pop("destination", {}),
        }
        sender = {"aet": CAMERA, "addresses": ["127.0.0.1"]}
        sender |= changes.pop("sender", {})
        for name, table in changes.items():
            tables.setdefault(name, {}).update(table)
        text = "".join(_write_table(f"[{name}]", t) for name, t in tables.items())
        text += _write_table("[[senders]]", sender)
        text += _write_table("[[destinations]]", destination)
        (folder / "node.toml").write_text(text)

    @property
    def _behaviour(self) -> pathlib.Path:
        return self.folder / "behaviour.txt"

    @property
    def log(self) -> pathlib.Path:
        """What the node printed."""
        return self.folder / "log.txt"

    def behave(self, behaviour: str) -> None:
        """Tells the fake model what to do from now on, see `fake_model`."""
        self._behaviour.write_text(behaviour)

    def start(self, *, wait: bool = True, prefix: tuple[str, ...] = ()) -> None:
        """Starts it, and waits until it answers a C-ECHO.

        Args:
            wait: whether to.
            prefix: a command that is to start it.

        Raises:
            RuntimeError: if it does not.
        """
        command = [*prefix, sys.executable, *self._arguments()]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + _START_SECONDS
        while wait and not self.answers():
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"no start: {self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def _arguments(self, *flags: str) -> list[str]:
        return ["-m", "spectjax.node", f"--config={self.folder / 'node.toml'}", *flags]

    def ask(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """Runs the node's command with --status or the like."""
        return subprocess.run(
            [sys.executable, *self._arguments(*flags)],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def answers(self, seconds: float = 5.0) -> bool:
        """Tells whether it answers a C-ECHO."""
        pdus = [
            wire.ask_association(
                self.address, [(wire.VERIFICATION, [wire.EXPLICIT, wire.IMPLICIT])]
            ),
            *wire.put_data(wire.ask_echo(), command=True),
            wire.RELEASE,
        ]
        try:
            return "0x0000" in wire.converse(self.address, pdus, seconds=seconds)
        except OSError:
            return False

    def find_family(self) -> list[int]:
        """Returns its process and those that it started."""
        return find_family(self.process.pid) if self.process is not None else []

    def kill(self) -> None:
        """SIGKILLs it and all that it started."""
        kill(self.find_family())
        if self.process is not None:
            self.process.wait()

    def kill_child(self) -> bool:
        """SIGKILLs all that it started, but not itself; tells whether there was any."""
        children = self.find_family()[1:]
        kill(children)
        return bool(children)

    def terminate(self) -> int | None:
        """Asks it to end; returns its exit status, None if it does not end in time."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """Ends it, whatever it does."""
        self.kill()

    def read_status(self) -> dict[str, Any]:
        """Returns what --status says."""
        said = self.ask("--status", "--json")
        try:
            status = json.loads(said.stdout)
        except ValueError:
            raise RuntimeError(f"--status: {said.stdout}{said.stderr}") from None
        return dict(status)

    def count_states(self) -> dict[str, int]:
        """Returns how many studies there are of each state."""
        states = [study["state"] for study in self.read_status()["studies"]]
        return dict(collections.Counter(states))

    def is_idle(self) -> bool:
        """Tells whether there is no study of which something is still to be done."""
        return set(self.count_states()) <= _ENDED

    def read_note(self, number: int = -1) -> str:
        """Returns what is noted of a study, by default the last."""
        studies = self.read_status()["studies"]
        return str(studies[number]["note"]) if studies else ""

    def has_said(self, word: str) -> bool:
        """Tells whether a word stands in its log."""
        return self.log.exists() and word in self.log.read_text(errors="replace")

    def find_tracebacks(self) -> list[Row]:
        """Returns a fault if it met what nobody expected, or named a patient."""
        text = self.log.read_text(errors="replace")
        rows = []
        for word in ("Traceback", "unexpected error", "SYNTHETIC^"):
            lines = [line for line in text.splitlines() if word in line]
            if lines:
                rows.append(
                    Row(f"log: {word}", f"{len(lines)} x {lines[0][:300]}", True)
                )
        return rows

    def find_remains(self) -> list[Row]:
        """Returns a fault if something half-written is left in its folder."""
        left = [
            path.name
            for path in (self.folder / "queue").rglob("*")
            if path.suffix in (".partial", ".part", ".tmp")
        ]
        return [
            Row("half-written files", f"{left[:5]}", bool(left))
        ] + self.find_tracebacks()

    def find_orphans(self) -> list[int]:
        """Returns processes that name its folder and outlive it."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.folder).encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found


def _write_table(head: str, table: dict[str, Any]) -> str:
    # JSON's texts, numbers, lists and truth values are TOML's.
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in table.items()]
    return "".join([f"{head}\n", *lines, "\n"])
