"""The script that disturbs commands finds what comes to harm."""

import random
import subprocess
import sys

import pytest

from scripts import disturb


@pytest.fixture
def case(tmp_path):
    """A case as after its undisturbed run, with two files."""
    case = object.__new__(disturb.Case)
    case.name, case.seconds, case.size = "by hand", 0.1, 100
    case.out, case.truth = tmp_path / "out", tmp_path / "truth"
    for folder in (case.out, case.truth):
        (folder / "deep").mkdir(parents=True)
        (folder / "one.json").write_text("{}")
        (folder / "deep" / "two.png").write_text("picture")
    return case


def test_the_true_files_are_no_harm(case):
    (case.out / ".one.json.17.partial").write_text("{")
    (case.out / "1.0.0.incompleteABC").mkdir()
    (case.out / "1.0.0.incompleteABC" / "shard").write_text("half")
    case.check(whole=True)


def test_half_a_file_is_harm(case):
    (case.out / "deep" / "two.png").write_text("pict")
    with pytest.raises(disturb.HarmError, match=r"deep/two.png"):
        case.check(whole=False)


def test_a_missing_file_is_harm_only_at_the_end(case):
    (case.out / "one.json").unlink()
    case.check(whole=False)
    with pytest.raises(disturb.HarmError, match=r"missing \['one.json'\]"):
        case.check(whole=True)


def test_a_traceback_on_a_full_disk_is_harm(case, monkeypatch):
    program = "import sys; sys.exit('Traceback (most recent call last):')"

    def start(clock=None):
        return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)

    monkeypatch.setattr(case, "start", start)
    with pytest.raises(disturb.HarmError, match="a traceback"):
        disturb._expect_refusal(case)


def test_the_clock_of_a_command_moves(tmp_path):
    clock = disturb.CLOCK.format(shift=1000, jump=0, after=1)
    program = f"import time\nbefore = time.time()\n{clock}\nprint(time.time() - before)"
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True
    )
    assert 1000 <= float(said.stdout) < 1060


def test_de_identification_takes_no_harm(tmp_path):
    inputs = disturb.write_inputs(tmp_path / "inputs", ["deidentify"], patients=1)
    case = disturb.Case("deidentify", tmp_path, inputs)
    draw = random.Random(1)
    disturb.kill(case, draw)
    disturb.move_clock(case, draw)
    if disturb.may_mount():
        disturb.fill_disk(case, draw)
        disturb.forbid_writing(case, draw)


@pytest.mark.slow
def test_no_command_takes_harm(tmp_path):
    command = [sys.executable, "scripts/disturb.py", f"--output_dir={tmp_path}"]
    subprocess.run([*command, "--times=1"], check=True, timeout=1800)
