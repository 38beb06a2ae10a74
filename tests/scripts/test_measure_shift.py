"""Tests of what another camera costs: pictures, pairs by hand, and all of it once."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from scripts.shift.comparison import compare, format_table
from scripts.shift.hospitals import write_pictures
from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.phantom import write_phantom
from tests.support.flagged_commands import run_in_process
from tfds_spect.dry_run import try_out

USUAL = {  # lesions, found, false, marked, and pixels: hit, false, missed
    ("P0001", "anterior"): (2, 2, 0, 1, 10, 0, 2),
    ("P0001", "posterior"): (0, 0, 0, 0, 0, 0, 0),
    ("P0002", "anterior"): (2, 1, 1, 1, 6, 2, 4),
    ("P0003", "anterior"): (0, 0, 0, 0, 0, 0, 0),
}
OTHER = USUAL | {
    ("P0001", "anterior"): (2, 1, 0, 1, 5, 0, 7),
    ("P0001", "posterior"): (0, 0, 2, 1, 0, 3, 0),
}
del OTHER["P0003", "anterior"]  # its crop is in doubt


@pytest.fixture
def document():
    return compare({"shipped": {"usual": USUAL, "fast": USUAL, "coarse": OTHER}})


def test_only_images_that_every_hospital_could_use_are_compared(document):
    found = document["models"]["shipped"]
    assert (found["n_images"], found["n_patients"]) == (3, 2)
    hospitals = found["hospitals"]
    assert [each["n_images_usable"] for each in hospitals.values()] == [4, 4, 3]
    found = [(each["n_found"], each["n_lesions"]) for each in hospitals.values()]
    assert found == [(3, 4), (3, 4), (2, 4)]
    usual, coarse = hospitals["usual"], hospitals["coarse"]
    assert (usual["sensitivity"], coarse["sensitivity"]) == (3 / 4, 2 / 4)
    assert (usual["false_per_image"], coarse["false_per_image"]) == (1 / 3, 3 / 3)
    assert (usual["marked_without_lesion"], coarse["marked_without_lesion"]) == (0, 1)
    assert (usual["IoU"], coarse["IoU"]) == (16 / 24, 11 / 27)


def test_differences_are_to_the_usual_camera_of_the_same_patients(document):
    fast, coarse = document["models"]["shipped"]["comparisons"]
    assert [fast["models"], coarse["models"]] == [
        ["fast", "usual"],
        ["coarse", "usual"],
    ]
    assert set(fast["differences"].values()) == {0}
    assert fast["intervals"]["IoU"] == [0, 0]
    assert coarse["differences"]["sensitivity"] == -1 / 4
    # Of two patients a resample has one twice, or both: -1/2, -1/4 or 0.
    assert coarse["intervals"]["sensitivity"] == [-0.5, 0]
    table = "\n".join(format_table(document))
    assert (
        "SIMULATED" in table and "| coarse − usual | −0.250 (−0.500 to +0.000)" in table
    )


def test_pictures_are_the_scans_in_8_bits_with_their_outlines(tmp_path):
    source = write_phantom(
        tmp_path / "source", patients=2, seed=4, camera="coarse", processes=1
    )
    folder = write_pictures(source, tmp_path / "pictures")
    with open(folder / "images.csv", newline="") as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    scans, _ = find_bone_scans([source / "dicom"])
    assert len(rows) == len(scans)
    for scan in scans:
        row = rows[f"{scan.view}/{scan.path.stem}.jpg"]
        assert (row["view"], row["spacing_mm"]) == (scan.view, "4.7")
        assert row["patient"] == f"Elsewhere {scan.path.stem[:5]}"
        picture = Image.open(folder / row["file"])
        assert picture.info["comment"].startswith(b"SYNTHETIC")
        grey = np.asarray(picture).astype(float)
        assert grey.shape == scan.counts.shape and 245 <= grey.max() <= 255
        expected = 255 * scan.counts / scan.counts.max()
        assert np.abs(grey - expected).mean() < 2
    # Names fit, so that each picture has its outlines.
    said, _ = try_out("segmentation_originals", folder, tmp_path / "dry", processes=1)
    assert f"Can be used: {len(scans)} images of 2 patients" in said


@pytest.mark.slow
def test_the_whole_measurement_runs(tmp_path):
    out = tmp_path / "out"
    arguments = (f"--output_dir={out}", "--patients=6", "--seed=5")
    run_in_process("scripts.measure_shift", *arguments)
    found = json.loads((out / "shift.json").read_text())["models"]["shipped"]
    assert list(found["hospitals"]) == ["usual", "fast", "coarse", "pictures"]
    assert found["n_images"] >= 8 and found["n_patients"] >= 5
    for name in found["hospitals"]:
        scores = json.loads(
            (out / "scores/shipped" / name / "metrics.json").read_text()
        )
        assert scores["data"]["synthetic"] is True
    before = (out / "table.md").read_bytes()
    assert b"pictures" in before
    run_in_process("scripts.measure_shift", *arguments)
    assert (out / "table.md").read_bytes() == before
