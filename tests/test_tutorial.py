"""The tutorial's commands, as a user runs them, and what it shows of them.

Numbers may differ from one processor to the next: they are not compared.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs/tutorial.md"
MARK = "-- block "
# The folds follow the secret: with this one they are those that the page shows.
SECRET = '$(python -c "import secrets; print(secrets.token_hex(32))")'
KNOWN = "spectjax tutorial"


def read_blocks(page):
    """The commands of each block, and the lines that are shown as their output."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", page, flags=re.M | re.S
    )
    return [(commands, shown.splitlines()) for commands, shown in blocks]


def write_script(blocks):
    """A shell script that ends at the first command that does what it should not."""
    lines = ["set -euo pipefail"]
    for number, (commands, _) in enumerate(blocks):
        refused = re.sub(
            r"^(.+?) +# refused$", r"if \1; then exit 99; fi", commands, flags=re.M
        )
        lines += [f"echo '{MARK}{number}'", refused]
    return "\n".join(lines)


def run(blocks, folder):
    """What each block says, in an empty folder where configs are as in a clone."""
    (folder / "configs").symlink_to(ROOT / "configs")
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", write_script(blocks)],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    return re.split(rf"^{MARK}\d+\n", ended.stdout, flags=re.M)[1:]


def mask(line):
    line = re.sub(r"(?<![a-z])[0-9a-f]{8,}(?![a-z])", "#", line.strip())  # pseudonyms
    line = re.sub(r"[−+]?\d+(\.\d+)?", "#", line)
    return line.replace("**", "")  # around what is sure


def find_missing(shown, said):
    """Shown lines that did not come out in this order; `...` stands for any."""
    rest = iter([mask(line) for line in said.splitlines()])
    return [line for line in shown if line != "..." and mask(line) not in rest]


def test_a_command_that_should_be_refused_and_is_not_ends_the_script(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    page = "```sh\necho 1.5 found\n```\n\n```text\n2 found\n```\n\n"
    page += "```sh\n{}  # refused\n```\n"
    said = run(read_blocks(page.format("false")), tmp_path / "one")
    assert said == ["1.5 found\n", ""]
    with pytest.raises(AssertionError, match="1.5 found"):
        run(read_blocks(page.format("true")), tmp_path / "two")


def test_shown_lines_have_to_come_out_in_their_order():
    said = "one\n2 lesions of 3\nthree\n"
    assert find_missing(["one", "...", "three"], said) == []
    assert find_missing(["22 lesions of 33"], said) == []
    assert find_missing(["of 17fb3ce31d937632_a"], "of e53ba93c00000000_a") == []
    assert find_missing(["three", "one"], said) == ["one"]
    assert find_missing(["2 lesions"], said) == ["2 lesions"]


def test_every_text_is_shown_below_commands():
    page = PAGE.read_text()
    assert page.count("```text") == sum(bool(shown) for _, shown in read_blocks(page))


@pytest.mark.slow
def test_the_tutorial_runs_and_says_what_it_shows(tmp_path):
    page = PAGE.read_text()
    assert page.count(SECRET) == 1
    blocks = read_blocks(page.replace(SECRET, f"'{KNOWN}'"))
    assert len(blocks) > 10
    for (_, shown), said in zip(blocks, run(blocks, tmp_path), strict=True):
        assert find_missing(shown, said) == [], said
