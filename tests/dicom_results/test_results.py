"""When results are the same, when they are not, and when there are none."""

import datetime
import shutil
import sys

import pydicom
import pytest

from spectjax.dicom_results import DicomResults, product
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.scan import NotWholeBodyError
from spectjax.system.files import WriteError
from spectjax.system.messages import UserError
from tests.support.dicom_studies import (
    BLOCK,
    RING,
    WEIGHTS,
    read_study,
    write_objects,
    write_results,
    write_study_file,
)

ENSEMBLE = {
    "ensemble": "mean of probabilities",
    "members": [WEIGHTS, WEIGHTS | {"parameters_sha256": "cd" * 32}],
}


ALL = {"pdf": True, "gsps": True}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_study_file(tmp_path_factory.mktemp("scan") / "scan.dcm")


def write(folder, scan, *, info=WEIGHTS, masks=(RING,), began=None, also=(), **options):
    """The bytes of all objects by file name."""
    reading = read_study([scan], masks, info=info, **options)
    results = DicomResults(folder / "dicom", began=began, **dict(also))
    write_results(results, reading, folder, info)
    return {path.name: path.read_bytes() for path in (folder / "dicom").glob("*/*")}


@pytest.fixture(scope="module")
def first(tmp_path_factory, scan):
    """All objects of a run."""
    return write(tmp_path_factory.mktemp("first"), scan, also=ALL)


def read(content):
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))


def uids_of(contents):
    return {str(read(content).SOPInstanceUID) for content in contents}


def test_the_same_run_writes_the_same_bytes(tmp_path, scan, first, monkeypatch):
    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 5, 6, 7, 8, 9)

    monkeypatch.setattr(datetime, "datetime", Later)  # highdicom looks here
    assert write(tmp_path, scan, also=ALL) == first


@pytest.mark.parametrize(
    "changes",
    [
        {"info": WEIGHTS | {"parameters_sha256": "cd" * 32}},
        {"info": ENSEMBLE},
        {"masks": (BLOCK,)},
    ],
)
def test_a_changed_result_has_other_uids_in_every_object(
    tmp_path, scan, first, changes
):
    second = write(tmp_path, scan, also=ALL, **changes)
    assert first.keys() == second.keys()
    assert not uids_of(first.values()) & uids_of(second.values())


def test_another_threshold_is_another_report_even_of_the_same_marks(tmp_path, scan):
    known = {}
    for score in (0.5, 0.6):
        folder = tmp_path / str(score)
        made = write(folder, scan, kind="instances", min_score=score)
        for name, content in made.items():
            (uid,) = uids_of([content])
            assert known.setdefault(uid, (name, content)) == (name, content)
    names = [name for name, _ in known.values()]
    assert names.count("sr.dcm") == 2 and names.count("seg_anterior.dcm") == 1


@pytest.mark.parametrize(
    "changes",
    [{"flags": ["a doubt"]}, {"passed": ["a.dcm: expected counts, found none."]}],
)
def test_equal_uids_are_equal_bytes(tmp_path, scan, first, changes):
    known = {uid: content for content in first.values() for uid in uids_of([content])}
    second = write(tmp_path, scan, **changes)
    assert second["sr.dcm"] != first["sr.dcm"]
    for content in second.values():
        (uid,) = uids_of([content])
        assert known.get(uid, content) == content


def test_times_are_the_scans_unless_the_runs_are_asked_for(tmp_path, scan, first):
    began = datetime.datetime(2025, 1, 2, 3, 4, 5)
    other = write(tmp_path, scan, began=began)
    for made, expected in ((first, "20240229101112"), (other, "20250102030405")):
        for each in map(read, made.values()):
            assert each.InstanceCreationDate + each.InstanceCreationTime == expected
            if "ContentDate" in each:
                assert each.ContentDate + each.ContentTime == expected
    assert not uids_of(first.values()) & uids_of(other.values())


def test_what_an_earlier_run_left_is_replaced(tmp_path, scan):
    write(tmp_path, scan)
    (folder,) = (tmp_path / "dicom").iterdir()
    other = folder / "notes.dcm"
    other.write_text("somebody's")
    reading = read_study([scan], [])
    write_results(DicomResults(tmp_path / "dicom"), reading, tmp_path)
    assert {path.name for path in folder.iterdir()} == {"sc.dcm", "sr.dcm", "notes.dcm"}


def test_the_report_comes_last_and_goes_first(tmp_path, scan, monkeypatch):
    write(tmp_path, scan)
    (folder,) = (tmp_path / "dicom").iterdir()
    written = []

    def fail(path, content):
        written.append(path.name)
        if path.name == "sc.dcm":
            raise WriteError("full")

    monkeypatch.setattr(product, "write_file", fail)
    with pytest.raises(WriteError):
        write(tmp_path, scan)
    assert written == ["seg_anterior.dcm", "seg_posterior.dcm", "sc.dcm"]
    assert not (folder / "sr.dcm").exists()


def test_without_highdicom_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(UserError, match=r"pip install 'spectjax\[dicom\]'"):
        DicomResults(tmp_path)


def test_a_model_that_does_not_know_its_weights_is_refused(tmp_path):
    with pytest.raises(UserError, match="digest of its weights"):
        DicomResults(tmp_path).begin("segmentation", {"model": "unet_res"})


def test_a_view_that_cannot_be_filed_is_told_in_the_report_of_the_other(
    tmp_path, scan, capsys
):
    nameless = write_study_file(tmp_path / "other.dcm", PatientName="A\\B")
    reading = read_study([scan, nameless], [RING])
    results = DicomResults(tmp_path / "dicom")
    problems = write_results(results, reading, tmp_path)
    assert (problems.refused, problems.unexpected) == (2, 0)
    assert "found 2 values: no DICOM result" in capsys.readouterr().err
    (report,) = (tmp_path / "dicom").glob("*/sr.dcm")
    assert b"Not used: other.dcm: expected one text" in report.read_bytes()


def test_folders_do_not_come_into_the_report_nor_into_its_uid(tmp_path, scan):
    reports = []
    for folder in (tmp_path / "Doe, John", tmp_path / "other"):
        folder.mkdir()
        copied = shutil.copy(scan, folder / "scan.dcm")
        said = [f"{folder}/b.dcm: the same image as in {copied} and left out."]
        _, files = write_objects(folder, [copied], [RING], passed=said)
        reports.append(files["sr.dcm"].read_bytes())
    assert b"Not used: b.dcm: the same image as in scan.dcm and left" in reports[0]
    assert reports[0] == reports[1]


@pytest.mark.parametrize("region", [None, "thorax"])
def test_results_are_no_scans(tmp_path, scan, region):
    _, files = write_objects(tmp_path, [scan], [RING], also=ALL)
    assert len(files) == 6
    for path in files.values():
        with pytest.raises(NotWholeBodyError, match="found a result that spectjax"):
            read_bone_scans(path, view="anterior", region=region)


def test_nothing_is_written_of_a_study_that_cannot_be_filed(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm", SeriesInstanceUID=None)
    problems = write_results(
        DicomResults(tmp_path / "dicom"), read_study([scan], [RING]), tmp_path
    )
    assert problems.refused == 2 and not (tmp_path / "dicom").exists()
