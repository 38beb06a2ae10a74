"""Thousands of damaged and hostile conversations, and what the node made of them."""

import collections
import contextlib
import pathlib
import socket
import struct
import threading
import time

from scripts.node_trial import wire
from scripts.node_trial.bench import Bench, compare, deliver, has_all, wait_for
from scripts.node_trial.loads import encode
from scripts.node_trial.mutants import CUT, make_mutant
from scripts.node_trial.nodes import Node
from scripts.node_trial.processes import (
    count_descriptors,
    count_threads,
    measure_mib,
)
from scripts.node_trial.rows import Row
from scripts.node_trial.senders import Outbox, send

_MOST_GROWTH_MIB = 100.0  # of the listener, from a fifth of the mutants on
_DONE_SECONDS = 1800.0
_TALKERS = 4
# Of these an association may be refused for what it asks.
_ODDLY_ASKED = ("odd associations", "bytes of PDUs", "disorder")
_ESCAPES = ("/tmp/node_trial_escape", "node_trial_escape")


class _Talkers:
    """Callers that hold mutants out to a node, and note what it says.

    Attributes:
        answers: how often which answer came to which kind of mutant.
        curve: memory of the node in MiB, after each hundredth of them.
        dead: numbers of mutants after which it was gone.
    """

    def __init__(self, bench: Bench, node: Node, count: int) -> None:
        """Holds all of them out, several at once."""
        assert node.process is not None
        self.answers: collections.Counter[tuple[str, str]] = collections.Counter()
        self.curve, self.dead = [measure_mib(node.process.pid)], list[int]()
        self._bench, self._node, self._count = bench, node, count
        self._lock = threading.Lock()
        began = time.monotonic()
        talkers = [
            threading.Thread(target=self._talk, args=(range(n, count, _TALKERS),))
            for n in range(_TALKERS)
        ]
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join()
        self.seconds = time.monotonic() - began

    def _talk(self, numbers: range) -> None:
        process = self._node.process
        assert process is not None
        for number in numbers:
            said = self._hold_out(number)
            with self._lock:
                self.answers[said] += 1
                if number % max(1, self._count // 100) == 0:
                    self.curve.append(measure_mib(process.pid))
                if process.poll() is not None:
                    self.dead.append(number)
                if self.dead:
                    return

    def _hold_out(self, number: int) -> tuple[str, str]:
        address, bench = self._node.address, self._bench
        mutant = make_mutant(bench.patients, address, bench.seed, number)
        try:
            said = wire.converse(
                address, mutant.pdus, seconds=mutant.seconds, patient=mutant.patient
            )
        except OSError as error:
            said = [type(error).__name__]
        return mutant.kind, " ".join(said)[:60]

    def count_turned_away(self) -> int:
        """Returns how many were rejected though they asked as a camera does."""
        return sum(
            number
            for (kind, said), number in self.answers.items()
            if said == "rejected" and kind not in _ODDLY_ASKED
        )

    def count_cut_and_taken(self) -> int:
        """Returns how many data sets were taken that end too early."""
        return sum(
            number
            for (kind, said), number in self.answers.items()
            if kind == CUT and " 0x0000" in said
        )

    def summarise(self) -> str:
        """Returns what was said how often."""
        ends: collections.Counter[str] = collections.Counter()
        for (_, said), number in self.answers.items():
            stored = " 0x0000" in said
            ends["taken" if stored else said.replace("accepted ", "")] += number
        return ", ".join(f"{n} {said}" for said, n in ends.most_common(12))

    def write(self, path: pathlib.Path) -> None:
        """Writes kinds and answers as a table."""
        rows = sorted(self.answers.items())
        lines = [f"{n}\t{kind}\t{said}\n" for (kind, said), n in rows]
        path.write_text("".join(lines))


def mutants(bench: Bench, *, real_model: bool = False) -> list[Row]:
    """10 000 mutants from several callers at once; then a good study is done."""
    count = bench.count(500 if real_model else 10_000)
    limits = {"model": {"study_s": 60, "memory_mb": 3000}} if real_model else {}
    name = f"mutants_{'real' if real_model else 'fake'}"
    with bench.set_up(name, real_model=real_model, **limits) as (node, pacs):
        node.start()
        assert node.process is not None
        pid = node.process.pid
        talkers = _Talkers(bench, node, count)
        lives = not talkers.dead and node.answers()
        talkers.write(node.folder / "answers.tsv")
        outbox = deliver(bench, node, f"after {count} mutants")
        held = f"{count_descriptors(pid)} descriptors, {count_threads(pid)} threads"
        idle = wait_for(node.is_idle, _DONE_SECONDS, pause=1.0)
        early, late = talkers.curve[len(talkers.curve) // 5], max(talkers.curve)
        good = len(outbox.acknowledged) == 1 and (real_model or has_all(outbox, pacs))
        turned_away, cut = talkers.count_turned_away(), talkers.count_cut_and_taken()
        escaped = [path for path in _ESCAPES if pathlib.Path(path).exists()]
        return [
            Row(
                f"{count} mutants in {talkers.seconds:.0f} s",
                f"{talkers.summarise()}; lives: {lives} {talkers.dead}",
                not lives,
            ),
            Row(
                "memory of the listener",
                f"{talkers.curve[0]:.0f} MiB at first, {early:.0f} after a fifth, then "
                f"at most {late:.0f}, in the end {measure_mib(pid):.0f}; {held}",
                late - early > _MOST_GROWTH_MIB,
            ),
            Row(
                f"{_TALKERS} callers at once, room for 25",
                f"{turned_away} rejected",
                turned_away > count // 200,
            ),
            Row("data sets that end too early", f"{cut} taken", cut > count // 1000),
            Row("what they left", f"idle: {idle}, {node.count_states()}", not idle),
            Row("files elsewhere", f"{escaped}", bool(escaped)),
            Row("a good study afterwards", f"done: {good}", not good),
            *node.find_tracebacks(),
        ]


def mutants_real_model(bench: Bench) -> list[Row]:
    """500 of them before the model that ships, which reads what was accepted."""
    return mutants(bench, real_model=True)


def _connect(node: Node) -> socket.socket:
    return socket.create_connection((node.address.host, node.address.port), 5)


def silence(bench: Bench) -> list[Row]:
    """Connections that say nothing, half a greeting or garbage, and are kept open."""
    rows = []
    with bench.set_up("silence") as (node, pacs):
        node.start()
        assert node.process is not None
        contexts = [(wire.VERIFICATION, [wire.EXPLICIT])]
        greeting = wire.ask_association(node.address, contexts)
        for name, said in {
            "nothing": b"",
            "half a greeting": greeting[:40],
            "garbage": b"GET / HTTP/1.1\r\n\r\n",
            "a greeting, then nothing": greeting,
        }.items():
            with contextlib.ExitStack() as links:
                for _ in range(60):
                    with contextlib.suppress(OSError):
                        link = links.enter_context(_connect(node))
                        link.sendall(said)
                outbox, began = Outbox(), time.monotonic()
                studies = bench.make_studies(1, f"beside {name}")
                outbox.join(outbox.send_all(node.address, studies), 60)
                seconds = time.monotonic() - began
            taken = len(outbox.acknowledged) == 1
            rows.append(
                Row(
                    f"60 open connections that say {name}",
                    f"a study beside them is taken: {taken}, after {seconds:.1f} s; "
                    f"{count_threads(node.process.pid)} threads",
                    not taken,
                )
            )
        done = wait_for(node.is_idle, 60)
        rows.append(Row("afterwards", f"idle: {done}", not done))
    return rows


def too_large(bench: Bench) -> list[Row]:
    """Objects beyond the limit, in fragments, announced, and from several at once."""
    rows = []
    with bench.set_up("too_large") as (node, pacs):
        node.start()
        assert node.process is not None
        pid = node.process.pid
        (dataset,) = bench.make_studies(1, "large")[0][:1]
        sop_class, uid = str(dataset.SOPClassUID), str(dataset.SOPInstanceUID)
        head = encode(dataset)
        peak, answers, stop = [measure_mib(pid)], [], threading.Event()

        def watch() -> None:
            while not stop.wait(0.05):
                peak[0] = max(peak[0], measure_mib(pid))

        def pour() -> None:
            """Sends a data set of 300 MB that says so, a megabyte at a time."""
            body = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 300 << 20)
            start = [
                *wire.put_data(wire.ask_storage(sop_class, uid), command=True),
                *_leave_open(wire.put_data(head[:1000] + body, command=False)),
            ]
            with _connect(node) as link:
                link.sendall(
                    wire.ask_association(node.address, [(sop_class, [wire.EXPLICIT])])
                )
                link.recv(4096)
                sent = 0
                try:
                    link.sendall(b"".join(start))
                    more = _leave_open(wire.put_data(bytes(1 << 20), command=False))
                    for _ in range(300):
                        link.sendall(b"".join(more))
                        sent += 1
                except OSError:
                    pass
                answers.append(sent)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        warm = peak[0]
        pourers = [threading.Thread(target=pour) for _ in range(4)]
        for pourer in pourers:
            pourer.start()
        for pourer in pourers:
            pourer.join(120)
        stop.set()
        lives = node.answers()
        rows.append(
            Row(
                "4 objects of 300 MB at once, limit 8 MB",
                f"{answers} MB were taken before the node hung up; memory "
                f"{warm:.0f} to "
                f"{peak[0]:.0f} MiB; lives: {lives}",
                not lives or peak[0] - warm > _MOST_GROWTH_MIB,
            )
        )
        dataset.add_new(0x00091001, "OB", bytes(9 << 20))
        dataset.private_block(0x0009, "TRIAL", create=True)
        statuses = send(node.address, [dataset])
        rows.append(
            Row("an object of 9 MB", f"status {_show(statuses)}", statuses == [0])
        )
    return rows


def _leave_open(pdus: list[bytes]) -> list[bytes]:
    """Returns P-DATA PDUs none of which is the last of its data set."""
    return [pdu[:11] + b"\0" + pdu[12:] for pdu in pdus]


def _show(statuses: list[int | None]) -> str:
    return ", ".join("none" if s is None else f"{s:#06x}" for s in statuses)


def slow_sender(bench: Bench) -> list[Row]:
    """A camera that sends a byte a second may not hold up others, nor stay for ever."""
    with bench.set_up("slow") as (node, pacs):
        node.start()
        (dataset,) = bench.make_studies(1, "slow")[0][:1]
        pdus = wire.store(
            node.address,
            str(dataset.SOPClassUID),
            str(dataset.SOPInstanceUID),
            encode(dataset),
        )
        began, sent = time.monotonic(), 0
        with _connect(node) as link:
            link.sendall(pdus[0])
            link.recv(4096)
            link.sendall(pdus[1])
            outbox = Outbox()
            cameras = outbox.send_all(node.address, bench.make_studies(3, "beside"))
            try:
                for byte in b"".join(pdus[2:])[:60]:
                    link.sendall(bytes([byte]))
                    sent += 1
                    time.sleep(1)
            except OSError:
                pass
            seconds = time.monotonic() - began
        outbox.join(cameras, 60)
        done = wait_for(lambda: has_all(outbox, pacs), 60)
        return [
            Row(
                "a byte a second, limit of 20 s for an object",
                f"hung up after {seconds:.0f} s",
                seconds > 45,
            ),
            Row("three studies beside it", f"done: {done}", not done),
            compare(outbox, pacs),
        ]
