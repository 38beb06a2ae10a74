"""Tests of `spectjax.imaging.listed.image`: what a row of a table names."""

import numpy as np
import pytest
from scipy import ndimage

from spectjax.imaging.annotations.consensus import agree
from spectjax.imaging.annotations.labelme import AnnotationError
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.identity import compute_pseudonym
from spectjax.imaging.listed.image import read_listed_image
from spectjax.imaging.scan import ScanError, UnknownViewError, UnreadableFileError
from tests.support.listed_tables import ANT, BODY, HEADER, HW, error_of, listed, read
from tests.support.nm_files import detectors, write_nm
from tests.support.picture_files import save


def test_a_listed_picture_is_a_bone_scan_without_the_name_of_the_patient(folder):
    header = f"{HEADER},spacing_mm,inverted"
    image = listed(folder, f"{ANT},P 1,ANT,,2.4,no", header=header)
    scan = image.scan
    assert scan.counts.shape == HW and scan.counts.dtype == np.float32
    assert (scan.view, scan.view_evidence) == ("anterior", "images.csv")
    assert (scan.spacing_mm, scan.frame, scan.name) == ((2.4, 2.4), 0, "1_anterior")
    # A DICOM file with Patient ID "P 1" and no issuer has the same pseudonym.
    assert scan.patient_key == compute_pseudonym("id", "", "P 1")
    assert scan.patient_evidence == "Patient ID"
    assert "8-bit picture: grey values, not counts" in scan.notes
    assert (image.annotation, image.mask_evidence, image.diagnosis) == (
        None,
        "none",
        None,
    )
    assert "P 1" not in repr(image)


