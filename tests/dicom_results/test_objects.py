"""What is in the objects, read back with highdicom and with pydicom alone."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from spectjax.dicom_results import DicomResults
from tests.support.dicom_studies import (
    BLOCK,
    BOX,
    RING,
    read_study,
    write_results,
    write_study_file,
)


def write(tmp_path, files, masks, *, info=None, name="dicom", **options):
    """The objects of one study by file name."""
    told = {} if info is None else {"info": info}
    reading = read_study(files, masks, **told, **options)
    problems = write_results(DicomResults(tmp_path / name), reading, tmp_path, **told)
    assert problems.unexpected == 0, problems.log.read_text()
    (folder,) = (tmp_path / name).iterdir()
    return reading, {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def two_frames(tmp_path_factory):
    """One file of two frames: the reading and its objects."""
    folder = tmp_path_factory.mktemp("two_frames")
    return write(folder, [write_study_file(folder / "scan.dcm")], [RING, BLOCK])


def groups_of(path):
    return hd.sr.srread(path).content.get_planar_roi_measurement_groups()


def area_of(points):
    x, y = np.asarray(points).T
    return (np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2


def test_there_is_a_segmentation_a_view_a_report_and_a_picture(two_frames):
    _, files = two_frames
    expected = {"seg_anterior.dcm", "seg_posterior.dcm", "sc.dcm", "sr.dcm"}
    assert set(files) == expected


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
