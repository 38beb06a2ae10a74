"""A segmentation of one view: a segment for each hotspot, its pixels exactly.

BINARY, since each archive and viewer takes it, and masks of instances may overlap.
"""

import copy

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

import spectjax
from spectjax.dicom_results.codes import (
    ARTIFICIAL_INTELLIGENCE,
    FINDING,
    FINDING_CATEGORY,
)
from spectjax.dicom_results.stamp import PLACEHOLDER, stamp
from spectjax.dicom_results.subject import Study, Subject, make_uid, say_score
from spectjax.imaging.dicom.whole_body import MAKER

_COLOUR = hd.color.CIELabColor(55.0, 70.0, 60.0)


def make_segmentation(study: Study, subject: Subject, number: int) -> Dataset:
    """Returns the segmentation of a view with at least one hotspot.

    Args:
        study: the view's.
        subject: the view.
        number: of the series.
    """
    masks = np.stack([each.mask for each in subject.hotspots], axis=-1)
    spacing = subject.seen.thorax.scan.spacing_mm
    known = "" if spacing else "; size of a pixel unknown, 1 mm stands in"
    doubt = "; CROP IN DOUBT" * subject.seen.in_doubt
    result = hd.seg.Segmentation(
        source_images=[_pretend_capture(study, subject)],
        pixel_array=masks[None].astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=_describe_segments(subject),
        series_instance_uid=PLACEHOLDER,
        series_number=number,
        sop_instance_uid=PLACEHOLDER,
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=subject.model.name,
        software_versions=spectjax.__version__,
        device_serial_number="0",
        content_label="HOTSPOTS",
        content_description=f"{subject.title}{doubt}{known}"[:64],
        omit_empty_frames=False,
    )
    _add_geometry(result, subject)
    _correct_references(result, subject)
    # highdicom draws one by chance, and equal results are equal bytes.
    dimensions = make_uid("dimensions", subject.track_view()[1])
    for item in (*result.DimensionOrganizationSequence, *result.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    result.PatientOrientation = None  # 2C: of a segmentation without a place in space
    stamp(result, study, f"Hotspots {subject.title} SEG{doubt}")
    return result


def _pretend_capture(study: Study, subject: Subject) -> Dataset:
    """Returns a header that highdicom takes for a single image without a place.

    highdicom 0.28 refuses frames of nuclear medicine, which have no position.
    """
    header = study.place(subject.header.dataset)
    header.SOPClassUID = SecondaryCaptureImageStorage
    if "NumberOfFrames" in header:
        del header.NumberOfFrames
    return header


def _describe_segments(subject: Subject) -> list[hd.seg.SegmentDescription]:
    algorithm = hd.AlgorithmIdentificationSequence(
        name=subject.model.name,
        family=ARTIFICIAL_INTELLIGENCE,
        version=subject.model.version,
        source=MAKER,
    )
    segments = []
    for number, hotspot in enumerate(subject.hotspots, start=1):
        name, uid = subject.track(number)
        segments.append(
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=f"{name}: {say_score(hotspot.entry['score'])}",
                segmented_property_category=FINDING_CATEGORY,
                segmented_property_type=FINDING,
                algorithm_type="AUTOMATIC",
                algorithm_identification=algorithm,
                tracking_uid=uid,
                tracking_id=name,
                display_color=_COLOUR,
            )
        )
    return segments


def _add_geometry(result: Dataset, subject: Subject) -> None:
    """Adds what readers insist on, though a projection has neither depth nor place.

    OHIF 3.13 stops without Pixel Measures or Plane Orientation, highdicom 0.28 cannot
    read Pixel Measures without a thickness, and no validator takes 0: with 1 mm a
    volume in mm3 is the area in mm2. The orientation is the one that OHIF takes for all
    frames of the file, whatever the view (`header`): a segmentation that has another it
    mirrors without a word. dcmqi 1.5 ends without a position.
    """
    shared = result.SharedFunctionalGroupsSequence[0]
    spacing = subject.seen.thorax.scan.spacing_mm or (1.0, 1.0)
    shared.PixelMeasuresSequence = hd.PixelMeasuresSequence(
        pixel_spacing=spacing, slice_thickness=1.0
    )
    shared.PlaneOrientationSequence = hd.PlaneOrientationSequence(
        "PATIENT", subject.header.orientation
    )
    for frame in result.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence = hd.PlanePositionSequence(
            "PATIENT", (0.0, 0.0, 0.0)
        )


def _correct_references(result: Dataset, subject: Subject) -> None:
    """Makes references to the file ones to the view's frame, where they name frames.

    highdicom puts one item into two sequences, of which one names none: its items are
    copied first.
    """
    for series in result.ReferencedSeriesSequence:
        items = copy.deepcopy(list(series.ReferencedInstanceSequence))
        series.ReferencedInstanceSequence = items
    if subject.frame_numbers is None:
        return
    for item in result.SourceImageSequence:
        item.ReferencedFrameNumber = subject.frame_numbers
    for frame in result.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            for item in derivation.SourceImageSequence:
                item.ReferencedFrameNumber = subject.frame_numbers
