"""A disk that is full: before, while and after studies come in."""

import contextlib
import pathlib
import subprocess
from collections.abc import Mapping

from scripts.node_trial.bench import Bench, compare, deliver, finish, wait_for
from scripts.node_trial.loads import make_study
from scripts.node_trial.rows import Row
from scripts.node_trial.senders import Outbox
from scripts.small_disk import may_mount, mount_small_disk

_TELLING = (0xA700, 0xA701, 0xA702, 0x0110)  # no room, or a failure: send it again
_DISK_OPTIONS, _ROOMY_MB = "size=6m,mode=0700", 300


def full_disk(bench: Bench) -> list[Row]:
    """A disk in memory fills up by what comes, and by what others write to it.

    With `min_free_mb` the node keeps a reserve; without, the disk itself says no in the
    middle of a file or of a transaction. Needs root, who may mount.
    """
    if not may_mount():
        return [Row("full disk", "NOT TRIED: only root may mount a disk", False)]
    return [*_fill_up(bench, 1.0), *_fill_up(bench, 0.0)]


def _fill_up(bench: Bench, reserve_mb: float) -> list[Row]:
    name = f"disk_{reserve_mb:g}"
    with (
        bench.set_up(name, receiving={"min_free_mb": reserve_mb}) as (node, pacs),
        mount_small_disk(node.folder / "queue", _DISK_OPTIONS),
    ):
        pacs.stop()  # so that nothing is done with
        node.start()
        outbox, studies = Outbox(), bench.make_studies(120, name)
        cameras = outbox.send_all(node.address, studies, pause=0.3)
        told = wait_for(lambda: sum(outbox.refusals.values()) > 10, 120)
        seen, taken = dict(outbox.refusals), len(outbox.acknowledged)
        lives = node.answers()
        _fill(node.folder / "queue")
        lives_on = node.answers()
        node.kill()
        node.start(wait=False)
        starts = wait_for(node.answers, 15)
        _make_room(node.folder / "queue")
        pacs.start()
        if not starts:
            node.kill()
            node.start()
        sent = outbox.join(cameras, 120)
        done = finish(node, outbox, pacs)
        rows = [
            Row(
                f"disk full, reserve {reserve_mb:g} MB",
                f"{taken} studies taken, then told: {told} ({_show(seen)}); lives: "
                f"{lives}, and with no byte left: {lives_on}, starts so: {starts}",
                not (told and lives) or not set(seen) <= set(_TELLING),
            ),
            Row(
                "with room again",
                f"all {len(studies)} taken: {sent}, all done: {done}, "
                f"{node.count_states()}",
                not (sent and done),
            ),
            compare(outbox, pacs),
            *node.find_tracebacks(),
        ]
        node.end()
        return rows


def _show(statuses: Mapping[int, int]) -> str:
    return ", ".join(f"{number} x {s:#06x}" for s, number in statuses.items())


def short_files(bench: Bench) -> list[Row]:
    """No file may be longer than 500 KiB (RLIMIT_FSIZE), then any may."""
    with bench.set_up("short_files") as (node, pacs):
        node.start(prefix=("sh", "-c", 'ulimit -f 1000; exec "$@"', "sh"), wait=False)
        starts = wait_for(node.answers, 20)
        outbox = Outbox()
        studies = [make_study(bench.whole_patients, "short", n) for n in range(3)]
        cameras = outbox.send_all(node.address, studies)
        told = wait_for(lambda: bool(outbox.refusals), 20)
        seen, taken = dict(outbox.refusals), len(outbox.acknowledged)
        node.kill()
        node.start()
        sent = outbox.join(cameras, 60)
        done = finish(node, outbox, pacs)
        return [
            Row(
                "files of 500 KiB at most, objects of 1 MiB",
                f"starts: {starts}; told: {told} ({_show(seen)}), {taken} taken; then "
                f"all sent: {sent}, done: {done}",
                (starts and not told) or bool(taken) or not (sent and done),
            ),
            compare(outbox, pacs),
        ]


def full_when_results_come(bench: Bench) -> list[Row]:
    """The disk is full when the model writes: the study waits, and is done later."""
    if not may_mount():
        return [Row("full disk", "NOT TRIED: only root may mount a disk", False)]
    with (
        bench.set_up("disk_results", receiving={"min_free_mb": 0}) as (node, pacs),
        mount_small_disk(node.folder / "queue", _DISK_OPTIONS),
    ):
        node.start()
        node.behave("slow")
        outbox = deliver(bench, node, "results", 2)
        _fill(node.folder / "queue")
        wait_for(lambda: False, 6)
        states = node.count_states()
        _make_room(node.folder / "queue")
        node.behave("well")
        done = finish(node, outbox, pacs, 60)
        rows = [
            Row(
                "disk full when results are written",
                f"{states}, with room again done: {done}, {node.count_states()}",
                not done and not node.count_states().get("failed"),
            ),
        ]
        if done:
            rows.append(compare(outbox, pacs))
        node.end()
        return rows


def _fill(folder: pathlib.Path) -> None:
    with contextlib.suppress(OSError), (folder / "filler").open("wb", 0) as filler:
        while filler.write(bytes(1 << 12)):
            pass


def _make_room(folder: pathlib.Path) -> None:
    (folder / "filler").unlink(missing_ok=True)
    options = f"remount,size={_ROOMY_MB}m"
    subprocess.run(["mount", "-o", options, str(folder)], check=True)
