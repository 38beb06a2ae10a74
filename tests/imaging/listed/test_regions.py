"""Tests of images that show a thorax, or half of one, and are not cropped."""

import numpy as np
import pytest
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from spectjax.imaging.crop_decision import CropDecision
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.listed.image import read_listed_scan
from spectjax.imaging.scan import NotWholeBodyError, ScanError
from spectjax.imaging.thorax import crop_thorax
from tests.support.listed_tables import error_of, listed, read
from tests.support.nm_files import detectors, write_nm
from tests.support.picture_files import save
from tests.support.thorax_pictures import HW, draw_half, draw_thorax

HEADER = "file,patient,view,label,region,spacing_mm"
CROPS = HEADER + ",crop_box,accept_crop"
CAPTURE = {
    "SOPClassUID": SecondaryCaptureImageStorage,
    "Modality": "OT",
    "ImageType": ["DERIVED", "SECONDARY"],
    "PixelSpacing": None,
}


@pytest.fixture
def thorax(tmp_path):
    save(tmp_path / "a.png", draw_thorax())
    return tmp_path


def read_scan(folder, line):
    return listed(folder, line, header=HEADER).scan


def write_capture(path, values=None, **elements):
    frames = (draw_thorax() if values is None else values)[np.newaxis]
    return write_nm(path, frames.astype(np.uint16), **(CAPTURE | elements))


def test_a_thorax_lies_in_the_middle_of_the_canvas_as_it_is(thorax):
    scan = read_scan(thorax, "a.png,1,ANT,normal,thorax,2.4")
    found = crop_thorax(scan)
    assert found.transform.box == (0, 0, *HW)
    # (256 - 120) / 2 rows above it, (256 - 90) / 2 columns left of it.
    np.testing.assert_array_equal(found.counts[68:188, 83:173], draw_thorax())
    assert found.counts.sum() == draw_thorax().sum(dtype=int)
    assert (found.flags, found.landmarks, scan.spacing_mm) == ((), None, (2.4, 2.4))
    assert found.to_json()["region"] == "thorax"
    assert "a thorax by a person's word: not cropped" in scan.warnings
    assert scan.to_json()["region"] == "thorax"


def test_half_of_a_chest_may_lie_at_one_side(tmp_path):
    save(tmp_path / "a.jpg", draw_half(), quality=95)
    scan = read_scan(tmp_path, "a.jpg,1,POST,normal,Chest half,unknown")
    assert (scan.region, scan.spacing_mm) == ("chest_half", None)
    assert "the size of a pixel is not known" in scan.warnings
    np.testing.assert_array_equal(crop_thorax(scan).counts[46:209, 92:163], scan.counts)


def test_a_row_without_a_region_is_a_whole_body(thorax):
    row = read(thorax, "a.png,1,ANT,normal,,", header=HEADER)[0][0]
    with pytest.raises(NotWholeBodyError, match="1.8 times higher than wide.*region"):
        read_listed_scan(row)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("a.png,1,ANT,normal,head,2.4,,", "whole_body, thorax, chest_half as region"),
        ("a.png,1,ANT,normal,thorax,,,", "in mm, or 'unknown', found nothing"),
        ("a.png,1,ANT,normal,thorax,0.1,,", "found '0.1'"),
        ("a.png,1,ANT,normal,thorax,2.4,0 0 9 9,", "no decision about the crop"),
        ("a.png,1,ANT,normal,thorax,2.4,,yes", "no decision about the crop"),
    ],
)
def test_a_row_that_says_too_little_or_too_much_is_refused(thorax, line, found):
    assert found in error_of(thorax, line, header=CROPS)


def test_crops_csv_decides_nothing_about_what_is_not_cropped(thorax):
    (row,), _ = read(thorax, "a.png,1,ANT,normal,thorax,2.4", header=HEADER)
    crops = {None: CropDecision("crops.csv, row 2", accepted=True)}
    with pytest.raises(ScanError, match=r"not cropped, found one in crops.csv, row 2"):
        read_listed_scan(row, crops)


