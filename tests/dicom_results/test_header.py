"""What is taken over of headers, honest ones and others."""

import re
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from spectjax.dicom_results.header import NO_MOMENT, match, read_header
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.scan import ScanError
from tests.support.dicom_studies import write_study_file
from tests.support.nm_files import BOTH, FRAMES, detectors, item


def read(path, **elements):
    file = write_study_file(path / "scan.dcm", **elements)
    return read_header(read_bone_scans(file)[0])


def test_patient_and_study_are_taken_over_and_no_more(tmp_path):
    header = read(
        tmp_path,
        PatientComments="free text",
        InstitutionName="Hospital",
        PatientSex="F",
        ProcedureCodeSequence=[
            item(CodeValue="1", CodingSchemeDesignator="99A", CodeMeaning="Bone scan"),
            item(CodeValue="2"),
        ],
    )
    found = header.dataset
    assert (found.PatientName, found.PatientID) == ("Secret^Name", "ID-4711")
    assert (found.StudyDate, found.AccessionNumber) == ("20240229", "A-1")
    assert found.PatientSex == "F"
    assert [code.CodeValue for code in found.ProcedureCodeSequence] == ["1"]
    assert "PatientComments" not in found and "InstitutionName" not in found
    assert "PixelData" not in found and "StudyID" in found
    assert header.moment == ("20240229", "101112")
    assert header.notes == ()


@pytest.mark.parametrize(
    ("element", "value", "said"),
    [
        (
            "StudyInstanceUID",
            None,
            "expected one UID as Study Instance UID, found none",
        ),
        ("StudyInstanceUID", "no uid", "as Study Instance UID, found no UID"),
        ("SeriesInstanceUID", None, "as Series Instance UID, found none"),
        ("PatientName", "A\\B", "as Patient's Name, found 2 values"),
        ("PatientName", "A" * 65, "as Patient's Name, found 65 letters"),
        ("PatientName", "A\x1b[31m", "as Patient's Name, found letters that cannot"),
        ("PatientID", "1\\2\\3", "as Patient ID, found 3 values"),
        ("AccessionNumber", "1\n2", "as Accession Number, found letters that cannot"),
    ],
)
def test_what_identifies_is_refused_if_it_cannot_be_told(
    tmp_path, element, value, said
):
    file = write_study_file(tmp_path / "scan.dcm", **{element: value})
    scan = read_bone_scans(file)[0]
    with pytest.raises(ScanError, match=re.escape(said)) as caught:
        read_header(scan)
    text = str(caught.value)
    assert text.startswith(f"{file}: ") and "\n" not in text and len(text) < 400


def test_a_name_of_100_kb_is_refused_in_one_line(tmp_path):
    file = write_study_file(tmp_path / "scan.dcm")
    dataset = pydicom.dcmread(file)
    with pydicom.config.disable_value_validation():
        dataset.PatientName = "A" * 100_000
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        dataset.save_as(file, implicit_vr=True, little_endian=True)
        scan = read_bone_scans(file)[0]
        with pytest.raises(ScanError, match="found 100000 letters") as caught:
            read_header(scan)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ("PatientSex", "Male"),
        ("PatientAge", "45"),
        ("StudyTime", "10:11:12"),
        ("PatientBirthDate", "1.2.1960"),
        ("StudyDescription", "one\\two"),
        ("ReferringPhysicianName", "D" * 70),
        ("StudyID", "S" * 17),
    ],
)
def test_what_only_describes_is_left_out_with_a_note(tmp_path, element, value):
    header = read(tmp_path, **{element: value})
    assert not header.dataset.get(element)
    (note,) = header.notes
    assert "is left out: " in note and note.endswith(".")


def test_an_order_number_may_be_longer_than_its_kind(tmp_path):
    header = read(tmp_path, AccessionNumber="A" * 20)
    assert header.dataset.AccessionNumber == "A" * 20


def test_a_missing_patient_stays_missing_with_a_note(tmp_path):
    header = read(tmp_path, PatientName=None, PatientID=None)
    for keyword in ("PatientName", "PatientID"):  # type 2: there, and empty
        assert keyword in header.dataset and not header.dataset[keyword].value
    assert header.notes[0].startswith("neither Patient's Name nor Patient ID")


def test_letters_of_any_script_come_over(tmp_path):
    header = read(
        tmp_path, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen"
    )
    assert header.dataset.PatientName == "Müller^Jürgen"
    assert header.dataset.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize("stated", ["ISO_IR 999", "", "ISO_IR 100"])
