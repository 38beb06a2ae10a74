"""Tests of `run.json`: what trained a run, each time that it began or went on."""

import json
import platform

import jax
import pytest

from spectjax.system.messages import ConfigError
from spectjax.training.sessions import NAME, note_session, read_sessions


def test_each_beginning_is_a_session(tmp_path):
    assert read_sessions(tmp_path) is None
    note_session(tmp_path, epochs_done=0)
    note_session(tmp_path, epochs_done=3)
    first, second = read_sessions(tmp_path)
    assert (first["epochs_done"], second["epochs_done"]) == (0, 3)
    assert second["packages"]["jax"] == jax.__version__
    assert (second["device"], second["num_processes"]) == ("cpu", 1)


def test_no_name_of_a_machine_is_noted(tmp_path):
    note_session(tmp_path, epochs_done=0)
    assert platform.node() not in (tmp_path / NAME).read_text()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "damaged JSON"),
        ('{"format": 1, "sessions": [{}]}', "no 'sessions\\[0\\].epochs_done'"),
        (json.dumps({"format": 2, "sessions": []}), "found 2"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, text, found):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ConfigError, match=f"run.json: expected .*{found}"):
        note_session(tmp_path, epochs_done=0)
    assert (tmp_path / NAME).read_text() == text
