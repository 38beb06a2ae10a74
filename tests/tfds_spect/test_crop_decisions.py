"""Tests of crops that a person decided about, on their way into a data set."""

import numpy as np
import pytest

from tests.support.dicom_edits import cut_feet_of
from tests.support.flagged_commands import run_in_process
from tfds_spect import image, listing, source
from tfds_spect.dry_run import try_out
from tfds_spect.errors import PrepareError
from tfds_spect.opening import open_data_set
from tfds_spect.prepare import prepare
from tfds_spect.survey import survey_data_set

HEADER = "file,view,crop_box,accept_crop,found_box,flags"


@pytest.fixture
def doubtful(spoilt):
    """The hospital's folder with one examination whose crops are flagged: its names."""
    file = sorted((spoilt / "dicom").glob("P0002*"))[0]
    cut_feet_of(file)
    names = [f"{file.stem}_{view}" for view in ("anterior", "posterior")]
    found = {e.name for e in source.read_source(spoilt)[0]}
    assert found and not found & set(names)
    return spoilt, f"dicom/{file.name}", names


def write_crops(folder, *lines, header=HEADER):
    (folder / "crops.csv").write_text("\n".join((header, *lines)) + "\n")


def test_a_person_decides_about_each_view(doubtful):
    folder, file, (front, back) = doubtful
    write_crops(
        folder, f"{file},anterior,,yes,,", f"{file},posterior,350 60 500 200,,,"
    )
    examples, skips = source.read_source(folder)
    found = {e.name: e for e in examples}
    assert found[front].crop_by_hand == "accepted by hand"
    assert found[back].crop_by_hand == "box given by hand"
    assert found[back].crop_box == (350, 60, 500, 200)
    assert found[front].warnings[-1].startswith("crop accepted by hand (crops.csv, row")
    assert not [skip for skip in skips if skip.name in (front, back)]
    others = [e.crop_by_hand for e in examples if e.name not in (front, back)]
    assert not any(others)
    # As another process reads it again.
    again = source.read_again(found[back])
    np.testing.assert_array_equal(again.counts, found[back].counts)


def test_a_refused_crop_is_left_out_though_nothing_flags_it(hospital, spoilt):
    example = source.read_source(hospital)[0][0]
    file = example.place.file.path.relative_to(hospital)
    write_crops(spoilt, f"{file},{example.view},,no,,")
    examples, skips = source.read_source(spoilt)
    assert example.name not in {e.name for e in examples}
    (reason,) = [skip.reason for skip in skips if skip.name == example.name]
    assert reason == "uncertain crop: refused by hand (crops.csv, row 2)"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{file},anterior,900 60 1030 200,,,", "1024x256 pixels, at most 256x256"),
        ("{file},,,yes,,", "as view anterior or posterior, found an empty cell"),
        ("annotations/reader1/{front}.json,,,yes,,", "a DICOM file or one that images"),
    ],
)
def test_a_decision_that_fits_no_image_is_left_out_with_its_reason(
    doubtful, line, found
):
    folder, file, (front, back) = doubtful
    front = next((folder / "annotations/reader1").iterdir()).stem
    write_crops(folder, line.format(file=file, front=front))
    examples, skips = source.read_source(folder)
    assert examples
    (reason,) = [s.reason for s in skips if "crops.csv, row 2" in s.reason]
    assert found in reason
    assert str(folder) not in reason


def test_a_row_that_cannot_be_read_ends_the_preparation(doubtful, tmp_path):
    folder, file, _ = doubtful
    write_crops(folder, f"{file},anterior,,perhaps,,")
    with pytest.raises(PrepareError, match=r"crops\.csv: row 2: .*'perhaps'"):
        prepare("segmentation_originals", data_dir=tmp_path / "d", manual_dir=folder)


