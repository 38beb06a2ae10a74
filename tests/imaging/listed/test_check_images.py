"""Tests of `spectjax.imaging.check_images`, which reads what this room reads."""

import subprocess
import sys

from tests.support.listed_tables import ANT, BODY, HEADER, POST, write_table
from tests.support.nm_files import write_nm
from tests.support.picture_files import save

DECIDED = f"{HEADER},accept_crop"


def check(folder, *flags):
    command = [sys.executable, "-m", "spectjax.imaging.check_images", *flags]
    return subprocess.run([*command, str(folder)], capture_output=True, text=True)


def test_check_images_lists_problems_and_counts_the_rest(folder):
    save(folder / "copy.jpg", BODY)
    write_table(
        folder,
        f"{ANT},1,ANT,normal,yes",
        f"{POST},1,POST,metastasis,yes",
        "missing.png,2,ANT,normal,",
        "copy.jpg,2,ANT,normal,",
        header=DECIDED,
    )
    result = check(folder)
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{folder / 'images.csv'}: row 4: expected the file ")
    assert lines[1].startswith(f"{folder / 'copy.jpg'}: expected an image of its own")
    assert lines[2] == "2 of 4 rows can be used, 1 patients."
    assert lines[3] == "Views: 1 anterior, 1 posterior."
    assert lines[4] == "Labels: 1 normal, 1 metastasis."
    assert lines[7] == "Crops: 2 accepted by hand."


def test_check_images_is_content_with_a_good_table(folder):
    write_table(folder, f"{ANT},1,ANT,normal,yes", header=DECIDED)
    result = check(folder)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("1 of 1 rows can be used, 1 patients.\n")


def test_check_images_shows_the_crops_to_decide_about(folder, tmp_path):
    """One is flagged, decided about in the table that is written, and used."""
    out = tmp_path / "out"
    write_table(folder, f"{ANT},1,ANT,normal", f"{POST},1,POST,normal")
    result = check(folder, f"--output_dir={out}")
    flagged = f"{folder / ANT}: uncertain crop: the shoulders' place in the body is"
    assert result.returncode == 1
    assert result.stdout.startswith(flagged)
    assert "0 of 2 rows can be used, 0 patients.\n" in result.stdout
    assert (out / "crops_001.png").exists()
    header, first, second = (out / "crops.csv").read_text().splitlines()
    first = first.replace(",anterior,,,", ",anterior,,yes,")
    lines = [header, first, second, "gone.jpg,,,yes,,", "plain.jpg,,,yes,,"]
    (folder / "crops.csv").write_text("\n".join(lines))
    save(folder / "plain.jpg", BODY)
    result = check(folder)
    bad_row, unlisted, flagged, *_ = result.stdout.splitlines()
    assert bad_row.startswith(f"{folder / 'crops.csv'}: row 4: expected a file ")
    assert unlisted.startswith(f"{folder / 'plain.jpg'}: expected in crops.csv, row 5 ")
    assert flagged.startswith(f"{folder / POST}: uncertain crop")
    assert "1 of 2 rows can be used, 1 patients.\n" in result.stdout
    assert "Crops: 1 accepted by hand.\n" in result.stdout
    assert result.stdout.endswith(
        "contact sheets of the crops, and a table for them.\n"
    )


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
