"""Tests of what a preparation says of bugs and of weak evidence."""

import csv

import pytest

from spectjax.imaging.deidentify import folder as deidentify_folder
from spectjax.imaging.deidentify.folder import Entry
from spectjax.imaging.scan import ScanError
from tests.support.tiny_scans import make_scan
from tfds_spect import image, source
from tfds_spect.example import SourceFile
from tfds_spect.prepared import Prepared
from tfds_spect.skips import (
    Skip,
    read_skips,
    write_skips,
    write_tracebacks,
    write_warnings,
)


def read_one(hospital):
    file = SourceFile(min(hospital.rglob("*.dcm")))
    return source.read_file(file)


@pytest.fixture
def without_annotations(monkeypatch):
    """Images whose diagnosis is stated, as those of images.csv are."""
    make = source.make_example
    monkeypatch.setattr(
        source,
        "make_example",
        lambda scan, annotations, **_: make(scan, annotations, stated="normal"),
    )


@pytest.mark.usefixtures("without_annotations")
def test_a_bug_in_the_crop_is_a_skip_with_its_traceback(hospital, monkeypatch):
    def fail(scan):
        raise IndexError("index -1")

    assert read_one(hospital).examples
    monkeypatch.setattr(image, "crop_thorax", fail)
    content = read_one(hospital)
    assert content.examples == () and content.names
    for skip in content.skips:
        assert skip.reason.startswith("unexpected error, a bug of spectjax (IndexError")
        assert "problems.log" in skip.reason and "in fail" in skip.traceback


def test_a_bug_in_reading_is_a_skip_of_the_file(hospital, monkeypatch):
    def fail(paths):
        raise RuntimeError("bad")

    monkeypatch.setattr(source, "find_bone_scans", fail)
    (skip,) = read_one(hospital).skips
    assert skip.name == str(min(hospital.rglob("*.dcm")))
    assert "RuntimeError: bad" in skip.reason and "in fail" in skip.traceback


def test_too_little_memory_is_no_skip(hospital, monkeypatch):
    def fail(paths):
        raise MemoryError

    monkeypatch.setattr(source, "find_bone_scans", fail)
    with pytest.raises(MemoryError):
        read_one(hospital)


def test_tracebacks_are_written_if_there_are_any(tmp_path):
    log, table = tmp_path / "problems.log", tmp_path / "skipped.csv"
    skips = [Skip("a", "refused"), Skip("b\udcff\n", "unexpected", "Traceback ...")]
    assert write_tracebacks(log, skips[:1]) == 0 and not log.exists()
    assert write_tracebacks(log, skips) == write_tracebacks(log, skips) == 1
    assert log.read_text().count("Traceback") == 1
    write_skips(table, skips)
    assert [skip.name for skip in read_skips(table)] == ["a", r"b\udcff\n"]


@pytest.mark.usefixtures("without_annotations")
def test_warnings_of_images_that_are_used_are_listed(hospital, tmp_path, monkeypatch):
    find = source.find_bone_scans

    def weaken(paths):
        scans, errors = find(paths)
        for scan in scans:
            object.__setattr__(scan, "view_evidence", "WARNING: only an angle")
        return scans, errors

    monkeypatch.setattr(source, "find_bone_scans", weaken)
    (example,) = read_one(hospital).examples[:1]
    assert example.weak_view
    write_warnings(tmp_path / "warnings.csv", [example])
    with (tmp_path / "warnings.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["example_id"] == example.example_id
    assert row["warning"] == f"{example.view} by weak evidence: only an angle"


def test_the_summary_tells_of_bugs_and_weak_evidence(tmp_path):
    fields = {"parts": {}, "diagnoses": {}, "skipped": (), "n_skipped": 2}
    prepared = Prepared(
        builder_dir=tmp_path,
        n_patients=1,
        leaking=False,
        patients_on_both_sides=0,
        synthetic=False,
        skipped_path=tmp_path / "skipped.csv",
        n_unexpected=2,
        n_warned=7,
        n_weak_views=3,
        reused=False,
        fingerprint="f" * 64,
        **fields,
    )
    text = prepared.summarise()
    assert "UNEXPECTED ERROR in 2 of them, a bug of spectjax: please" in text
    assert str(tmp_path / "problems.log") in text
    assert "Images with a warning: 7, 3 of them for weak evidence of the view" in text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ScanError("a.dcm: Secret"), "damaged, or in an encoding"),
        (KeyError("Secret"), "unexpected error, a bug of spectjax (KeyError in test_"),
    ],
)
def test_deidentify_tells_a_bug_from_a_damaged_file_and_quotes_neither(
    tmp_path, monkeypatch, error, expected
):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(deidentify_folder, "clean_image", fail)
    entry = Entry(make_scan().path, "image", "refused")
    assert deidentify_folder._clean(entry, None, {}, None, False) is None
    assert entry.reason.startswith(expected) and "Secret" not in entry.reason
