"""A run on whole frames: simulated, prepared, trained, scored and asked."""

import json
import pathlib
import subprocess
import sys

import pytest

from spectjax import predict

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.slow
def test_a_run_on_whole_frames_is_scored_and_asked_about_frames(tmp_path):
    command = [sys.executable, "-m", "spectjax.main"]
    command += ["--config=configs/unet_res.py:whole_body,smoke"]
    command += [f"--workdir={tmp_path / 'run'}", f"--data_dir={tmp_path / 'data'}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    metrics = json.loads((tmp_path / "run/eval/metrics.json").read_text())
    assert metrics["data"]["regions"] == ["whole_frame"]
    scan = sorted(tmp_path.glob("data/phantom/*/dicom/*.dcm"))[0]
    out = tmp_path / "out"
    predict.run([scan], workdirs=[tmp_path / "run"], output_dir=out, labelme=True)
    found = [json.loads(path.read_text()) for path in out.glob("*.json")]
    assert found and all(x["crop"]["box"] == [0, 0, 1024, 256] for x in found)
    assert {x["model"]["trained_on_regions"] for x in found} == {"whole_frame"}
