"""Tests of `spectjax.system.files`."""

import errno
import json
import os

import pytest

from spectjax.system.files import WriteError, write_file, write_json


def refuse(*_args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_write_file_makes_folders_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "a" / "b" / "table.md"
    write_file(path, "old")
    write_file(path, "µ")
    assert path.read_bytes() == "µ".encode()
    assert os.listdir(path.parent) == ["table.md"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_write_file_on_a_full_disk_leaves_the_old_file_alone(
    tmp_path, monkeypatch, step
):
    path = tmp_path / "metrics.json"
    write_file(path, b"old")
    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(WriteError, match="metrics.json: .*No space left on device"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_write_file_takes_names_as_long_as_the_system_does(tmp_path):
    for name in ("x" * 255, "ü" * 127):
        write_file(tmp_path / name, b"1")
        assert (tmp_path / name).read_bytes() == b"1"


def test_write_file_names_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(WriteError, match="cannot be written"):
        write_file(tmp_path / "out" / "a.json", b"")


def test_write_json_writes_null_where_a_number_is_undefined(tmp_path):
    path = tmp_path / "metrics.json"
    document = {"a": float("nan"), "b": [1.5, float("inf")], "c": (2, "é")}
    write_json(path, document)
    assert json.loads(path.read_text()) == {"a": None, "b": [1.5, None], "c": [2, "é"]}
    assert "NaN" not in path.read_text()


def test_write_json_keeps_lists_of_numbers_on_one_line_and_texts_as_they_are(tmp_path):
    path = tmp_path / "metrics.json"
    document = {
        "box": [1, 2.5, None],
        "texts": ["[\n  1 ]", "a"],
        "nested": [[3, -4], []],
    }
    write_json(path, document)
    text = path.read_text()
    assert json.loads(text) == document
    assert '"box": [1, 2.5, null],' in text and "[3, -4]" in text
