"""Tests of `spectjax.training.checkpoint_writer`, with checkpoints in a list."""

import threading

import pytest

from spectjax.training import checkpoint_writer
from spectjax.training.checkpoint import CheckpointError, Progress
from spectjax.training.checkpoint_writer import CheckpointWriter


class Disk:
    """Notes what is written; the first checkpoint takes until `free` is set."""

    def __init__(self, fails=False):
        """Begins with nothing."""
        self.steps, self.fails = [], fails
        self.busy, self.free = threading.Event(), threading.Event()

    def save(self, step, state, progress, loss):
        """See `Checkpoints.save`."""
        self.busy.set()
        assert self.free.wait(60)
        if self.fails:
            raise CheckpointError("full")
        assert state == f"state {step}"
        self.steps.append((step, loss))


def save(writer, step, loss=None):
    writer.save(step, lambda: f"state {step}", lambda: Progress("x"), loss)


def begin(writer, disk):
    """Lets the disk be busy with the first checkpoint."""
    save(writer, 1)
    assert disk.busy.wait(60)


def test_the_best_and_the_newest_are_written_of_what_waits():
    disk = Disk()
    with CheckpointWriter(disk) as writer:
        begin(writer, disk)
        for step, loss in ((2, 3.0), (3, None), (4, 1.0), (5, 2.0), (6, None)):
            save(writer, step, loss)
        disk.free.set()
    assert disk.steps == [(1, None), (4, 1.0), (5, 2.0), (6, None)]


def test_of_equal_ones_the_newest_is_written():
    disk = Disk()
    with CheckpointWriter(disk) as writer:
        begin(writer, disk)
        save(writer, 2, 1.0)
        save(writer, 3, 1.0)
        disk.free.set()
    assert disk.steps == [(1, None), (3, 1.0)]


def test_devices_are_read_while_the_disk_is_busy():
    """They have no room for states that wait."""
    disk, fetched = Disk(), threading.Event()
    with CheckpointWriter(disk) as writer:
        begin(writer, disk)
        writer.save(2, lambda: fetched.set() or "state 2", lambda: Progress("x"), None)
        assert fetched.wait(60)
        assert not disk.steps
        disk.free.set()
        writer.wait()
        assert disk.steps == [(1, None), (2, None)]


def test_a_state_that_is_not_finite_is_not_kept():
    disk = Disk()
    disk.free.set()
    with CheckpointWriter(disk) as writer:
        writer.save(1, lambda: "state 1", lambda: None)
    assert not disk.steps


@pytest.mark.parametrize("call", ["save", "is_due", "wait", "leave"])
def test_what_could_not_be_written_is_told_by_the_next_call(call):
    disk = Disk(fails=True)
    disk.free.set()
    with pytest.raises(CheckpointError, match="full"), CheckpointWriter(disk) as writer:
        save(writer, 1)
        if call != "leave":
            writer._orders[0].writing.exception()
            {
                "save": lambda: save(writer, 2),
                "is_due": lambda: writer.is_due(1e9),
                "wait": writer.wait,
            }[call]()
            raise AssertionError(f"{call} said nothing")


def test_an_error_of_training_comes_first_and_what_was_saved_is_kept():
    disk = Disk()
    with pytest.raises(FloatingPointError), CheckpointWriter(disk) as writer:
        begin(writer, disk)
        save(writer, 2)
        disk.free.set()
        raise FloatingPointError
    assert disk.steps == [(1, None), (2, None)]


def test_a_second_interrupt_drops_what_waits():
    disk = Disk()
    with pytest.raises(KeyboardInterrupt), CheckpointWriter(disk) as writer:
        begin(writer, disk)
        save(writer, 2)
        threading.Timer(0.05, disk.free.set).start()
        raise KeyboardInterrupt
    assert disk.steps == [(1, None)]


def test_writing_takes_a_tenth_of_the_time_unless_it_is_the_best(monkeypatch):
    """A checkpoint that took 2 s, begun at 100 s."""
    now = [100.0]
    monkeypatch.setattr(checkpoint_writer.time, "monotonic", lambda: now[0])

    class Slow(Disk):
        def save(self, *args):
            """Takes 2 s."""
            now[0] += 2

    with CheckpointWriter(Slow()) as writer:
        assert writer.is_due_after_epoch(600, None)  # nothing was written yet
        assert not writer.is_due(600)
        save(writer, 1)
        writer.wait()
        for then, due in ((119.9, False), (120.0, True)):
            now[0] = then
            assert writer.is_due_after_epoch(600, None) is due
        now[0] = 105.0
        assert writer.is_due_after_epoch(5, None)
        assert writer.is_due(5) and not writer.is_due(5.1)
        assert [writer.is_due_after_epoch(600, x) for x in (3.0, 4.0, 2.0, 2.0)] == [
            True,
            False,
            True,
            True,
        ]


def test_nothing_is_due_while_one_is_written():
    disk = Disk()
    with CheckpointWriter(disk) as writer:
        begin(writer, disk)
        assert not writer.is_due(0)
        assert not writer.is_due_after_epoch(0, None)
        assert writer.is_due_after_epoch(0, 1.0)  # the best so far
        disk.free.set()
        writer.wait()
        assert writer.is_due(0)
