"""What every scenario works with: a node, a PACS, a load, and what is to come of it."""

import contextlib
import dataclasses
import pathlib
import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pydicom

from scripts.node_trial.fake_model import make_result
from scripts.node_trial.loads import digest, make_study, read_patients
from scripts.node_trial.nodes import Node
from scripts.node_trial.pacs import Pacs
from scripts.node_trial.rows import Row
from scripts.node_trial.senders import Outbox

PATIENCE_SECONDS = 120.0


@dataclasses.dataclass
class Bench:
    """A place for a scenario.

    Attributes:
        folder: for all that is written.
        seed: of what is drawn.
        scale: how much of the full load, in (0, 1].
    """

    folder: pathlib.Path
    seed: int = 0
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Simulates the patients, unless they are there."""
        self.draw = random.Random(self.seed)
        self.patients = read_patients(self.folder / "hospital", small=True)
        self.whole_patients = read_patients(self.folder / "hospital")

    def count(self, number: int) -> int:
        """Returns the share of a number, at least 1."""
        return max(1, round(number * self.scale))

    def make_studies(self, number: int, name: str) -> list[list[pydicom.Dataset]]:
        """Returns studies of their own that a fake model takes."""
        names = f"{self.seed} {name}"
        return [make_study(self.patients, names, n) for n in range(number)]

    @contextlib.contextmanager
    def set_up(self, name: str, **changes: Any) -> Iterator[tuple[Node, Pacs]]:
        """Gives a node that is not started yet and a PACS that is; ends both after.

        Args:
            name: of a new folder.
            **changes: to the node's configuration, see `Node`.
        """
        folder = self.folder / name
        folder.mkdir(parents=True)
        pacs = Pacs(find_port(), find_port())
        node = Node(folder, pacs.node_port, pacs.port, **changes)
        pacs.start()
        try:
            yield node, pacs
        finally:
            node.end()
            pacs.stop()


def find_port() -> int:
    """Returns a port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(
    condition: Callable[[], bool], seconds: float, *, pause: float = 0.1
) -> bool:
    """Waits until something holds; returns whether it does in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(pause)
    return condition()


def compare(outbox: Outbox, pacs: Pacs) -> Row:
    """Holds the PACS against what had to come of each acknowledged file.

    It must hold one result of each file, with the content that follows from the file,
    and nothing else; and each must have been sent once.
    """
    wanted = {}
    for dataset in outbox.acknowledged.values():
        result = make_result(dataset)
        wanted[str(result.SOPInstanceUID)] = digest(result)
    sent = [uid for uid, _ in pacs.sent]
    lost = sum(uid not in pacs.kept for uid in wanted)
    altered = sum(pacs.kept.get(uid, x) != x for uid, x in wanted.items())
    altered += sum(wanted.get(uid, x) != x for uid, x in pacs.sent)
    strange = sum(uid not in wanted for uid in pacs.kept)
    again = len(sent) - len(set(sent))
    return Row(
        f"{len(wanted)} files acknowledged",
        f"lost {lost}, altered {altered}, strange {strange}, sent again {again}",
        bool(lost or altered or strange or again or not wanted),
    )


def deliver(bench: Bench, node: Node, name: str, number: int = 1) -> Outbox:
    """Sends studies and returns what was acknowledged: all, unless the node is gone."""
    outbox = Outbox()
    cameras = outbox.send_all(node.address, bench.make_studies(number, name))
    outbox.join(cameras, PATIENCE_SECONDS)
    return outbox


def finish(
    node: Node, outbox: Outbox, pacs: Pacs, seconds: float = PATIENCE_SECONDS
) -> bool:
    """Waits until all results are in the PACS and the node has no more to do.

    Returns:
        Whether that comes in time.
    """
    began = time.monotonic()
    if not wait_for(lambda: has_all(outbox, pacs), seconds):
        return False
    return wait_for(node.is_idle, began + seconds - time.monotonic(), pause=0.5)


def has_all(outbox: Outbox, pacs: Pacs) -> bool:
    """Tells whether the PACS holds a result of each acknowledged file."""
    files = list(outbox.acknowledged.values())
    return all(str(make_result(file).SOPInstanceUID) in pacs.kept for file in files)
