"""Tests that scans are taken one by one, and that one does not take others down."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import unicodedata

import numpy as np
import pytest

from spectjax import predict
from spectjax.imaging import folders
from spectjax.imaging.intake import Intake
from spectjax.imaging.listed import found
from spectjax.imaging.outputs import OutputNames, shorten
from spectjax.imaging.problems import BUG_STATUS, Problems
from spectjax.imaging.scan import ScanError
from spectjax.imaging.thorax import crop_thorax
from spectjax.imaging.thorax.evidence import draw_evidence, save_evidence
from spectjax.inference import asking, runtimes
from spectjax.inference.trained import TrainedModel
from spectjax.report import picture_parts
from spectjax.system.files import WriteError, write_file
from spectjax.system.messages import UserError
from tests.support.nm_files import detectors, write_nm
from tests.support.tiny_scans import (
    MODEL_INFO,
    crop_stub,
    make_run,
    make_scan,
    predict_probs,
    read_json,
)

FRONT = {"DetectorInformationSequence": detectors("anterior")}
FRAME = np.full((1, 12, 6), 50, np.uint16)
NAMES = (
    "a$b$_^{x\\frac.dcm",
    "dots...",
    "new\nline\x1b[31m.dcm",
    "not\udcff.utf8\udcfe.dcm",
    "é" * 120 + ".dcm",
    "x" * 251 + ".dcm",
    "[1]*?.dcm",
)


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A run whose model marks three pixels, and a crop of a few pixels."""
    monkeypatch.setattr(asking, "crop_thorax", crop_stub())
    model = TrainedModel(predict_probs, MODEL_INFO, "segmentation", (8, 8))
    return make_run(tmp_path, monkeypatch, model)


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)


