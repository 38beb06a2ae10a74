"""Every task's steps, several in a dispatch, on four devices as on one.

The devices are simulated on the CPU: in one process, and two in each of two processes.
"""

import jax
import numpy as np
import pytest

from spectjax.tasks import TASKS
from tests.support.layouts import start, start_two, wait
from tests.support.tiny_runs import read_log, read_state
from tests.support.tiny_tasks import RECIPES

EPOCHS = 2


def test_every_task_is_among_them():
    assert set(RECIPES) == set(TASKS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of all runs: `<layout>/<task>`."""
    folder = tmp_path_factory.mktemp("tasks")

    def list_runs(layout):
        return [
            {"workdir": str(folder / layout / task), "task": task, "changes": {}}
            for task in RECIPES
        ]

    def run(processes):
        for process in processes:
            text = wait(process, seconds=1800)
            assert text.count("finished") == len(RECIPES), text

    run([start(1, list_runs("alone"))])
    run([start(4, list_runs("devices"))])
    run(start_two(2, lambda i: list_runs("processes")))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["devices", "processes"])
@pytest.mark.parametrize("task", RECIPES)
def test_a_task_learns_the_same_on_four_devices(folder, layout, task):
    """Losses, statistics and what is drawn are of the whole batch; rounding differs."""
    ours, alone = folder / layout / task, folder / "alone" / task
    rows, expected = read_log(ours), read_log(alone)
    assert len(rows) == len(expected) == EPOCHS
    for row, one in zip(rows, expected, strict=True):
        assert row.keys() == one.keys()
        for name in (x for x in one if x == "loss" or x.startswith("loss_")):
            np.testing.assert_allclose(float(row[name]), float(one[name]), rtol=1e-4)
    found, wanted = read_state(ours), read_state(alone)
    assert int(found.step) == int(wanted.step) == 6
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-4),
        found.variables,
        wanted.variables,
    )
