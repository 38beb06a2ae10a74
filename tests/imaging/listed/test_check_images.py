"""Tests of `spectjax.imaging.check_images`, which reads what this room reads."""

import subprocess
import sys

from tests.support.listed_tables import ANT, BODY, POST, write_table
from tests.support.nm_files import write_nm
from tests.support.picture_files import save


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
        write_nm(tmp_path / name, BODY[None].astype("u2"), ge_labels="_E", PatientID="")
    write_table(tmp_path, "a.dcm,1,,normal", "b.dcm,2,,normal")
    result = check(tmp_path)
    assert result.returncode == 1
    assert "a.dcm and" in result.stdout and "one Study Instance UID" in result.stdout
