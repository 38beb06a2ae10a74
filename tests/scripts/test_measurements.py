"""Every measurement runs at its smallest size and says what it should."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from configs import kmeans
from scripts import kill_and_resume
from scripts.fuzzing.seeds import make_state, write_run
from spectjax.config import save_config
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.training.checkpoint import Checkpoints, Progress
from tests.support.flagged_commands import run_in_process
from tfds_spect import prepare as preparing

ROOT = pathlib.Path(__file__).parents[2]
REAL_SCAN = pathlib.Path(get_testdata_file("JPGExtended.dcm"))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def no_simulation(hospital, monkeypatch):
    """Lets every command find six patients where it would simulate its own."""
    monkeypatch.setattr("spectjax.phantom.write_phantom", lambda *_, **__: hospital)
    real = preparing.prepare

    def prepare(name, *, data_dir, manual_dir):
        del manual_dir
        name = name.removesuffix("_phantom")
        return real(name, data_dir=data_dir, manual_dir=hospital, processes=1)

    monkeypatch.setattr(preparing, "prepare", prepare)


def write_kmeans_run(workdir):
    save_config(kmeans.get_config("smoke"), workdir / "config.json")
    return workdir


def test_check_crops_finds_the_boxes(capsys):
    run_in_process("scripts.check_crops", "--patients=1", "--processes=1")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2 views: 0 refused, 0 flagged, of which 0 within 10 px"
    assert said[2] == "within 10 px on every side: 100.000% of all views"


def test_insert_hotspots_adds_counts_where_it_says(tmp_path, capsys):
    output = tmp_path / "out.dcm"
    run_in_process("scripts.insert_hotspots", f"--output={output}", REAL_SCAN)
    before, after = read_bone_scans(REAL_SCAN)[0], read_bone_scans(output)[0]
    places = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(places) == 3
    for *_, row, _, column in places:
        y, x = int(row.rstrip(",")), int(column)
        patch = np.s_[y - 2 : y + 3, x - 2 : x + 3]
        assert after.counts[patch].sum() > before.counts[patch].sum()
    assert "SYNTHETIC" in pydicom.dcmread(output).ImageComments


@pytest.mark.slow
def test_measure_ensemble_of_the_same_run_twice_gains_nothing(
    no_simulation, tmp_path, capsys
):
    runs = [write_kmeans_run(tmp_path / name) for name in ("one", "two")]
    run_in_process(
        "scripts.measure_ensemble",
        *(f"--workdir={run}" for run in runs),
        *(f"--output_dir={tmp_path / 'out'}", "--batch=3"),
    )
    document = json.loads((tmp_path / "out" / "ensemble.json").read_text())
    assert document["n_patients"] == 6
    rows, gains = document["rows"], document["gains"]
    assert rows["ensemble"] == rows["single runs, mean"]
    assert rows["ensemble"] == document["runs"][str(runs[0])]
    assert gains["ensemble: IoU, pooled"] == {"gain": 0.0, "low": 0.0, "high": 0.0}
    assert 0 < rows["ensemble"]["IoU, pooled"] < 1
    assert "6 patients" in capsys.readouterr().out


def test_compare_initial_weights_trains_from_both(no_simulation, data_dir, capsys):
    run_in_process(
        "scripts.compare_initial_weights",
        *("--config=configs/specs_v7.py:d1,smoke", "--steps=10", "--size=32"),
        "--config.data.batch_size=2",
        f"--data_dir={data_dir}",
    )
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in lines[-2:]}
    assert list(rows) == ["| normal", "| he"]
    # Weights of [P2] are far smaller than He's, and so are the logits.
    assert float(rows["| normal"][0]) < float(rows["| he"][0]) / 10


@pytest.mark.slow
def test_measure_leak_scores_both_protocols(hospital, tmp_path, data_dir, capsys):
    run_in_process(
        "scripts.measure_leak",
        *("--config=configs/kmeans.py:smoke", "--repeats=1"),
        "--config.data.name=segmentation_quick",
        *(f"--data_dir={data_dir}", f"--manual_dir={hospital}"),
        f"--output_dir={tmp_path}",
    )
    found = json.loads((tmp_path / "leak.json").read_text())
    assert [len(found[name]) for name in ("folds", "leaking")] == [1, 1]
    iou = [found[name][0]["IoU"] for name in ("folds", "leaking")]
    assert all(0 < each < 1 for each in iou)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"| **the leak adds** | {iou[1] - iou[0]:+.3f} | ")


@pytest.fixture
def peer(monkeypatch):
    """A peer that marks what is bright, and learns it in two steps."""
    names = "seconds threads train_hw batch_size learning_rate schedule normalisation"
    module = types.ModuleType("scripts.peers.monai_unet")
    module.Settings = dataclasses.make_dataclass("Settings", [*names.split(), "seed"])
    facts = {"parameters": 7, "steps": 2, "epochs": 1.2, "processor_seconds": 3.0}
    module.train = lambda images, masks, settings: types.SimpleNamespace(
        network=None, log="epoch,loss,PA,seconds\n1,0.5,0.5,3.0\n", facts=facts
    )

    def predict_probs(network, counts, normalisation):
        bright = counts[..., 0] > np.quantile(counts, 0.99)
        return np.stack([1 - bright, bright], -1).astype(np.float32)

    module.predict_probs = predict_probs
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0")
    return module


def test_compare_with_monai_writes_the_table_of_a_cross_validation(
    peer, hospital, data_dir, tmp_path, capsys
):
    flags = ["--seconds=1", "--data=segmentation_smoke", "--fold=0,1"]
    flags += [f"--data_dir={data_dir}", f"--manual_dir={hospital}"]
    flags += [f"--output_dir={tmp_path}"]
    run_in_process("scripts.compare_with_monai", *flags)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    model = metrics["models"]["monai_unet"]
    assert model["network"]["num_parameters"] == 7
    assert model["training_seconds"] == [3.0, 3.0]
    assert metrics["data"]["split"] == "2 folds"
    assert "| monai_unet, pooled | SYNTHETIC" in capsys.readouterr().out
    # What is finished is only read; another setting is refused.
    peer.train = None
    run_in_process("scripts.compare_with_monai", *flags)
    with pytest.raises(Exception, match="peer.json: expected what the command line"):
        run_in_process("scripts.compare_with_monai", *flags, "--batch_size=2")


def test_kill_and_resume_tells_one_bit_from_another(tmp_path):
    whole = write_run(tmp_path / "whole")
    killed = pathlib.Path(shutil.copytree(whole, tmp_path / "killed"))
    for run, seconds in ((whole, 1), (killed, 2)):
        (run / "train.csv").write_text(f"epoch,loss,seconds\n1,2,{seconds}\n")
    assert kill_and_resume.compare(whole, killed) == []
    (killed / "train.csv").write_text("epoch,loss,seconds\n1,3,1\n")
    assert kill_and_resume.compare(whole, killed) == ["train.csv"]
    with Checkpoints(killed) as checkpoints:
        state = make_state()
        checkpoints.save(4, state.replace(step=state.step + 1), Progress(data="x"))
    assert kill_and_resume.compare(whole, killed) == [".step", "train.csv"]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    command = [sys.executable, "scripts/kill_and_resume.py", "--kills=1"]
    done = subprocess.run(
        [*command, f"--output_dir={tmp_path}"], check=True, capture_output=True
    )
    assert b"final states and logs are the same bits" in done.stdout


def test_without_pytorch_the_command_says_what_is_missing(tmp_path):
    block = "import sys\nsys.modules['torch'] = sys.modules['monai'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(block)

    def run(*args):
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts/compare_with_monai.py"), *args],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    assert "--seconds" in run("--help").stdout
    result = run("--seconds=1", f"--output_dir={tmp_path}")
    assert result.returncode == 1
    assert result.stderr.startswith("error: torch and monai: not found")
    assert len(result.stderr.splitlines()) == 1
