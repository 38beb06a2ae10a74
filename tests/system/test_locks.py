"""Tests of `spectjax.system.locks`, with processes of their own where there are two."""

import errno
import json
import os
import subprocess
import sys

import pytest

from spectjax.system.files import WriteError
from spectjax.system.locks import LOCK_NAME, LockedError, hold

fcntl = pytest.importorskip("fcntl")
HOLD = """
import pathlib, sys, time
from spectjax.system.locks import hold
with hold(pathlib.Path(sys.argv[1]), wait="wait" in sys.argv):
    print("held", flush=True)
    sys.stdin.read()
"""


def start(folder, *words):
    """Returns a process that holds the lock of a folder until its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path / "run"`, and has said so."""
    with start(tmp_path / "run") as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_holds_the_folder(tmp_path, holder):
    with pytest.raises(LockedError) as error, hold(tmp_path / "run"):
        pass
    told = json.loads((tmp_path / "run" / LOCK_NAME).read_text())
    assert set(told) == {"pid", "host", "command", "since"}
    assert told["pid"] == holder.pid
    assert str(error.value) == (
        f"{tmp_path / 'run'}: in use by process {holder.pid} on {told['host']} since "
        f"{told['since']} ({told['command']}). Wait until it is done, or choose "
        "another folder."
    )
    assert "\n" not in str(error.value)


def test_a_lock_ends_with_a_killed_process(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / "run" / LOCK_NAME).exists()
    with hold(tmp_path / "run"):
        told = json.loads((tmp_path / "run" / LOCK_NAME).read_text())
        assert told["pid"] == os.getpid()


def test_who_waits_says_for_whom_and_gets_the_folder_in_the_end(tmp_path, holder):
    with start(tmp_path / "run", "wait") as second:
        line = second.stderr.readline()
        assert line.startswith(f"Waiting: {tmp_path / 'run'} is in use by process ")
        assert f"process {holder.pid} on " in line
        with start(tmp_path / "run", "wait") as third:
            assert third.stderr.readline().startswith("Waiting")
            for each in (second, third, holder):
                each.stdin.close()
            # One after the other, though the file is removed each time.
            for each in (second, third, holder):
                assert each.wait() == 0
                assert each.stdout.read() == ("" if each is holder else "held\n")
    assert not (tmp_path / "run" / LOCK_NAME).exists()


def test_a_file_that_was_removed_while_it_was_being_locked_is_no_lock(
    tmp_path, monkeypatch
):
    system, path = fcntl.flock, tmp_path / LOCK_NAME
    moments = iter(["the one before ends"])

    def flock(descriptor, flags):
        system(descriptor, flags)
        if next(moments, None):
            path.unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(tmp_path), path.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_file_is_removed_and_so_is_a_folder_with_nothing_in_it(tmp_path):
    with hold(tmp_path / "a" / "b"):
        assert [x.name for x in (tmp_path / "a" / "b").iterdir()] == [LOCK_NAME]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    with hold(tmp_path / "empty"), pytest.raises(LockedError):
        with hold(tmp_path / "empty"):
            pass
    assert list((tmp_path / "empty").iterdir()) == []  # it was there before
    with hold(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "result").touch()
    assert [x.name for x in (tmp_path / "a" / "b").iterdir()] == ["result"]


def test_locks_of_two_names_in_one_folder_do_not_meet(tmp_path):
    with hold(tmp_path, name=".a.lock"), hold(tmp_path, name=".b.lock"):
        assert {x.name for x in tmp_path.iterdir()} == {".a.lock", ".b.lock"}


@pytest.mark.parametrize("content", [b"", b"\xff{", b"[1]", b'{"pid": 1}'])
def test_a_holder_that_cannot_say_who_it_is_holds_as_well(tmp_path, content):
    (tmp_path / LOCK_NAME).write_bytes(content)
    with (tmp_path / LOCK_NAME).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="in use by another process"):
            with hold(tmp_path):
                pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_without_locks_the_work_goes_on_and_a_line_says_so(
    tmp_path, monkeypatch, capsys, number
):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with hold(tmp_path):
        (tmp_path / "result").touch()
    assert [x.name for x in tmp_path.iterdir()] == ["result"]
    line = capsys.readouterr().err
    assert line.startswith(f"{tmp_path}: its file system knows no locks")
    assert line.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(WriteError, match="cannot be written"), hold(folder):
            pass
    assert [x.name for x in tmp_path.iterdir()] == ["file"]


def test_another_users_file_that_can_only_be_read_is_locked_all_the_same(
    tmp_path, monkeypatch
):
    (tmp_path / LOCK_NAME).write_text("{}")
    system = os.open

    def open_to_read(path, flags, *mode):
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return system(path, flags, *mode)

    monkeypatch.setattr(os, "open", open_to_read)
    with hold(tmp_path), pytest.raises(LockedError), hold(tmp_path):
        pass


def test_a_folder_that_is_shut_is_said_to_be(tmp_path, monkeypatch):
    """Not that its file is missing, which is what opening it to read would tell."""
    system = os.open

    def refuse(path, flags, *mode):
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return system(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(WriteError, match="Permission denied"), hold(tmp_path):
        pass


def test_a_link_in_the_place_of_the_file_empties_no_other_file(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / LOCK_NAME).symlink_to("precious")
    with pytest.raises(WriteError, match=LOCK_NAME), hold(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "kept"
