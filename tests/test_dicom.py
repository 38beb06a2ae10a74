"""Tests of `spectjax.imaging.dicom` and the rooms behind it: frames, views, identity.

Files are made here; the real scan is a copy that pydicom brings along.
"""

import os
import struct

import numpy as np
import pydicom
import pytest
from nm_files import detectors, item, view_code, write_nm
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from spectjax.imaging.dicom import (
    EmptyImageError,
    NotWholeBodyError,
    ScanError,
    UnknownViewError,
    UnreadableFileError,
    find_bone_scans,
    read_bone_scans,
)
from spectjax.imaging.folders import walk_files
from spectjax.imaging.pixels import _encoded_size

# Two frames that nothing maps onto each other or onto themselves.
FRAMES = np.random.default_rng(0).poisson(3, (2, 64, 33)).astype(np.uint16)
FRAMES[:, 2, 1] = (17, 300)
ONE = FRAMES[:1]


def start_angles(*angles):
    return [item(StartAngle=angle) for angle in angles]


def windows(*limits):
    """An Energy Window Information Sequence of ranges in keV."""
    return [
        item(
            EnergyWindowRangeSequence=[
                item(EnergyWindowLowerLimit=low, EnergyWindowUpperLimit=high)
            ]
        )
        for low, high in limits
    ]


BOTH = {"DetectorInformationSequence": detectors("anterior", "posterior")}

