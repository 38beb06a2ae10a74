"""Tests of `sandbox`: what goes wrong in the process is one line here."""

import gc
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time
import tracemalloc

import pytest

from spectjax.inference.sandbox import Child, ChildError

TESTS = pathlib.Path(__file__).parents[1] / "support"
ROOM = 2**31


@pytest.fixture
def start(monkeypatch):
    """Starts processes that find this folder's modules."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    children = []

    def start(memory=ROOM):
        children.append(Child("sandbox_answers", memory=memory))
        return children[-1]

    yield start
    for child in children:
        child.end()


def ask(child, do, *arguments, parts=(), seconds=30.0, most=2**20):
    header = {"do": do, "with": arguments}
    return child.ask(header, parts, seconds=seconds, most=most)


def is_running(pid):
    try:
        # One that has ended and that nobody waited for does not run either.
        state = pathlib.Path(f"/proc/{pid}/stat")
        if state.exists():
            return state.read_text().rpartition(")")[2].split()[0] != "Z"
        os.kill(pid, 0)
    except (OSError, IndexError):
        return False
    return not pathlib.Path("/proc/self").exists()


def wait_until_gone(pid):
    deadline = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def test_bytes_go_and_come_whatever_is_printed(start):
    child = start()
    long = bytes(range(256)) * 4096
    for parts in ([], [b""], [b"ab", long], [long, b"", b"c"]):
        header, answer = ask(child, "reverse", parts=parts, most=2**21)
        assert answer == [part[::-1] for part in parts]
    assert header["pid"] not in (os.getpid(), 0)


@pytest.mark.parametrize("do", ["spin", "wait"])
def test_what_takes_too_long_is_ended(start, do):
    child = start()
    pid = ask(child, "reverse")[0]["pid"]
    arguments = (60,) if do == "wait" else ()
    with pytest.raises(ChildError, match=r"took more than 0\.5 s and was ended"):
        ask(child, do, *arguments, seconds=0.5)
    assert wait_until_gone(pid)
    with pytest.raises(ChildError, match=r"took more than 0\.5 s and was ended"):
        ask(child, "reverse")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_a_crash_is_one_line(start, name):
    with pytest.raises(ChildError, match=rf"crashed \({name}; .*2 GiB of memory"):
        ask(start(), "kill", name)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of memory there")
def test_more_memory_than_allowed_is_not_to_be_had(start):
    for shared in (False, True):  # which the system's limit leaves out
        child = start(memory=2**28)
        assert ask(child, "fill", 50, shared)[0] == {"held": 50}
        with pytest.raises(ChildError, match="0.25 GiB of memory"):
            ask(child, "fill", 2000, shared)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of files there")
def test_no_file_is_filled(start, tmp_path):
    found = ask(start(), "write", str(tmp_path / "a"), 40)[0]["found"]
    assert "large" in found
    assert (tmp_path / "a").stat().st_size <= 2**24


def test_an_end_without_an_answer_tells_the_last_words(start):
    with pytest.raises(ChildError, match=r"ended with status 3 \(this is why\)"):
        ask(start(), "leave")


def test_of_many_words_the_last_count(start):
    tracemalloc.start()
    with pytest.raises(ChildError, match=r"ended with status 3 \(no word\)"):
        ask(start(), "say", "no word\n" + "\n" * 1000, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_an_empty_part_arrives(start):
    child = start()
    assert ask(child, "reverse", parts=[memoryview(b""), b"ab"])[1] == [b"", b"ba"]


def test_an_error_for_the_user_arrives_and_the_process_goes_on(start):
    child = start()
    with pytest.raises(ChildError, match="no such thing"):
        ask(child, "refuse")
    assert ask(child, "reverse", parts=[b"ab"])[1] == [b"ba"]


def test_a_bug_keeps_its_traceback(start):
    with pytest.raises(RuntimeError, match="(?s)Traceback.*LookupError: a bug of ours"):
        ask(start(), "fail")


def test_a_module_that_is_not_there_is_told(monkeypatch):
    child = Child("spectjax.none", memory=ROOM)
    with pytest.raises(ChildError, match="status 1 .*No module named"):
        ask(child, "reverse")
    child.end()


def pack(text):
    return (struct.pack("<Q", len(text)) + text).hex()


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**62).hex(),
        pack(b"no json"),
        pack(b"[" * 20_000),
        pack(b"[]"),
        pack(b"{}"),
        pack(b'{"sizes": [-1]}'),
        pack(b'{"sizes": [1e9]}'),
        pack(b'{"sizes": {"a": 1}}'),
        pack(json.dumps({"sizes": [2**40]}).encode()),
        pack(json.dumps({"sizes": [2**20, 1]}).encode()),
    ],
)
def test_what_is_no_answer_is_refused_and_nothing_is_made_of_it(start, content):
    with pytest.raises(ChildError, match="gave what is no answer"):
        ask(start(), "send", content)


def test_an_answer_longer_than_expected_is_refused(start):
    with pytest.raises(ChildError, match="1001 bytes, expected at most 1000"):
        ask(start(), "reverse", parts=[bytes(1001)], most=1000)


def test_the_process_ends_with_what_holds_it(start):
    child = Child("sandbox_answers", memory=ROOM)
    pid = ask(child, "reverse")[0]["pid"]
    del child
    gc.collect()
    assert wait_until_gone(pid)


PARENT = """
import sys, threading, time
from spectjax.inference.sandbox import Child
child = Child("sandbox_answers", memory=2**31)
print(child.ask({"do": "reverse"}, seconds=30, most=9)[0]["pid"], flush=True)
child.ask({"do": "spin"}, seconds=600, most=9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are asked for")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_the_process_ends_with_whoever_started_it(name):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=TESTS.parent,
        env=os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
    )
    with parent:
        pid = int(parent.stdout.readline())
        time.sleep(0.1)  # within the loop
        parent.send_signal(signal.Signals[name])
    assert wait_until_gone(pid)
