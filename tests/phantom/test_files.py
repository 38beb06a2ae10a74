"""Tests of the folder that the phantom leaves: DICOM, LabelMe, truth, restart."""

import json
import subprocess
import sys

import numpy as np
import pydicom
import pytest

from spectjax.bones.masks import read_bone_masks
from spectjax.bones.regions import NAMES
from spectjax.imaging.annotations.consensus import agree
from spectjax.imaging.annotations.files import find_annotations
from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.phantom import PhantomError, draw_slots, write_phantom

PATIENTS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_phantom(
        tmp_path_factory.mktemp("phantom") / "set",
        patients=PATIENTS,
        seed=4,
        processes=1,
    )


def read_bytes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_write_phantom_leaves_scans_that_the_reader_understands(folder):
    scans, errors = find_bone_scans([folder])
    assert errors == []
    slots = draw_slots("segmentation", PATIENTS, 4)
    assert len(scans) == sum(len(slot.layout.views) for slot in slots)
    assert len({scan.patient_key for scan in scans}) == PATIENTS
    for scan in scans:
        assert scan.synthetic
        assert scan.spacing_mm is not None and 2.26 <= scan.spacing_mm[0] <= 2.40
        truth = np.load(folder / "truth" / f"{scan.path.stem[:5]}.npz")
        y0, x0, y1, x1 = truth[f"{scan.view}_thorax_box"]
        lung = scan.counts[y0:y1, x0:x1].mean()
        # The box of the other view is this one mirrored: it would cut off a side.
        assert lung > 1.5 * scan.counts.mean()


def test_write_phantom_leaves_valid_nm_objects(folder):
    for path in folder.glob("dicom/*.dcm"):
        ds = pydicom.dcmread(path)
        assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.20"
        assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert list(ds.ImageType) == ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]
        assert ds.FrameIncrementPointer == [0x00540010, 0x00540020]
        frames = ds.NumberOfFrames
        assert len(np.atleast_1d(ds.DetectorVector)) == frames
        assert len(ds.DetectorInformationSequence) == frames == ds.NumberOfDetectors
        assert ds.CountsAccumulated == ds.pixel_array.sum()
        assert ds.pixel_array.dtype == np.uint16
        assert str(ds.PatientName) == f"SYNTHETIC^{path.stem[:5]}"
        assert "SYNTHETIC" in ds.ImageComments and ds.SyntheticData == "YES"
        # Type 2, empty: GDCM ends the program that decodes a file without them.
        for detector in ds.DetectorInformationSequence:
            assert detector["ImageOrientationPatient"].is_empty
            assert detector["ImagePositionPatient"].is_empty
        # C.7.3.1.1.2: not beside Patient Orientation Code Sequence.
        assert "PatientOrientationCodeSequence" in ds and "PatientPosition" not in ds
        uids = [ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID]
        assert all(pydicom.uid.UID(uid).is_valid for uid in uids)


def test_nobody_is_in_both_populations(folder, tmp_path):
    other = write_phantom(
        tmp_path, patients=1, seed=4, population="classification", processes=1
    )
    (one,), (two,) = (
        [pydicom.dcmread(path) for path in sorted(f.glob("dicom/P0001*"))][:1]
        for f in (folder, other)
    )
    for key in ("SOPInstanceUID", "StudyInstanceUID", "PatientWeight"):
        assert one[key].value != two[key].value


def test_every_file_says_that_it_is_synthetic(folder):
    for path in folder.rglob("*"):
        if path.suffix == ".npz":
            assert str(np.load(path)["note"]) == "SYNTHETIC"
        elif path.is_file():
            assert b"synthetic" in path.read_bytes().lower(), path


def test_write_phantom_says_in_the_header_how_the_scan_was_made(folder):
    for path in folder.glob("dicom/*.dcm"):
        ds = pydicom.dcmread(path)
        # Millimetres per second times seconds are millimetres.
        seconds = ds.ActualFrameDuration / 1000
        assert ds.ScanVelocity * seconds == pytest.approx(ds.ScanLength, rel=1e-3)
        assert 3 < ds.ScanVelocity * 6 <= 15  # cm/min
        (tracer,) = ds.RadiopharmaceuticalInformationSequence
        assert 370 <= tracer.RadionuclideTotalDose <= 740  # MBq
        scan, injection = (
            int(time[:2]) + int(time[2:4]) / 60
            for time in (ds.AcquisitionTime, tracer.RadiopharmaceuticalStartTime)
        )
        assert 2 <= scan - injection <= 5
        body_mass_index = float(ds.PatientWeight) / float(ds.PatientSize) ** 2
        assert 15 < body_mass_index < 45


