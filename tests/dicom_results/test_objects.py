"""What is in the objects, read back with highdicom and with pydicom alone."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from pydicom.sr.codedict import codes

from spectjax.dicom_results import capture
from spectjax.dicom_results.subject import say_score
from spectjax.imaging.canvas import WHOLE_FRAME
from spectjax.imaging.scan import BoneScan
from spectjax.imaging.thorax import ThoraxImage
from tests.support.dicom_studies import (
    BLOCK,
    BOX,
    RING,
    area_of,
    comments_of,
    evaluations_of,
    groups_of,
    write_objects,
    write_study_file,
)

ALL = ("pdf", "gsps")


@pytest.fixture(scope="module")
def two_frames(tmp_path_factory):
    """One file of two frames: the reading and its objects."""
    folder = tmp_path_factory.mktemp("two_frames")
    scan = write_study_file(folder / "scan.dcm")
    return write_objects(folder, [scan], [RING, BLOCK], also=ALL)


def test_there_is_a_segmentation_a_view_a_report_and_a_picture(two_frames):
    _, files = two_frames
    views = {"seg_anterior.dcm", "seg_posterior.dcm"}
    assert set(files) == views | {"sc.dcm", "sr.dcm", "pdf.dcm", "gsps_1.dcm"}


def test_a_whole_body_is_called_one_and_says_nothing_of_a_thorax(tmp_path, monkeypatch):
    monkeypatch.setattr(ThoraxImage, "region", WHOLE_FRAME)
    scan = write_study_file(tmp_path / "scan.dcm")
    _, files = write_objects(tmp_path, [scan], [RING])
    first = groups_of(files["sr.dcm"])[0]
    assert first.finding_type == codes.SCT.EntireBody
    assert [site.value for site in first.finding_sites] == [codes.SCT.EntireBody]
    assert "Thorax found" not in evaluations_of(first)
    assert "Chest" not in str(pydicom.dcmread(files["sr.dcm"]))


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
        words = [each.UnformattedTextValue for each in annotation.TextObjectSequence]
        assert "RESEARCH ONLY" in words[0]
        assert words[1:3] == [["R", "L"], ["L", "R"]][i]


def test_what_is_too_long_for_a_picture_is_not_just_cut(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm")
    passed = ["SYNTHETIC_WHOLE_BODY_scan.dcm: expected common names, found none. " * 15]
    _, files = write_objects(tmp_path, [scan], [], passed=passed, also=ALL)
    picture = pydicom.dcmread(files["sc.dcm"]).pixel_array
    assert (picture[:, -4:] == 255).all()
    assert words_of(files["gsps_1.dcm"])[-1] == "... and more: see the report (SR)"


@pytest.mark.parametrize(
    ("score", "said"), [(0.996, "> 0.99"), (0.5, "0.50"), (0.004, "< 0.01")]
)
def test_no_score_is_said_to_be_certain(score, said):
    assert say_score(score) == said


def test_the_pdf_is_one(two_frames):
    _, files = two_frames
    document = pydicom.dcmread(files["pdf.dcm"])
    content = document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")


def words_of(state):
    """The lines that a presentation state writes beside its first view."""
    annotation = pydicom.dcmread(state).GraphicAnnotationSequence[0]
    return annotation.TextObjectSequence[0].UnformattedTextValue.splitlines()


def test_a_classifier_gives_its_class_and_no_lesion(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm")
    _, files = write_objects(tmp_path, [scan], [], kind="class", also=ALL)
    assert set(files) == {"sr.dcm", "sc.dcm", "pdf.dcm", "gsps_1.dcm"}
    assert words_of(files["gsps_1.dcm"])[1:] == [
        "ANTERIOR: ",
        "class by the model, no diagnosis: metastasis,",
        "probability of its class metastasis 0.90",
    ]
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
    _, files = write_objects(
        tmp_path, [scan], [], kind="class", flags=["it looks like a leg"], also=ALL
    )
    assert words_of(files["gsps_1.dcm"])[1:3] == [
        "ANTERIOR: CROP IN DOUBT, NO READING.",
        "class by the model: indeterminate",
    ]
    for group in groups_of(files["sr.dcm"]):
        said = evaluations_of(group)
        assert said["Class by the model, no diagnosis"] == "Indeterminate"
        assert not group.get_measurements()


@pytest.fixture(scope="module")
def unmarked(tmp_path_factory):
    """The objects of a file in which a model marks nothing."""
    folder = tmp_path_factory.mktemp("unmarked")
    scan = write_study_file(folder / "scan.dcm")
    return write_objects(folder, [scan], [])[1]


def test_the_picture_has_research_burned_in(unmarked):
    picture = pydicom.dcmread(unmarked["sc.dcm"])
    assert (picture.BurnedInAnnotation, picture.Modality) == ("YES", "NM")
    red, green, _ = picture.pixel_array.astype(int).transpose(2, 0, 1)
    assert (red - green > 20).mean() > 0.002  # the letters: nothing is outlined


@pytest.mark.parametrize("doubt", ["", "?"])
def test_the_picture_tells_the_patients_sides_of_each_view(
    tmp_path, monkeypatch, doubt
):
    drawn = []
    monkeypatch.setattr(
        capture,
        "FigureCanvasAgg",
        lambda figure: drawn.append(figure) or FigureCanvasAgg(figure),
    )
    if doubt:
        monkeypatch.setattr(BoneScan, "has_weak_view", True)
    write_objects(tmp_path, [write_study_file(tmp_path / "scan.dcm")], [])
    across = [
        {text.get_text(): text.get_position()[0] for text in panel.texts}
        for panel in drawn[0].axes
    ]
    anterior, posterior = across
    assert anterior["R" + doubt] < 0.5 < anterior["L" + doubt]
    assert posterior["L" + doubt] < 0.5 < posterior["R" + doubt]


def test_nothing_marked_is_said_with_the_number_0(unmarked):
    assert not [name for name in unmarked if name.startswith("seg")]
    for group in groups_of(unmarked["sr.dcm"]):
        (count,) = group.get_measurements(name=codes.SCT.NumberOfLesions)
        assert count.value == 0
        said = evaluations_of(group)
        assert (said["Lesion"], said["Thorax found"]) == ("Absent", "Without doubt")


def test_nothing_marked_in_a_doubted_crop_is_no_reading(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm")
    _, files = write_objects(tmp_path, [scan], [], flags=["it looks like a leg"])
    for group in groups_of(files["sr.dcm"]):
        assert not group.get_measurements(name=codes.SCT.NumberOfLesions)
        said = evaluations_of(group)
        assert said["Lesion"] == "Indeterminate"
        assert said["Thorax found"].startswith("In doubt")
        assert "Crop flagged: it looks like a leg" in comments_of(group)


def test_a_number_marked_in_a_doubted_crop_comes_with_the_doubt(tmp_path):
    scan = write_study_file(tmp_path / "scan.dcm")
    _, files = write_objects(tmp_path, [scan], [RING], flags=["it looks like a leg"])
    group = groups_of(files["sr.dcm"])[0]
    assert group.get_measurements(name=codes.SCT.NumberOfLesions)[0].value == 1
    assert evaluations_of(group)["Thorax found"].startswith("In doubt")
    segmentation = pydicom.dcmread(files["seg_anterior.dcm"])
    assert segmentation.ContentDescription == "anterior; CROP IN DOUBT"
    assert "CROP IN DOUBT" in segmentation.SeriesDescription


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