def test_letters_of_an_unstated_character_set_are_a_guess_and_said_to_be(
    tmp_path, stated
):
    path = write_study_file(
        tmp_path / "scan.dcm", PatientName="M@ller", SpecificCharacterSet="ISO_IR 100"
    )
    content = path.read_bytes().replace(b"M@ller", b"M\xfcller")
    path.write_bytes(content.replace(b"ISO_IR 100", stated.ljust(10).encode()))
    with warnings.catch_warnings(record=True):
        (scan, _) = read_bone_scans(path)
        header = read_header(scan)
    assert header.dataset.PatientName == "Müller"
    said = any("read as Latin-1" in note for note in header.notes)
    assert said == (stated != "ISO_IR 100")


def test_a_picture_has_no_study_and_says_so(tmp_path):
    file = write_study_file(tmp_path / "scan.dcm")
    scan = read_bone_scans(file)[0]
    picture = tmp_path / "scan.png"
    picture.write_bytes(b"\x89PNG")
    object.__setattr__(scan, "path", picture)
    with pytest.raises(ScanError, match="no DICOM result is written for it"):
        read_header(scan)


def test_a_file_that_was_replaced_is_refused(tmp_path):
    file = write_study_file(tmp_path / "scan.dcm")
    scan = read_bone_scans(file)[0]
    write_study_file(file, SOPInstanceUID="1.2.3")
    with pytest.raises(ScanError, match="read a moment ago, found another"):
        read_header(scan)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ([-1, 0, 0, 0, 0, -1], (-1, 0, 0, 0, 0, -1)),
        (None, (1, 0, 0, 0, 1, 0)),
        ([0, 0, 0, 0, 0, 0], (1, 0, 0, 0, 1, 0)),
        ([1, 0, 0], (1, 0, 0, 0, 1, 0)),
    ],
)
def test_the_orientation_is_that_of_the_first_detector(tmp_path, stated, expected):
    first, second = (
        item(ViewCodeSequence=d.ViewCodeSequence)
        for d in BOTH["DetectorInformationSequence"]
    )
    if stated is not None:
        first.ImageOrientationPatient = stated
    second.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    header = read(tmp_path, DetectorInformationSequence=[first, second])
    assert header.orientation == expected


def test_of_a_single_frame_the_orientation_is_that_of_the_image(tmp_path):
    """OHIF passes its detector over: what has another orientation is not shown."""
    (detector, _) = detectors("anterior", "posterior")
    detector.ImageOrientationPatient = [-1, 0, 0, 0, 0, -1]
    stated = {"DetectorInformationSequence": [detector], "frames": FRAMES[:1]}
    assert read(tmp_path, **stated).orientation == (1, 0, 0, 0, 1, 0)
    stated["ImageOrientationPatient"] = [1, 0, 0, 0, 0, -1]
    assert read(tmp_path, **stated).orientation == (1, 0, 0, 0, 0, -1)


def test_a_scan_without_a_date_has_a_stand_in(tmp_path):
    assert read(tmp_path, StudyDate=None, StudyTime=None).moment == NO_MOMENT


def test_the_second_file_of_a_study_says_what_differs(tmp_path):
    first = read(tmp_path)
    other = read(tmp_path, StudyTime="120000", PatientName="Another^Name")
    names = [note.partition(" is ")[0] for note in match(other, first, tmp_path).notes]
    assert names == ["Patient's Name", "Study Time"]
    assert match(first, first, tmp_path).notes == ()


def test_the_second_file_of_another_study_is_refused(tmp_path):
    first, other = read(tmp_path), read(tmp_path, StudyInstanceUID="1.2.4")
    with pytest.raises(ScanError, match="that of the other views"):
        match(other, first, tmp_path)


def test_damaged_elements_are_no_bug(tmp_path):
    header = read(tmp_path)
    rng = np.random.default_rng(0)
    file = tmp_path / "scan.dcm"
    content = bytearray(file.read_bytes())
    start = content.index(b"Secret^Name")
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(140, start + 200, 3):
            damaged[place] = rng.integers(256)
        file.write_bytes(damaged)
        try:
            scan = read_bone_scans(file)[0]
            found = read_header(scan)
        except ScanError:
            continue
        assert isinstance(found.dataset, Dataset)
    assert header.n_frames == 2