def test_write_phantom_keeps_the_truth_of_every_view(folder):
    scans, _ = find_bone_scans([folder])
    for scan in scans:
        truth = np.load(folder / "truth" / f"{scan.path.stem[:5]}.npz")

        def of(name, truth=truth, view=scan.view):
            return truth[f"{view}_{name}"]

        sites = of("lesion_sites")
        assert len(np.unpackbits(of("lesion_masks"), axis=-1)) == len(sites) >= 1
        bones = np.unpackbits(of("bone_masks"), axis=-1)
        assert bones.shape == (len(of("bone_names")), *scan.counts.shape)
        assert str(of("diagnosis")) in {
            "multiple bone metastasis",
            "spinal metastasis",
            "metastasis outside spine",
        }
        kinds = of("benign_kinds")
        assert "bladder" in kinds and "metastasis" not in kinds
        assert len(kinds) == len(of("benign_sites")) == len(of("benign_peaks"))
        row, column = of("benign_peaks")[list(kinds).index("bladder")]
        pelvis = bones[[n.endswith("hip bone") for n in of("bone_names")]].any(axis=0)
        rows, columns = np.nonzero(pelvis)
        assert rows.min() < row < rows.max()
        assert columns.min() < column < columns.max()


def test_write_phantom_of_the_other_population_is_mostly_normal(tmp_path):
    folder = write_phantom(
        tmp_path, patients=3, seed=1, population="classification", processes=1
    )
    record = json.loads((folder / "phantom.json").read_text())
    assert record["population"] == "classification"
    assert record["version"] == 4
    assert record["views_by_diagnosis"].keys() == {
        "normal",
        "multiple bone metastasis",
    }
    assert sum(record["views_by_diagnosis"].values()) == record["views"]
    found = []
    for path in sorted(folder.glob("truth/*.npz")):
        truth = np.load(path)
        found += [str(truth[key]) for key in truth if key.endswith("_diagnosis")]
    assert {d: found.count(d) for d in found} == record["views_by_diagnosis"]
    with pytest.raises(PhantomError, match="population classification, not segm"):
        write_phantom(folder, patients=3, seed=1, population="segmentation")


def test_write_phantom_leaves_three_readings_of_every_view(folder):
    scans, _ = find_bone_scans([folder])
    annotations, errors = find_annotations([folder])
    assert errors == []
    assert set(annotations) == {scan.name for scan in scans}
    for scan in scans:
        readings = annotations[scan.name]
        assert {reading.reader for reading in readings} == {
            "reader1",
            "reader2",
            "reader3",
        }
        hotspots = agree(readings, scan.counts.shape)
        assert set(hotspots.labels) <= {
            "spinal metastasis",
            "metastasis outside spine",
        }
        truth = np.load(folder / "truth" / f"{scan.path.stem[:5]}.npz")
        lesions = np.unpackbits(truth[f"{scan.view}_lesion_masks"], axis=-1).any(axis=0)
        assert (hotspots.masks.any(axis=0) & lesions.astype(bool)).any()


def test_write_phantom_writes_the_same_bytes_with_two_processes(folder, tmp_path):
    other = write_phantom(tmp_path / "set", patients=PATIENTS, seed=4, processes=2)
    assert read_bytes(other) == read_bytes(folder)


def test_write_phantom_continues_what_was_interrupted(folder, tmp_path):
    whole = read_bytes(folder)
    started = json.loads(whole["phantom.json"])
    del started["views"], started["views_by_diagnosis"]
    half = tmp_path / "half"
    for name, content in whole.items():
        if name not in ("phantom.json", "truth/P0002.npz"):
            (half / name).parent.mkdir(parents=True, exist_ok=True)
            (half / name).write_bytes(content)
    (half / "phantom.partial.json").write_text(json.dumps(started))
    write_phantom(half, patients=PATIENTS, seed=4, processes=1)
    assert read_bytes(half) == whole