# What a file may say, the views that follow and the words of the evidence.
VARIANTS = {
    "view code SCT": (FRAMES, BOTH, ["anterior", "posterior"], "399321004 (SCT)"),
    "view code SRT": (
        FRAMES,
        {
            "DetectorInformationSequence": detectors(
                "anterior", "posterior", scheme="SRT"
            )
        },
        ["anterior", "posterior"],
        "R-10206 (SRT)",
    ),
    "frames in the other order": (
        FRAMES,
        {"DetectorInformationSequence": detectors("posterior", "anterior")},
        ["posterior", "anterior"],
        "399001007 (SCT)",
    ),
    "detectors in the other order": (
        FRAMES,
        BOTH | {"DetectorVector": [2, 1]},
        ["posterior", "anterior"],
        "399001007 (SCT)",
    ),
    "view code outside of the detector": (
        ONE,
        {"ViewCodeSequence": view_code("posterior")},
        ["posterior"],
        "399001007",
    ),
    "GE label E": (ONE, {"ge_labels": "WHOLE BODY_E"}, ["anterior"], "GEMS_GENIE_1"),
    "GE label F": (ONE, {"ge_labels": "WHOLE BODY_F"}, ["posterior"], "WHOLE BODY_F"),
    "GE label POS": (ONE, {"ge_labels": "WB POS"}, ["posterior"], "WB POS"),
    "GE label for each frame": (
        FRAMES,
        {"ge_labels": ["WB_F", "WB_E"]},
        ["posterior", "anterior"],
        "WB_F",
    ),
    "series description": (
        ONE,
        {"SeriesDescription": "WB_ANT 3h"},
        ["anterior"],
        "Series Description says anterior",
    ),
    "study description": (
        ONE,
        {"StudyDescription": "Bone, posterior"},
        ["posterior"],
        "Study Description says posterior",
    ),
    "image ID": (ONE, {"ImageID": "POST WB"}, ["posterior"], "Image ID"),
    "start angles": (
        FRAMES,
        {"DetectorInformationSequence": start_angles(180, 0)},
        ["anterior", "posterior"],
        "WARNING: only the detector's start angle 180",
    ),
    "start angle of a full turn": (
        ONE,
        {"DetectorInformationSequence": start_angles(358)},
        ["posterior"],
        "358",
    ),
    "contradiction of a weaker kind": (
        ONE,
        {"ge_labels": "WB_E", "SeriesDescription": "POST"},
        ["anterior"],
        "'WB_E'; but posterior by Series Description",
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_read_bone_scans_tells_the_view_with_its_evidence(tmp_path, variant):
    frames, elements, views, evidence = VARIANTS[variant]
    scans = read_bone_scans(write_nm(tmp_path / "a.dcm", frames, **elements))

    assert [scan.view for scan in scans] == views
    assert evidence in scans[0].view_evidence
    for scan, frame in zip(scans, frames, strict=True):
        np.testing.assert_array_equal(scan.counts, frame)


# What tells no view, or too many.
UNKNOWN = {
    "nothing": (ONE, {}, "no view code, label, description"),
    "detector numbers": (FRAMES, {"DetectorVector": [1, 2]}, "frame 1"),
    "time instead of view": (ONE, {"SeriesDescription": "WB 3 h POST"}, "frame 1"),
    "injection": (ONE, {"SeriesDescription": "post injection"}, "frame 1"),
    "part of a word": (ONE, {"SeriesDescription": "Infant compost"}, "frame 1"),
    "both views in one text": (ONE, {"SeriesDescription": "ANT/POST"}, "frame 1"),
    "a text for two frames": (FRAMES, {"SeriesDescription": "ANT"}, "no view code"),
    "oblique angle": (
        ONE,
        {"DetectorInformationSequence": start_angles(45)},
        "frame 1",
    ),
    "code of another scheme": (
        ONE,
        {
            "ViewCodeSequence": [
                item(CodeValue="399321004", CodingSchemeDesignator="99LOCAL")
            ]
        },
        "frame 1",
    ),
    "label of another creator": (ONE, {"ImageID": "WHOLE BODY_E"}, "frame 1"),
    "code for one frame of two": (
        FRAMES,
        {"DetectorInformationSequence": detectors("anterior")},
        "frame 2",
    ),
    "the same view twice": (
        FRAMES,
        {"DetectorInformationSequence": detectors("anterior", "anterior")},
        "anterior twice: frame 1 by .*, frame 2 by",
    ),
    "descriptions that disagree": (
        ONE,
        {"SeriesDescription": "ANT", "StudyDescription": "POST"},
        "anterior by Series Description .* and posterior by Study Description",
    ),
}


@pytest.mark.parametrize("variant", UNKNOWN)
def test_read_bone_scans_refuses_to_guess_a_view(tmp_path, variant):
    frames, elements, message = UNKNOWN[variant]
    path = write_nm(tmp_path / "a.dcm", frames, **elements)
    with pytest.raises(UnknownViewError, match=message):
        read_bone_scans(path)


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


# Of four frames, energy window first and detector fastest, two are the scan.
FOUR = np.concatenate([FRAMES, FRAMES + 1])


@pytest.mark.parametrize(
    ("ranges", "frames", "note"),
    [
        ([(126, 154), (92, 125)], [0, 1], "126 to 154 keV"),
        ([(92, 125), (126, 154)], [2, 3], "energy window 2 of 2: 126 to 154 keV"),
        ([(92, 125), (220, 270)], [0, 1], "energy window 1 of 2: the first"),
        ([], [0, 1], "energy window 1 of 2: the first"),
    ],
)
def test_read_bone_scans_keeps_the_window_of_the_photopeak(
    tmp_path, ranges, frames, note
):
    path = write_nm(
        tmp_path / "a.dcm",
        FOUR,
        EnergyWindowVector=[1, 1, 2, 2],
        DetectorVector=[1, 2, 1, 2],
        EnergyWindowInformationSequence=windows(*ranges),
        **BOTH,
    )
    scans = read_bone_scans(path)
    assert [scan.frame for scan in scans] == frames
    assert [scan.view for scan in scans] == ["anterior", "posterior"]
    assert any(note in text for text in scans[0].notes)
    np.testing.assert_array_equal(scans[1].counts, FOUR[frames[1]])


@pytest.mark.parametrize(
    "elements",
    [
        {"syntax": ImplicitVRLittleEndian},
        {"syntax": ExplicitVRBigEndian},
        {"compress": RLELossless},
        {"compress": JPEG2000Lossless},
        {"SOPClassUID": pydicom.uid.SecondaryCaptureImageStorage},
        {"ImageType": ["DERIVED", "SECONDARY", "WHOLE_BODY"]},
    ],
    ids=lambda elements: " ".join(map(str, elements)),
)
def test_read_bone_scans_reads_the_same_counts_from_every_encoding(tmp_path, elements):
    scans = read_bone_scans(write_nm(tmp_path / "a.dcm", FRAMES, **BOTH, **elements))
    assert [scan.view for scan in scans] == ["anterior", "posterior"]
    for scan, frame in zip(scans, FRAMES, strict=True):
        assert scan.counts.dtype == np.float32
        np.testing.assert_array_equal(scan.counts, frame)


def test_read_bone_scans_applies_rescale_tags_and_cuts_negative_counts(tmp_path):
    signed = ONE.astype(np.int16) - 2
    path = write_nm(
        tmp_path / "a.dcm",
        signed,
        ge_labels="_E",
        RescaleSlope=0.5,
        RescaleIntercept=0.25,
    )
    (scan,) = read_bone_scans(path)
    np.testing.assert_array_equal(scan.counts, np.maximum(0.5 * signed[0] + 0.25, 0))
    assert f"{int((signed < 0).sum())} negative values set to 0" in scan.notes


@pytest.mark.parametrize(
    ("value", "expected"),
    [([2.4, 2.2], (2.4, 2.2)), (None, None), ("", None), ([0, 0], None)],
)
def test_read_bone_scans_returns_row_spacing_first_or_none(tmp_path, value, expected):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E", PixelSpacing=value)
    (scan,) = read_bone_scans(path)
    assert scan.spacing_mm == expected
    assert ("no usable Pixel Spacing" in scan.notes) == (expected is None)


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]}, "type STATIC"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "DYNAMIC"]}, "type DYNAMIC"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO"]}, "type RECON TOMO"),
        (
            {"ImageType": ["ORIGINAL", "PRIMARY", "WHOLE BODY", "TRANSMISSION"]},
            "TRANSMISSION",
        ),
        ({"ImageType": None}, "type unstated"),
        (
            {"Modality": "CT", "SOPClassUID": pydicom.uid.CTImageStorage},
            "CT Image Storage, modality CT",
        ),
        ({"Rows": 4, "Columns": 6}, "4x6 pixels"),
    ],
)
def test_read_bone_scans_refuses_other_images_by_name(tmp_path, elements, found):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E", **elements)
    with pytest.raises(NotWholeBodyError, match=found):
        read_bone_scans(path)


