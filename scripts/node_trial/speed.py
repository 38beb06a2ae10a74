"""How long a study takes, and what fifty of them leave in memory."""

import time

import numpy as np
import pydicom

from scripts.node_trial.bench import PATIENCE_SECONDS, Bench, wait_for
from scripts.node_trial.loads import make_study, split_views
from scripts.node_trial.nodes import Node
from scripts.node_trial.pacs import Pacs
from scripts.node_trial.processes import measure_mib
from scripts.node_trial.rows import Row
from scripts.node_trial.senders import send

_BAR_SECONDS = 10.0
_MOST_GROWTH = 1.05  # of memory, from the tenth study to the last
_WARM_UP = 3  # studies that compile
_SETTINGS = {
    "receiving": {"quiet_s": 2},
    "model": {"study_s": 120, "memory_mb": 6000, "start_s": 300},
}


def speed(bench: Bench) -> list[Row]:
    """Studies of two views before the model that ships, one by one.

    From the begin of the association to the last result in the PACS.
    """
    with bench.set_up("speed", real_model=True, **_SETTINGS) as (node, pacs):
        node.start()
        seconds, memory = [], []
        for number in range(bench.count(50) + _WARM_UP):
            study = make_study(bench.whole_patients, f"{bench.seed} speed", number)
            files = split_views(study) if number % 2 else study
            seconds.append(_time(node, pacs, files))
            memory.append([measure_mib(pid) for pid in node.find_family()])
        warm = np.array(seconds[_WARM_UP:])
        middle = np.median(warm)
        return [
            Row(
                f"{len(warm)} studies of two views, the model warm",
                f"median {middle:.1f} s, at most {warm.max():.1f} s, of these 2 s of "
                f"quiet; the first of all {seconds[0]:.1f} s; {node.count_states()}, "
                f"{len(pacs.kept)} objects in the PACS",
                bool(np.isnan(warm).any() or middle > _BAR_SECONDS),
            ),
            _judge(memory),
            *node.find_tracebacks(),
        ]


def _judge(memory: list[list[float]]) -> Row:
    shown = memory[:: max(1, len(memory) // 8)]
    text = " -> ".join(" + ".join(f"{x:.0f}" for x in each) for each in shown)
    early, late = memory[min(10, len(memory) // 2)], memory[-1]
    grows = any(b > _MOST_GROWTH * a + 5 for a, b in zip(early, late, strict=False))
    return Row("memory of node and child, MiB", text, grows or len(early) != len(late))


def _time(node: Node, pacs: Pacs, files: list[pydicom.Dataset]) -> float:
    """Returns seconds until all results of a study have come; NaN: they have not."""
    before, began = len(pacs.sent), time.monotonic()
    if any(send(node.address, files)):
        return float("nan")
    if not wait_for(lambda: len(pacs.sent) > before, PATIENCE_SECONDS):
        return float("nan")
    wait_for(node.is_idle, PATIENCE_SECONDS)
    return pacs.last_came - began
