"""The node's own ends and beginnings: SIGTERM, a second one, leftovers, the clock."""

import signal
import threading
import time

from scripts.node_trial.bench import (
    PATIENCE_SECONDS,
    Bench,
    compare,
    deliver,
    finish,
    wait_for,
)
from scripts.node_trial.rows import Row
from scripts.node_trial.senders import Outbox

_STOP_SECONDS = 30.0
# Python runs this before the node: the clock is wrong by as much as a file says.
_CLOCK = """
import pathlib, time
_real, _real_ns = time.time, time.time_ns
def _shift():
    try:
        return float(pathlib.Path({path!r}).read_text())
    except (OSError, ValueError):
        return 0.0
time.time = lambda: _real() + _shift()
time.time_ns = lambda: _real_ns() + int(_shift() * 1e9)
"""
_HOUR, _YEAR = 3600.0, 365 * 86400.0


def terminated(bench: Bench) -> list[Row]:
    """SIGTERM while cameras send and the model runs, again and again."""
    outbox, statuses, slowest, left = Outbox(), [], 0.0, []
    with bench.set_up("terminated") as (node, pacs):
        pacs.seconds = 0.05
        node.start()
        studies = bench.make_studies(bench.count(30), "terminated")
        cameras = outbox.send_all(node.address, studies, every=1.0)
        for _ in range(bench.count(8)):
            time.sleep(bench.draw.uniform(0.5, 4.0))
            began = time.monotonic()
            statuses.append(node.terminate())
            slowest = max(slowest, time.monotonic() - began)
            left += node.find_orphans()
            node.start()
        outbox.join(cameras, PATIENCE_SECONDS)
        done = finish(node, outbox, pacs)
        return [
            Row(
                f"{len(statuses)} times SIGTERM under load",
                f"exit statuses {statuses}, at most {slowest:.1f} s, processes left "
                f"{left}; all done: {done}, {outbox.unanswered} times no answer",
                not set(statuses) <= {0, 128 + signal.SIGTERM}
                or slowest > _STOP_SECONDS
                or bool(left)
                or not done,
            ),
            compare(outbox, pacs),
            *node.find_tracebacks(),
        ]


def several_workers(bench: Bench) -> list[Row]:
    """Three models side by side; none takes what another has."""
    with bench.set_up("workers", node={"workers": 3}) as (node, pacs):
        node.start()
        node.behave("slow")
        began = time.monotonic()
        outbox = deliver(bench, node, "workers", bench.count(12))
        done = finish(node, outbox, pacs)
        seconds = time.monotonic() - began
        return [
            Row("three workers", f"done: {done} after {seconds:.0f} s", not done),
            compare(outbox, pacs),
        ]


def second_node(bench: Bench) -> list[Row]:
    """A second node on the same folder ends with one line, and does no harm."""
    with bench.set_up("second") as (node, pacs):
        node.start()
        outbox = Outbox()
        cameras = outbox.send_all(node.address, bench.make_studies(5, "second"))
        said = node.ask()
        outbox.join(cameras, PATIENCE_SECONDS)
        done = finish(node, outbox, pacs)
        lines = said.stderr.strip().splitlines()
        return [
            Row(
                "a second node on one folder",
                f"status {said.returncode}: {lines[-1:]}; the first goes on: {done}",
                said.returncode != 1 or not lines[-1].startswith("error: ") or not done,
            ),
            compare(outbox, pacs),
        ]


def leftovers(bench: Bench) -> list[Row]:
    """A start after files were left half-written, beside files of others."""
    with bench.set_up("leftovers") as (node, pacs):
        node.start()
        node.behave("slow")
        outbox = deliver(bench, node, "leftovers", 3)
        node.kill()
        queue = node.folder / "queue"
        for folder in [path for path in queue.rglob("*") if path.is_dir()]:
            (folder / ".x.dcm.12345.partial").write_bytes(b"half")
            (folder / "strange.txt").write_text("not yours")
        node.start()
        done = finish(node, outbox, pacs)
        left = len(list((queue / "in").rglob("*.partial")))
        return [
            Row("half-written files", f"done: {done}, {left} left", not done),
            compare(outbox, pacs),
        ]


def damaged_file(bench: Bench) -> list[Row]:
    """A file is damaged on the disk: its study fails and says so, others go on."""
    with bench.set_up("damaged") as (node, pacs):
        node.start()
        node.behave("hang")
        deliver(bench, node, "damaged")
        node.kill()
        for path in (node.folder / "queue" / "in").rglob("*.dcm"):
            content = bytearray(path.read_bytes())
            content[-100] ^= 0xFF
            path.write_bytes(content)
        node.behave("well")
        node.start()
        outbox = deliver(bench, node, "sound")
        failed = wait_for(lambda: node.count_states().get("failed", 0) == 1, 60)
        note, done = node.read_note(0), finish(node, outbox, pacs)
        return [
            Row(
                "a file damaged on the disk",
                f"failed: {failed} ({note!r}), the next is done: {done}",
                not (failed and done),
            ),
            compare(outbox, pacs),
        ]


def clock(bench: Bench) -> list[Row]:
    """The clock jumps by hours and years, forward and back, while studies come."""
    rows = []
    folder = bench.folder / "clock_site"
    folder.mkdir()
    shift = folder / "shift.txt"
    (folder / "sitecustomize.py").write_text(_CLOCK.format(path=str(shift)))
    with bench.set_up("clock", first_path=folder) as (node, pacs):
        node.start()
        for jump in (_HOUR, -_HOUR, -_YEAR, _YEAR, 0.0):
            timer = threading.Timer(0.7, shift.write_text, (str(jump),))
            timer.start()
            outbox = deliver(bench, node, f"clock {jump}", 3)
            timer.join()
            began = time.monotonic()
            done = finish(node, outbox, pacs, 60)
            seconds = time.monotonic() - began
            rows += [
                Row(
                    f"the clock jumps to {jump / _HOUR:+.0f} h",
                    f"done: {done} after {seconds:.0f} s",
                    not done,
                ),
                compare(outbox, pacs),
            ]
            pacs.forget()
    return rows
