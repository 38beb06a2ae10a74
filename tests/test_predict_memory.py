"""Tests that `predict` holds the scans of one examination at a time."""

import importlib.util
import pathlib

import numpy as np

from spectjax import predict
from spectjax.imaging.listed import found
from spectjax.imaging.scan import BoneScan
from spectjax.inference import asking
from spectjax.inference.trained import TrainedModel
from spectjax.report import picture_parts
from spectjax.tasks.views import Finding
from tests.support.nm_files import detectors, write_nm
from tests.support.tiny_scans import crop_stub, make_run, predict_probs

SCRIPT = pathlib.Path(__file__).parents[1] / "scripts" / "measure_predict_memory.py"


def test_no_more_scans_are_alive_after_twelve_files_than_after_four(
    tmp_path, monkeypatch
):
    alive, peaks = [0], []
    read = found.read_bone_scans

    class Counted(BoneScan):
        def __del__(self):
            alive[0] -= 1

    def count(path, **options):
        scans = [Counted(**vars(scan)) for scan in read(path, **options)]
        alive[0] += len(scans)
        peaks[-1] = max(peaks[-1], alive[0])
        return scans

    monkeypatch.setattr(found, "read_bone_scans", count)
    monkeypatch.setattr(asking, "crop_thorax", crop_stub())
    monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)
    model = TrainedModel(predict_probs, {"model": "a"}, "segmentation", (8, 8))
    workdir = make_run(tmp_path, monkeypatch, model)
    for n_files in (4, 12):
        folder = tmp_path / f"scans{n_files}"
        folder.mkdir()
        for number in range(n_files):
            write_nm(
                folder / f"{number}.dcm",
                np.full((1, 12, 6), 50, np.uint16),
                DetectorInformationSequence=detectors("anterior"),
                PatientID=f"P{number}",
                StudyInstanceUID=f"1.2.{number}",
            )
        peaks.append(0)
        predict.run([folder], workdirs=[workdir], output_dir=tmp_path / "out")
    assert peaks[1] == peaks[0] <= 4


def test_the_script_measures_what_it_says(hospital, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("measure_predict_memory", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    # So that it is put back.
    monkeypatch.setattr(Finding, "save_picture", Finding.save_picture)
    script.copy_patient(min(hospital.rglob("*.dcm")), tmp_path / "scans", 3)
    found = script.measure(tmp_path / "scans", tmp_path / "out", pictures=False)
    assert found.views == len(list((tmp_path / "out").glob("*.json"))) >= 3
    assert 0 < found.before_mib <= found.peak_mib
