"""Tests of `spectjax.imaging.deidentify`: nothing of a patient gets through."""

import csv
import errno
import json
import os
from collections import Counter

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, RLELossless

from spectjax.imaging.annotations.consensus import agree
from spectjax.imaging.annotations.files import find_annotations
from spectjax.imaging.deidentify.attributes import pseudonymise_uid
from spectjax.imaging.deidentify.folder import (
    open_target,
)
from spectjax.imaging.deidentify.image import RefusedError
from spectjax.imaging.deidentify.profile import read_profile
from spectjax.imaging.dicom.reading import find_bone_scans, read_bone_scans
from spectjax.system.files import WriteError
from tests.support.canary_ward import write_ward
from tests.support.deidentified import (
    FRAMES,
    OPPOSITE,
    deidentify,
    files_in,
    only_output,
    run,
)
from tests.support.nm_files import detectors, item, write_nm


def actions_of(entries):
    return [(entry.kind, entry.action) for entry in entries]


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """A folder of a hospital, and the canaries in it."""
    root = tmp_path_factory.mktemp("hospital")
    return root, write_ward(root)


def test_no_original_string_is_in_any_output_name_report_or_message(ward, tmp_path):
    folder, canaries = ward
    inside = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    inside += " ".join(map(str, folder.rglob("*"))).encode()
    assert len(canaries.made) > 1000
    assert set(canaries.found_in(inside)) == set(canaries.made)  # all were there

    result = run(folder, tmp_path / "out")
    assert (result.returncode, result.stderr) == (0, "")
    assert canaries.found_in(result.stdout) == []
    files = files_in(tmp_path)
    kinds = sorted(name.split("/")[0] + name[name.rindex(".") :] for name in files)
    assert kinds == ["out-report.csv"] * 2 + ["out.dcm"] + ["out.json"] * 3
    for name, content in files.items():
        assert canaries.found_in(name) == [] == canaries.found_in(content)


def test_counts_views_spacing_and_outlines_are_those_of_the_original(ward, tmp_path):
    folder, _ = ward
    deidentify(folder, tmp_path / "out")
    scans, errors = find_bone_scans([tmp_path / "out"])
    assert errors == []
    assert [scan.view for scan in scans] == ["anterior", "posterior"]
    assert [scan.spacing_mm for scan in scans] == [(2.4, 2.2)] * 2
    for scan, frame in zip(scans, FRAMES, strict=True):
        assert np.array_equal(scan.counts, frame)
    by_image, errors = find_annotations([tmp_path / "out"])
    assert errors == [] and list(by_image) == [scans[0].name]
    annotations = by_image[scans[0].name]
    assert len({a.reader for a in annotations}) == 2
    # The triangles of both readers share the pixels of the smaller.
    mask = agree(annotations, (40, 20)).masks
    assert mask.shape[0] == 1 and mask[0, 3, 5] and not mask[0, 7, 3]


def test_the_result_says_what_was_done_to_it(tmp_path):
    (tmp_path / "in").mkdir()
    write_nm(
        tmp_path / "in" / "a.dcm",
        FRAMES,
        DetectorInformationSequence=OPPOSITE,
        BurnedInAnnotation="NO",
        StudyDate="20240229",
        ContentDate="20240229",
        AcquisitionDate="20240229",
        PatientAge="081Y",
        PatientSex="F",
        ActualFrameDuration=1200000,
        ScanVelocity="2.5",
    )
    (entry,) = deidentify(tmp_path / "in", tmp_path / "out")
    _, dataset = only_output(tmp_path / "out")
    assert dataset.PatientIdentityRemoved == "YES"
    assert "2026c" in dataset.DeidentificationMethod
    (code,) = dataset.DeidentificationMethodCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113100", "DCM")
    assert dataset.LongitudinalTemporalInformationModified == "REMOVED"
    # Type 2 and 2C are empty (PS3.3 C.7.2.1, C.8.4.1), type 3 is gone.
    assert dataset.StudyDate == dataset.ContentDate == dataset.PatientSex == ""
    assert "AcquisitionDate" not in dataset and "PatientAge" not in dataset
    assert (dataset.ActualFrameDuration, dataset.ScanVelocity) == (1200000, 2.5)
    assert dataset.preamble == bytes(128)
    meta = dataset.file_meta
    assert meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert entry.warnings == []
    assert entry.tally["PatientAge", "removed"] == 1


