"""Tests of `spectjax.imaging.listed.found`, and of the intake of pictures."""

import pathlib

import numpy as np
import pytest

from spectjax.imaging.intake import Intake
from spectjax.imaging.listed.found import Stated, find_images
from spectjax.imaging.problems import Problems
from tests.support.listed_tables import ANT, POST, write_table
from tests.support.nm_files import FRAMES, detectors, write_nm
from tests.support.picture_files import draw_body, save
from tests.support.thorax_pictures import draw_thorax, write_weak_view

ROWS = (f"{ANT},P1,ANT,normal", f"{POST},P1,POST,normal")


def take(paths, tmp_path, **stated):
    """Examinations, and how many files were passed over."""
    problems = Problems(tmp_path / "out")
    intake = Intake(paths, problems, stated=Stated(**stated))
    return list(intake.read_examinations()), problems.refused


def write_scan(path):
    views = detectors("anterior")
    return write_nm(path, FRAMES[:1], DetectorInformationSequence=views)


def test_a_folder_of_both_kinds_is_read_whole(folder, capsys):
    write_table(folder, *ROWS)
    write_scan(folder / "b.dcm")
    save(folder / "extra" / "c.png", draw_body(height=250))
    (folder / "notes.txt").write_text("")
    (folder / ".hidden").write_text("")
    (folder / "crops.csv").write_text("file\n")
    write_table(folder / "extra")
    (one, other), refused = take([folder], folder.parent)
    assert [scan.path.name for scan in one] == ["1.jpg", "1.jpg"]
    assert [scan.view for scan in one] == ["anterior", "posterior"]
    assert [scan.path.name for scan in other] == ["b.dcm"]
    assert refused == 1
    lines = capsys.readouterr().err.splitlines()
    assert sorted(line.partition(" ")[0] for line in lines) == [
        *["note:"] * 3,
        "skipped:",
    ]
    text = "\n".join(lines)
    assert "every picture in images.csv, found a picture, such as" in text
    assert "extra/c.png" in text and "1 *.txt, 1 hidden." in text
    assert "crops.csv: not heeded unless --crops names it." in text
    assert "extra/images.csv: not heeded, not at the top." in text


def test_what_a_row_names_as_mask_is_no_picture_of_a_body(folder):
    save(folder / "mask.png", np.where(draw_body() == 250, 255, 0).astype(np.uint8))
    write_table(
        folder,
        f"{ANT},P1,ANT,metastasis,mask.png",
        f"{POST},P1,POST,,",
        header="file,patient,view,label,mask",
    )
    found = find_images([folder])
    assert [file.path.name for file in found.files] == ["1.jpg", "1.jpg"]
    assert (found.errors, found.notes) == ([], [])


def test_a_row_that_fails_is_named_and_its_picture_is_not_read(folder, capsys):
    write_table(folder, ROWS[0], f"{POST},P1,lateral,normal")
    ((scan,),), refused = take([folder], folder.parent, view="posterior")
    assert (scan.view, refused) == ("anterior", 2)
    text = capsys.readouterr().err
    assert "row 3: expected anterior or posterior" in text and "wholeBodyPOST" in text


def test_pictures_of_a_folder_without_a_table_want_a_view(folder, capsys):
    assert take([folder], folder.parent) == ([], 2)
    text = capsys.readouterr().err
    assert "expected a view for each picture, found 2 pictures" in text
    assert "--view" in text and "images.csv" in text
    # The folder of the other says that it is posterior.
    ((scan,),), refused = take([folder], folder.parent, view="anterior")
    assert (scan.view, scan.path.parent.name, refused) == (
        "anterior",
        "wholeBodyANT",
        1,
    )
    assert "expected posterior as view, as 'wholeBodyPOST'" in capsys.readouterr().err


