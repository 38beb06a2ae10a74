"""Files that no vendor's convention makes sure of: refused, with reason and remedy.

One line of a table is one kind of file: what it says, and the error that must come.
"""

from typing import NamedTuple

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.scan import (
    NotWholeBodyError,
    UnknownViewError,
    UnreadableFileError,
)
from tests.support.nm_files import (
    BOTH,
    FRAMES,
    ONE,
    coded,
    detectors,
    start_angles,
    write_nm,
)

A, P = "anterior", "posterior"
SCT_A = "View Code Sequence 399321004 (SCT)"


class Refusal(NamedTuple):
    """What a file says, and the error and the words of it that must come."""

    elements: dict
    error: type
    expected: str
    found: str
    remedy: str
    frames: np.ndarray = ONE


def no_view(found, expected="evidence for the view", frames=ONE, **elements):
    return Refusal(elements, UnknownViewError, expected, found, "(--view)", frames)


def other_kind(found, **elements):
    return Refusal(
        elements | {"ge_labels": "_E"},
        NotWholeBodyError,
        "expected an NM image of type WHOLE BODY",
        f"found {found}.",
        "Choose the whole-body series.",
    )


NOTHING = "no view code, label, description or known start angle"

REFUSALS = {
    "no evidence": no_view(NOTHING),
    "detector numbers": no_view(NOTHING, frames=FRAMES, DetectorVector=[1, 2]),
    "no items of detectors": no_view(
        NOTHING, frames=FRAMES, DetectorInformationSequence=[]
    ),
    "patient orientation": no_view(NOTHING, PatientOrientation=["L", "F"]),
    "oblique angle": no_view(NOTHING, DetectorInformationSequence=start_angles(45)),
    "time instead of view": no_view(NOTHING, SeriesDescription="WB 3 h POST"),
    "injection": no_view(NOTHING, SeriesDescription="post injection"),
    "part of a word": no_view(NOTHING, SeriesDescription="Infant compost"),
    "both views in a text": no_view(NOTHING, SeriesDescription="ANT/POST"),
    "both views in Chinese": no_view(
        NOTHING, SeriesDescription="全身骨前后位", SpecificCharacterSet="GB18030"
    ),
    "a text for two frames": no_view(NOTHING, frames=FRAMES, SeriesDescription="ANT"),
    "two texts for two frames": no_view(
        NOTHING, frames=FRAMES, SeriesDescription=["ANT", "POST"]
    ),
    "code of another scheme": no_view(
        NOTHING, ViewCodeSequence=coded("399321004", "99LOCAL")
    ),
    "code of another projection": no_view(
        "found View Code Sequence 399118008 (SCT), which is neither",
        expected="an anterior or posterior view as frame 1",
        ViewCodeSequence=coded("399118008", "SCT"),
        SeriesDescription="ANT",
    ),
    "label of another creator": no_view(NOTHING, other_creators=("OTHER MAKER",)),
    "label without underscore": no_view(NOTHING, ge_labels="F"),
    "code for one frame of two": no_view(
        NOTHING,
        expected="evidence for the view of frame 2",
        frames=FRAMES,
        DetectorInformationSequence=detectors(A),
    ),
    "one frame under the header of two": no_view(
        "found none: its view would be a guess",
        expected="a Detector Vector to tell which of several detectors",
        DetectorVector=None,
        **BOTH,
    ),
    "one frame under a number of two": no_view(
        "found none: its view would be a guess",
        expected="a Detector Vector to tell which of several detectors",
        DetectorVector=None,
        NumberOfDetectors=2,
        ge_labels="WB_E",
        SeriesDescription="ANT",
    ),
    "the same view twice": no_view(
        f"found anterior twice: frame 1 by {SCT_A}, frame 2 by {SCT_A}",
        expected="opposite views",
        frames=FRAMES,
        DetectorInformationSequence=detectors(A, A),
    ),
    "a label that contradicts itself": no_view(
        "posterior by GEMS_GENIE_1 Dataset Name says posterior (POS) and anterior by",
        expected="one view for frame 1",
        ge_labels="POS_E",
    ),
    "descriptions that disagree": no_view(
        "anterior by Series Description says anterior and posterior by Study",
        expected="one view for frame 1",
        SeriesDescription="ANT",
        StudyDescription="POST",
    ),
    "frames without a detector": Refusal(
        BOTH | {"DetectorVector": None},
        UnreadableFileError,
        "DetectorVector to name all 2 frames",
        "found 0 values",
        "one file for each view",
        FRAMES,
    ),
    "one frame of two energy windows": Refusal(
        {"ge_labels": "_E", "EnergyWindowVector": None, "NumberOfEnergyWindows": 2},
        UnreadableFileError,
        "EnergyWindowVector to name all 1 frames",
        "found 0 values",
        "one file for each view",
    ),
    "more frames than anybody makes": Refusal(
        BOTH | {"NumberOfFrames": 257},
        UnreadableFileError,
        "frames of about 1024x256 pixels",
        "found 257 of 64x33",
        "export it again",
    ),
    "a detector that made two frames": Refusal(
        BOTH | {"DetectorVector": [1, 1]},
        UnreadableFileError,
        "one frame from each of one or two detectors",
        "detectors [1, 1]",
        "Export the whole-body images alone",
        FRAMES,
    ),
    "transmission": other_kind(
        "an NM image of type WHOLE BODY TRANSMISSION",
        ImageType=["ORIGINAL", "PRIMARY", "WHOLE BODY", "TRANSMISSION"],
    ),
    "no image type": other_kind("an NM image of type unstated", ImageType=None),
    "enhanced CT of many energies": other_kind(
        "Enhanced CT Image Storage, modality CT",
        Modality="CT",
        SOPClassUID=pydicom.uid.EnhancedCTImageStorage,
        ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "VMI"],
    ),
    "PET": other_kind(
        "Positron Emission Tomography Image Storage, modality PT",
        Modality="PT",
        SOPClassUID=pydicom.uid.PositronEmissionTomographyImageStorage,
    ),
    "square frames": Refusal(
        {"ge_labels": "_E"},
        NotWholeBodyError,
        "at least 1.8 times higher than wide",
        "found 64x64 pixels",
        "Choose the whole-body series.",
        np.ones((1, 64, 64), np.uint16),
    ),
    "a colour picture": Refusal(
        {"ge_labels": "_E", "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
        NotWholeBodyError,
        "one count per pixel",
        "a colour picture",
        "Export the original image",
    ),
    "inverted values": Refusal(
        {"ge_labels": "_E", "PhotometricInterpretation": "MONOCHROME1"},
        NotWholeBodyError,
        "MONOCHROME2",
        "found MONOCHROME1",
        "Export the original image.",
    ),
} | {
    f"type {kind}": other_kind(
        f"an NM image of type {kind}", ImageType=["ORIGINAL", "PRIMARY", kind]
    )
    for kind in ("STATIC", "DYNAMIC", "GATED", "TOMO", "RECON TOMO", "GATED TOMO")
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_vendors_file_is_refused_with_a_reason_and_a_remedy(tmp_path, name):
    refusal = REFUSALS[name]
    path = write_nm(tmp_path / "a.dcm", refusal.frames, **refusal.elements)
    with pytest.raises(refusal.error) as caught:
        read_bone_scans(path)
    text = str(caught.value)
    parts = [str(path), refusal.expected, refusal.found, refusal.remedy]
    assert [part for part in parts if part not in text] == []
    assert [text.index(part) for part in parts] == sorted(map(text.index, parts))


@pytest.mark.parametrize("name", [n for n, r in REFUSALS.items() if r.remedy[0] == "("])
def test_the_users_word_reads_a_file_that_tells_no_view(tmp_path, name):
    refusal = REFUSALS[name]
    path = write_nm(tmp_path / "a.dcm", refusal.frames, **refusal.elements)
    scans = read_bone_scans(path, view=P)
    assert [scan.view for scan in scans] == [P, A][: len(refusal.frames)]
    for scan, frame in zip(scans, refusal.frames, strict=True):
        assert scan.view_evidence.startswith("the user's word")
        np.testing.assert_array_equal(scan.counts, frame)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("MR_small.dcm", "MR Image Storage, modality MR"),
        ("CT_small.dcm", "CT Image Storage, modality CT"),
        ("rtstruct.dcm", "RT Structure Set Storage, modality RTSTRUCT"),
        ("reportsi.dcm", "Basic Text SR Storage, modality SR"),
        ("DICOMDIR", "Media Storage Directory Storage"),
    ],
)
def test_other_objects_are_refused_by_name(name, found):
    with pytest.raises(NotWholeBodyError, match=f"WHOLE BODY, found {found}. Choose"):
        read_bone_scans(get_testdata_file(name))


