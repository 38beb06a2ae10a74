"""Whole-body files as vendors write them: which views they hold, and on what evidence.

One line of a table is one kind of file: what it says, and what must come of it.
"""

from typing import NamedTuple

import numpy as np
import pytest
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage

from spectjax.imaging.dicom.reading import find_bone_scans, read_bone_scans
from tests.support.nm_files import (
    BOTH,
    FRAMES,
    ONE,
    coded,
    detectors,
    item,
    start_angles,
    view_code,
    windows,
    write_nm,
)

A, P = "anterior", "posterior"
SCT_A = "View Code Sequence 399321004 (SCT)"
SCT_P = "View Code Sequence 399001007 (SCT)"
GE_A = "GEMS_GENIE_1 Dataset Name says anterior (_E)"
GE_P = "GEMS_GENIE_1 Dataset Name says posterior (_F)"
BACK = "(0 is the patient's back; compare with the picture)"
XRAY = "an X-ray projection (compare with the picture)"


class Variant(NamedTuple):
    """What a file says, and what is read from it: one entry for each kept frame."""

    elements: dict
    views: tuple[str, ...]
    evidence: tuple[str, ...]
    frames: np.ndarray = FRAMES
    kept: tuple[int, ...] = (0, 1)
    spacing_mm: tuple[float, float] | None = (2.4, 2.2)  # rows, columns
    notes: tuple[str, ...] = ()


def one(view, evidence, *, notes=(), spacing_mm=(2.4, 2.2), **elements):
    """A file of one frame."""
    return Variant(elements, (view,), (evidence,), ONE, (0,), spacing_mm, notes)


def described(view, text, keyword="SeriesDescription", **elements):
    """A file of one frame that says its view in a description only."""
    name = {
        "SeriesDescription": "Series Description",
        "StudyDescription": "Study Description",
        "ImageID": "Image ID",
    }[keyword]
    return one(view, f"{name} says {view}", **{keyword: text}, **elements)


def code_pair(anterior, posterior, scheme):
    items = [item(ViewCodeSequence=coded(v, scheme)) for v in (anterior, posterior)]
    return {"DetectorInformationSequence": items}


# Of four frames two are the scan; the others are of another energy window.
FOUR = np.concatenate([FRAMES, FRAMES + 1])
# The photopeak of technetium-99m and a window of scatter below it, in keV.
PEAK, SCATTER, INDIUM = (126, 154), (92, 125), (154, 188)


def two_windows(ranges, energy, detector, kept, note, views=(A, P)):
    """A file of four frames, energy windows by detectors."""
    elements = {
        "EnergyWindowVector": energy,
        "DetectorVector": detector,
        "NumberOfEnergyWindows": 2,
        "NumberOfDetectors": 2,
        "EnergyWindowInformationSequence": windows(*ranges),
        **BOTH,
    }
    evidence = tuple({A: SCT_A, P: SCT_P}[view] for view in views)
    return Variant(elements, views, evidence, FOUR, kept, notes=(note,))


FIRST = "energy window 1 of 2: 126 to 154 keV holds 140.5 keV"
SECOND = "energy window 2 of 2: 126 to 154 keV holds 140.5 keV"
NO_RANGE = "energy window 1 of 2: the first, as none states a range with 140.5 keV"

