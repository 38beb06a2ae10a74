"""What is in the objects, read back with highdicom and with pydicom alone."""

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
    BLOCK,
    BOX,
    RING,
    read_study,
    write_results,
    write_study_file,
)
from tests.support.nm_files import FRAMES, detectors, item, windows

ALL = ("pdf", "gsps")


def write(tmp_path, files, masks, *, also=(), info=None, name="dicom", **options):
    """The objects of one study by file name; `also` the optional ones."""
    told = {} if info is None else {"info": info}
    reading = read_study(files, masks, **told, **options)
    product = DicomResults(tmp_path / name, **dict.fromkeys(also, True))
    problems = write_results(product, reading, tmp_path, **told)
    assert problems.unexpected == 0, problems.log.read_text()
    (folder,) = (tmp_path / name).iterdir()
    return reading, {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def two_frames(tmp_path_factory):
    """One file of two frames: the reading and its objects."""
    folder = tmp_path_factory.mktemp("two_frames")
    return write(
        folder, [write_study_file(folder / "scan.dcm")], [RING, BLOCK], also=ALL
    )


def groups_of(path):
    return hd.sr.srread(path).content.get_planar_roi_measurement_groups()


def area_of(points):
    x, y = np.asarray(points).T
    return (np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2


def evaluations_of(group):
    found = group.get_qualitative_evaluations()
    return {each.name.meaning: each.value.meaning for each in found}


def comments_of(group):
    items = hd.sr.utils.find_content_items(group[0], name=codes.DCM.Comment)
    return [each.value for each in items]


def test_there_is_a_segmentation_a_view_a_report_and_a_picture(two_frames):
    _, files = two_frames
    views = {"seg_anterior.dcm", "seg_posterior.dcm"}
    assert set(files) == views | {"sc.dcm", "sr.dcm", "pdf.dcm", "gsps_1.dcm"}


@pytest.mark.parametrize("index", [0, 1])
def test_masks_come_back_equal(two_frames, index):
    reading, files = two_frames
    view, finding = reading.views[index]
    seg = hd.seg.segread(files[f"seg_{view.thorax.scan.view}.dcm"])
    source = pydicom.dcmread(view.thorax.scan.path).SOPInstanceUID
    pixels = seg.get_pixels_by_source_frame(source, [index + 1])[0]
    for i, hotspot in enumerate(finding.hotspots):
        assert (pixels[..., i].astype(bool) == hotspot.mask).all()
    assert pixels.shape[-1] == len(finding.hotspots) == 2


@pytest.mark.parametrize("index", [0, 1])
def test_polygons_have_as_much_area_as_the_masks_have_pixels(two_frames, index):
    reading, files = two_frames
    view, finding = reading.views[index]
    groups = [
        group
        for group in groups_of(files["sr.dcm"])
        if group.tracking_identifier.startswith(f"{view.thorax.scan.view} ")
    ]
    read, *hotspots = groups
    y0, x0, y1, x1 = BOX
    assert area_of(read.roi.value) == (y1 - y0) * (x1 - x0)
    areas = [area_of(group.roi.value) for group in hotspots]
    assert areas == [hotspot.mask.sum() for hotspot in finding.hotspots] == [25, 12]
    for group in groups:
        image = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        assert image.ReferencedFrameNumber == index + 1


def test_report_and_segmentation_share_their_tracking_uids(two_frames):
    _, files = two_frames
    for view in ("anterior", "posterior"):
        segments = pydicom.dcmread(files[f"seg_{view}.dcm"]).SegmentSequence
        pairs = [(segment.TrackingID, segment.TrackingUID) for segment in segments]
        groups = groups_of(files["sr.dcm"])
        found = {(group.tracking_identifier, group.tracking_uid) for group in groups}
        assert set(pairs) <= found
    assert len({uid for _, uid in found}) == len(found) == 6


def test_numbers_are_those_of_the_json(two_frames):
    reading, files = two_frames
    entry = reading.views[0][1].document["hotspots"][0]
    group = groups_of(files["sr.dcm"])[1]
    found = [
        (m.name.meaning, m.derivation and m.derivation.meaning, m.value)
        for m in group.get_measurements()
    ]
    assert found == [
        ("Area", None, pytest.approx(entry["area_mm2"], abs=0.05)),
        ("Counts in region", "Maximum", entry["max_counts"]),
        ("Counts in region", "Mean", pytest.approx(entry["counts"] / 25, abs=0.005)),
        ("Counts in region", "Total", entry["counts"]),
        ("Certainty of Finding", None, 90.0),
    ]
    read = groups_of(files["sr.dcm"])[0]
    (count,) = read.get_measurements(name=codes.SCT.NumberOfLesions)
    assert count.value == 2


def test_what_every_object_says(two_frames):
    _, files = two_frames
    objects = {name: pydicom.dcmread(path) for name, path in files.items()}
    for each in objects.values():
        assert each.ContentQualification == "RESEARCH"
        assert each.SeriesDescription.endswith(" RESEARCH")
        assert each.SeriesNumber > 9000 and "SyntheticData" not in each
        assert (each.PatientID, each.StudyDate) == ("ID-4711", "20240229")
        equipment = each.ContributingEquipmentSequence[-1]
        assert equipment.Manufacturer == "spectjax"
        assert equipment.ContributionDescription.startswith("RESEARCH ONLY")
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber"):
        assert len({each[keyword].value for each in objects.values()}) == len(objects)
    devices = {e.ContributingEquipmentSequence[-1].DeviceUID for e in objects.values()}
    assert len(devices) == 1
    assert len({each.StudyInstanceUID for each in objects.values()}) == 1
    report = objects["sr.dcm"]
    assert (report.PreliminaryFlag, report.VerificationFlag) == (
        "PRELIMINARY",
        "UNVERIFIED",
    )


def test_the_picture_has_research_burned_in(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm")
    _, files = write(tmp_path, [scan], [])
    picture = pydicom.dcmread(files["sc.dcm"])
    assert (picture.BurnedInAnnotation, picture.Modality) == ("YES", "NM")
    red, green, _ = picture.pixel_array.astype(int).transpose(2, 0, 1)
    assert (red - green > 20).mean() > 0.002  # the letters: nothing is outlined


def test_presentation_states_have_the_outlines_in_their_frames(two_frames):
    reading, files = two_frames
    state = pydicom.dcmread(files["gsps_1.dcm"])
    assert state.PresentationLUTShape == "INVERSE"
    for i, annotation in enumerate(state.GraphicAnnotationSequence):
        assert annotation.ReferencedImageSequence[0].ReferencedFrameNumber == i + 1
        areas = [
            area_of(np.reshape(each.GraphicData, (-1, 2)))
            for each in annotation.GraphicObjectSequence
        ]
        assert areas == [25, 12]
        assert "RESEARCH ONLY" in annotation.TextObjectSequence[0].UnformattedTextValue


def test_the_pdf_is_one(two_frames):
    _, files = two_frames
    document = pydicom.dcmread(files["pdf.dcm"])
    content = document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")


def test_instances_may_overlap(tmp_path):
    shifted = np.roll(RING, 2, axis=1)
    scan = write_study_file(tmp_path / "scan.dcm")
    reading, files = write(tmp_path, [scan], [RING, shifted], kind="instances")
    seg = hd.seg.segread(files["seg_posterior.dcm"])
    source = pydicom.dcmread(scan).SOPInstanceUID
    pixels = seg.get_pixels_by_source_frame(source, [2], combine_segments=False)[0]
    masks = [each.mask for each in reading.views[1][1].hotspots]
    assert (masks[0] & masks[1]).any()
    assert (pixels.astype(bool) == np.stack(masks, axis=-1)).all()


def test_a_classifier_gives_its_class_and_no_lesion(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm")
    _, files = write(tmp_path, [scan], [], kind="class", also=ALL)
    assert set(files) == {"sr.dcm", "sc.dcm", "pdf.dcm", "gsps_1.dcm"}
    groups = groups_of(files["sr.dcm"])
    assert [group.finding_type.value for group in groups] == ["51185008"] * 2
    for group in groups:
        said = evaluations_of(group)
        assert said["Class by the model, no diagnosis"] == (
            "Model's class: metastasis (no diagnosis)"
        )
        assert "Lesion" not in said
        names = {each.name.value: each.value for each in group.get_measurements()}
        assert names == {"SJ-033": 90.0, "SJ-034": 90.0}


def test_a_classifier_says_nothing_of_a_doubted_crop(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm")
    _, files = write(tmp_path, [scan], [], kind="class", flags=["it looks like a leg"])
    for group in groups_of(files["sr.dcm"]):
        said = evaluations_of(group)
        assert said["Class by the model, no diagnosis"] == "Indeterminate"
        assert not group.get_measurements()


def test_nothing_marked_is_said_with_the_number_0(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm")
    _, files = write(tmp_path, [scan], [])
    assert not [name for name in files if name.startswith("seg")]
    for group in groups_of(files["sr.dcm"]):
        (count,) = group.get_measurements(name=codes.SCT.NumberOfLesions)
        assert count.value == 0
        said = evaluations_of(group)
        assert (said["Lesion"], said["Thorax found"]) == ("Absent", "Without doubt")


def test_nothing_marked_in_a_doubted_crop_is_no_reading(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm")
    _, files = write(tmp_path, [scan], [], flags=["it looks like a leg"])
    for group in groups_of(files["sr.dcm"]):
        assert not group.get_measurements(name=codes.SCT.NumberOfLesions)
        said = evaluations_of(group)
        assert said["Lesion"] == "Indeterminate"
        assert said["Thorax found"].startswith("In doubt")
        assert "Crop flagged: it looks like a leg" in comments_of(group)


def test_a_number_marked_in_a_doubted_crop_comes_with_the_doubt(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm")
    _, files = write(tmp_path, [scan], [RING], flags=["it looks like a leg"])
    group = groups_of(files["sr.dcm"])[0]
    assert group.get_measurements(name=codes.SCT.NumberOfLesions)[0].value == 1
    assert evaluations_of(group)["Thorax found"].startswith("In doubt")


def test_areas_are_left_out_where_pixels_have_no_size(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm", PixelSpacing=None)
    _, files = write(tmp_path, [scan], [RING])
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


def test_counts_are_those_after_rescaling(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm", RescaleSlope=2, RescaleIntercept=5)
    reading, files = write(tmp_path, [scan], [RING], also=["gsps"])
    counts = reading.views[0][0].thorax.scan.counts[RING]
    found = [each.value for each in groups_of(files["sr.dcm"])[1].get_measurements()]
    expected = [counts.max(), counts.mean(), counts.sum()]
    assert found[1:4] == pytest.approx(expected, abs=0.005)
    state = pydicom.dcmread(files["gsps_1.dcm"])
    assert (state.RescaleSlope, state.RescaleIntercept) == (2, 5)


def test_frames_are_counted_in_the_file_not_by_view(tmp_path):
    """Two energy windows, the second of which is the photopeak: frames 3 and 4."""
    frames = np.concatenate([FRAMES, FRAMES])
    scan = write_study_file(
        tmp_path / "scan.dcm",
        frames,
        EnergyWindowVector=[1, 1, 2, 2],
        DetectorVector=[1, 2, 1, 2],
        NumberOfEnergyWindows=2,
        NumberOfDetectors=2,
        EnergyWindowInformationSequence=windows((60, 100), (126, 154)),
    )
    _, files = write(tmp_path, [scan], [RING])
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
    _, files = write(tmp_path, scans, [RING], also=["gsps"])
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
    _, first = write(tmp_path, scans, [RING])
    others = [
        shutil.copy(scan, tmp_path / "1" / f"x{i}.dcm")
        for i, scan in enumerate(reversed(scans))
    ]
    _, second = write(tmp_path, list(map(pathlib.Path, others)), [RING], name="again")
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
    _, files = write(tmp_path, [scan], [RING])
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
    _, files = write(tmp_path, [scan], [RING], passed=passed)
    group = groups_of(files["sr.dcm"])[0]
    comments = comments_of(group)
    assert "No posterior view was read: nothing is said of it." in comments
    assert "Not used: other.dcm: expected counts, found none." in comments
    said = evaluations_of(group)["Files and views of the study"]
    assert said == "Not all read: see comments"


def test_the_segmentation_has_the_orientation_of_the_first_detector(tmp_path):
    stated = detectors("anterior", "posterior")
    stated[0].ImageOrientationPatient = [-1, 0, 0, 0, 0, -1]
    stated[1].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    scan = write_study_file(tmp_path / "scan.dcm", DetectorInformationSequence=stated)
    _, files = write(tmp_path, [scan], [RING])
    for view in ("anterior", "posterior"):
        seg = pydicom.dcmread(files[f"seg_{view}.dcm"])
        plane = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
        assert list(plane.ImageOrientationPatient) == [-1, 0, 0, 0, 0, -1]


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


def test_the_procedure_is_that_of_the_images(tmp_path):
    stated = item(
        CodeValue="NMBONE", CodingSchemeDesignator="99CLINIC", CodeMeaning="Bone scan"
    )
    scan = write_study_file(tmp_path / "scan.dcm", ProcedureCodeSequence=[stated])
    _, files = write(tmp_path, [scan], [])
    procedures = hd.sr.utils.find_content_items(
        hd.sr.srread(files["sr.dcm"]), name=codes.DCM.ProcedureReported
    )
    found = [each.value.value for each in procedures]
    assert found == ["49118-3", "NMBONE"]


def test_every_group_names_the_algorithm(two_frames):
    _, files = two_frames
    for group in groups_of(files["sr.dcm"]):
        told = {
            each.name.meaning: each.value
            for each in group[0].ContentSequence
            if each.name.meaning.startswith("Algorithm ")
        }
        assert told["Algorithm Name"] == "spectjax unet_res step 7"
        assert told["Algorithm Version"].endswith("weights abababababab")
        assert told["Algorithm Parameters"].startswith("8-connected regions")