def write_scan(path, number=0, **elements):
    """A file of one anterior view: by default of a patient and study of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = {
        "PatientID": f"P{number}",
        "PatientName": f"Secret^{number}",
        "StudyInstanceUID": f"1.2.3.{number}",
        "SOPInstanceUID": f"1.2.4.{number}",
    }
    return write_nm(path, FRAME, **(FRONT | own | elements))


def take_all(folder, problems):
    return list(Intake([folder], problems).read_examinations())


def test_scans_are_read_when_their_examination_is_asked_for(tmp_path, monkeypatch):
    for number in range(4):
        write_scan(
            tmp_path / f"{number}.dcm",
            number,
            StudyInstanceUID=f"1.{number % 2}",
            PatientID=f"P{number % 2}",
            PatientName=f"N^{number % 2}",
        )
    read = []

    def note(path, **options):
        read.append(path.name)
        return [make_scan(path, image_key=path.name, identity=identities[path.name])]

    problems = Problems(tmp_path)
    identities = {
        scan.path.name: scan.identity
        for scans in take_all(tmp_path, problems)
        for scan in scans
    }
    monkeypatch.setattr(found, "read_bone_scans", note)
    examinations = Intake([tmp_path], problems).read_examinations()
    assert read == []
    assert [scan.path.name for scan in next(examinations)] == ["0.dcm", "2.dcm"]
    assert read == ["0.dcm", "2.dcm"]
    next(examinations)
    assert read == ["0.dcm", "2.dcm", "1.dcm", "3.dcm"]


def test_a_study_of_two_patients_is_refused_and_names_both_files(tmp_path, capsys):
    one = write_scan(tmp_path / "1.dcm", 1, StudyInstanceUID="1.5")
    other = write_scan(tmp_path / "2.dcm", 2, StudyInstanceUID="1.5")
    write_scan(tmp_path / "3.dcm", 3)
    problems = Problems(tmp_path)
    ((scan,),) = take_all(tmp_path, problems)
    assert (scan.path.name, problems.refused) == ("3.dcm", 2)
    for line in capsys.readouterr().err.splitlines():
        assert f"{one}" in line and f"{other}" in line
        assert "one patient for one Study Instance UID" in line


def test_a_patient_written_in_two_ways_is_one_examination(tmp_path):
    shared = {"StudyInstanceUID": "1.5", "PatientName": "Secret^One"}
    write_scan(tmp_path / "1.dcm", 1, **shared, PatientID="ab 7")
    write_scan(
        tmp_path / "2.dcm", 2, **shared, PatientID="AB 7 ", IssuerOfPatientID="H"
    )
    problems = Problems(tmp_path)
    (scans,) = take_all(tmp_path, problems)
    assert (len(scans), problems.refused) == (2, 0)


def test_a_file_replaced_between_header_and_pixels_is_refused(tmp_path, capsys):
    path = write_scan(tmp_path / "1.dcm", 1)
    problems = Problems(tmp_path)
    intake = Intake([tmp_path], problems)
    write_scan(path, 2)
    assert list(intake.read_examinations()) == []
    assert "another patient or study in it than a moment ago" in capsys.readouterr().err


def test_an_unexpected_error_of_one_scan_is_its_skip(
    workdir, tmp_path, monkeypatch, capsys, no_pictures
):
    for number in range(3):
        write_scan(tmp_path / "scans" / f"{number}.dcm", number)

    def fail(scan):
        if scan.path.name == "1.dcm":
            raise IndexError("index -1 is out of bounds")
        return crop_stub()(scan)

    monkeypatch.setattr(asking, "crop_thorax", fail)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as end:
        predict.run([tmp_path / "scans"], workdirs=[workdir], output_dir=out)
    assert end.value.code == BUG_STATUS == 3
    assert {path.stem for path in out.glob("*.json")} == {"0_anterior", "2_anterior"}
    log = (out / "problems.log").read_text()
    assert "1.dcm" in log and "in fail" in log and "IndexError: index -1" in log
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert "1.dcm: unexpected error, a bug of spectjax (IndexError" in line
    assert "2 views written" in told.out and "UNEXPECTED ERROR in 1" in told.out
    assert f"{out / 'problems.log'}" in line and f"{out / 'problems.log'}" in told.out


@pytest.mark.parametrize("end", [MemoryError, WriteError, KeyboardInterrupt, UserError])
def test_what_is_no_scans_fault_ends_the_command(tmp_path, end):
    problems = Problems(tmp_path)
    with pytest.raises(end), problems.passing_over(tmp_path / "a.dcm"):
        raise end("no room")
    assert (problems.refused, problems.unexpected) == (0, 0)
    assert os.listdir(tmp_path) == []


def test_nothing_written_is_an_error_unless_it_is_a_bug(tmp_path):
    problems = Problems(tmp_path)
    problems.refuse(ScanError("a.dcm: none"))
    with pytest.raises(UserError, match="0 views written to .*, 1 files skipped"):
        problems.conclude(0, tmp_path)
    problems.unexpected = 1
    with pytest.raises(SystemExit) as end:
        problems.conclude(0, tmp_path)
    assert end.value.code == BUG_STATUS


def test_an_answer_that_is_not_finite_costs_its_view_alone(
    workdir, tmp_path, monkeypatch, capsys, no_pictures
):
    for number in range(2):
        write_scan(
            tmp_path / "scans" / f"{number}.dcm",
            number,
            StudyInstanceUID="1.9",
            PatientID="P",
            PatientName="N",
        )
    answers = iter([np.float32([[[[np.nan, 1]] * 8] * 8]), None])

    def answer(counts):
        found = next(answers)
        return predict_probs(counts) if found is None else found

    model = TrainedModel(answer, MODEL_INFO, "segmentation", (8, 8))
    monkeypatch.setattr(runtimes, "load_run", lambda _: model)
    out = tmp_path / "out"
    predict.run([tmp_path / "scans"], workdirs=[workdir], output_dir=out)
    assert [path.name for path in out.glob("*.json")] == ["1_anterior.json"]
    assert "0.dcm: The model gave probabilities" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_predicted_and_named_printably(
    workdir, tmp_path, name, capsys
):
    path = tmp_path / "scans" / name
    try:
        write_scan(tmp_path / "plain.dcm").rename(path.parent.mkdir() or path)
    except OSError:
        return  # macOS takes no name that is not UTF-8
    out = tmp_path / "out"
    predict.run([path.parent], workdirs=[workdir], output_dir=out)
    (document,) = (read_json(each) for each in out.glob("*.json"))
    assert document["source"]["file"].isprintable()
    told = capsys.readouterr()
    assert all(line.isprintable() for line in told.out.splitlines())
    assert "1 views written" in told.out and told.err == ""
    assert len(list(out.glob("*.png"))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("IM1.dcm", "IM1.dcm"),
        ("IM1.dcm", "im1.DCM"),
        ("Käse.dcm", unicodedata.normalize("NFD", "käse.dcm")),
        ("IM1", "IM1.dcm"),
    ],
)
def test_files_of_one_name_never_share_an_output(tmp_path, one, other):
    scans = [make_scan(f"a/{one}", image_key="1" * 16)]
    scans += [make_scan(f"b/{other}", image_key="2" * 16)]
    files = [scan.path for scan in scans]
    for order in (scans, scans[::-1]):
        names = OutputNames(files, tmp_path, mark="rule")
        chosen = {names.choose(scan)[-16:] for scan in order}
        assert chosen == {"1" * 16, "2" * 16}


def test_another_commands_result_is_not_overwritten(tmp_path):
    scan = make_scan()
    (tmp_path / "IM1_anterior.json").write_text(
        '{"map": 1, "source": {"image_key": "' + scan.image_key + '"}}'
    )
    explained = OutputNames([scan.path], tmp_path, mark="map")
    predicted = OutputNames([scan.path], tmp_path, mark="rule")
    assert explained.choose(scan) == "IM1_anterior"
    assert predicted.choose(scan) == f"IM1_anterior_{scan.image_key}"


def test_what_is_no_result_is_neither_waited_for_nor_replaced(tmp_path):
    """A pipe would block whoever opens it."""
    scan = make_scan()
    os.mkfifo(tmp_path / "IM1_anterior.json")
    name = f"IM1_anterior_{scan.image_key}"
    os.symlink("nowhere", tmp_path / f"{name}.json")
    names = OutputNames([scan.path], tmp_path, mark="rule")
    assert names.choose(scan) == f"{name}_2"


def test_a_long_name_is_shortened_in_one_way_and_stays_apart_from_others():
    names = ["é" * 140, "é" * 139 + "e", "x" * 250, "x" * 249 + "y"]
    short = [shorten(name) for name in names]
    assert len(set(short)) == 4
    assert max(len(os.fsencode(name)) for name in short) <= 200
    assert [shorten(name) for name in names] == short
    assert shorten("IM1_anterior") == "IM1_anterior"


def test_a_file_with_the_longest_name_can_be_written(tmp_path):
    write_file(tmp_path / ("x" * 251 + ".csv"), "a")
    assert len(os.listdir(tmp_path)) == 1


def crop_command(*arguments):
    command = [sys.executable, "-m", "spectjax.imaging.thorax", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_thorax_keeps_files_of_one_name_apart(hospital, tmp_path):
    first, second = sorted(hospital.rglob("*.dcm"))[:2]
    for folder, file in (("a", first), ("b", second)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "IM1.dcm").symlink_to(file)
    (tmp_path / "a" / "half.dcm").write_bytes(b"none")
    out = tmp_path / "out"
    result = crop_command(f"--output_dir={out}", tmp_path / "a", tmp_path / "b")
    assert result.returncode == 0
    assert result.stderr.startswith(f"skipped: {tmp_path / 'a' / 'half.dcm'}: ")
    documents = [read_json(path) for path in out.glob("*.json")]
    assert len({document["image_key"] for document in documents}) == len(documents) >= 2
    assert len(list(out.glob("*.png"))) == len(documents)


def test_what_there_is_to_doubt_is_told_everywhere(workdir, tmp_path, capsys):
    write_scan(
        tmp_path / "scans" / "a.dcm",
        DetectorInformationSequence=[],
        PixelSpacing=None,
        ImageID="ANT",
        BurnedInAnnotation="YES",
    )
    drawn = []
    out = tmp_path / "out"
    save = picture_parts.save_figure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            picture_parts,
            "save_figure",
            lambda figure, path: (drawn.append(figure), save(figure, path)),
        )
        predict.run([tmp_path / "scans"], workdirs=[workdir], output_dir=out)
    document = read_json(out / "a_anterior.json")
    words = "\n".join(text.get_text() for text in drawn[0].texts)
    for where in (capsys.readouterr().out, "\n".join(document["warnings"]), words):
        assert "burned into the pixels" in where and "Pixel Spacing" in where


@pytest.mark.parametrize(
    ("evidence", "is_weak"),
    [
        ("View Code Sequence", False),
        ("WARNING: only the detector's start angle 0 degrees", True),
        ("Image ID 'ANT'; but posterior by Series Description", True),
    ],
)
def test_weak_evidence_for_the_view_is_a_warning(evidence, is_weak):
    scan = make_scan(view_evidence=evidence)
    assert scan.has_weak_view is is_weak
    assert any("weak evidence" in warning for warning in scan.warnings) is is_weak
    assert "size of a pixel is not known" in make_scan(spacing_mm=None).warnings[0]


def test_evidence_of_a_crop_draws_any_name_and_every_warning(hospital, tmp_path):
    file = min(hospital.rglob("*.dcm"))
    scan = next(iter(Intake([file], Problems(tmp_path)).read_examinations()))[0]
    odd = dataclasses.replace(
        scan,
        path=pathlib.Path("a$b$^{_\udcff\n骨" + "W" * 200),
        notes=("lossy compression",),
        view_evidence="WARNING: only '$_^'",
    )
    thorax = crop_thorax(odd)
    save_evidence(thorax, tmp_path / "a.png")
    title = draw_evidence(thorax).get_suptitle()
    assert "lossy compression" in title and "weak evidence" in title
    assert thorax.to_json()["warnings"] == odd.warnings


def test_a_folder_whose_files_cannot_be_looked_at_costs_itself_alone(
    tmp_path, monkeypatch, capsys
):
    write_scan(tmp_path / "a" / "1.dcm", 1)
    write_scan(tmp_path / "closed" / "2.dcm", 2)
    write_scan(tmp_path / "z" / "3.dcm", 3)
    look = os.stat

    def refuse(path, **options):  # as where a folder can be read but not entered
        if pathlib.Path(str(path)).parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, **options)

    monkeypatch.setattr(folders.os, "stat", refuse)
    problems = Problems(tmp_path)
    found = take_all(tmp_path, problems)
    assert [scan.path.name for (scan,) in found] == ["1.dcm", "3.dcm"]
    assert problems.refused == 1
    assert "closed" in capsys.readouterr().err