VARIANTS = {
    # The order of frames and detectors.
    "one file, two frames": Variant(BOTH, (A, P), (SCT_A, SCT_P)),
    "posterior detector first": Variant(
        {"DetectorInformationSequence": detectors(P, A)}, (P, A), (SCT_P, SCT_A)
    ),
    "second detector's frame first": Variant(
        BOTH | {"DetectorVector": [2, 1]}, (P, A), (SCT_P, SCT_A)
    ),
    "two windows, detector fastest": two_windows(
        [PEAK, SCATTER], [1, 1, 2, 2], [1, 2, 1, 2], (0, 1), FIRST
    ),
    "two windows, window fastest": two_windows(
        [PEAK, SCATTER], [1, 2, 1, 2], [1, 1, 2, 2], (0, 2), FIRST
    ),
    "scatter window first": two_windows(
        [SCATTER, PEAK], [1, 1, 2, 2], [1, 2, 1, 2], (2, 3), SECOND
    ),
    "scatter window and posterior first": two_windows(
        [SCATTER, PEAK], [1, 2, 1, 2], [2, 2, 1, 1], (1, 3), SECOND, (P, A)
    ),
    "dual isotope, indium first": two_windows(
        [INDIUM, PEAK], [1, 1, 2, 2], [1, 2, 1, 2], (2, 3), SECOND
    ),
    "two windows without technetium": two_windows(
        [SCATTER, (220, 270)], [1, 1, 2, 2], [1, 2, 1, 2], (0, 1), NO_RANGE
    ),
    "two windows without ranges": two_windows(
        [], [1, 1, 2, 2], [1, 2, 1, 2], (0, 1), NO_RANGE
    ),
    "no vector for the only window": Variant(
        BOTH | {"EnergyWindowVector": None, "FrameIncrementPointer": 0x00540020},
        (A, P),
        (SCT_A, SCT_P),
    ),
    "no frame increment pointer": Variant(
        BOTH | {"FrameIncrementPointer": None}, (A, P), (SCT_A, SCT_P)
    ),
    "no number of frames, no vectors": one(
        A,
        GE_A,
        ge_labels="WHOLE BODY_E",
        NumberOfFrames=None,
        DetectorVector=None,
        EnergyWindowVector=None,
    ),
    # View codes.
    "view code SRT": Variant(
        code_pair("G-5215", "G-5216", "SRT"),
        (A, P),
        ("View Code Sequence G-5215 (SRT)", "View Code Sequence G-5216 (SRT)"),
    ),
    "view code SNM3": Variant(
        code_pair("G-5216", "G-5215", "SNM3"),
        (P, A),
        ("View Code Sequence G-5216 (SNM3)", "View Code Sequence G-5215 (SNM3)"),
    ),
    "view code of an X-ray": Variant(
        code_pair("R-10206", "R-10214", "SRT"),
        (A, P),
        (
            f"WARNING: only View Code Sequence R-10206 (SRT), {XRAY}",
            f"WARNING: only View Code Sequence R-10214 (SRT), {XRAY}",
        ),
    ),
    "view code of an X-ray against a label": one(
        P,
        f"{GE_P}; but anterior by WARNING: only View Code Sequence G-5200 (SNM3), "
        f"{XRAY}",
        ge_labels="WHOLE BODY_F",
        DetectorInformationSequence=[item(ViewCodeSequence=coded("G-5200", "SNM3"))],
    ),
    "view code outside of the detector": one(
        P, SCT_P, ViewCodeSequence=view_code(P), DetectorInformationSequence=[]
    ),
    # GE's private labels, resolved by their creator.
    "GE label E": one(A, GE_A, ge_labels="WHOLE BODY_E"),
    "GE label F": one(P, GE_P, ge_labels="WHOLE BODY_F"),
    "GE label ANT": one(
        A,
        "GEMS_GENIE_1 Dataset Name says anterior (ANT)",
        ge_labels="WB ANT",
        SeriesDescription="",
    ),
    "GE label POS": one(
        P,
        "GEMS_GENIE_1 Dataset Name says posterior (POS)",
        ge_labels="WB_POS",
        ImageID="1",
    ),
    "GE picture name": one(
        P,
        "GEMS_GENIE_1 Picture Object Name says posterior (_F)",
        ge_labels="Bone_F",
        ge_offset=0x30,
    ),
    "GE label in another block": one(
        A,
        GE_A,
        ge_labels="WHOLE BODY_E",
        other_creators=("OTHER MAKER", "ANOTHER MAKER"),
    ),
    "GE label for each frame": Variant(
        {"ge_labels": ["WHOLE BODY_F", "WHOLE BODY_E"]}, (P, A), (GE_P, GE_A)
    ),
    "GE label, padded": one(A, GE_A, ge_labels="  WHOLE BODY_E  "),
    "GE label of unknown type": one(
        P, GE_P, ge_labels=b"WHOLE BODY_F", ge_vr="UN", other_creators=("OTHER",)
    ),
    "GE label as bytes": one(P, GE_P, ge_labels=b"WHOLE BODY_F\0\0", ge_vr="OB"),
    "GE label, implicit types": one(
        A, GE_A, ge_labels="WHOLE BODY_E", syntax=ImplicitVRLittleEndian
    ),
    "GE label against a description": one(
        A,
        f"{GE_A}; but posterior by Series Description says posterior",
        ge_labels="WHOLE BODY_E",
        SeriesDescription="POST",
    ),
    "start angle against a label": one(
        A,
        f"{GE_A}; but posterior by WARNING: only the detector's start angle 0 degrees "
        f"{BACK}",
        ge_labels="WHOLE BODY_E",
        DetectorInformationSequence=start_angles(0),
    ),
    # Descriptions of files with one frame.
    "series description": described(A, "WB_ANT 3h"),
    "series description with brackets": described(A, "WB Bone [ANT]"),
    "series description, padded": described(P, "  WHOLE BODY POST   "),
    "study description": described(P, "Bone, posterior", "StudyDescription"),
    "image ID": described(P, "POST WB", "ImageID"),
    "French description": described(
        P, "Squelette postérieur", SpecificCharacterSet="ISO_IR 100"
    ),
    "Italian description": described(
        A, "corpo intero anteriore è", SpecificCharacterSet="ISO_IR 192"
    ),
    "Chinese description": described(
        P, "全身骨显像后位", SpecificCharacterSet="GB18030"
    ),
    "traditional Chinese description": described(
        P, "全身骨骼 後位", SpecificCharacterSet="ISO_IR 192"
    ),
    "Chinese with an abbreviation": described(
        A, "全身骨扫描ANT", SpecificCharacterSet="GB18030"
    ),
    # The start angle alone.
    "start angles": Variant(
        {"DetectorInformationSequence": start_angles(180, 0)},
        (A, P),
        (
            f"WARNING: only the detector's start angle 180 degrees {BACK}",
            f"WARNING: only the detector's start angle 0 degrees {BACK}",
        ),
    ),
    "start angle of a full turn": one(
        P,
        f"WARNING: only the detector's start angle 358 degrees {BACK}",
        DetectorInformationSequence=start_angles(358),
    ),
    # What else a header may say or leave out.
    "Secondary Capture of modality NM": Variant(
        BOTH | {"SOPClassUID": SecondaryCaptureImageStorage},
        (A, P),
        (SCT_A, SCT_P),
        notes=("grey values may not be counts (Secondary Capture Image Storage)",),
    ),
    "image type with an underscore": Variant(
        BOTH | {"ImageType": ["DERIVED", "SECONDARY", "WHOLE_BODY"]},
        (A, P),
        (SCT_A, SCT_P),
    ),
    "colour palette": one(
        A,
        GE_A,
        ge_labels="WHOLE BODY_E",
        PhotometricInterpretation="PALETTE COLOR",
        notes=("colour palette ignored",),
    ),
    "burnt-in text": one(
        A,
        GE_A,
        ge_labels="WHOLE BODY_E",
        BurnedInAnnotation="YES",
        notes=("text may be burned into the pixels",),
    ),
    "no spacing": one(
        A,
        GE_A,
        ge_labels="WHOLE BODY_E",
        PixelSpacing=None,
        spacing_mm=None,
        notes=("no usable Pixel Spacing",),
    ),
    "empty spacing": one(
        A,
        GE_A,
        ge_labels="WHOLE BODY_E",
        PixelSpacing="",
        spacing_mm=None,
        notes=("no usable Pixel Spacing",),
    ),
    "spacing of zero": one(
        A,
        GE_A,
        ge_labels="WHOLE BODY_E",
        PixelSpacing=[0, 0],
        spacing_mm=None,
        notes=("no usable Pixel Spacing",),
    ),
    "negative spacing between slices": one(
        A,
        GE_A,
        ge_labels="WHOLE BODY_E",
        PixelSpacing=[2.26, 1.13],
        SpacingBetweenSlices=-2.26,
        spacing_mm=(2.26, 1.13),
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_vendors_file_is_read_with_its_evidence(tmp_path, name):
    variant = VARIANTS[name]
    path = write_nm(tmp_path / "a.dcm", variant.frames, **variant.elements)
    scans = read_bone_scans(path)

    assert tuple(scan.view for scan in scans) == variant.views
    assert tuple(scan.view_evidence for scan in scans) == variant.evidence
    assert tuple(scan.frame for scan in scans) == variant.kept
    for scan in scans:
        np.testing.assert_array_equal(scan.counts, variant.frames[scan.frame])
        assert scan.spacing_mm == variant.spacing_mm
        assert scan.notes == variant.notes


def test_two_files_of_one_frame_each_are_two_views_of_a_patient(tmp_path):
    for name, frame, label in (("1.2.1", 1, "_F"), ("1.2.2", 0, "_E")):
        frames = FRAMES[frame : frame + 1]
        write_nm(tmp_path / name, frames, ge_labels=f"WHOLE BODY{label}")
    scans, errors = find_bone_scans([tmp_path])
    assert errors == []
    assert [scan.name for scan in scans] == ["1.2.1_posterior", "1.2.2_anterior"]
    assert [scan.view_evidence for scan in scans] == [GE_P, GE_A]
    assert len({scan.patient_key for scan in scans}) == 1
    np.testing.assert_array_equal(scans[0].counts, FRAMES[1])
    np.testing.assert_array_equal(scans[1].counts, FRAMES[0])