def test_write_phantom_leaves_a_complete_folder_alone(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_phantom(folder, patients=PATIENTS, seed=4)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(("patients", "seed"), [(PATIENTS, 5), (PATIENTS + 1, 4)])
def test_write_phantom_refuses_the_folder_of_another_phantom(folder, patients, seed):
    with pytest.raises(PhantomError, match="holds another phantom"):
        write_phantom(folder, patients=patients, seed=seed)


def test_write_phantom_refuses_a_folder_with_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PhantomError, match="expected an empty or new folder"):
        write_phantom(tmp_path, patients=1, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_write_phantom_refuses_a_broken_record(tmp_path):
    (tmp_path / "phantom.json").write_text("{")
    with pytest.raises(PhantomError, match="phantom.json"):
        write_phantom(tmp_path, patients=1, seed=0)


def test_write_phantom_refuses_numbers_out_of_range(tmp_path):
    with pytest.raises(PhantomError, match="patients >= 1"):
        write_phantom(tmp_path, patients=0, seed=0)
    with pytest.raises(
        PhantomError, match="classification, screening, whole_body, burden, got 'x'"
    ):
        write_phantom(tmp_path, patients=1, seed=0, population="x")


def run_command(*arguments, module="spectjax.phantom"):
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_says_in_one_line_why_it_refuses(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    result = run_command(f"--output_dir={tmp_path}", "--patients=1")
    assert result.returncode != 0
    assert result.stderr.count("\n") == 1
    assert str(tmp_path) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("module", ["spectjax.phantom", "spectjax.imaging.phantom"])
def test_the_command_says_where_the_patients_are(tmp_path, module):
    arguments = f"--output_dir={tmp_path / 'new'}", "--patients=1", "--seed=2"
    result = run_command(*arguments, module=module)
    assert result.returncode == 0
    assert str(tmp_path / "new") in result.stdout
    assert json.loads((tmp_path / "new" / "phantom.json").read_text())["seed"] == 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One patient of the population of burdens."""
    folder = tmp_path_factory.mktemp("phantom") / "whole"
    return write_phantom(folder, patients=1, seed=9, population="burden", processes=1)


def test_a_population_of_whole_frames_has_bones_and_the_true_burden(whole):
    masks = read_bone_masks(whole)
    assert masks.classes.missing == ()
    scans, _ = find_bone_scans([whole])
    names = {f"{scan.path.stem}_{scan.view}" for scan in scans}
    drawn = {path.stem for path in whole.glob("annotations/*/*")}
    assert set(masks.paths) == names == drawn and len(names) == 2
    truth = np.load(whole / "truth" / "P0001.npz")
    (slot,) = draw_slots("burden", 1, 9)
    assert truth["burden_percent"] == pytest.approx(slot.burden, rel=0.03)
    for scan in scans:
        regions = masks.read(
            f"{scan.path.stem}_{scan.view}", scan.view, scan.counts.shape
        )
        # The patient's left is on the right of an anterior view.
        left, right = (
            np.nonzero(regions == 1 + NAMES.index(f"{side} femur"))[1].mean()
            for side in ("left", "right")
        )
        assert (left > right) == (scan.view == "anterior")
        lesions = np.unpackbits(truth[f"{scan.view}_lesion_masks"], axis=-1)
        assert len(lesions) == len(truth["burden_lesion_shares"])
        assert (regions[lesions.any(axis=0)] > 0).all()


def test_a_rescan_is_a_later_study_of_the_same_patients(whole, tmp_path):
    folder = write_phantom(
        tmp_path / "later",
        patients=1,
        seed=9,
        population="burden",
        rescan=1,
        processes=1,
    )
    first, later = (
        pydicom.dcmread(sorted(path.glob("dicom/*.dcm"))[0]) for path in (whole, folder)
    )
    assert later.PatientID == first.PatientID and later.PatientName == first.PatientName
    assert (first.StudyDate, later.StudyDate) == ("20200101", "20200701")
    assert later.AcquisitionDate == later.StudyDate
    for uid in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert first[uid].value != later[uid].value
    assert (first.pixel_array != later.pixel_array).mean() > 0.1
    burdens = [
        np.load(f / "truth" / "P0001.npz")["burden_shares"] for f in (whole, folder)
    ]
    np.testing.assert_array_equal(*burdens)
    with pytest.raises(PhantomError, match="rescan 0, not 1"):
        write_phantom(
            whole, patients=1, seed=9, population="burden", rescan=1, processes=1
        )