def test_the_users_word_is_not_doubted_by_a_detector_that_may_be_another(tmp_path):
    path = write_nm(tmp_path / "a.dcm", ONE, DetectorVector=None, **BOTH)
    (scan,) = read_bone_scans(path, view=P)
    assert scan.view_evidence == "the user's word"


@pytest.mark.parametrize("detector", [1, 2])
def test_a_detector_vector_tells_whose_frame_it_is(tmp_path, detector):
    elements = BOTH | {"DetectorVector": detector, "NumberOfDetectors": 2}
    (scan,) = read_bone_scans(write_nm(tmp_path / "a.dcm", ONE, **elements))
    assert scan.view == (A, P)[detector - 1]


@pytest.mark.parametrize(
    "spacing",
    [
        ["0.0001", "0.0001"],
        ["5e-324", "5e-324"],
        ["0.49", "2.4"],
        ["2.4", "20.1"],
        ["1e300", "1e300"],
        ["-2.4", "-2.4"],
        ["nan", "nan"],
        ["inf", "inf"],
        ["0", "2.4"],
        ["1.0", "4.1"],
        ["2.4"],
        ["2.4", "2.4", "2.4"],
        ["two", "four"],
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_spacing_that_no_camera_has_is_refused(tmp_path, spacing):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E", PixelSpacing=[7.5, 7.25])
    placeholder, stored = b"7.5\\7.25", "\\".join(spacing).encode()
    stored += b" " * (len(stored) % 2)
    contents = path.read_bytes()
    assert placeholder in contents
    old = b"DS" + len(placeholder).to_bytes(2, "little") + placeholder
    new = b"DS" + len(stored).to_bytes(2, "little") + stored
    path.write_bytes(contents.replace(old, new))
    with pytest.raises(UnreadableFileError, match="no camera has such pixels") as error:
        read_bone_scans(path)
    text = str(error.value)
    assert text.startswith(f"{path}: expected as Pixel Spacing two numbers from 0.5 to")


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (20, 20), (2.26, 1.13), (1, 4)])
def test_spacing_that_a_camera_may_have_is_read(tmp_path, spacing):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E", PixelSpacing=[*spacing])
    assert read_bone_scans(path)[0].spacing_mm == spacing


