"""Tests of `commands`: how every command ends, whatever becomes of it."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from spectjax.system.commands import (
    BUG_STATUS,
    describe_error,
    end_plainly,
)
from spectjax.system.files import WriteError
from spectjax.system.locks import LOCK_NAME, hold
from spectjax.system.messages import Stop, UserError

ROOT = pathlib.Path(__file__).parents[2]
COMMAND = """
import contextlib, os, sys
from spectjax.system.commands import define_path, read_paths, refuse_arguments
from spectjax.system.commands import run_command
from spectjax.system.locks import LOCK_NAME, hold
from spectjax.system.messages import UserError
define_path("output_dir", "Where to.", required=True)

def main(argv):
    paths = read_paths(argv)
    print("skipped: \\x1bf\\udcff ä", file=sys.stderr)
    for number in range(20000):
        print(f"line {number} ä ☃")
    from absl import flags
    flags.FLAGS.output_dir.write_text("result")
    # What is written to a closed stderr by a library must not land in a result.
    stream = open(flags.FLAGS.output_dir, "a")
    with contextlib.suppress(OSError):
        os.write(2, b"noise")
    for path in paths:
        raise UserError(f"{path}: no")

run_command(main)
"""


def run(tmp_path, redirections, *arguments, **environment):
    """Runs the command in a shell and returns exit status, stdout and stderr."""
    (tmp_path / "command.py").write_text(COMMAND)
    line = f'"$0" command.py --output_dir=out "$@" {redirections}'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}", sys.executable, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "redirections",
    [
        "2>&-",
        ">&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        "| head -1",
        "2>&1 | head -1",
        "2>/dev/full",
        "> >(true) 2> >(true)",
    ],
)
def test_output_that_nobody_takes_changes_no_result(tmp_path, redirections):
    status, stdout, stderr = run(tmp_path, redirections)
    assert (status, (tmp_path / "out").read_text()) == (0, "result")
    assert b"Error" not in stdout + stderr and b"Traceback" not in stdout + stderr


def test_a_full_disk_under_stdout_is_told_after_the_work_is_done(tmp_path):
    status, _, stderr = run(tmp_path, ">/dev/full")
    assert (status, (tmp_path / "out").read_text()) == (1, "result")
    assert stderr.endswith(b"error: standard output: No space left on device.\n")


def test_a_character_that_a_terminal_does_not_know_is_escaped(tmp_path):
    status, stdout, stderr = run(tmp_path, "", PYTHONIOENCODING="ascii")
    assert status == 0
    assert stdout.startswith(b"line 0 \\xe4 \\u2603\n")
    assert b"\\udcff \\xe4" in stderr


def test_what_a_user_can_mend_is_one_line_and_status_1(tmp_path):
    status, _, stderr = run(tmp_path, "", "some\nwhere")
    assert status == 1
    assert stderr.endswith(b"error: some\\nwhere: no\n")
    (shown,) = run(tmp_path, "", "--help")[1:2]
    assert b"--output_dir: Where to." in shown  # a flag of the command, not of ours
    for argument in ("gs://bucket", "--output_dir=s3://bucket", "--nix", "~nobody_x/y"):
        status, _, stderr = run(tmp_path, "", argument)
        assert status == 1
        assert re.search(rb"^error: [^\n]+\n\Z", stderr, re.M)
        assert b"Traceback" not in stderr


@pytest.fixture
def end(capsys):
    """Ends a command with an error; returns its exit status and what it said."""

    def run(error):
        with pytest.raises(SystemExit) as ended, end_plainly("Stopped. Go on."):
            raise error
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("f: expected a, found b."), "f: expected a, found b."),
        (WriteError("f: cannot be written."), "f: cannot be written."),
        (PermissionError(13, "Permission denied", "f\n"), "f\\n: Permission denied."),
        (OSError(28, "No space left on device"), "No space left on device."),
        (FloatingPointError("At step 3 the loss was nan."), "At step 3 the loss was"),
        (MemoryError(), "Expected more memory, found too little (out of memory)"),
        (
            MemoryError("Unable to allocate 16. GiB for an array"),
            "Expected more memory, found too little (Unable to allocate 16. GiB for",
        ),
    ],
)
def test_errors_that_are_no_bugs_are_one_line(end, error, line):
    status, said = end(error)
    assert status == 1
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1


def test_a_device_without_memory_is_one_line():
    error = type("XlaRuntimeError", (RuntimeError,), {})
    assert "too little" in describe_error(error("RESOURCE_EXHAUSTED: Out of memory\nx"))
    assert describe_error(error("INTERNAL: x")) is None


@pytest.mark.parametrize(
    "error", [ValueError("\x1b[2J"), KeyError("x"), RuntimeError("x"), AssertionError()]
)
def test_a_bug_shows_its_traceback_and_asks_to_be_reported(end, error):
    status, said = end(error)
    assert status == BUG_STATUS == 70
    assert said.startswith("Traceback (most recent call last):")
    assert "\x1b" not in said
    assert "report" in said.splitlines()[-1]


def test_an_interruption_and_a_stop_have_their_own_line_and_status(end):
    assert end(KeyboardInterrupt()) == (130, "Stopped. Go on.\n")
    number = signal.SIGTERM
    assert end(Stop("Stopped by SIGTERM.", 128 + number)) == (
        128 + number,
        "Stopped by SIGTERM.\n",
    )


def test_an_exit_of_the_commands_own_stays(end):
    assert end(SystemExit(3))[0] == 3
    with end_plainly():  # as absl ends a command that went well
        raise SystemExit(0)


def test_a_tilde_in_a_flag_or_after_the_flags_is_the_home_folder(tmp_path):
    (tmp_path / "home").mkdir()
    status, _, stderr = run(
        tmp_path, "", "--output_dir=~/there", "~/x", HOME=str(tmp_path / "home")
    )
    assert stderr.endswith(f"error: {tmp_path}/home/x: no\n".encode())
    assert (tmp_path / "home" / "there").read_text() == "result"


REFUSED = {
    "spectjax.main": ["--config=configs/kmeans.py:smoke", "--workdir={folder}"],
    "spectjax.predict": ["--output_dir={folder}", "--workdir=none", "none"],
    "spectjax.follow_up": ["--output_dir={folder}", "none", "none"],
    "spectjax.phantom": ["--output_dir={folder}", "--patients=1"],
}


@pytest.mark.parametrize("module", REFUSED)
def test_a_command_leaves_a_folder_alone_that_another_works_in(tmp_path, module):
    folder = tmp_path / "folder"
    with hold(folder):
        done = subprocess.run(
            [sys.executable, "-m", module]
            + [word.format(folder=folder) for word in REFUSED[module]],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert [file.name for file in folder.iterdir()] == [LOCK_NAME]
    assert (done.returncode, done.stdout) == (1, "")
    who = f"error: {folder}: in use by process {os.getpid()} on "
    assert done.stderr.startswith(who) and done.stderr.count("\n") == 1


# Programs that another of ours starts and listens to, beside those named a worker.
CHILDREN = {
    "benchmarks/gpu_parts.py",
    "benchmarks/gpu_programs.py",
    "scripts/node_trial/fake_model.py",
    "spectjax/node/leash.py",
    "spectjax/node/model.py",
}


def find_commands():
    for folder in ("spectjax", "tfds_spect", "scripts", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text()
            name = path.relative_to(ROOT).as_posix()
            # Nor what is run once.
            if '\nif __name__ == "__main__"' in source and not (
                path.stem.endswith("_worker")
                or path.stem.startswith("make_")
                or name in CHILDREN
            ):
                yield pathlib.Path(name)


@pytest.mark.parametrize("path", list(find_commands()), ids=str)
def test_every_command_ends_the_same_way(path):
    source = (ROOT / path).read_text()
    shell = source[source.index('if __name__ == "__main__"') :]
    assert re.search(r"run_command\(|end_plainly\(|run_module\(", shell)
    assert "sys.exit(f" not in source and "sys.exit(str" not in source
    # What writes a folder holds it; a table is printed, a benchmark appends to a file.
    if re.search(r'define_path\(\s*"output(_dir)?"', source):
        assert re.search(r"\b(hold(_run)?|write_views)\(", source)
    # Else `~` and addresses are taken for names.
    assert not re.search(
        r'DEFINE_\w+\(\s*"(workdir|output|output_dir|data_dir|manual_dir)"', source
    )
    assert not re.search(r"type=(pathlib\.)?Path\b", source)


@pytest.mark.parametrize("module", ["spectjax.predict", "spectjax.explain"])
def test_ctrl_c_while_modules_load_is_one_line(tmp_path, module):
    """Whichever loads numpy first, it is as if the user lost patience then."""
    (tmp_path / "numpy.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time\n"
        "time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "Stopped.\n")