def test_read_bone_scans_refuses_an_image_without_counts(tmp_path):
    path = write_nm(tmp_path / "a.dcm", np.stack([FRAMES[0], FRAMES[1] * 0]), **BOTH)
    with pytest.raises(EmptyImageError, match="frame 2"):
        read_bone_scans(path)


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


def test_read_bone_scans_refuses_a_detector_that_made_two_frames(tmp_path):
    path = write_nm(tmp_path / "a.dcm", FRAMES, DetectorVector=[1, 1], ge_labels="_E")
    with pytest.raises(UnreadableFileError, match=r"detectors \[1, 1\]"):
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


def test_read_bone_scans_reads_the_real_scan_that_pydicom_brings_along():
    (scan,) = read_bone_scans(get_testdata_file("JPEG2000.dcm"))
    assert scan.name == "JPEG2000_anterior"
    assert scan.view_evidence == "GEMS_GENIE_1 Dataset Name 'WHOLE BODY_E'"
    assert scan.counts.shape == (1024, 256)
    assert scan.spacing_mm == (2.26, 2.26)
    assert not scan.synthetic
    # Lossy compression left values down to -30 in it, and a maximum of 245.
    assert (scan.counts.min(), scan.counts.max()) == (0, 245)
    assert "lossy compression" in scan.notes


@pytest.mark.parametrize(
    "name", ["JPEG-lossy.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"]
)
def test_read_bone_scans_names_the_encoding_that_nothing_decodes(name, caplog):
    with pytest.raises(UnreadableFileError, match=r"JPEG .*spectjax\[codecs\]"):
        read_bone_scans(get_testdata_file(name))
    assert caplog.text == ""  # decoders log tracebacks


def test_read_bone_scans_compares_sizes_before_it_decodes(tmp_path):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E", compress=JPEG2000Lossless)
    contents = bytearray(path.read_bytes())
    size = contents.index(b"\xff\x4f\xff\x51") + 8
    assert contents[size : size + 8] == struct.pack(">2I", 33, 64)
    contents[size : size + 8] = struct.pack(">2I", 3000, 3000)
    path.write_bytes(contents)
    with pytest.raises(UnreadableFileError, match="64x33 .*found 3000x3000 of 1"):
        read_bone_scans(path)


def test_encoded_size_is_read_from_a_jpeg():
    contents = pydicom.dcmread(get_testdata_file("JPEG-lossy.dcm")).PixelData
    frame = get_frame(contents, 0, number_of_frames=1)
    assert _encoded_size(frame) == (1024, 256, 1)


def test_read_bone_scans_refuses_deflated_files(tmp_path):
    syntax = pydicom.uid.DeflatedExplicitVRLittleEndian
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E", syntax=syntax)
    with pytest.raises(UnreadableFileError, match="not deflated"):
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


@pytest.mark.parametrize("keyword", ["ImageComments", "PatientName"])
def test_synthetic_is_what_the_file_says(tmp_path, keyword):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    assert not read_bone_scans(path)[0].synthetic
    write_nm(path, ONE, ge_labels="_E", **{keyword: "SYNTHETIC phantom"})
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
