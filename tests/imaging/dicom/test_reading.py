"""Tests of `reading`: the user's word, damage, identity, folders.

What vendors write is in test_vendors.py, how pixels are stored in
test_encodings.py.
"""

import os

import numpy as np
import pytest

from spectjax.imaging.dicom.reading import find_bone_scans, read_bone_scans
from spectjax.imaging.folders import walk_files
from spectjax.imaging.scan import NotWholeBodyError, ScanError, UnreadableFileError
from tests.support.nm_files import BOTH, FRAMES, ONE, start_angles, write_nm


def test_read_bone_scans_takes_the_view_of_the_user_for_the_first_frame(tmp_path):
    path = write_nm(tmp_path / "a.dcm", FRAMES)
    scans = read_bone_scans(path, view="posterior")
    assert [scan.view for scan in scans] == ["posterior", "anterior"]
    assert scans[0].view_evidence == "the user's word"


def test_read_bone_scans_tells_when_the_user_contradicts_the_file(tmp_path):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="WB_E")
    (scan,) = read_bone_scans(path, view="posterior")
    assert scan.view == "posterior"
    assert "but anterior by GEMS_GENIE_1" in scan.view_evidence


def test_read_bone_scans_refuses_a_view_that_does_not_exist(tmp_path):
    with pytest.raises(ValueError, match="anterior or posterior"):
        read_bone_scans(write_nm(tmp_path / "a.dcm", ONE), view="lateral")


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({"Rows": 65535, "Columns": 30000}, "65535x30000"),
        ({"NumberOfFrames": 2_000_000_000}, "2000000000 of 64x33"),
        ({"Rows": None}, "0x33"),
        ({"PixelData": None}, "cannot be decoded"),
        ({"Rows": 640}, "cannot be decoded"),
        ({"DetectorVector": [1, 2]}, "DetectorVector to name all 1 frames, found 2"),
        ({"SOPInstanceUID": ""}, "no SOP Instance UID"),
        ({"PatientID": "", "StudyInstanceUID": None}, "no Patient ID"),
    ],
)
def test_read_bone_scans_refuses_damaged_headers(tmp_path, elements, found):
    path = tmp_path / "a.dcm"
    write_nm(path, ONE, ge_labels="_E", **elements)
    with pytest.raises(UnreadableFileError, match=found):
        read_bone_scans(path)


def test_read_bone_scans_never_trusts_a_file_that_was_cut_off(tmp_path):
    whole = write_nm(tmp_path / "whole.dcm", FRAMES, **BOTH).read_bytes()
    cut = tmp_path / "cut.dcm"
    for length in range(0, len(whole), 29):
        cut.write_bytes(whole[:length])
        with pytest.raises(ScanError) as caught:
            read_bone_scans(cut)
        assert str(caught.value).startswith(f"{cut}: expected")


def test_read_bone_scans_survives_any_damaged_byte(tmp_path):
    whole = bytearray(write_nm(tmp_path / "whole.dcm", FRAMES, **BOTH).read_bytes())
    damaged = tmp_path / "damaged.dcm"
    rng = np.random.default_rng(1)
    for _ in range(200):
        copy = bytearray(whole)
        for position in rng.integers(128, len(copy), 4):
            copy[position] = rng.integers(256)
        damaged.write_bytes(copy)
        try:
            read_bone_scans(damaged)
        except ScanError as error:
            assert str(error).startswith(f"{damaged}: expected")


