"""Tests of `spectjax.imaging.listed.table`."""

import os
import pickle

import pytest

from spectjax.imaging.listed.csv_table import ImageTableError
from spectjax.imaging.listed.table import find_image_table, read_image_table, read_words
from tests.support.listed_tables import (
    ANT,
    BODY,
    HEADER,
    POST,
    error_of,
    read,
    write_table,
)
from tests.support.picture_files import save


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
            assert f"expected {named} as view" in error_of(tmp_path, line)


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
