"""Spoilt files are refused by a typed error or read as what they are."""

import json
import subprocess
import sys

import numpy as np
import pytest

from scripts import fuzz
from scripts.fuzzing import worker
from scripts.fuzzing.kinds import KINDS, BrokenPromiseError
from spectjax.system.messages import UserError
from spectjax.training import checkpoint

FEW, MANY = 12, 2000
NEEDS = {"onnx": ("jax2onnx", "onnxruntime"), "stablehlo": ("flatbuffers",)}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return tmp_path_factory.mktemp("seeds")


@pytest.mark.parametrize("name", KINDS)
def test_a_few_spoilt_files_do_no_harm(name, pool, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PATIENCE_SECONDS", 0.01)
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    seeds = KINDS[name].make_seeds(pool)
    results = []
    for index in range(FEW):
        path = worker.make_input(name, seeds, 1, index, tmp_path / "input")
        results.append({"index": index} | worker.judge(KINDS[name].read, path, seeds))
    # Processor time of a busy machine is no fact: only what came out counts here.
    assert [r for r in results if r["outcome"] == "fault"] == []
    assert any(r["outcome"] == "refused" for r in results)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_thousands_of_spoilt_files_do_no_harm(name, tmp_path):
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    results = fuzz.fuzz(name, tmp_path, count=MANY, seed=2)
    assert len(results) == MANY
    assert [r for r in results if fuzz.is_fault(r)] == []


def test_the_same_number_makes_the_same_input(pool, tmp_path):
    seeds = KINDS["labelme"].make_seeds(pool)
    one, other = (
        worker.make_input("labelme", seeds, 0, 7, tmp_path / name).read_bytes()
        for name in ("one", "other")
    )
    assert one == other


def fail(error):
    def read(path, seeds):
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        (lambda path, seeds: None, "accepted"),
        (fail(UserError("scan.dcm: no")), "refused"),
        (fail(KeyError("x")), "fault"),
        (fail(BrokenPromiseError("x")), "fault"),
        (fail(SystemExit(1)), "fault"),
    ],
)
def test_only_typed_errors_are_refusals(read, outcome, tmp_path):
    assert worker.judge(read, tmp_path)["outcome"] == outcome


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of memory")
def test_what_is_slow_or_large_is_a_fault(tmp_path):
    result = worker.judge(lambda *_: np.ones(100 << 20, np.uint8), tmp_path)
    assert 95 <= result["mib"] <= 110
    assert fuzz.is_fault(result | {"mib": 600})
    assert fuzz.is_fault({"outcome": "accepted", "seconds": 2.1, "mib": 0})
    assert not fuzz.is_fault({"outcome": "refused", "seconds": 1.9, "mib": 500})


def test_a_count_that_was_stopped_goes_on(tmp_path):
    log = tmp_path / "labelme_0.jsonl"
    known = {"index": 0, "outcome": "refused", "error": "mine", "seconds": 0, "mib": 0}
    log.write_text(json.dumps(known) + '\n{"index": 1, "outc')
    command = [sys.executable, "scripts/fuzz.py", f"--output_dir={tmp_path}"]
    subprocess.run([*command, "--kind=labelme", "--count=3"], check=True)
    results = fuzz.read_log(log)
    assert results[0] == known
    assert [result["index"] for result in results] == [0, 1, 2]


def test_a_process_that_ends_or_hangs_is_a_fault(tmp_path, monkeypatch):
    program = "print(0, flush=True); import os, time; {}"

    def run(end):
        real = subprocess.Popen

        def start(command, **options):
            return real([sys.executable, "-c", program.format(end)], **options)

        monkeypatch.setattr(fuzz.subprocess, "Popen", start)
        (result,) = fuzz.run_worker("labelme", 0, 0, 1)
        monkeypatch.setattr(fuzz.subprocess, "Popen", real)
        return result

    assert run("os.abort()")["error"] == "process ended with -6"
    monkeypatch.setattr(fuzz, "HANG_SECONDS", 0.2)
    assert run("time.sleep(60)") == {"index": 0, "outcome": "fault", "error": "hangs"}
