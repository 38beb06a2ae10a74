"""Tests of `spectjax.imaging.deidentify`: one patient has one pseudonym in a folder."""

import json
import os
import stat
from types import SimpleNamespace

import pydicom
import pytest

from spectjax.imaging.deidentify import __main__ as command
from spectjax.imaging.deidentify import folder as folder_module
from spectjax.imaging.identity import identify
from spectjax.imaging.patients import StudyError, unite_patients
from spectjax.imaging.problems import BUG_STATUS
from spectjax.system import files
from tests.support.deidentified import FRAMES, KEY, OPPOSITE, deidentify, run
from tests.support.nm_files import write_nm


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", KEY)


@pytest.fixture
def ward(tmp_path):
    """Writes files of a folder, each with the elements given for it."""
    (tmp_path / "in").mkdir()

    def write(**by_name):
        for number, (name, elements) in enumerate(by_name.items()):
            write_nm(
                tmp_path / "in" / f"{name}.dcm",
                FRAMES,
                DetectorInformationSequence=OPPOSITE,
                **{
                    "SOPInstanceUID": f"1.2.3.{number}",
                    "StudyInstanceUID": f"1.9.{number}",
                    "PatientID": "7",
                    "PatientName": "Quast^Ida",
                    "PatientBirthDate": "19410317",
                }
                | elements,
            )
        return tmp_path / "in"

    return write


def patients_in(target):
    found = {pydicom.dcmread(p).PatientID for p in (target / "dicom").iterdir()}
    assert found == {path.name[:16] for path in (target / "dicom").iterdir()}
    return found


@pytest.mark.parametrize(
    "other",
    [
        {"IssuerOfPatientID": "WARD"},
        {"PatientID": ""},
        {"PatientID": "", "PatientName": "QUAST^IDA^^^"},
        {"PatientID": "", "PatientName": "", "StudyInstanceUID": "1.9.0"},
    ],
)
def test_files_of_one_patient_get_one_pseudonym(ward, tmp_path, other):
    source = ward(a={}, b=other)
    document = {
        "imagePath": "b_anterior.png",
        "shapes": [{"label": "metastasis", "points": [[2, 2], [9, 2], [9, 8]]}],
        "imageHeight": 40,
        "imageWidth": 20,
    }
    (source / "b_anterior.json").write_text(json.dumps(document))
    deidentify(source, tmp_path / "out")
    (patient,) = patients_in(tmp_path / "out")
    (outline,) = (tmp_path / "out" / "annotations").rglob("*.json")
    assert outline.name.startswith(patient)


def test_files_that_contradict_each_other_stay_behind_and_the_others_go_out(
    ward, tmp_path
):
    source = ward(
        a={"StudyInstanceUID": "1.9.9"},
        b={"StudyInstanceUID": "1.9.9", "PatientID": "8"},
        c={},
        d={"PatientID": "9", "PatientName": "Other^One"},
    )
    done = run(source, tmp_path / "out", f"--mapping={tmp_path / 'map.csv'}")
    assert done.returncode == 0
    # The third names the patient of the first.
    assert len(patients_in(tmp_path / "out")) == 1
    assert "of the report contradict each other about the patient" in done.stdout
    report = (tmp_path / "out-report" / "report.csv").read_text()
    assert report.count("expected one Patient ID for one name and birth date") == 3
    for text in (done.stdout, done.stderr, report):
        assert not any(word in text for word in ("Quast", "a.dcm", "b.dcm", "1.9.9"))
    assert "a.dcm" in (tmp_path / "map.csv").read_text()


def test_one_study_of_two_patients_goes_out_as_that_with_a_warning(ward, tmp_path):
    both = {"StudyInstanceUID": "1.9.9"}
    other = {"PatientID": "8", "PatientName": "Bo^Al"}
    source = ward(a=both, b=both | other, c=other)
    done = run(source, tmp_path / "out")
    assert done.returncode == 0
    assert "2 images: WARNING: files " in done.stdout
    report = (tmp_path / "out-report" / "report.csv").read_text()
    assert report.count("contradict each other about the patient") == 2
    assert len(patients_in(tmp_path / "out")) == 2
    # What reads the results finds it too.
    found = [
        (identify(pydicom.dcmread(path)), path.name)
        for path in (tmp_path / "out" / "dicom").iterdir()
    ]
    with pytest.raises(StudyError):
        unite_patients(found)


def test_a_folder_never_holds_an_image_under_two_patients(ward, tmp_path):
    source = ward(a={"IssuerOfPatientID": "WARD"})
    deidentify(source, tmp_path / "out")
    write_nm(
        source / "b.dcm",
        FRAMES,
        DetectorInformationSequence=OPPOSITE,
        PatientID="7",
        SOPInstanceUID="1.2.3.99",
    )
    entries = deidentify(source, tmp_path / "out")
    assert [entry.action for entry in entries] == ["refused", "written"]
    assert "name a new folder" in entries[0].reason
    deidentify(source, tmp_path / "new")
    assert len(patients_in(tmp_path / "new")) == 1


def test_nobody_else_can_read_the_mapping_from_its_first_byte_on(
    ward, tmp_path, monkeypatch
):
    seen = []
    fsync = os.fsync

    def look(descriptor):
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    folder_module.write_mapping(tmp_path / "map.csv", [])
    files.write_file(tmp_path / "other", "")
    assert seen[0] == 0o600 and seen[1] & 0o600 == 0o600
    assert stat.S_IMODE((tmp_path / "map.csv").stat().st_mode) == 0o600


def test_a_bug_in_one_file_is_an_exit_status_of_its_own(ward, tmp_path, monkeypatch):
    source = ward(a={}, b={"PatientID": "8", "PatientName": "Bo^Al"})
    clean = folder_module.clean_image

    def fail_once(path, *rest, **options):
        if path.name == "a.dcm":
            raise KeyError("Quast")
        return clean(path, *rest, **options)

    monkeypatch.setattr(folder_module, "clean_image", fail_once)
    given = {"view": None, "allow_burned_in": False, "word": [], "mapping": None}
    monkeypatch.setattr(command.flags, "FLAGS", SimpleNamespace(**given))
    with pytest.raises(SystemExit) as caught:
        command.main(["", str(source), str(tmp_path / "out")])
    assert caught.value.code == BUG_STATUS
    assert len(patients_in(tmp_path / "out")) == 1
