"""Sources in every layout: windows, files, classes, and what headers lack."""

import dataclasses
import pathlib
import shutil

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.uid import NuclearMedicineImageStorage, SecondaryCaptureImageStorage

from spectjax.dicom_results import DicomResults
from spectjax.tasks.views import MarkedHotspot, Reading
from tests.support.dicom_studies import (
    RING,
    comments_of,
    evaluations_of,
    groups_of,
    read_study,
    write_objects,
    write_results,
    write_study_file,
)
from tests.support.nm_files import FRAMES, detectors, item, windows


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A file with everything that seldom comes: its reading and its objects.

    Two energy windows, of which the second is the photopeak, so that the views are the
    frames 3 and 4; rescaled counts, orientations, a procedure.
    """
    folder = tmp_path_factory.mktemp("odd")
    stated = detectors("anterior", "posterior")
    stated[0].ImageOrientationPatient = [-1, 0, 0, 0, 0, -1]
    stated[1].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    procedure = item(
        CodeValue="NMBONE", CodingSchemeDesignator="99CLINIC", CodeMeaning="Bone scan"
    )
    scan = write_study_file(
        folder / "scan.dcm",
        np.concatenate([FRAMES, FRAMES]),
        EnergyWindowVector=[1, 1, 2, 2],
        DetectorVector=[1, 2, 1, 2],
        NumberOfEnergyWindows=2,
        NumberOfDetectors=2,
        EnergyWindowInformationSequence=windows((60, 100), (126, 154)),
        DetectorInformationSequence=stated,
        RescaleSlope=2,
        RescaleIntercept=5,
        ProcedureCodeSequence=[procedure],
    )
    return write_objects(folder, [scan], [RING], also=["gsps"])


def test_frames_are_counted_in_the_file_not_by_view(odd):
    _, files = odd
    seg = pydicom.dcmread(files["seg_posterior.dcm"])
    (source,) = seg.SourceImageSequence
    assert source.ReferencedFrameNumber == 4
    derivation = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert derivation.SourceImageSequence[0].ReferencedFrameNumber == 4
    (instance,) = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert "ReferencedFrameNumber" not in instance
    assert instance.ReferencedSOPClassUID == NuclearMedicineImageStorage
    for group in groups_of(files["sr.dcm"])[2:]:
        image = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        assert image.ReferencedFrameNumber == 4


def test_counts_are_those_after_rescaling(odd):
    reading, files = odd
    counts = reading.views[0][0].thorax.scan.counts[RING]
    found = [each.value for each in groups_of(files["sr.dcm"])[1].get_measurements()]
    expected = [counts.max(), counts.mean(), counts.sum()]
    assert found[1:4] == pytest.approx(expected, abs=0.005)
    state = pydicom.dcmread(files["gsps_1.dcm"])
    assert (state.RescaleSlope, state.RescaleIntercept) == (2, 5)


def test_segmentations_have_the_orientation_of_the_first_detector(odd):
    _, files = odd
    for view in ("anterior", "posterior"):
        seg = pydicom.dcmread(files[f"seg_{view}.dcm"])
        plane = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
        assert list(plane.ImageOrientationPatient) == [-1, 0, 0, 0, 0, -1]


def test_the_procedure_is_that_of_the_images(odd):
    _, files = odd
    procedures = hd.sr.utils.find_content_items(
        hd.sr.srread(files["sr.dcm"]), name=codes.DCM.ProcedureReported
    )
    found = [each.value.value for each in procedures]
    assert found == ["49118-3", "NMBONE"]


def test_two_files_of_one_study_share_a_report(tmp_path):
    scans = [
        write_study_file(
            tmp_path / f"{view}.dcm",
            FRAMES[i : i + 1],
            DetectorInformationSequence=detectors(view),
            StudyTime=f"10111{i}",
        )
        for i, view in enumerate(("anterior", "posterior"))
    ]
    _, files = write_objects(tmp_path, scans, [RING], also=["gsps"])
    assert {"gsps_1.dcm", "gsps_2.dcm", "seg_posterior.dcm"} < set(files)
    instances = [pydicom.dcmread(scan).SOPInstanceUID for scan in scans]
    groups = groups_of(files["sr.dcm"])
    images = [g.roi.ContentSequence[0].ReferencedSOPSequence[0] for g in groups]
    found = [image.ReferencedSOPInstanceUID for image in images]
    assert found == [instances[0]] * 2 + [instances[1]] * 2
    assert not any("ReferencedFrameNumber" in image for image in images)
    times = {pydicom.dcmread(path).StudyTime for path in files.values()}
    assert times == {"101110"}
    said = "Study Time is that of the study's first file, which differs."
    assert said in comments_of(groups[2])


def test_results_do_not_depend_on_the_names_and_order_of_files(tmp_path):
    for order in (0, 1):
        (tmp_path / str(order)).mkdir()
    scans = [
        write_study_file(
            tmp_path / "0" / f"{i}.dcm",
            FRAMES[i : i + 1],
            DetectorInformationSequence=detectors(view),
            StudyTime=f"10111{i}",
        )
        for i, view in enumerate(("posterior", "anterior"))
    ]
    _, first = write_objects(tmp_path, scans, [RING])
    others = [
        pathlib.Path(shutil.copy(scan, tmp_path / "1" / f"x{i}.dcm"))
        for i, scan in enumerate(reversed(scans))
    ]
    _, second = write_objects(tmp_path, others, [RING], name="again")
    read = [{n: p.read_bytes() for n, p in files.items()} for files in (first, second)]
    assert read[0] == read[1]
    assert pydicom.dcmread(first["sr.dcm"]).StudyTime == "101111"  # the anterior one's


def test_a_secondary_capture_is_referred_to_as_one(tmp_path):
    scan = write_study_file(
        tmp_path / "scan.dcm",
        FRAMES[:1],
        SOPClassUID=SecondaryCaptureImageStorage,
        NumberOfFrames=None,
        FrameIncrementPointer=None,
        DetectorInformationSequence=detectors("anterior"),
    )
    _, files = write_objects(tmp_path, [scan], [RING])
    seg = pydicom.dcmread(files["seg_anterior.dcm"])
    (source,) = seg.SourceImageSequence
    assert source.ReferencedSOPClassUID == SecondaryCaptureImageStorage
    assert "ReferencedFrameNumber" not in source
    assert (hd.seg.segread(files["seg_anterior.dcm"]).pixel_array.sum()) == 25
    modality = hd.sr.utils.find_content_items(
        hd.sr.srread(files["sr.dcm"]), name=codes.DCM.Modality, recursive=True
    )
    assert [each.value.value for each in modality] == ["NM"]


def test_a_view_that_nobody_read_is_named(tmp_path):
    scan = write_study_file(
        tmp_path / "scan.dcm",
        FRAMES[:1],
        DetectorInformationSequence=detectors("anterior"),
    )
    passed = ["/home/clinic/other.dcm: expected counts, found none."]
    _, files = write_objects(tmp_path, [scan], [RING], passed=passed)
    group = groups_of(files["sr.dcm"])[0]
    comments = comments_of(group)
    assert "No posterior view was read: nothing is said of it." in comments
    assert "Not used: other.dcm: expected counts, found none." in comments
    said = evaluations_of(group)["Files and views of the study"]
    assert said == "Not all read: see comments"


def test_areas_are_left_out_where_pixels_have_no_size(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm", PixelSpacing=None)
    _, files = write_objects(tmp_path, [scan], [RING])
    group = groups_of(files["sr.dcm"])[1]
    names = [each.name.meaning for each in group.get_measurements()]
    assert names == ["Counts in region"] * 3 + ["Certainty of Finding"]
    assert "Warning: no usable Pixel Spacing." in comments_of(
        groups_of(files["sr.dcm"])[0]
    )
    seg = pydicom.dcmread(files["seg_anterior.dcm"])
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [1, 1]
    assert "1 mm stands in" in seg.ContentDescription


def test_instances_may_overlap(tmp_path):
    shifted = np.roll(RING, 2, axis=1)
    scan = write_study_file(tmp_path / "scan.dcm")
    reading, files = write_objects(tmp_path, [scan], [RING, shifted], kind="instances")
    seg = hd.seg.segread(files["seg_posterior.dcm"])
    source = pydicom.dcmread(scan).SOPInstanceUID
    pixels = seg.get_pixels_by_source_frame(source, [2], combine_segments=False)[0]
    masks = [each.mask for each in reading.views[1][1].hotspots]
    assert (masks[0] & masks[1]).any()
    assert (pixels.astype(bool) == np.stack(masks, axis=-1)).all()


def test_an_outline_with_too_many_corners_is_a_box(tmp_path):
    y, x = np.mgrid[:640, :330]
    dots = (y + x) % 2 == 0
    scan = write_study_file(
        tmp_path / "scan.dcm", np.repeat(np.repeat(FRAMES, 10, 1), 10, 2)
    )
    reading = read_study([scan], [])
    # Masks of a model are smaller: it takes a canvas that is not ours.
    view, finding = reading.views[0]
    mask = dots & (y < 200) & (x < 200)
    entry = {
        "score": 0.9,
        "area_px": 1,
        "area_mm2": 1.0,
        "counts": 1.0,
        "max_counts": 1.0,
    }
    finding = dataclasses.replace(finding, hotspots=(MarkedHotspot(entry, mask),))
    product = DicomResults(tmp_path / "dicom")
    write_results(product, Reading([(view, finding)], ()), tmp_path)
    (report,) = (tmp_path / "dicom").glob("*/sr.dcm")
    group = groups_of(report)[1]
    assert len(group.roi.value) == 5
    assert comments_of(group)[0].startswith("The outline has too many corners")
