"""A program that reads studies: what becomes of one that does not do as it should."""

import os
import sys

import pytest

from spectjax.node import program as program_module
from spectjax.node.program import (
    Program,
    ProgramError,
    StoppedError,
    StudyError,
    UnreadableError,
)
from tests.support.nodes import READER, wait_for

MIB = 2**20


@pytest.fixture
def make_program(tmp_path):
    programs = []

    def make(*command, memory=2000 * MIB, tick=lambda: None):
        command = command or (sys.executable, "-I", str(READER), str(tmp_path))
        log = tmp_path / "log"
        programs.append(Program(command, memory_bytes=memory, log=log, tick=tick))
        return programs[-1]

    yield make
    for program in programs:
        program.end()


def ask(program, folder, word, seconds=20):
    (folder / "do").write_text(word)
    (folder / "out").mkdir(exist_ok=True)
    return program.ask(folder, folder / "out", seconds)


def test_program_stays_between_studies(tmp_path, make_program):
    program = make_program()
    program.start(20)
    process = program._process.pid
    assert ask(program, tmp_path, "empty") == ""
    with pytest.raises(StudyError, match="says: no luck"):
        ask(program, tmp_path, "say error no luck")
    with pytest.raises(UnreadableError, match="cannot read it: no pixels"):
        ask(program, tmp_path, "say failed no pixels")
    assert ask(program, tmp_path, "say nothing no body") == "no body"
    assert (program._process.pid, program.starts) == (process, 1)


@pytest.mark.parametrize(
    ("word", "seconds", "words"),
    [
        ("crash", 20, r"crashed \(SIGABRT\)"),
        ("leave", 20, "ended with status 7"),
        ("babble", 20, "no answer"),
        ("say done maybe", 20, "no answer"),
        ("hang", 0.3, "took more than 0.3 s"),
    ],
)
def test_program_that_fails_is_ended(tmp_path, make_program, word, seconds, words):
    program = make_program()
    program.start(20)
    with pytest.raises(ProgramError, match=words) as caught:
        ask(program, tmp_path, word, seconds)
    assert not isinstance(caught.value, StudyError)
    assert not program.is_running
    program.start(20)
    assert ask(program, tmp_path, "empty") == ""


def test_program_that_takes_too_much_memory_is_ended(tmp_path, make_program):
    program = make_program(memory=100 * MIB)
    program.start(20)
    # The system refuses it, or a look at what it uses ends it: whichever comes first.
    with pytest.raises(ProgramError, match="memory and was ended|ended with status 1"):
        ask(program, tmp_path, "eat")
    assert not program.is_running


def test_memory_is_looked_at_where_the_system_sets_no_limit(
    tmp_path, make_program, monkeypatch
):
    assert 10 * MIB < program_module.measure_memory(os.getpid()) < 10_000 * MIB
    program = make_program()
    program.start(20)
    monkeypatch.setattr(program_module, "measure_memory", lambda process: 3000 * MIB)
    with pytest.raises(ProgramError, match="took more than 2000 MiB of memory"):
        ask(program, tmp_path, "hang")


@pytest.mark.parametrize(
    ("code", "seconds", "words"),
    [
        ("import sys; sys.exit(4)", 20, "ended with status 4"),
        ("print('{\"done\": 1}')", 20, "is not ready"),
        ("import time; time.sleep(60)", 0.2, "took more than 0.2 s"),
    ],
)
def test_program_that_does_not_start_is_told(make_program, code, seconds, words):
    program = make_program(sys.executable, "-c", code)
    with pytest.raises(ProgramError, match=words):
        program.start(seconds)
    assert not program.is_running


def test_node_that_stops_ends_the_program(tmp_path, make_program):
    asked = []

    def tick():
        if asked:
            raise StoppedError

    program = make_program(tick=tick)
    program.start(20)
    process = program._process
    asked.append(True)
    with pytest.raises(StoppedError):
        ask(program, tmp_path, "hang")
    wait_for(lambda: process.poll() is not None)
