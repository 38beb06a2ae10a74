"""Tests of `spectjax.imaging.check_images`, which reads what this room reads."""

import subprocess
import sys

import pytest

from tests.support.flagged_commands import run_in_process
from tests.support.listed_tables import ANT, BODY, HEADER, POST, write_table
from tests.support.nm_files import write_nm
from tests.support.picture_files import save

DECIDED = f"{HEADER},accept_crop"


@pytest.fixture
def check(capsys):
    """Runs the command and returns its exit status and what it printed."""

    def run(*arguments):
        try:
            run_in_process("spectjax.imaging.check_images", *arguments)
        except SystemExit as end:
            return end.code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    return run


def test_check_images_lists_problems_and_counts_the_rest(folder, check):
    save(folder / "copy.jpg", BODY)
    write_table(
        folder,
        f"{ANT},1,ANT,normal,yes",
        f"{POST},1,POST,metastasis,yes",
        "missing.png,2,ANT,normal,",
        "copy.jpg,2,ANT,normal,",
        header=DECIDED,
    )
    status, text = check(folder)
    assert status == 1
    lines = text.splitlines()
    assert lines[0].startswith(f"{folder / 'images.csv'}: row 4: expected the file ")
    assert lines[1].startswith(f"{folder / 'copy.jpg'}: expected an image of its own")
    assert lines[2] == "2 of 4 rows can be used, 1 patients."
    assert lines[3] == "Views: 1 anterior, 1 posterior."
    assert lines[4] == "Labels: 1 normal, 1 metastasis."
    assert lines[7] == "Crops: 2 accepted by hand."


def test_check_images_is_content_with_a_good_table(folder, check):
    write_table(folder, f"{ANT},1,ANT,normal,yes", header=DECIDED)
    status, text = check(folder)
    assert status == 0
    assert text.startswith("1 of 1 rows can be used, 1 patients.\n")


def test_check_images_shows_the_crops_to_decide_about(folder, check, tmp_path):
    """One is flagged, decided about in the table that is written, and used."""
    out = tmp_path / "out"
    write_table(folder, f"{ANT},1,ANT,normal", f"{POST},1,POST,normal")
    status, text = check(f"--output_dir={out}", folder)
    flagged = f"{folder / ANT}: uncertain crop: "
    assert status == 1
    assert text.startswith(flagged)
    assert "0 of 2 rows can be used, 0 patients.\n" in text
    assert (out / "crops_001.png").exists()
    header, first, second = (out / "crops.csv").read_text().splitlines()
    first = first.replace(",anterior,,,", ",anterior,,yes,")
    lines = [header, first, second, "gone.jpg,,,yes,,", "plain.jpg,,,yes,,"]
    (folder / "crops.csv").write_text("\n".join(lines))
    save(folder / "plain.jpg", BODY)
    _, text = check(folder)
    bad_row, unlisted, flagged, *_ = text.splitlines()
    assert bad_row.startswith(f"{folder / 'crops.csv'}: row 4: expected a file ")
    assert unlisted.startswith(f"{folder / 'plain.jpg'}: expected in crops.csv, row 5 ")
    assert flagged.startswith(f"{folder / POST}: uncertain crop")
    assert "1 of 2 rows can be used, 1 patients.\n" in text
    assert "Crops: 1 accepted by hand.\n" in text
    assert text.endswith("contact sheets of the crops, and a table for them.\n")


def test_check_images_fails_in_one_line_without_a_table(tmp_path):
    command = [sys.executable, "-m", "spectjax.imaging.check_images", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "images.csv" in result.stderr


def test_check_images_names_files_that_contradict_each_other(check, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        write_nm(tmp_path / name, BODY[None].astype("u2"), ge_labels="_E", PatientID="")
    write_table(tmp_path, "a.dcm,1,,normal", "b.dcm,2,,normal")
    status, text = check(tmp_path)
    assert status == 1
    assert "a.dcm and" in text and "one Study Instance UID" in text