def test_errors_keep_to_one_line_whatever_the_file_holds(tmp_path):
    path = write_nm(tmp_path / "a.dcm", ONE, Modality="CT", SOPClassUID="1.2")
    path.write_bytes(path.read_bytes().replace(b"CS\x02\x00CT", b"CS\x02\x00\n\x1b"))
    with pytest.raises(NotWholeBodyError) as caught:
        read_bone_scans(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("contents", [b"", b"text", b"\0" * 132, b"\x89PNG\r\n\x1a\n"])
def test_read_bone_scans_refuses_other_formats(tmp_path, contents):
    path = tmp_path / "a.dcm"
    path.write_bytes(contents)
    with pytest.raises(UnreadableFileError, match="expected a DICOM file"):
        read_bone_scans(path)


def test_read_bone_scans_notes_what_pydicom_warns_of_without_values(tmp_path):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    contents = path.read_bytes()
    path.write_bytes(
        contents.replace(b"1.2.826.0.1.3680043.10.2", b"1.2.826.SECRET3.10.2.2.2")
    )
    (scan,) = read_bone_scans(path)
    assert scan.notes == ("Invalid value for VR UI",)
    assert "SECRET" not in repr(scan)


def test_scans_hold_no_identifier_of_the_patient(tmp_path):
    path = write_nm(
        tmp_path / "a.dcm",
        FRAMES,
        PatientBirthDate="19500131",
        SeriesDescription="Name Secret",
        **BOTH,
    )
    for scan in read_bone_scans(path):
        text = repr(scan)
        for secret in ("Secret", "4711", "1950", "1.2.826"):
            assert secret not in text.replace(str(path), "")


def test_warnings_are_what_a_person_should_look_at(tmp_path):
    quiet = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    assert read_bone_scans(quiet)[0].warnings == ()
    weak = write_nm(
        tmp_path / "b.dcm",
        ONE,
        DetectorInformationSequence=start_angles(180),
        BurnedInAnnotation="YES",
    )
    view, text = read_bone_scans(weak)[0].warnings
    assert view.startswith("anterior by weak evidence: only the detector's start angle")
    assert text == "text may be burned into the pixels"
    (doubted,) = read_bone_scans(quiet, view="posterior")[0].warnings
    assert doubted.startswith(
        "posterior by weak evidence: the user's word; but anterior by GEMS_GENIE_1"
    )


def patient_key(path, **elements):
    return read_bone_scans(write_nm(path, ONE, ge_labels="_E", **elements))[0]


def test_patient_key_follows_the_patient_not_the_file(tmp_path):
    first = patient_key(tmp_path / "a.dcm", PatientName="A")
    same = patient_key(tmp_path / "b.dcm", PatientName="B")
    other = patient_key(tmp_path / "c.dcm", PatientID="ID-4712")
    elsewhere = patient_key(tmp_path / "d.dcm", IssuerOfPatientID="other hospital")
    assert first.patient_key == same.patient_key
    keys = {first.patient_key, other.patient_key, elsewhere.patient_key}
    assert len(keys) == 3
    assert len({scan.image_key for scan in (first, same, other, elsewhere)}) == 4


def test_patient_key_falls_back_to_name_and_birth_date_then_to_the_study(tmp_path):
    name = {"PatientID": "", "PatientName": "A", "PatientBirthDate": "19500131"}
    first = patient_key(tmp_path / "a.dcm", **name)
    same = patient_key(tmp_path / "b.dcm", **name, StudyInstanceUID="1.2.3")
    assert first.patient_key == same.patient_key
    assert first.patient_evidence == "name and birth date"

    study = patient_key(tmp_path / "c.dcm", PatientID="", PatientName="A")
    assert study.patient_key != first.patient_key
    assert study.patient_evidence == "study"


def test_patient_key_depends_on_the_key_in_the_environment(tmp_path, monkeypatch):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    keys = set()
    for key in ("", "own", "x" * 64, "x" * 65, "x" * 66):
        monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", key)
        keys.add(read_bone_scans(path)[0].patient_key)
    assert len(keys) == 5
    assert all(len(key) == 16 for key in keys)


def test_image_key_tells_the_frames_of_a_file_apart(tmp_path):
    scans = read_bone_scans(write_nm(tmp_path / "a.dcm", FRAMES, **BOTH))
    assert scans[0].image_key != scans[1].image_key
    assert scans[0].patient_key == scans[1].patient_key


@pytest.mark.parametrize(
    "stated",
    [
        {"ImageComments": "SYNTHETIC phantom"},
        {"PatientName": "SYNTHETIC phantom"},
        {"SyntheticData": "YES"},
    ],
)
def test_synthetic_is_what_the_file_says(tmp_path, stated):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E", SyntheticData="NO")
    assert not read_bone_scans(path)[0].synthetic
    write_nm(path, ONE, ge_labels="_E", **stated)
    assert read_bone_scans(path)[0].synthetic


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("P1.dcm", "P1_anterior"),
        ("P1.DCM", "P1_anterior"),
        ("1.2.840.77", "1.2.840.77_anterior"),
    ],
)
def test_name_loses_no_part_of_a_uid(tmp_path, file, name):
    (scan,) = read_bone_scans(write_nm(tmp_path / file, ONE, ge_labels="_E"))
    assert scan.name == name


