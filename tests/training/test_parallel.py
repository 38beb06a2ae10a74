"""Tests of `parallel`: one run, on however many devices and processes."""

import re
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.training.loop import train
from spectjax.training.parallel import (
    LAYOUTS,
    ProcessError,
    ask_processes,
    start_processes,
)
from tests.support.examples import make_spots
from tests.support.layouts import start, start_two, wait
from tests.support.tiny_runs import make_config, read_log, read_state


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """Runs on one device, `alone`, and on others; what the two processes said."""
    folder = tmp_path_factory.mktemp("layouts")

    def order(name, stop=False, stored=False, **changes):
        return {
            "workdir": str(folder / name),
            "changes": changes,
            "stop": stop,
            "stored": stored,
        }

    for name, augmentation in (("alone", "copies"), ("online", "online")):
        changes = {"data.batch_size": 4, "data.augmentation": augmentation}
        train(make_config(**changes), folder / name, make_spots(9))
    # Two images on each device: in the two processes.
    text = wait(
        start(
            4,
            [
                order("mesh4"),
                order("streamed4", stored=True),
                order("streamed_pmap4", stored=True, parallel="pmap"),
                order("pmap4", parallel="pmap"),
                order("online4", **{"data.augmentation": "online"}),
                order("moved", stop=True),
            ],
        )
    )
    assert text.count("finished") == 5
    assert "Stopped by SIGTERM after step 3. The same command goes on" in text

    def runs(i):
        return [
            order("processes"),
            # pmap in two processes as well.
            order("moved", parallel="pmap"),
            order("streamed_together", stop=True, stored=True),
            order("streamed_together", stored=True),
            order("not_shared" if i else "moved"),
        ]

    said = [wait(process) for process in start_two(1, runs)]
    for text in said:
        assert text.count("finished") == 3, text
        assert "Stopped by SIGTERM after step 3." in text
    return SimpleNamespace(folder=folder, said=said)


@pytest.fixture
def folder(layouts):
    """Folder of all runs, by name."""
    return layouts.folder


@pytest.mark.parametrize(
    "name",
    ["mesh4", "pmap4", "processes", "streamed4", "streamed_pmap4"]
    # Stopped within an epoch: continued elsewhere, or by the same two processes.
    + ["moved", "streamed_together"],
)
def test_every_layout_gives_the_run_of_one_device(folder, name):
    """Losses, batch statistics and scores are global; rounding differs."""
    assert_same_run(folder / name, folder / "alone")


def test_augmentation_draws_the_same_on_every_layout(folder):
    assert_same_run(folder / "online4", folder / "online")
    assert (
        read_log(folder / "online")[1]["loss"] != read_log(folder / "alone")[1]["loss"]
    )


def assert_same_run(workdir, expected_workdir):
    ours, alone = read_log(workdir), read_log(expected_workdir)
    assert len(ours) == len(alone) == 2
    for row, expected in zip(ours, alone, strict=True):
        assert row["PA"] == expected["PA"]
        np.testing.assert_allclose(
            float(row["loss"]), float(expected["loss"]), rtol=1e-5
        )
    # A step of AdamW turns the sign of a tiny gradient into a step: 1e-4 for all.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-4),
        read_state(workdir).params,
        read_state(expected_workdir).params,
    )


def test_processes_that_do_not_share_the_workdir_are_told_so(layouts):
    for text in layouts.said:
        assert "do not see the same checkpoint" in text
        assert "--workdir and --data_dir must name folders that all share" in text


def test_hosts_wait_for_each_other_at_the_start_and_at_a_good_end_alone(layouts):
    """Whether to stop, all processes learn from their devices, step by step."""
    for text in layouts.said:
        assert re.findall(r"(\d+) gathers", text) == ["2", "2", "1", "2", "1"]


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_a_state_is_fetched_as_it_was_before_the_next_step(name):
    """Which uses its memory again."""
    layout = LAYOUTS[name]()
    mapped = {"pmap": jax.pmap, "jit": jax.jit}[name]
    step = mapped(lambda state: jax.tree.map(lambda x: 2 * x, state), donate_argnums=0)
    first = {"kernel": np.arange(6.0, dtype=np.float32), "step": np.int32(3)}
    state = layout.place(first)
    fetch = layout.begin_fetch(state)
    after = step(state)
    jax.tree.map(np.testing.assert_array_equal, fetch(), first)
    assert int(layout.begin_fetch(after)()["step"]) == 6


def test_a_device_without_room_for_a_copy_is_read_at_once(monkeypatch):
    def refuse(*args, **kwargs):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    state = LAYOUTS["jit"]().place({"kernel": np.ones(3, np.float32)})
    monkeypatch.setattr(jax, "device_put", refuse)
    fetch = LAYOUTS["jit"]().begin_fetch(state)
    jax.jit(jnp.negative, donate_argnums=0)(state["kernel"])
    np.testing.assert_array_equal(fetch()["kernel"], np.ones(3))


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_ends_the_other_with_one_line(killed, tmp_path):
    changes = {"num_epochs": 100_000}
    run = [{"workdir": str(tmp_path / "run"), "changes": changes}]
    processes = start_two(1, lambda i: run)
    while not list((tmp_path / "run").glob("checkpoints/[0-9]*")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.2)
    processes[killed].kill()
    text, _ = processes[1 - killed].communicate(timeout=60)
    processes[killed].communicate()
    assert processes[1 - killed].returncode == 1
    last = text.strip().splitlines()[-1]
    assert last.startswith(f"error: Process {killed} of 2 has ended. See what it said")
    assert "client.h" not in text  # jax's client did not end it with a stack trace


def test_without_flags_or_slurm_a_run_is_one_process(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    start_processes(None, None, None)
    assert jax.process_count() == 1
    flags = [True, False]
    answer = ask_processes(lambda: tuple(flags))
    assert answer() == (True, False)
    flags[1] = True  # nobody else has to agree
    assert answer() == (True, True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("host:1", None, None), "--coordinator, --num_processes and --process_id go"),
        (("host:1", 2, 2), r"--process_id=2: expected 0 to 1"),
        (("host:1", 2, -1), r"--process_id=-1: expected 0 to 1"),
    ],
)
def test_flags_that_do_not_fit_are_refused(flags, message):
    with pytest.raises(ProcessError, match=message):
        start_processes(*flags)
