"""Tests of `spectjax.imaging.listed.table`, with what it lists."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from spectjax.imaging.annotations.consensus import agree
from spectjax.imaging.annotations.labelme import AnnotationError
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.identity import compute_pseudonym
from spectjax.imaging.listed.csv_table import ImageTableError
from spectjax.imaging.listed.image import read_listed_image
from spectjax.imaging.listed.table import find_image_table, read_image_table, read_words
from spectjax.imaging.scan import ScanError, UnknownViewError, UnreadableFileError
from tests.support.nm_files import detectors, write_nm
from tests.support.picture_files import draw_body, save

HEADER = "file,patient,view,label"
BODY = draw_body()
HW = BODY.shape


@pytest.fixture
def folder(tmp_path):
    """Two pictures of one patient, as BS-80K lays them out."""
    save(tmp_path / "wholeBodyANT" / "1.jpg", BODY)
    save(tmp_path / "wholeBodyPOST" / "1.jpg", BODY // 2)
    return tmp_path


ANT = "wholeBodyANT/1.jpg"
POST = "wholeBodyPOST/1.jpg"


def write_table(folder, *lines, header=HEADER, encoding="utf-8", end="\n"):
    text = end.join((header, *lines)) + end
    (folder / "images.csv").write_bytes(text.encode(encoding))
    return folder / "images.csv"


def read(folder, *lines, words=None, **options):
    return read_image_table(write_table(folder, *lines, **options), words or {})


def error_of(folder, line, words=None, **options):
    """The one line with which the only row of a table is refused."""
    rows, errors = read(folder, line, words=words, **options)
    assert (rows, len(errors)) == ([], 1)
    text = str(errors[0])
    assert text.startswith(f"{folder / 'images.csv'}: row 2: expected ")
    assert text.isprintable() and text.endswith(".") and ", found" in text
    return text


def listed(folder, line, words=None, **options):
    rows, errors = read(folder, line, words=words, **options)
    assert errors == []
    return read_listed_image(rows[0], words or {})


def test_read_image_table_gives_the_rows(folder):
    rows, errors = read(
        folder,
        f"{ANT},P 1,ANT,normal",
        f"{POST},P 1,posterior,Multiple bone  metastasis",
    )
    assert errors == []
    assert [row.file for row in rows] == [folder / ANT, folder / POST]
    assert [row.view for row in rows] == ["anterior", "posterior"]
    assert [row.diagnosis for row in rows] == ["normal", "multiple bone metastasis"]
    assert [row.patient for row in rows] == ["P 1", "P 1"]
    assert [row.number for row in rows] == [2, 3]
    assert rows[0].files == (folder / ANT,)
    assert pickle.loads(pickle.dumps(rows)) == rows
    assert "P 1" not in repr(rows)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_read_image_table_takes_what_spreadsheets_write(
    folder, separator, encoding, end
):
    save(folder / "Müller, J.png", BODY)
    lines = [
        separator.join(cells)
        for cells in (
            ("", "", "", "", "", ""),
            ('"Müller, J.png"', '"p;1"', "ANT", "", '"2,3"', ""),
            ("", " ", "", "", "", ""),
        )
    ]
    header = separator.join((" FILE ", "Patient", "View", "LABEL", "Spacing mm", ""))
    rows, errors = read(folder, *lines, header=header, encoding=encoding, end=end)
    assert errors == []
    (row,) = rows
    assert row.file.name == "Müller, J.png"
    assert (row.patient, row.view, row.diagnosis) == ("p;1", "anterior", None)
    assert (row.spacing_mm, row.number) == ((2.3, 2.3), 3)


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        (b"", "no file and no patient and no view and no label"),
        (b"file,patient,view\n", "no label"),
        (b"file,patient,view,label,age\n", "the column 'age'"),
        (b"file,patient,view,label,File\n", "twice the column 'file'"),
        ("file,patient,view,label\nM\u00fcller".encode("cp1252"), "Latin-1"),
        ("file,patient,view,label\n张三".encode("gbk"), "GBK (Chinese)"),
        ("file,patient,view,label\n".encode("utf-16"), "UTF-16"),
        (b'file,patient,view,label\n"a.png,1,ANT,normal\n', "row 2"),
        (b"file,patient,view,label\n" + b"a" * 200_000, "row 2"),
        (b"\x89PNG\r\n\x1a\n\0", "binary data"),
    ],
)
def test_read_image_table_refuses_a_table_as_a_whole(tmp_path, contents, found):
    path = tmp_path / "images.csv"
    path.write_bytes(contents)
    with pytest.raises(ImageTableError) as caught:
        read_image_table(path, {})
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "expected " in text and found in text
    assert text.isprintable() and text.endswith(".")


def test_read_image_table_names_the_columns_that_it_knows(tmp_path):
    path = write_table(tmp_path, header=HEADER + ",sex")
    known = "file, patient, view, label, mask, boxes, spacing_mm, inverted"
    with pytest.raises(ImageTableError, match=known):
        read_image_table(path, {})


def test_read_image_table_refuses_a_huge_file_before_it_reads_it(tmp_path):
    with (tmp_path / "images.csv").open("wb") as stream:
        stream.truncate(1 << 40)  # sparse
    with pytest.raises(ImageTableError, match="at most 64 MiB, found"):
        read_image_table(tmp_path / "images.csv", {})


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"{ANT},1,ANT", "found fewer"),
        (f"{ANT},1,ANT,normal,more", "content in cell 5"),
        (f'"{ANT}",1,"A\nT",normal', "in cell 3"),
        (f"{ANT},\x00,ANT,normal", "in cell 2"),
        (",1,ANT,normal", "an empty cell"),
        ("wholeBodyANT/2.jpg,1,ANT,normal", "no such file"),
        ("wholeBodyANT,1,ANT,normal", "no such file"),
        ("wholeBodyANT/1.jpg/2.jpg,1,ANT,normal", "no such file"),
        ("a" * 5000 + ".png,1,ANT,normal", "no such file"),
        (f"{ANT},,ANT,normal", "expected a patient"),
        (f"{ANT},1,,normal", "expected anterior or posterior"),
        (f"{ANT},1,lateral,normal", "found 'lateral'"),
        (f"{ANT},1,ant post,normal", "found 'ant post'"),
        (f"{ANT},1,POST,normal", "'wholeBodyANT' in its path"),
        (f"{ANT},1,ANT,abnormal", "found 'abnormal'"),
        (f"{ANT},1,ANT,1", "found '1'"),
        ("scan.tif,1,ANT,normal", "found a .tif file"),
    ],
)
def test_read_image_table_refuses_a_row(folder, line, found):
    save(folder / "scan.tif", BODY)
    assert found in error_of(folder, line)


def test_a_column_without_a_name_must_be_empty(folder):
    header = "file,,patient,view,label"
    rows, errors = read(folder, f"{ANT},,1,ANT,normal", header=header)
    assert (len(rows), errors) == (1, [])
    text = error_of(folder, f"{ANT},x,1,ANT,normal", header=header)
    assert "found content in cell 2" in text


def test_an_unknown_label_leads_to_the_table_of_words(folder):
    text = error_of(folder, f"{ANT},1,ANT,abnormal")
    assert "metastasis outside spine" in text and "words.csv" in text
    words = {"abnormal": "metastasis"}
    ((row,), errors) = read(folder, f"{ANT},1,ANT,Abnormal ", words=words)
    assert (row.diagnosis, errors) == ("metastasis", [])


@pytest.mark.parametrize("column", ["file", "mask", "boxes"])
@pytest.mark.parametrize(
    "name", ["../secret.png", "a/../../secret.png", "{out}/secret.png", "C:/secret.png"]
    + ["..\\secret.png", "link.png", "linked/secret.png", "circle.png"],
)  # fmt: skip
def test_read_image_table_stays_in_its_folder(tmp_path, column, name):
    folder = tmp_path / "in"
    save(folder / "a" / "ok.png", BODY)
    save(tmp_path / "secret.png", BODY)
    os.symlink(tmp_path / "secret.png", folder / "link.png")
    os.symlink(tmp_path, folder / "linked")
    os.symlink(folder / "circle.png", folder / "circle.png")
    row = {"file": "a/ok.png", "mask": "", "boxes": ""}
    row[column] = name.format(out=tmp_path)
    header = "patient,view,label," + ",".join(row)
    text = error_of(folder, "1,ANT,," + ",".join(row.values()), header=header)
    assert f"as {column} a " in text or f"the {column} " in text
    assert ("without '..'" in text) == (not name.startswith(("link", "circle")))


def test_read_image_table_takes_backslashes_and_links_within_the_folder(folder):
    os.symlink(folder / ANT, folder / "link.jpg")
    (row,), _ = read(folder, "wholeBodyANT\\1.jpg,1,ANT,normal")
    assert row.file == folder / ANT
    (row,), _ = read(folder, "link.jpg,1,ANT,normal")
    assert row.file == folder / "link.jpg"


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("p1_POST.png", "posterior"),
        ("P1Post.png", "posterior"),
        ("wb-posterior-3.png", "posterior"),
        ("ANT/p1.png", "anterior"),
        ("POST/p1_ant.png", "anterior"),  # the nearer word counts
        ("post therapy/p1.png", None),  # speaks of time
        ("restaurant.png", None),
        ("ant_post_p1.png", None),
    ],
)
def test_the_view_must_not_contradict_the_name_of_the_file(tmp_path, file, named):
    save(tmp_path / file, BODY)
    for view in ("anterior", "posterior"):
        line = f"{file},1,{view},normal"
        if named in (None, view):
            assert read(tmp_path, line)[1] == []
        else:
            assert f"expected a {named} view" in error_of(tmp_path, line)


def test_read_image_table_refuses_an_image_a_second_time(folder):
    line = f"{ANT},1,ANT,normal"
    rows, errors = read(folder, line, f"{POST},1,POST,", f"./{ANT},2,ANT,metastasis")
    assert [row.number for row in rows] == [2, 3]
    assert "row 4: " in str(errors[0]) and "the one of row 2 again" in str(errors[0])


def test_a_picture_has_one_view_and_a_dicom_file_two_that_are_stated(tmp_path):
    for name, views, number in (
        ("a.png", ("ANT", "POST"), 1),
        ("b.dcm", ("ANT", "POST"), 2),
        ("b.dcm", ("ANT", ""), 1),
        ("b.dcm", ("", "POST"), 1),
    ):
        (tmp_path / name).touch()
        rows, errors = read(tmp_path, *(f"{name},1,{view},normal" for view in views))
        assert (len(rows), len(errors)) == (number, 2 - number)


@pytest.mark.parametrize(
    ("column", "text", "found"),
    [
        ("spacing_mm", "0.23", "'0.23'"),
        ("spacing_mm", "20.1", "'20.1'"),
        ("spacing_mm", "nan", "'nan'"),
        ("spacing_mm", "2.3 mm", "'2.3 mm'"),
        ("inverted", "maybe", "'maybe'"),
    ],
)
def test_read_image_table_refuses_cells_of_optional_columns(
    folder, column, text, found
):
    line = f"{ANT},1,ANT,normal,{text}"
    assert found in error_of(folder, line, header=f"{HEADER},{column}")


def test_mask_and_boxes_exclude_each_other(folder):
    save(folder / "m.png", BODY)
    line = f"{ANT},1,ANT,metastasis,m.png,m.png"
    assert "found both" in error_of(folder, line, header=f"{HEADER},mask,boxes")


def test_find_image_table_looks_at_the_top_of_the_folder(folder):
    assert find_image_table(folder) is None
    assert find_image_table(folder / "missing") is None
    path = write_table(folder)
    assert find_image_table(folder) == path


def test_a_table_is_not_passed_over_for_its_name_or_because_it_cannot_be_read(tmp_path):
    (tmp_path / "Images.CSV").touch()
    with pytest.raises(ImageTableError, match="in small letters"):
        find_image_table(tmp_path)
    (tmp_path / "WORDS.csv").touch()
    with pytest.raises(ImageTableError, match="in small letters"):
        read_words(tmp_path)
    (tmp_path / "images.csv").symlink_to("gone.csv")
    with pytest.raises(ImageTableError, match="expected a readable file"):
        read_image_table(find_image_table(tmp_path), {})


def test_read_words_gives_clean_words(tmp_path):
    assert read_words(tmp_path) == {}
    (tmp_path / "words.csv").write_text("Word;Label\n Hot  Spot ;Metastasis\nJOINT;\n")
    assert read_words(tmp_path) == {"hot spot": "metastasis", "joint": ""}


@pytest.mark.parametrize(
    "lines", ["a,hot", ",metastasis", "a,metastasis\nA,normal", "a,metastasis\nA,", "a"]
)
def test_read_words_refuses_a_row(tmp_path, lines):
    (tmp_path / "words.csv").write_text(f"word,label\n{lines}\n")
    with pytest.raises(ImageTableError, match="words.csv: row [23]: expected "):
        read_words(tmp_path)


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


def check(folder):
    command = [sys.executable, "-m", "spectjax.imaging.check_images", str(folder)]
    return subprocess.run(command, capture_output=True, text=True)


def test_check_images_lists_problems_and_counts_the_rest(folder):
    save(folder / "copy.jpg", BODY)
    write_table(
        folder,
        f"{ANT},1,ANT,normal",
        f"{POST},1,POST,metastasis",
        "missing.png,2,ANT,normal",
        "copy.jpg,2,ANT,normal",
    )
    result = check(folder)
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{folder / 'images.csv'}: row 4: expected the file ")
    assert lines[1].startswith(f"{folder / 'copy.jpg'}: expected an image of its own")
    assert lines[2] == "2 of 4 rows can be used, 1 patients."
    assert lines[3] == "Views: 1 anterior, 1 posterior."
    assert lines[4] == "Labels: 1 normal, 1 metastasis."


def test_check_images_is_content_with_a_good_table(folder):
    write_table(folder, f"{ANT},1,ANT,normal")
    result = check(folder)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("1 of 1 rows can be used, 1 patients.\n")


def test_check_images_fails_in_one_line_without_a_table(tmp_path):
    result = check(tmp_path)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "images.csv" in result.stderr


def test_check_images_names_files_that_contradict_each_other(tmp_path):
    for name in ("a.dcm", "b.dcm"):
        write_nm(tmp_path / name, FRAMES[:1], ge_labels="_E", PatientID="")
    write_table(tmp_path, "a.dcm,1,,normal", "b.dcm,2,,normal")
    result = check(tmp_path)
    assert result.returncode == 1
    assert "a.dcm and" in result.stdout and "one Study Instance UID" in result.stdout