def test_a_data_set_tells_what_was_decided_and_another_decision_is_another(
    doubtful, tmp_path
):
    folder, file, _ = doubtful
    before = listing.fingerprint_folder(folder)
    write_crops(folder, f"{file},anterior,,yes,,")
    asked = {"data_dir": tmp_path / "d", "manual_dir": folder}
    prepared = prepare("segmentation_originals", processes=1, **asked)
    (example_id,) = prepared.crops_by_hand
    assert prepared.crops_by_hand[example_id] == "accepted by hand"
    line = "Crops that a person decided about, accepted by hand: 1"
    assert line in prepared.summarise().splitlines()
    metadata = open_data_set(prepared.builder_dir).info.metadata
    assert metadata["crops_by_hand"] == prepared.crops_by_hand
    images = survey_data_set(prepared.builder_dir).images
    assert {e.example_id: e.crop_by_hand for e in images if e.crop_by_hand} == metadata[
        "crops_by_hand"
    ]
    write_crops(folder, f"{file},anterior,,no,,")
    with pytest.raises(PrepareError, match="was prepared from"):
        prepare("segmentation_originals", **asked)
    (folder / "crops.csv").unlink()
    assert listing.fingerprint_folder(folder) == before


def test_a_dry_run_lists_what_is_left_out_and_prepares_nothing(
    doubtful, tmp_path, capsys
):
    folder, file, (front, back) = doubtful
    broken = folder / "broken.dcm"
    broken.write_bytes(b"no DICOM file")
    out = tmp_path / "out"
    asked = ("--config=segmentation_originals", f"--manual_dir={folder}")
    run_in_process("tfds_spect.__main__", *asked, f"--dry_run={out}", "--processes=1")
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("left out: broken.dcm: ") for line in lines)
    for name in (front, back):
        assert any(
            line.startswith(f"left out: {name}: uncertain crop") for line in lines
        )
    assert lines[-1].startswith("Crops to decide about: 2, drawn in ")
    assert sorted(path.name for path in out.iterdir()) == [
        *("crops.csv", "crops_001.png", "skipped.csv", "warnings.csv")
    ]
    # Put back with a decision, it counts.
    text = (out / "crops.csv").read_text().replace(",anterior,,,", ",anterior,,yes,", 1)
    (folder / "crops.csv").write_text(text)
    found, bugs = try_out("segmentation_originals", folder, out, processes=1)
    assert "crops accepted by hand: 1, boxes given: 0." in found and bugs == 0
    assert f"left out: {front}:" not in found and f"left out: {back}:" in found
    assert "Crops to decide about: 1," in found


def test_a_dry_run_names_every_row_that_cannot_be_read(doubtful, tmp_path, capsys):
    folder, file, _ = doubtful
    write_crops(folder, f"{file},anterior,,perhaps,,", "missing.dcm,,,yes,,")
    with pytest.raises(PrepareError, match=r"crops\.csv: expected rows"):
        try_out("segmentation", folder, tmp_path / "out")
    first, second = capsys.readouterr().out.splitlines()
    assert "row 2: expected yes or no" in first and "'missing.dcm'" in second
    assert not (tmp_path / "out" / "skipped.csv").exists()


def test_a_dry_run_is_of_a_hospitals_folder(tmp_path):
    with pytest.raises(ValueError, match="Expected --manual_dir beside --dry_run"):
        run_in_process("tfds_spect.__main__", f"--dry_run={tmp_path}")


def test_a_dry_run_writes_outside_of_the_folder(spoilt):
    with pytest.raises(PrepareError, match="--dry_run outside of manual_dir"):
        try_out("segmentation", spoilt, spoilt / "out")


def test_a_bug_keeps_its_traceback_to_the_end(hospital, monkeypatch):
    def fail(scan):
        raise IndexError("index -1")

    monkeypatch.setattr(image, "crop_thorax", fail)
    _, skips = source.read_source(hospital)
    assert [skip for skip in skips if "in fail" in skip.traceback]
