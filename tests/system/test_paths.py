"""Tests of `spectjax.system.paths`."""

import os
import pathlib

import pytest

from spectjax.system.messages import MAX_CHARACTERS
from spectjax.system.paths import PathError, read_path


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.mark.parametrize("text", ["~", "~/runs", "~/a/~/b"])
def test_a_tilde_at_the_beginning_is_the_home_folder(home, text):
    assert read_path(text, "--workdir") == home / text[2:]


def test_without_a_home_folder_a_tilde_is_refused(monkeypatch):
    monkeypatch.setenv("HOME", "")
    with pytest.raises(PathError, match="^--f=~/x: .* found none for ~. Give"):
        read_path("~/x", "--f")


def test_a_tilde_before_a_name_is_that_users_home():
    pwd = pytest.importorskip("pwd")
    me = pwd.getpwuid(os.getuid())
    assert read_path(f"~{me.pw_name}/x", "--f") == pathlib.Path(me.pw_dir, "x")


@pytest.mark.parametrize(
    "text", ["a [x]* {y} %s $HOME ~", "runs/lr[0.01]", "a?b", "a:b", "C:/x", "ä/ß", "."]
)
def test_every_other_character_stands_for_itself(home, text):
    assert str(read_path(text, "--workdir")) == text


def test_a_folder_that_is_called_tilde_is_never_taken_for_the_home(home):
    path = read_path("./~", "--workdir")
    assert path == home.parent / "~"
    assert path.is_absolute() and read_path(path, "--workdir") == path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "nothing"),
        ("gs://bucket/runs", "gs://"),
        ("s3://bucket", "s3://"),
        ("file:///tmp/x", "file://"),
        ("https://host/x", "https://"),
        ("/tmp/\0x", "null byte"),
        ("x" * 300, "too long"),
        ("~no such user/x", "found none for ~no such user"),
        ("\udfff", "surrogates"),
    ],
)
def test_what_is_no_path_is_refused_in_one_line_that_names_the_flag(text, found):
    with pytest.raises(PathError) as error:
        read_path(text, "--workdir")
    assert str(error.value).startswith("--workdir")
    assert found in str(error.value).lower().replace("embedded null", "null")
    assert str(error.value).isprintable() and len(str(error.value)) <= MAX_CHARACTERS


def test_a_path_below_a_file_or_a_closed_folder_is_left_to_who_opens_it(tmp_path):
    (tmp_path / "file").touch()
    assert read_path(tmp_path / "file/x", "--f") == tmp_path / "file/x"