def test_single_pictures_are_examinations_of_their_own(tmp_path):
    paths = [save(tmp_path / f"{n}.png", draw_body(height=250 + n)) for n in (0, 1)]
    examinations, refused = take(paths, tmp_path, view="anterior")
    assert ([len(scans) for scans in examinations], refused) == ([1, 1], 0)
    (scan,), (other,) = examinations
    assert scan.patient_key != other.patient_key
    assert (scan.view_evidence, scan.patient_evidence) == ("the user's word", "study")


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        (
            {},
            "expected the view of the picture, found none stated. Name it with --view",
        ),
        ({"view": "anterior", "region": "thorax"}, "or 'unknown', found nothing"),
        ({"view": "anterior", "region": "thorax", "spacing": "x"}, "found 'x'"),
        ({"view": "anterior"}, "1.8 times higher than wide"),
    ],
)
def test_a_single_picture_of_which_too_little_is_said(tmp_path, capsys, stated, found):
    path = save(tmp_path / "a.png", draw_thorax())
    assert take([path], tmp_path, **stated) == ([], 1)
    line = capsys.readouterr().err
    assert line.startswith(f"skipped: {path}: expected ") and found in line


def test_a_single_thorax_is_read_by_the_users_word(tmp_path):
    path = save(tmp_path / "a.png", draw_thorax())
    stated = {"view": "posterior", "region": "thorax", "spacing": "2.4"}
    ((scan,),), _ = take([path], tmp_path, **stated)
    assert (scan.region, scan.view, scan.spacing_mm) == (
        "thorax",
        "posterior",
        (2.4, 2.4),
    )


def test_whether_hot_is_dark_is_the_users_word_where_no_background_tells(
    tmp_path, capsys
):
    trunk = draw_thorax()[20:100, 20:70]  # from rim to rim
    path = save(tmp_path / "a.png", trunk)
    stated = {"view": "anterior", "region": "chest_half", "spacing": "unknown"}
    assert take([path], tmp_path, **stated) == ([], 1)
    (line,) = capsys.readouterr().err.splitlines()
    assert "say --inverted or --noinverted" in line
    for inverted, counts in ((True, trunk.max() - trunk), (False, trunk - trunk.min())):
        ((scan,),), _ = take([path], tmp_path, **stated, inverted=inverted)
        np.testing.assert_array_equal(scan.counts, counts)


def test_a_dicom_file_is_never_inverted(tmp_path, capsys):
    path = write_weak_view(tmp_path / "a.dcm")
    stated = {"view": "anterior", "region": "thorax"}
    assert take([path], tmp_path, **stated, inverted=True) == ([], 1)
    assert "without --inverted" in capsys.readouterr().err
    ((scan,),), _ = take([path], tmp_path, **stated, inverted=False)
    np.testing.assert_array_equal(scan.counts, draw_thorax())


def test_the_same_picture_twice_is_one_image(tmp_path, capsys):
    paths = [save(tmp_path / f"{n}.png", draw_body()) for n in (0, 1)]
    examinations, refused = take([*paths, paths[0]], tmp_path, view="anterior")
    assert (len(examinations), refused) == (1, 1)
    assert "the same image" in capsys.readouterr().err


def test_results_of_before_are_no_pictures(tmp_path):
    save(tmp_path / "a.png", draw_body())
    save(tmp_path / "out" / "b.png", draw_body(height=250))
    found = find_images([tmp_path], Stated("anterior"), tmp_path / "out")
    assert [file.path.name for file in found.files] == ["a.png"]
    assert found.notes == []


@pytest.mark.parametrize("output_dir", [".", "in"])
def test_a_folder_for_results_hides_no_pictures_that_it_is_around(tmp_path, output_dir):
    save(tmp_path / "in" / "a.png", draw_body())
    output_dir = tmp_path / output_dir
    found = find_images([tmp_path / "in"], Stated("anterior"), output_dir)
    assert [file.path.name for file in found.files] == ["a.png"]


def test_a_table_in_place_of_its_folder_is_refused(folder):
    table = write_table(folder, *ROWS)
    ((error, _),) = find_images([table]).errors
    assert str(error) == f"{table}: expected an image, found a table. Name its folder."


def test_a_dicom_file_that_a_row_lists_is_read_once(tmp_path):
    write_scan(tmp_path / "a.dcm")
    write_table(tmp_path, "a.dcm,,,normal")
    ((scan,),), refused = take([tmp_path], tmp_path)
    assert (scan.path, refused) == (pathlib.Path(tmp_path, "a.dcm"), 0)
