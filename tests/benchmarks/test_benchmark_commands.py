"""Every command that measures speed runs at its smallest size.

Its processes are stood in for by calls: tests/benchmarks/test_steps.py has real ones.
"""

import importlib
import sys
import types

import pytest

from benchmarks import (
    detector_settings,
    detectors,
    machine,
    processes,
    steps,
)
from spectjax.config import save_config
from spectjax.detector_sizes import SMOKE_MASK_RCNN
from spectjax.metrics import intervals
from tests.support.flagged_commands import run_in_process
from tests.support.untrained_runs import make_config


class _Caller:
    """Builds and runs a measurement here, as a `Worker` does in a process."""

    def __init__(self, module):
        self._module = importlib.import_module(module)

    def build(self, **request):
        self._measurement = self._module.build(**request)
        return self._measurement.facts

    def peak_bytes(self):
        return self._measurement.peak_bytes()

    def seconds(self, steps):
        self._measurement.run(steps)
        return 0.25

    def close(self):
        pass


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setitem(machine._SIZE, "cpu", 8)
    for module in (machine, processes, steps):
        monkeypatch.setattr(module, "Worker", _Caller)
    monkeypatch.setattr(processes.time, "sleep", lambda seconds: None)

    def run_module(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
        module.main()

    return run_module


def test_steps_writes_a_row_for_each_mode(run, tmp_path, capsys):
    table = tmp_path / "table.md"
    run(
        steps,
        *("--models=unet", "--set=model.features=2,4", "--size=8", "--batch=2"),
        *("--seconds=0.01", "--torch=", "--runtimes=", "--step", f"--output={table}"),
    )
    rows = [line.split(" | ") for line in table.read_text().splitlines()]
    found = {tuple(row[1:3]): row for row in rows if row[0] == "| unet"}
    assert list(found) == [
        ("train", "spectjax"),
        ("train", "spectjax, one step a dispatch"),
        ("inference", "spectjax"),
    ]
    # Two images in 0.25 s, three times.
    assert found["inference", "spectjax"][3:5] == ["8", "8–8 (3)"]
    assert table.read_text() in capsys.readouterr().out


def test_steps_exports_for_the_runtimes(run, capsys):
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")
    run(
        steps,
        *("--models=unet", "--set=model.features=2,4", "--size=8", "--batch=2"),
        *("--seconds=0.01", "--torch=", "--runtimes=onnxruntime", "--mode=inference"),
    )
    assert "| unet | inference | onnxruntime | 8 |" in capsys.readouterr().out


def test_detectors_writes_what_ours_takes(run, monkeypatch, capsys):
    tiny = {"features": (2,), "stage_sizes": (1,), "anchor_sizes": ((4, 6),)}
    setting = detector_settings.Setting(
        SMOKE_MASK_RCNN | tiny, (1, 64), ((1, 64),), (3, 20)
    )
    monkeypatch.setitem(detector_settings.SETTINGS, "smoke", setting)
    run(detectors, "--settings=smoke", "--mode=inference", "--seconds=0", "--no-peer")
    row = "| smoke | inference | spectjax | 64x64 | 1 | 0.25 | 4 | 4–4 (3) | – |"
    assert row in capsys.readouterr().out


def test_detectors_of_two_sizes_are_not_compared(monkeypatch):
    facts = {"parameters": 7, "compile_s": 0.0, "versions": {}}
    timed = {
        "spectjax": processes.Timed([1.0], facts, 1, 1.0),
        "torchvision": processes.Timed([1.0], facts | {"parameters": 8}, 1, 1.0),
    }
    monkeypatch.setattr(detectors, "take_turns", lambda *_, **__: timed)
    here = machine.Machine("cpu", "cpu", {})
    arguments = types.SimpleNamespace(
        classes=2, dtype="float32", threads=1, peer=True, seconds=1
    )
    case = {"setting": "torchvision", "mode": "train", "batch_size": 1, "side": 64}
    setting = detector_settings.SETTINGS["torchvision"]
    assert detectors._measure(case, setting, here, arguments) == []
    assert here.notes == [
        "torchvision, train, 1 of 64x64 pixels: torchvision's has 8 parameters, "
        "spectjax's 7."
    ]


def test_reading_names_stages_of_phantom_and_crop(capsys):
    run_in_process("benchmarks.reading", "--patients=1")
    said = capsys.readouterr().out
    for line in ("phantom: ", "  find_case ", "reading: ", "crop: ", "  crop_thorax "):
        assert f"\n{line}" in f"\n{said}"


def test_evaluation_names_its_stages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(intervals, "RESAMPLES", 10)
    save_config(
        make_config("kmeans", **{"model.restarts": 1}), tmp_path / "config.json"
    )
    flags = ("--pictures=20", "--patients=5", f"--workdir={tmp_path}")
    run_in_process("benchmarks.evaluation", *flags)
    said = capsys.readouterr().out
    assert "\n20 pictures: " in said
    stages = [line for line in said.splitlines() if line.endswith(" s")]
    seconds = {line[:32].strip(): float(line.split()[-2]) for line in stages}
    assert seconds["preparing the folder"] > 0 and seconds["scoring"] > 0
    assert seconds["the model's answers"] == 0  # what ships was not asked


def test_clustering_compares_with_scikit_learn(capsys):
    flags = ("--clusters=2", "--images=1", "--repeats=1")
    run_in_process("benchmarks.clustering", *flags, _HW=(16, 16))
    said = capsys.readouterr().out
    assert said.startswith("1 images of 16x16, K = 2, ")
    for title in ("same: 1 beginnings", "same: 10 beginnings", "defaults; random: "):
        assert title in said
    assert said.count("spectjax  ") == 3


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["steps", "--models=yolo"], "--models: 'yolo' is none of unet, "),
        (["detectors", "--settings=yolo"], "--settings: 'yolo' is none of torchvision"),
    ],
)
def test_an_unknown_name_is_refused(run, command, said, capsys):
    name, *arguments = command
    module = importlib.import_module(f"benchmarks.{name}")
    with pytest.raises(SystemExit):
        run(module, *arguments)
    assert said in capsys.readouterr().err
