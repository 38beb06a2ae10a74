"""A PACS that is away, refuses or loses, and models that fail in every way."""

import time

from scripts.node_trial.bench import (
    Bench,
    compare,
    deliver,
    finish,
    has_all,
    wait_for,
)
from scripts.node_trial.loads import split_views
from scripts.node_trial.nodes import Node
from scripts.node_trial.pacs import OUT_OF_RESOURCES, REFUSED, SUCCESS, WARNING
from scripts.node_trial.rows import Row
from scripts.node_trial.senders import Outbox, send

_FAILURES = (
    *("crash", "exit", "hang", "memory", "garbage", "half", "nothing", "flood"),
    *("foreign", "link", "pipe", "children", "says"),
)
_FAIL_SECONDS = 60.0


def pacs_away(bench: Bench) -> list[Row]:
    """The PACS is away when results are ready, then back; twice."""
    rows = []
    with bench.set_up("away") as (node, pacs):
        node.start()
        for turn in ("before the first study", "after some studies"):
            pacs.stop()
            outbox = deliver(bench, node, f"away {turn}", bench.count(5))
            time.sleep(3)
            waits = not node.is_idle()
            pacs.start()
            back = finish(node, outbox, pacs)
            rows += [
                Row(
                    f"PACS away {turn}",
                    f"waits: {waits}, done when it is back: {back}",
                    not (waits and back),
                ),
                compare(outbox, pacs),
            ]
            pacs.forget()
    return rows


def pacs_rejects(bench: Bench) -> list[Row]:
    """The PACS rejects every association for 20 s, as one that was set up anew."""
    with bench.set_up("rejects") as (node, pacs):
        pacs.stop()
        pacs.rejects = True
        pacs.start()
        node.start()
        outbox = deliver(bench, node, "rejects", 2)
        time.sleep(20)
        states = node.count_states()
        pacs.stop()
        pacs.rejects = False
        pacs.start()
        done = finish(node, outbox, pacs, 60)
        return [
            Row(
                "PACS rejects associations",
                f"{states}, done by itself when it is mended: {done}",
                not done,
            ),
            compare(outbox, pacs),
        ]


def pacs_slow(bench: Bench) -> list[Row]:
    """The PACS takes 4 s for each result; cameras are not held up by it."""
    with bench.set_up("slow_pacs") as (node, pacs):
        pacs.seconds = 4
        node.start()
        began = time.monotonic()
        outbox = deliver(bench, node, "slow", 5)
        seconds = time.monotonic() - began
        done = finish(node, outbox, pacs)
        return [
            Row(
                "PACS takes 4 s for each",
                f"all taken from cameras after {seconds:.0f} s, done: {done}",
                seconds > 15 or not done,
            ),
            compare(outbox, pacs),
        ]


def pacs_refuses(bench: Bench) -> list[Row]:
    """Each result is refused at first, taken with a warning, or refused for ever."""
    rows = []
    answers = {
        "no room, twice": lambda n: OUT_OF_RESOURCES if n < 3 else SUCCESS,
        "refused, twice": lambda n: REFUSED if n < 3 else SUCCESS,
        "a warning": lambda n: WARNING,
    }
    with bench.set_up("refuses") as (node, pacs):
        node.start()
        for name, answer in answers.items():
            pacs.answer = answer
            outbox = deliver(bench, node, name, 3)
            done = finish(node, outbox, pacs)
            rows += [
                Row(f"PACS answers {name}", f"done: {done}", not done),
                compare(outbox, pacs),
            ]
            pacs.forget()
        pacs.answer = lambda n: REFUSED
        deliver(bench, node, "for ever")
        failed = wait_for(lambda: _has_failed(node), _FAIL_SECONDS)
        rows.append(
            Row(
                "PACS refuses for ever",
                f"study failed: {failed}, {node.count_states()}",
                not failed or bool(pacs.kept),
            )
        )
    return rows


def _has_failed(node: Node) -> bool:
    return node.count_states().get("failed", 0) == 1


def pacs_loses(bench: Bench) -> list[Row]:
    """The PACS says yes and keeps nothing; a study may not be `done` then.

    Storage Commitment is answered in one of the three ways of `Pacs`; with "find" the
    node asks by C-FIND.
    """
    rows = []
    for answers in ("new", "same", "silent", "find"):
        way = "find" if answers == "find" else "storage"
        with bench.set_up(f"loses_{answers}", destination={"commitment": way}) as (
            node,
            pacs,
        ):
            pacs.commitment, pacs.loses = answers, 2
            node.start()
            outbox = deliver(bench, node, f"loses {answers}", 2)
            done = finish(node, outbox, pacs, 60)
            states = node.count_states()
            lies = not has_all(outbox, pacs) and bool(states.get("done"))
            # One that never confirms is never believed.
            wanted = answers != "silent"
            rows.append(
                Row(
                    f"PACS loses two results; it confirms: {answers}",
                    f"sent again: {done}, {states}, it was asked {dict(pacs.asked)}",
                    lies or done != wanted,
                )
            )
    return rows


def model_fails(bench: Bench) -> list[Row]:
    """A model crashes, hangs, eats memory, writes garbage or nothing, then is well."""
    return [_fail(bench, behaviour) for behaviour in _FAILURES]


def _fail(bench: Bench, behaviour: str) -> Row:
    with bench.set_up(f"model_{behaviour}") as (node, pacs):
        node.start()
        node.behave(behaviour)
        deliver(bench, node, behaviour)
        failed = wait_for(lambda: _has_failed(node), _FAIL_SECONDS)
        states, note, false = node.count_states(), node.read_note(), len(pacs.kept)
        node.behave("well")
        outbox = deliver(bench, node, f"{behaviour} after")
        done = wait_for(lambda: has_all(outbox, pacs), _FAIL_SECONDS)
        faults = node.find_tracebacks()
        return Row(
            f"model: {behaviour}",
            f"study failed: {failed} ({states}: {note!r}), results sent: {false}; the "
            f"next is done: {done}; {[row.seen for row in faults]}",
            bool(not failed or not done or false or faults),
        )


def model_recovers(bench: Bench) -> list[Row]:
    """A model crashes and is well then: the study is done by itself."""
    with bench.set_up("recovers") as (node, pacs):
        node.start()
        node.behave("crash")
        outbox = deliver(bench, node, "recovers")
        time.sleep(0.7)
        node.behave("well")
        done = finish(node, outbox, pacs, _FAIL_SECONDS)
        return [
            Row("model: crash, then well", f"done: {done}", not done),
            compare(outbox, pacs),
        ]


def late_file(bench: Bench) -> list[Row]:
    """The second file of a study comes while the first is at work, and after."""
    return [
        *_bring_late(bench, "while it runs", 1.2),
        *_bring_late(bench, "when it is done", 8.0),
    ]


def _bring_late(bench: Bench, when: str, pause: float) -> list[Row]:
    with bench.set_up(f"late_{pause:g}") as (node, pacs):
        node.start()
        node.behave("slow")
        outbox = Outbox()
        for file in split_views(bench.make_studies(1, when)[0]):
            outbox.note([file], send(node.address, [file]))
            time.sleep(pause)
        done = finish(node, outbox, pacs, _FAIL_SECONDS)
        return [
            Row(f"second file {when}", f"done: {done}", not done),
            compare(outbox, pacs),
        ]