def test_image_key_tells_pictures_by_their_pixels(folder):
    save(folder / "copy.png", np.dstack([BODY] * 3))
    save(folder / "one.png", BODY)
    keys = [
        listed(folder, f"{name},{patient},ANT,").scan.image_key
        for name, patient in (("one.png", 1), ("copy.png", 2), (ANT, 1))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_row_that_says_normal_has_no_lesions(folder):
    image = listed(folder, f"{ANT},1,ANT,normal")
    assert image.annotation.regions == ()
    assert image.annotation.reader == "images.csv"
    assert image.annotation.image_name == image.scan.name
    assert (image.mask_evidence, image.diagnosis) == ("none", "normal")


def test_a_mask_gives_its_components_as_hotspots(folder):
    mask = np.zeros(HW, np.uint8)
    mask[10:12, 5:8], mask[12, 8], mask[50, 20] = 1, 255, 7
    save(folder / "m.png", mask)
    header = f"{HEADER},mask"
    line = f"{ANT},1,ANT,spinal metastasis,m.png"
    image = listed(folder, line, header=header)
    assert image.mask_evidence == "mask picture"
    hotspots = agree([image.annotation], HW)
    # The corner joins (12, 8) to the first.
    assert [m.sum() for m in hotspots.masks] == [7, 1]
    assert hotspots.labels == ("spinal metastasis",) * 2
    np.testing.assert_array_equal(hotspots.masks.any(axis=0), mask > 0)
    eight = ndimage.label(mask, np.ones((3, 3)))[1]
    assert len(hotspots.masks) == eight

    multiple = listed(folder, line.replace("spinal", "multiple bone"), header=header)
    assert [r.label for r in multiple.annotation.regions] == ["metastasis"]


BOX = (
    "<annotation><object><name>{}</name><bndbox><xmin>5</xmin><ymin>10</ymin>"
    "<xmax>7</xmax><ymax>11</ymax></bndbox></object></annotation>"
)
# Abnormal uptake is a metastasis; normal uptake is outlined too, and no lesion.
WORDS = {"abnormal": "metastasis", "normal": "", "0": "normal", "1": "metastasis"}


def listed_box(folder, name, label, words=WORDS):
    (folder / "1.xml").write_text(BOX.format(name))
    line = f"{ANT},1,ANT,{label},1.xml"
    return listed(folder, line, words=words, header=f"{HEADER},boxes")


def test_boxes_are_called_by_the_table_of_words(folder):
    image = listed_box(folder, "Abnormal", "1")
    (region,) = image.annotation.regions
    assert (region.label, region.fill(HW).sum()) == ("metastasis", 6)
    assert (image.mask_evidence, image.diagnosis) == ("boxes", "metastasis")

    ignored = listed_box(folder, "Normal", "0")
    assert (ignored.annotation.regions, ignored.diagnosis) == ((), "normal")
    # "normal" in words.csv is about outlines, and hides no label of that name.
    assert listed_box(folder, "Normal", "Normal").diagnosis == "normal"


@pytest.mark.parametrize(
    ("name", "label", "found"),
    [
        ("Abnormal", "0", "found outlined lesions"),
        ("Normal", "1", "found no outlined lesion"),
        ("fracture", "1", "'fracture'"),
        ("metastasis outside spine", "spinal metastasis", "outside spine. "),
        ("spinal metastasis", "metastasis outside spine", "spinal metastasis. "),
    ],
)
def test_boxes_that_contradict_the_label_are_refused(folder, name, label, found):
    with pytest.raises(AnnotationError) as caught:
        listed_box(folder, name, label)
    text = str(caught.value)
    assert text.startswith(f"{folder / '1.xml'}: expected ") and found in text
    assert text.endswith(" (images.csv, row 2)")


@pytest.mark.parametrize(
    ("label", "change", "found"),
    [
        ("normal", lambda m: m, "found outlined lesions"),
        ("metastasis", lambda m: m * 0, "found no outlined lesion"),
        ("", lambda m: m * 0, "no label in the row"),
        ("metastasis", lambda m: m.T, "found 64x256"),
        ("metastasis", lambda m: 255 - m, "of it set"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(folder, label, change, found):
    mask = np.zeros(HW, np.uint8)
    mask[10:12, 5:8] = 255
    save(folder / "m.png", change(mask))
    with pytest.raises(AnnotationError) as caught:
        listed(folder, f"{ANT},1,ANT,{label},m.png", header=f"{HEADER},mask")
    text = str(caught.value)
    assert text.startswith(f"{folder / 'm.png'}: expected ") and found in text
    assert text.isprintable() and text.endswith(" (images.csv, row 2)")


@pytest.mark.parametrize("contents", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_a_damaged_mask_is_refused(folder, contents):
    (folder / "m.png").write_bytes(contents)
    with pytest.raises(AnnotationError, match="m.png: expected a PNG"):
        listed(folder, f"{ANT},1,ANT,metastasis,m.png", header=f"{HEADER},mask")


def test_an_error_of_a_picture_names_file_and_row(folder):
    (folder / ANT).write_bytes(b"no JPEG")
    with pytest.raises(UnreadableFileError) as caught:
        listed(folder, f"{ANT},P 1,ANT,normal")
    text = str(caught.value)
    assert text.startswith(f"{folder / ANT}: ")
    assert text.endswith(" (images.csv, row 2)") and "P 1" not in text


FRAMES = np.stack([BODY, BODY[:, ::-1]]).astype(np.uint16)
BOTH = detectors("anterior", "posterior")


def test_a_dicom_row_needs_neither_patient_nor_view(tmp_path):
    path = write_nm(tmp_path / "a.dcm", FRAMES[1:], ge_labels="_F")
    image = listed(tmp_path, "a.dcm,,,normal")
    (expected,) = read_bone_scans(path)
    np.testing.assert_array_equal(image.scan.counts, expected.counts)
    assert image.scan.patient_key == expected.patient_key
    assert image.scan.image_key == expected.image_key
    assert (image.scan.view, image.diagnosis) == ("posterior", "normal")


def test_rows_name_the_two_views_of_a_dicom_file(tmp_path):
    write_nm(tmp_path / "a.dcm", FRAMES, DetectorInformationSequence=BOTH)
    rows, errors = read(tmp_path, "a.dcm,,POST,", "a.dcm,,ANT,", "a.dcm,,ANT,")
    assert len(errors) == 1 and "row 4" in str(errors[0])
    scans = [read_listed_image(row, {}).scan for row in rows]
    assert [scan.view for scan in scans] == ["posterior", "anterior"]
    np.testing.assert_array_equal(scans[0].counts, FRAMES[1])
    with pytest.raises(UnknownViewError, match="found anterior by .* and posterior by"):
        listed(tmp_path, "a.dcm,,,")


def test_a_dicom_row_must_not_contradict_the_file(tmp_path):
    write_nm(tmp_path / "a.dcm", FRAMES[:1], ge_labels="_E")
    header = f"{HEADER},spacing_mm,inverted"
    for line, found in (
        ("a.dcm,,POST,,,", "found anterior by GEMS_GENIE_1"),
        ("a.dcm,ID-4712,,,,", "found another Patient ID"),
        ("a.dcm,,,,3,", "expected pixels of 3 mm, found 2.4"),
    ):
        with pytest.raises(ScanError) as caught:
            listed(tmp_path, line, header=header)
        text = str(caught.value)
        assert text.startswith(f"{tmp_path / 'a.dcm'}: ") and found in text
        assert text.endswith(" (images.csv, row 2)") and "ID-47" not in text
    assert "'inverted'" in error_of(tmp_path, "a.dcm,,,,,yes", header=header)
    same = listed(tmp_path, "a.dcm,ID-4711,ANT,,,", header=header)
    assert same.scan.patient_key == compute_pseudonym("id", "", "ID-4711")


def test_a_dicom_row_adds_what_the_file_does_not_say(tmp_path):
    write_nm(
        tmp_path / "a.dcm", FRAMES[:1], PatientID="", PatientName="", PixelSpacing=None
    )
    header = f"{HEADER},spacing_mm"
    image = listed(tmp_path, "a.dcm,P7,POST,,2.3", header=header)
    assert (image.scan.view, image.scan.view_evidence) == ("posterior", "images.csv")
    assert image.scan.patient_key == compute_pseudonym("id", "", "P7")
    assert image.scan.patient_evidence == "Patient ID"
    assert image.scan.spacing_mm == (2.3, 2.3)

    # Of two frames nobody knows which one the row means.
    write_nm(tmp_path / "b.dcm", FRAMES)
    with pytest.raises(UnknownViewError, match="evidence for the view of frame 1"):
        listed(tmp_path, "b.dcm,,POST,", header=HEADER)


@pytest.mark.parametrize(
    ("one", "other"), [("1", "1.0"), ("P 7", "p  7"), ("Ä", "A\u0308")]
)
def test_a_patient_is_one_however_the_rows_write_it(folder, one, other):
    keys = [
        listed(folder, f"{name},{patient},,", header=HEADER).scan.patient_key
        for name, patient in (("a.dcm", one), ("b.dcm", other), ("b.dcm", "007"))
        if write_nm(folder / name, FRAMES[:1], ge_labels="_E", PatientID="")
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_row_names_the_patient_of_a_file_with_an_issuer(tmp_path):
    elements = {"IssuerOfPatientID": "HOSPITAL", "PatientID": "4711"}
    path = write_nm(tmp_path / "a.dcm", FRAMES[:1], ge_labels="_E", **elements)
    (own,) = read_bone_scans(path)
    assert listed(tmp_path, "a.dcm,4711,,").scan.patient_key == own.patient_key