@pytest.mark.parametrize("hw", [(257, 90), (120, 257)])
def test_what_does_not_fit_is_never_made_to_fit(tmp_path, hw):
    save(tmp_path / "a.png", draw_thorax(*hw))
    scan = read_scan(tmp_path, "a.png,1,ANT,normal,thorax,2.4")
    with pytest.raises(ScanError, match=rf"at most 256x256 .* found {hw[0]}x{hw[1]}"):
        crop_thorax(scan)


def test_dark_hot_of_a_thorax_is_known_by_its_background(tmp_path):
    save(tmp_path / "a.png", 255 - draw_thorax())
    scan = read_scan(tmp_path, "a.png,1,ANT,normal,thorax,2.4")
    np.testing.assert_array_equal(scan.counts, draw_thorax())
    assert "dark was hot: inverted (the background is bright)" in scan.notes


def test_a_trunk_from_rim_to_rim_wants_a_word_about_hot(tmp_path):
    save(tmp_path / "a.png", draw_thorax()[20:100, 20:70])
    with pytest.raises(ScanError, match="State 'inverted'"):
        read_scan(tmp_path, "a.png,1,ANT,normal,thorax,2.4")


def test_a_secondary_capture_is_read_by_the_word_of_its_row(tmp_path):
    path = write_capture(tmp_path / "a.dcm")
    with pytest.raises(NotWholeBodyError, match="found Secondary Capture"):
        read_bone_scans(path)
    scan = read_scan(tmp_path, "a.dcm,,ANT,normal,thorax,2.4")
    assert (scan.region, scan.view, scan.spacing_mm) == (
        "thorax",
        "anterior",
        (2.4, 2.4),
    )
    assert any("grey values may not be counts" in note for note in scan.notes)
    counts = crop_thorax(scan).counts
    np.testing.assert_array_equal(counts[68:188, 83:173], draw_thorax())


def test_a_static_nm_image_of_two_detectors_has_two_views(tmp_path):
    frames = np.stack([draw_thorax(), draw_thorax()[:, ::-1]]).astype(np.uint16)
    views = detectors("anterior", "posterior")
    write_nm(
        tmp_path / "a.dcm",
        frames,
        ImageType=["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"],
        DetectorInformationSequence=views,
    )
    lines = [f"a.dcm,,{view},normal,thorax," for view in ("ANT", "POST")]
    rows, errors = read(tmp_path, *lines, header=HEADER)
    scans = [read_listed_scan(row) for row in rows]
    assert (errors, [scan.frame for scan in scans]) == ([], [0, 1])
    np.testing.assert_array_equal(scans[1].counts, frames[1])


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({"SOPClassUID": CTImageStorage, "Modality": "CT"}, "CT Image Storage"),
        ({"Modality": "MR"}, "modality MR"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TRANSMISSION"]}, "a transmission"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
    ],
)
def test_no_word_makes_a_scan_of_another_image(tmp_path, elements, found):
    write_capture(tmp_path / "a.dcm", **elements)
    with pytest.raises(NotWholeBodyError, match=found):
        read_scan(tmp_path, "a.dcm,,ANT,normal,thorax,2.4")


def test_a_capture_on_which_hot_is_dark_is_refused(tmp_path):
    write_capture(tmp_path / "a.dcm", 255 - draw_thorax())
    with pytest.raises(ScanError, match="bright background .* Save it as PNG"):
        read_scan(tmp_path, "a.dcm,,ANT,normal,thorax,2.4")


def test_pixels_that_are_not_square_are_refused(tmp_path):
    write_capture(tmp_path / "a.dcm", PixelSpacing=[4.0, 2.0])
    scan = read_scan(tmp_path, "a.dcm,,ANT,normal,thorax,")
    with pytest.raises(ScanError, match="square pixels, found pixels of 4x2 mm"):
        crop_thorax(scan)