@pytest.mark.parametrize(
    "vectors",
    [
        {"EnergyWindowVector": [1, 2]},  # of the second window one view alone
        {"EnergyWindowVector": [0, 1]},
        {"EnergyWindowVector": [3, 3], "NumberOfEnergyWindows": 1},
        {"DetectorVector": [0, 1]},
    ],
)
def test_vectors_that_no_camera_counts_are_refused(tmp_path, vectors):
    path = write_nm(tmp_path / "a.dcm", FRAMES, **(BOTH | vectors))
    with pytest.raises(UnreadableFileError, match="expected"):
        read_bone_scans(path)


def test_columns_that_fit_the_pixels_in_number_alone_are_refused(tmp_path):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E", Rows=64 * 3, Columns=11)
    with pytest.raises(UnreadableFileError, match="12 times higher than wide"):
        read_bone_scans(path)


def test_bits_above_bits_stored_are_no_counts_and_are_told(tmp_path):
    high = ONE | np.uint16(0xF000)
    path = write_nm(tmp_path / "a.dcm", high, ge_labels="_E", BitsStored=12, HighBit=11)
    (scan,) = read_bone_scans(path)
    np.testing.assert_array_equal(scan.counts, ONE[0])
    assert scan.notes == (f"bits above Bits Stored ignored in {ONE.size} words",)
