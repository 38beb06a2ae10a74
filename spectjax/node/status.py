"""What a node is doing, for people and for what watches it."""

import json
import sqlite3
import time
from typing import Any

from spectjax.node.calls import Caller, is_busy
from spectjax.node.classes import VERIFICATION
from spectjax.node.config import make_contexts
from spectjax.node.disk import Disk
from spectjax.node.queue import Queue
from spectjax.node.schema import NAME
from spectjax.node.sections import Config
from spectjax.node.upkeep import ENDED
from spectjax.system.limits import GIB
from spectjax.system.messages import UserError, make_printable

_STALE_SECONDS = 60.0
_ECHO_SECONDS = 10.0
_LISTED_SECONDS = 7 * 86400.0  # for which what has ended is listed


def gather_status(config: Config) -> dict[str, Any]:
    """Returns what there is to tell of a node.

    Raises:
        UserError: if there is none in its folder.
    """
    queue, disk = open_queue(config)
    studies = queue.list_studies(ended_since=time.time() - _LISTED_SECONDS)
    waiting = [each for each in studies if each["state"] not in (*ENDED, "failed")]
    beats, now = disk.read_beats(), time.time()
    status = {
        "states": queue.count_states(),
        "oldest_pending_s": round(max(0.0, now - waiting[0]["came"])) if waiting else 0,
        "results": queue.count_deliveries(),
        "free_bytes": disk.measure_free(),
        "used_bytes": disk.measure_used(),
        "accepts": disk.measure_free() >= config.receiving.min_free_bytes,
        "last_seen_s": {name: round(age, 1) for name, age in sorted(beats.items())},
        "studies": studies,
    }
    queue.close()
    return status


def format_status(status: dict[str, Any]) -> str:
    """Returns one table for a terminal: what is not ended, and numbers."""
    now = time.time()
    lines = [f"{'study':16}  {'state':9}  {'age':>8}  {'tries':>5}  note"]
    for each in status["studies"]:
        if each["state"] in ENDED and not each["note"]:
            continue
        notes = [each["note"]] if each["note"] else []
        tries = each["tries"]
        if each["state"] == "sending":
            opened = [e for e in each["errands"] if e["state"] == "open"]
            notes += [f"{e['destination']}: {e['note'] or 'due'}" for e in opened]
            tries = max([tries, *(e["tries"] for e in opened)])
        age = _format_age(max(0.0, now - each["came"]))
        line = f"{each['study']:16}  {each['state']:9}  {age:>8}  {tries:5}  "
        lines.append(make_printable(line + "; ".join(notes)).rstrip())
    counts = ", ".join(f"{count} {name}" for name, count in status["states"].items())
    results = status["results"]
    seen = ", ".join(f"{k} {v:.0f} s" for k, v in status["last_seen_s"].items())
    accepts = "" if status["accepts"] else "; TOO LITTLE: nothing is accepted"
    lines += [
        f"studies: {counts or 'none'}; oldest pending "
        f"{_format_age(status['oldest_pending_s'])}",
        f"results: {results['sent']} sent, {results['begun_again']} sent again",
        f"disk: {status['used_bytes'] / GIB:.2f} GiB used, "
        f"{status['free_bytes'] / GIB:.2f} GiB free{accepts}",
        f"last seen: {seen or 'nobody: the node has not run'}",
    ]
    return "\n".join(lines)


def format_json(status: dict[str, Any]) -> str:
    """Returns the same as JSON, with the UIDs of studies."""
    return json.dumps(status, indent=2)


def check_health(config: Config) -> str:
    """Returns what is wrong with a node; empty if nothing is."""
    try:
        queue, disk = open_queue(config)
        beats = disk.read_beats()
        queue.check_writable()
        queue.close()
    except UserError as error:
        return str(error)
    except (OSError, sqlite3.Error) as error:
        return f"the queue cannot be written ({type(error).__name__})"
    expected = ["receiver"]
    expected += [f"worker-{number}" for number in range(config.node.workers)]
    expected += [f"sender-{place.name}" for place in config.destinations]
    for name in expected:
        age, patience = beats.get(name), _STALE_SECONDS
        if name.startswith("sender-"):  # who waits for a destination is well
            patience += 4 * config.sending.timeout_s
        # One that was seen in the future was not since the clock was set.
        if age is None or abs(age) > patience:
            seen = "never" if age is None else f"{age:.0f} s ago"
            return f"{name} was last seen {seen}"
    if disk.measure_free() < config.receiving.min_free_bytes:
        return "too little room on the disk: nothing is accepted"
    return _echo(config)


def remark_failed(config: Config) -> str:
    """Returns how many studies wait for a person; empty if none does."""
    queue, _ = open_queue(config)
    failed = queue.count_states().get("failed", 0)
    queue.close()
    return f"; {failed} studies have failed: see --status" if failed else ""


def _echo(config: Config) -> str:
    """Calls the node as it calls others; returns what is wrong."""
    node = config.node
    caller = Caller(node.aet, _ECHO_SECONDS)
    caller.add_requested_context(VERIFICATION)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(node.host, node.host)
    tls = None
    if config.tls is not None:
        context = make_contexts(config.tls).outward
        context.check_hostname = False  # it calls itself, by whatever address
        tls = (context, host)
    association = caller.associate(host, node.port, ae_title=node.aet, tls_args=tls)
    if is_busy(association):
        return ""  # it answers, and has as many associations as it may
    if not association.is_established:
        return f"no association at {host}:{node.port}"
    status = association.send_c_echo()
    association.release()
    return "" if status.get("Status") == 0 else "no answer to C-ECHO"


def open_queue(config: Config) -> tuple[Queue, Disk]:
    """Opens the folder of a node that may be at work.

    Raises:
        UserError: if there is none.
    """
    if not (config.node.folder / NAME).is_file():
        raise UserError(
            f"{config.node.folder}: expected a node's folder, found no queue in it. "
            "Start the node first, or check node.folder in its configuration."
        )
    return Queue(config.node.folder), Disk(config.node.folder)


def _format_age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