def test_find_bone_scans_lists_scans_by_name_and_errors_apart(tmp_path):
    deep = tmp_path / "b" / "deep"
    deep.mkdir(parents=True)
    write_nm(deep / "two.dcm", FRAMES, **BOTH)
    write_nm(tmp_path / "no_suffix", ONE, ge_labels="_F")
    write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    write_nm(tmp_path / "ct.dcm", ONE, Modality="CT", SOPClassUID="1.2.3")
    (tmp_path / "broken.dcm").write_bytes(b"no DICOM")
    (tmp_path / "._a.dcm").write_bytes(b"left by another system")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    for name in ("notes.txt", "a.json", "a.png"):
        (tmp_path / name).write_bytes(b"something else")
    os.mkfifo(tmp_path / "pipe.dcm")

    scans, errors = find_bone_scans([tmp_path])
    names = ["a_anterior", "no_suffix_posterior", "two_anterior", "two_posterior"]
    assert [scan.name for scan in scans] == names
    assert [type(error) for error in errors] == [UnreadableFileError, NotWholeBodyError]
    assert str(errors[0]).startswith(str(tmp_path / "broken.dcm"))


def test_find_bone_scans_reads_a_file_once_however_it_is_reached(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = write_nm(folder / "a.dcm", ONE, ge_labels="_E")
    (folder / "loop").symlink_to(folder)
    (folder / "b.dcm").symlink_to(path)
    scans, errors = find_bone_scans([folder, str(path), tmp_path])
    assert ([scan.path for scan in scans], errors) == ([path], [])


def test_find_bone_scans_follows_a_link_to_another_folder(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_nm(elsewhere / "a.dcm", ONE, ge_labels="_E")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(elsewhere)
    scans, errors = find_bone_scans([folder])
    assert ([scan.path for scan in scans], errors) == ([folder / "link" / "a.dcm"], [])


@pytest.mark.parametrize("target", ["nowhere", "scan.dcm"])
def test_a_link_that_leads_nowhere_is_told(tmp_path, target):
    """The scans that it led to are missed; a circle is one as well."""
    (tmp_path / "scan.dcm").symlink_to(target)
    (tmp_path / ".hidden.dcm").symlink_to("nowhere")
    (tmp_path / "one.dcm").write_bytes(b"")
    scans, errors = find_bone_scans([tmp_path])
    assert scans == []
    assert [str(error) for error in errors][0] == (
        f"{tmp_path / 'scan.dcm'}: expected a readable file or folder, found: a link "
        "that leads nowhere."
    )
    assert not any(".hidden" in str(error) for error in errors)


def test_walk_files_ends_where_a_link_leads_back(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "b").write_bytes(b"")
    (tmp_path / "inner" / "loop").symlink_to(tmp_path)
    (tmp_path / "a").write_bytes(b"")
    assert list(walk_files(tmp_path)) == [tmp_path / "a", tmp_path / "inner" / "b"]


def test_find_bone_scans_leaves_out_a_copy_of_an_image_and_names_both(tmp_path):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    (tmp_path / "b.dcm").write_bytes(path.read_bytes())
    scans, (error,) = find_bone_scans([tmp_path])
    assert [scan.path for scan in scans] == [path]
    assert str(error).startswith(str(tmp_path / "b.dcm")) and str(path) in str(error)


@pytest.mark.parametrize("make", [True, False])
def test_find_bone_scans_has_one_error_for_nothing(tmp_path, make):
    folder = tmp_path / "folder"
    if make:
        folder.mkdir()
        (folder / "readme.txt").write_text("nothing here")
    scans, (error,) = find_bone_scans([folder])
    assert scans == []
    assert str(error).startswith(f"{folder}: expected")
