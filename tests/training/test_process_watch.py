"""Tests of `process_watch`: processes here are threads and bare sockets."""

import contextlib
import os
import pathlib
import queue
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from jax._src.clusters.slurm_cluster import SlurmCluster

from spectjax.training import process_watch
from spectjax.training.parallel import _ask_slurm, start_processes
from spectjax.training.process_watch import ProcessError, ProcessWatch, meet

ROOT = pathlib.Path(__file__).parents[2]
# A connection stays open until its process ends; threads of one process do not end it.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
)


@pytest.fixture
def ends(monkeypatch):
    """What processes said as they ended; they do not really end."""
    said = queue.Queue()

    def end(text):
        said.put(text)
        sys.exit(1)

    monkeypatch.setattr(process_watch, "_end", end)
    monkeypatch.setattr(process_watch, "_GRACE", 0.05)
    return said


@pytest.fixture
def address():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return f"localhost:{server.getsockname()[1]}"


@contextlib.contextmanager
def watching(timeout=20.0):
    """A watch of process 1, and the other end of its connection."""
    ours, theirs = socket.socketpair()
    with theirs:
        yield ProcessWatch({1: ours}, 2, timeout), theirs


def test_processes_meet_and_part_without_a_word(address, ends):
    def run(number):
        with meet(address, 3, number, 20.0) as watch:
            return watch is not None

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(run, (2, 0, 1))) == [True] * 3
    assert ends.empty()
    host, _, port = address.rpartition(":")
    socket.create_server((host, int(port))).close()  # free for jax


def test_those_that_came_are_told_who_did_not(address):
    def run(number):
        with pytest.raises(ProcessError) as error:
            meet(address, 4, number, 1.0)
        return str(error.value)

    with ThreadPoolExecutor(2) as threads:
        texts = list(threads.map(run, (0, 2)))
    for text in texts:
        assert "process 1, 3 of 4 (from 0) did not come within 1 s" in text
        assert "--process_timeout" in text


def test_a_process_that_finds_nobody_says_where_it_looked(address):
    with pytest.raises(ProcessError, match=f"{address}, process 0: .*up to 0.3 s"):
        meet(address, 2, 1, 0.3)


@pytest.mark.parametrize(
    ("greeting", "answer"),
    [
        ("spectjax process 1 of 2\n", "there is a process 1 already"),
        ("spectjax process 1 of 5\n", "process 0 expects 2 of this version"),
        ("spectjax process 2 of 2\n", "process 0 expects 2 of this version"),
        ("GET / HTTP/1.1\n", "process 0 expects 2 of this version"),
    ],
)
def test_who_does_not_belong_to_the_run_is_turned_away(greeting, answer, address):
    host, _, port = address.rpartition(":")
    server = process_watch._listen(int(port))
    first = socket.socketpair()  # its other end is not closed
    waiting = {1: first[0]} if "already" in answer else {}
    with server, socket.create_connection((host, int(port))) as peer:
        peer.sendall(greeting.encode())
        peer.settimeout(20)
        came, _ = server.accept()
        process_watch._admit(came, waiting, 2)
        assert peer.recv(200).decode().startswith(answer)
    assert len(waiting) == ("already" in answer)


def test_a_process_that_is_started_again_takes_its_place():
    gone, other = socket.socketpair()
    other.close()
    ours, theirs = socket.socketpair()
    theirs.sendall(b"spectjax process 1 of 2\n")
    waiting = {1: gone}
    process_watch._admit(ours, waiting, 2)
    assert waiting == {1: ours}


def test_a_port_that_is_taken_and_an_address_that_is_none_are_named(address):
    host, _, port = address.rpartition(":")
    with (
        process_watch._listen(int(port)),
        pytest.raises(ProcessError, match="process 0 cannot listen there"),
    ):
        meet(address, 2, 0, 1.0)
    for wrong in ("localhost", "localhost:", ":1234", "localhost:0", "localhost:x"):
        with pytest.raises(ProcessError, match="expected HOST:PORT"):
            meet(wrong, 2, 0, 1.0)


