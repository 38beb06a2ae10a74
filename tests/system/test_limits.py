"""Tests of `spectjax.system.limits`."""

import os

import pytest

from spectjax.system.limits import read_limited
from spectjax.system.messages import UserError


class OurError(UserError):
    """Of some reader."""


def test_a_file_of_the_limit_is_read_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"


def test_a_larger_file_is_refused_with_both_sizes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(2048))
    with pytest.raises(OurError, match=r"file: expected .* 1 KiB, found 2 KiB"):
        read_limited(path, 1024, error=OurError)


def test_a_pipe_does_not_block(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(UserError, match="pipe: expected a file, found"):
        read_limited(path, 10)


@pytest.mark.parametrize("name", ["missing", ".", "nul\0byte"])
def test_what_is_no_file_is_one_line(tmp_path, name):
    with pytest.raises(UserError, match="expected a"):
        read_limited(tmp_path / name, 10)