def test_pseudonyms_are_the_same_in_every_file_and_run_of_a_key(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name, view in (("Mayer", "anterior"), ("Meyer", "posterior")):
        write_nm(
            tmp_path / "in" / f"{name}.dcm",
            FRAMES[:1],
            PatientName=name,  # one patient, spelt twice: the number counts
            DetectorInformationSequence=detectors(view),
            SeriesInstanceUID="1.2.3.4",
            FrameOfReferenceUID="1.2.840.10008.1.4.1.1",  # Talairach, by the standard
        )
    runs = []
    for number in range(2):
        deidentify(tmp_path / "in", tmp_path / f"out{number}")
        runs.append(files_in(tmp_path / f"out{number}"))
    assert runs[0] == runs[1]
    one, other = (pydicom.dcmread(p) for p in (tmp_path / "out0/dicom").iterdir())
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID"):
        assert one[keyword].value == other[keyword].value
    assert (
        one.SeriesInstanceUID == other.SeriesInstanceUID == pseudonymise_uid("1.2.3.4")
    )
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"
    assert one.StudyInstanceUID.startswith("2.25.")
    assert 0 < int(one.StudyInstanceUID[5:]) < 2**128
    monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", "another key, as long")
    assert pseudonymise_uid("1.2.3.4") != one.SeriesInstanceUID
    with pytest.raises(RefusedError, match="same key"):
        open_target(tmp_path / "out0")


def test_a_file_that_would_read_differently_is_not_written(tmp_path):
    (tmp_path / "in").mkdir()
    elements = {"DetectorInformationSequence": OPPOSITE, "PixelSpacing": [3, 2]}
    write_nm(tmp_path / "in" / "a.dcm", FRAMES, **elements)
    for keyword in ("DetectorInformationSequence", "PixelSpacing", "SOPInstanceUID"):
        table = read_profile()
        table.actions[pydicom.datadict.tag_for_keyword(keyword)] = "X"
        (entry,) = deidentify(tmp_path / "in", tmp_path / "out", table=table)
        assert entry.action == "refused"
        assert list(files_in(tmp_path / "out")) == ["deidentified.json"]


GE_OPPOSITE = {"ge_labels": ["WB_E", "WB_F"]}
ANGLES = [item(StartAngle=180), item(StartAngle=0)]


@pytest.mark.parametrize(
    ("elements", "views", "evidence"),
    [
        (GE_OPPOSITE, ["anterior", "posterior"], "GEMS_GENIE_1 Dataset Name"),
        (
            {"ge_labels": ["SMITH_F", "SMITH_E"], "DetectorVector": [2, 1]},
            ["posterior", "anterior"],
            "GEMS_GENIE_1 Dataset Name",
        ),
        (
            {"DetectorInformationSequence": ANGLES},
            ["anterior", "posterior"],
            "WARNING: only the detector's start angle",
        ),
        (
            {"DetectorInformationSequence": ANGLES, "DetectorVector": [2, 1]},
            ["posterior", "anterior"],
            "WARNING: only the detector's start angle",
        ),
    ],
)
def test_the_view_is_written_as_a_code_before_its_evidence_is_removed(
    tmp_path, elements, views, evidence
):
    (tmp_path / "in").mkdir()
    write_nm(tmp_path / "in" / "a.dcm", FRAMES, **elements)
    (entry,) = deidentify(tmp_path / "in", tmp_path / "out")
    assert entry.view_evidence.startswith(evidence)
    assert "SMITH" not in entry.view_evidence
    path, dataset = only_output(tmp_path / "out")
    scans = read_bone_scans(path)
    assert [scan.view for scan in scans] == views
    for scan, frame in zip(scans, FRAMES, strict=True):
        assert scan.view_evidence.startswith("View Code Sequence")
        assert np.array_equal(scan.counts, frame)
    codes = {"anterior": "399321004", "posterior": "399001007"}
    for detector, view in zip(dataset.DetectorVector, views, strict=True):
        information = dataset.DetectorInformationSequence[detector - 1]
        assert information.ViewCodeSequence[0].CodeValue == codes[view]


def test_a_data_set_without_a_header_goes_out_with_one(tmp_path):
    (tmp_path / "in").mkdir()
    write_nm(tmp_path / "a.dcm", FRAMES, DetectorInformationSequence=OPPOSITE)
    bare = pydicom.dcmread(tmp_path / "a.dcm")
    del bare.file_meta
    bare.preamble = None
    bare.save_as(tmp_path / "in" / "a.dcm", implicit_vr=False, little_endian=True)
    (entry,) = deidentify(tmp_path / "in", tmp_path / "out")
    assert entry.action == "written"
    path, _ = only_output(tmp_path / "out")
    for scan, frame in zip(read_bone_scans(path), FRAMES, strict=True):
        assert np.array_equal(scan.counts, frame)


def test_a_view_that_nothing_tells_is_refused_unless_it_is_stated(tmp_path):
    (tmp_path / "in").mkdir()
    write_nm(tmp_path / "in" / "a.dcm", FRAMES[:1])
    (entry,) = deidentify(tmp_path / "in", tmp_path / "out")
    assert entry.action == "refused" and "--view" in entry.reason
    assert list(files_in(tmp_path / "out")) == ["deidentified.json"]
    (entry,) = deidentify(tmp_path / "in", tmp_path / "out", view="posterior")
    path, _ = only_output(tmp_path / "out")
    assert [scan.view for scan in read_bone_scans(path)] == ["posterior"]


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_pixels_are_the_same_and_their_comments_gone(tmp_path, syntax):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.dcm"
    sequence = detectors("posterior", "anterior")
    frames = np.pad(FRAMES, ((0, 0), (0, 60), (0, 30)))  # JPEG 2000 needs some pixels
    write_nm(path, frames, compress=syntax, DetectorInformationSequence=sequence)
    deidentify(tmp_path / "in", tmp_path / "out")
    path, dataset = only_output(tmp_path / "out")
    assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert dataset.PixelData == frames.astype("<u2").tobytes()


@pytest.mark.parametrize(
    "elements",
    [
        {"BurnedInAnnotation": "YES"},
        {"SOPClassUID": pydicom.uid.SecondaryCaptureImageStorage},
    ],
)
def test_pixels_that_may_show_text_go_out_only_by_the_user_s_word(tmp_path, elements):
    (tmp_path / "in").mkdir()
    elements["DetectorInformationSequence"] = OPPOSITE
    write_nm(tmp_path / "in" / "a.dcm", FRAMES, **elements)
    (entry,) = deidentify(tmp_path / "in", tmp_path / "out")
    assert entry.action == "refused" and "may show text" in entry.reason
    assert list(files_in(tmp_path / "out")) == ["deidentified.json"]
    (entry,) = deidentify(tmp_path / "in", tmp_path / "out", allow_burned_in=True)
    assert entry.action == "written" and "look at the picture" in entry.warnings[0]


def test_a_phantom_still_says_that_it_is_synthetic(tmp_path):
    (tmp_path / "in").mkdir()
    for name, comment in (("a", "Synthetic, not a patient"), ("b", "")):
        write_nm(
            tmp_path / "in" / f"{name}.dcm",
            FRAMES,
            PatientID=name,
            ImageComments=comment,
            DetectorInformationSequence=OPPOSITE,
        )
    deidentify(tmp_path / "in", tmp_path / "out")
    scans, _ = find_bone_scans([tmp_path / "out"])
    assert sorted(scan.synthetic for scan in scans) == [False, False, True, True]
    for scan in scans:
        stated = pydicom.dcmread(scan.path).get("SyntheticData")
        assert stated == ("YES" if scan.synthetic else None)


def test_what_is_no_whole_body_image_stays_behind(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    good = {"DetectorInformationSequence": OPPOSITE}
    write_nm(folder / "a.dcm", FRAMES, SOPInstanceUID="1.2.3", **good)
    write_nm(folder / "b.dcm", FRAMES, SOPInstanceUID="1.2.3", **good)
    write_nm(folder / "c.dcm", FRAMES, ImageType=["ORIGINAL", "PRIMARY", "STATIC"])
    write_nm(folder / "d.dcm", FRAMES, Modality="SR", SOPClassUID="1.2.3.4")
    shape = {"label": "Dr Smith's", "points": [[1, 1], [5, 1], [5, 5]]}
    for name in ("a_anterior", "c_anterior"):
        document = {"imagePath": f"{name}.png", "shapes": [shape]}
        (folder / f"{name}.json").write_text(json.dumps(document))
    entries = deidentify(folder, tmp_path / "out")
    assert sorted(actions_of(entries[:2])) == [
        ("image", "skipped"),
        ("image", "written"),
    ]
    assert actions_of(entries[2:]) == [
        ("image", "skipped"),
        ("image", "skipped"),
        ("annotation", "refused"),
        ("annotation", "refused"),
    ]
    reasons = [entry.reason for entry in entries[-2:]]
    assert "--word" in reasons[0] and "not written" in reasons[1]
    with (tmp_path / "out-report" / "report.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert Counter(row["action"] for row in rows) == {
        "written": 1,
        "skipped": 3,
        "refused": 2,
    }
    assert "Smith" not in (tmp_path / "out-report" / "report.csv").read_text()
    words = frozenset(["dr smith's"])
    assert deidentify(folder, tmp_path / "out", words=words)[4].action == "written"


def test_a_full_disk_leaves_whole_files_that_the_next_run_completes(
    tmp_path, monkeypatch
):
    (tmp_path / "in").mkdir()
    for name in "abcd":
        path = tmp_path / "in" / f"{name}.dcm"
        write_nm(path, FRAMES, PatientID=name, DetectorInformationSequence=OPPOSITE)
    deidentify(tmp_path / "in", tmp_path / "whole")
    calls = iter(range(100))

    def fsync(descriptor):
        if next(calls) == 6:  # two files for each image, the first to verify it
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(WriteError, match="No space left"):
            deidentify(tmp_path / "in", tmp_path / "out")
    whole, cut = files_in(tmp_path / "whole"), files_in(tmp_path / "out")
    assert len(cut) == 3 and cut.items() <= whole.items()
    deidentify(tmp_path / "in", tmp_path / "out")
    assert files_in(tmp_path / "out") == whole


def test_damaged_files_are_refused_and_nothing_of_them_gets_through(ward, tmp_path):
    folder, canaries = ward
    (good,) = folder.rglob("*.dcm")
    content = good.read_bytes()
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(12):
        damaged = np.frombuffer(content, np.uint8).copy()
        if number % 3:
            places = rng.integers(132, len(damaged), 2**number)
            damaged[places] = rng.integers(0, 256, len(places))
        else:
            damaged = damaged[: rng.integers(1, len(damaged))]
        (tmp_path / "in" / f"{number:02d}.dcm").write_bytes(damaged.tobytes())
    entries = deidentify(tmp_path / "in", tmp_path / "out")
    assert len(entries) == 12
    assert {"written", "refused"} <= {entry.action for entry in entries}
    for name, output in files_in(tmp_path).items():
        if not name.startswith("in/"):
            assert canaries.found_in(output) == []