def test_a_process_that_has_ended_ends_the_other(ends):
    with watching() as (_, peer):
        peer.close()
        assert ends.get(timeout=20).startswith("Process 1 of 2 has ended. See what")


def test_a_process_that_falls_silent_ends_the_other(ends):
    with watching(timeout=0.2):
        assert ends.get(timeout=20).startswith("Process 1 of 2 said nothing for 0.2 s")


def test_a_process_that_takes_its_leave_ends_nobody(ends):
    with watching() as (watch, peer):
        with watch:
            peer.sendall(b"..!")
            peer.close()
            watch._thread.join(20)
        assert not watch._thread.is_alive()
    assert ends.empty()


def test_an_error_of_its_own_is_what_a_process_says(ends):
    with watching() as (watch, _), pytest.raises(SystemExit), watch:
        raise ProcessError("this very error")
    assert ends.get_nowait() == "this very error"


def test_a_collective_that_fails_for_want_of_another_process_is_explained(ends):
    with watching() as (watch, peer), pytest.raises(SystemExit), watch:
        peer.close()
        raise ValueError("Gloo AllGather failed: Connection closed by peer")
    said = [ends.get(timeout=20) for _ in range(ends.qsize())]
    assert said and set(said) == {watch._lost}


def test_a_mistake_of_the_program_keeps_its_traceback(ends, capsys):
    with watching() as (watch, _), pytest.raises(SystemExit), watch:
        raise KeyError("a mistake")
    assert "KeyError: 'a mistake'" in capsys.readouterr().err


def test_behind_the_relay_a_lost_process_only_falls_silent(ends):
    with socket.create_server(("127.0.0.1", 0)) as server, watching() as (watch, _):
        port = server.getsockname()[1]
        name, _, port = watch.relay(f"localhost:{port}").partition(":")
        near = socket.create_connection((name, int(port)))
        far, _ = server.accept()
        near.sendall(b"question")
        assert far.recv(20) == b"question"
        far.sendall(b"answer")
        assert near.recv(20) == b"answer"
        far.close()
        near.settimeout(0.2)
        with pytest.raises(TimeoutError):
            near.recv(20)
        with watch:
            pass
        near.settimeout(20)
        assert near.recv(20) == b""  # the run has ended: as without a relay


@pytest.mark.parametrize(
    "nodes", ["node7", "node7,other", "node[007-015],other", "n-a[1,7-9]", "a[3]"]
)
def test_what_slurm_says_is_read_as_jax_reads_it(nodes, monkeypatch):
    said = {"SLURM_JOB_ID": "123456", "SLURM_NTASKS": "4", "SLURM_PROCID": "3"}
    for name, value in (said | {"SLURM_STEP_NODELIST": nodes}).items():
        monkeypatch.setenv(name, value)
    expected = SlurmCluster.get_coordinator_address(None, None).replace("]", "")
    assert _ask_slurm() == (expected, 4, 3)
    monkeypatch.delenv("SLURM_PROCID")
    with pytest.raises(ProcessError, match="SLURM does not say .*SLURM_PROCID"):
        _ask_slurm()


def test_a_time_that_is_too_short_is_refused():
    with pytest.raises(ProcessError, match="--process_timeout=0.5: expected 1 s or"):
        start_processes("localhost:1", 2, 0, 0.5)


def test_a_command_whose_other_process_is_missing_ends_in_one_line(address, tmp_path):
    command = [sys.executable, "-m", "spectjax.main"]
    command += [f"--config={ROOT}/configs/unet.py:smoke", f"--workdir={tmp_path}/run"]
    command += [f"--coordinator={address}", "--num_processes=2", "--process_id=0"]
    done = subprocess.run(
        [*command, "--process_timeout=1"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert "process 1 of 2 (from 0) did not come within 1 s" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
