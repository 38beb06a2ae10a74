"""Files that no vendor's convention makes sure of: refused, with reason and remedy.

One line of a table is one kind of file: what it says, and the error that must come.
"""

from typing import NamedTuple

import numpy as np
import pydicom
import pytest
from nm_files import BOTH, FRAMES, ONE, coded, detectors, start_angles, write_nm
from pydicom.data import get_testdata_file

from spectjax.imaging.dicom import (
    NotWholeBodyError,
    UnknownViewError,
    UnreadableFileError,
    read_bone_scans,
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
