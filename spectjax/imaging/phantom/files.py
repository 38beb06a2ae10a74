"""Files of a simulated patient as a hospital would hand them over.

DICOM NM whole-body images (PS3.3 A.5, C.8.4), LabelMe outlines of three readers, and
the truth apart. Every file is a function of the seed: no clock, no host, no chance.
"""

import io
import json
import pathlib
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    NuclearMedicineImageStorage,
    generate_uid,
)

from spectjax.files import write_file
from spectjax.imaging.phantom.patient import SimulatedPatient
from spectjax.imaging.phantom.readers import READERS
from spectjax.imaging.scan import View

ROOT_UID = "1.2.826.0.1.3680043.8.498."  # free for anyone through pydicom
_IMPLEMENTATION_UID = ROOT_UID + "1.20210101"
_CODES = {
    ("sct", "anterior"): ("399321004", "SCT", "Anterior"),
    ("sct", "posterior"): ("399001007", "SCT", "Posterior"),
    ("srt", "anterior"): ("G-5215", "SRT", "Anterior"),
    ("srt", "posterior"): ("G-5216", "SRT", "Posterior"),
}
_GE_NAMES = {
    ("ge letter", "anterior"): "WHOLE BODY_E",
    ("ge letter", "posterior"): "WHOLE BODY_F",
    ("ge word", "anterior"): "WB BONE ANT",
    ("ge word", "posterior"): "WB BONE POS",
}
Evidence = Literal["sct", "srt", "ge letter", "ge word"]


@dataclass(frozen=True)
class Layout:
    """How a camera stores a patient's views.

    Attributes:
        views: the views that are stored, in the order of the frames.
        one_file: whether they share a file.
        evidence: how a file says which view it shows; GE's private names need a file
            for each view.
    """

    views: tuple[View, ...]
    one_file: bool
    evidence: Evidence


def write_patient(
    folder: pathlib.Path,
    name: str,
    patient: SimulatedPatient,
    layout: Layout,
    outlines: dict[View, tuple[list[np.ndarray], ...]],
    seed: tuple[int, ...],
) -> None:
    """Writes dicom/, annotations/ and, last, truth/<name>.npz of one patient.

    Args:
        folder: where the three folders are.
        name: "P0001".
        patient: who is written.
        layout: which views, in which files.
        outlines: polygons of each reader for each view of the layout.
        seed: what makes the UIDs unique.
    """
    groups = [layout.views] if layout.one_file else [(view,) for view in layout.views]
    for number, views in enumerate(groups, 1):
        stem = name if layout.one_file else f"{name}_{views[0][0].upper()}"
        content = encode_dicom(name, patient, views, layout.evidence, seed, number)
        write_file(folder / "dicom" / f"{stem}.dcm", content)
        for view in views:
            hw = patient.views[view].counts.shape
            for reader, polygons in zip(READERS, outlines[view], strict=True):
                # The third reader works with MIT's LabelMe, the others with wkentaro's.
                suffix = "xml" if reader == READERS[-1] else "json"
                encode = _encode_mit if suffix == "xml" else _encode_wkentaro
                path = folder / "annotations" / reader / f"{stem}_{view}.{suffix}"
                write_file(path, encode(f"{stem}_{view}.png", polygons, hw, reader))
    write_file(folder / "truth" / f"{name}.npz", _encode_truth(patient, layout.views))


def encode_dicom(
    name: str,
    patient: SimulatedPatient,
    views: tuple[View, ...],
    evidence: Evidence,
    seed: tuple[int, ...],
    number: int = 1,
) -> bytes:
    """Returns an NM whole-body file with one frame for each view, little endian.

    Args:
        name: "P0001"; Patient ID, and part of Patient's Name.
        patient: whose counts are stored.
        views: frames, in order; detector n saw frame n.
        evidence: how the views are named.
        seed: what makes the UIDs unique.
        number: Instance Number.
    """
    frames = np.stack([patient.views[view].counts for view in views])
    entropy = ["spectjax phantom", *map(str, seed), name]
    file_meta = FileMetaDataset()
    file_meta.MediaStorageSOPClassUID = NuclearMedicineImageStorage
    file_meta.MediaStorageSOPInstanceUID = generate_uid(
        ROOT_UID, [*entropy, "instance", str(number)]
    )
    file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file_meta.ImplementationClassUID = UID(_IMPLEMENTATION_UID)
    file_meta.ImplementationVersionName = "SPECTJAX_PHANTOM"
    ds = FileDataset("", {}, file_meta=file_meta, preamble=bytes(128))

    ds.ImageType = ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]
    ds.SOPClassUID = NuclearMedicineImageStorage
    ds.SOPInstanceUID = file_meta.MediaStorageSOPInstanceUID
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ""
    ds.Modality = "NM"
    ds.Manufacturer = "SYNTHETIC"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = ds.SeriesDescription = "SYNTHETIC whole-body bone"
    ds.PatientName = f"SYNTHETIC^{name}"
    ds.PatientID = name
    ds.PatientBirthDate = ""
    ds.PatientSex = patient.sex
    ds.PatientAge = f"{patient.age:03d}Y"
    ds.BodyPartExamined = "WHOLEBODY"
    ds.CountsAccumulated = int(frames.sum(dtype=np.int64))
    ds.PatientPosition = "HFS"
    ds.PatientOrientationCodeSequence = Sequence()  # required, may be empty
    ds.PatientGantryRelationshipCodeSequence = Sequence()
    duration_ms = round(patient.minutes * 60_000)
    length_mm = round(frames.shape[1] * patient.spacing_mm)
    ds.ActualFrameDuration = duration_ms
    ds.ScanVelocity = round(length_mm / (patient.minutes * 60), 3)
    ds.ScanLength = length_mm
    ds.WholeBodyTechnique = "1PS"
    ds.StudyInstanceUID = generate_uid(ROOT_UID, [*entropy, "study"])
    ds.SeriesInstanceUID = generate_uid(ROOT_UID, [*entropy, "series"])
    ds.FrameOfReferenceUID = generate_uid(ROOT_UID, [*entropy, "frame of reference"])
    ds.PositionReferenceIndicator = ""
    ds.StudyID = name
    ds.SeriesNumber = 1
    ds.InstanceNumber = number
    ds.ImageComments = "SYNTHETIC: simulated by spectjax, not a patient"

    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.NumberOfFrames = len(views)
    ds.FrameIncrementPointer = [0x00540010, 0x00540020]
    ds.Rows, ds.Columns = frames.shape[1:]
    ds.PixelSpacing = [patient.spacing_mm, patient.spacing_mm]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.EnergyWindowVector = [1] * len(views)
    ds.NumberOfEnergyWindows = 1
    ds.EnergyWindowInformationSequence = Sequence([_energy_window()])
    ds.RadiopharmaceuticalInformationSequence = Sequence([_radiopharmaceutical()])
    ds.DetectorVector = list(range(1, len(views) + 1))
    ds.NumberOfDetectors = len(views)
    ds.DetectorInformationSequence = Sequence(
        [_detector(view, evidence) for view in views]
    )
    if evidence in ("ge letter", "ge word"):
        block = ds.private_block(0x0011, "GEMS_GENIE_1", create=True)
        block.add_new(0x12, "LO", _GE_NAMES[evidence, views[0]])
        block.add_new(0x30, "LO", _GE_NAMES[evidence, views[0]])
    ds.PixelData = frames.astype("<u2").tobytes()

    buffer = DicomBytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def _detector(view: View, evidence: Evidence) -> Dataset:
    item = Dataset()
    item.CollimatorType = "PARA"
    item.FieldOfViewShape = "RECTANGLE"
    if (evidence, view) in _CODES:
        item.ViewCodeSequence = Sequence([_code(*_CODES[evidence, view])])
    return item


def _energy_window() -> Dataset:
    limits = Dataset()
    limits.EnergyWindowLowerLimit = 126.5
    limits.EnergyWindowUpperLimit = 154.6
    item = Dataset()
    item.EnergyWindowName = "Tc99m"
    item.EnergyWindowRangeSequence = Sequence([limits])
    return item


def _radiopharmaceutical() -> Dataset:
    item = Dataset()
    item.Radiopharmaceutical = "Tc-99m MDP"
    item.RadionuclideCodeSequence = Sequence(
        [_code("72454003", "SCT", "^99m^Technetium")]
    )
    return item


def _encode_wkentaro(
    image_name: str, polygons: list[np.ndarray], hw: tuple[int, int], reader: str
) -> str:
    """Returns the JSON of wkentaro's LabelMe."""
    shapes = [
        {
            "label": "metastasis",
            "points": np.round(polygon, 2).tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for polygon in polygons
    ]
    content = {
        "version": "5.4.1",
        "flags": {"SYNTHETIC": True},
        "shapes": shapes,
        "imagePath": image_name,
        "imageData": None,
        "imageHeight": hw[0],
        "imageWidth": hw[1],
    }
    return json.dumps(content, indent=1)


def _encode_mit(
    image_name: str, polygons: list[np.ndarray], hw: tuple[int, int], reader: str
) -> str:
    """Returns the XML of MIT's LabelMe 3.0."""
    objects = []
    for number, polygon in enumerate(polygons):
        points = "".join(
            f"<pt><x>{x:.1f}</x><y>{y:.1f}</y></pt>" for x, y in polygon.tolist()
        )
        objects.append(
            "<object><name>metastasis</name><deleted>0</deleted><verified>0</verified>"
            "<occluded>no</occluded><attributes></attributes><parts><hasparts></hasparts>"
            f"<ispartof></ispartof></parts><id>{number}</id><polygon>"
            f"<username>{escape(reader)}</username>{points}</polygon></object>\n"
        )
    return (
        f"<annotation><filename>{escape(image_name)}</filename>"
        "<folder>SYNTHETIC</folder><source><sourceImage>SYNTHETIC</sourceImage>"
        "<sourceAnnotation>LabelMe Webtool</sourceAnnotation></source>\n"
        f"{''.join(objects)}"
        f"<imagesize><nrows>{hw[0]}</nrows><ncols>{hw[1]}</ncols></imagesize>"
        "</annotation>\n"
    )


def _encode_truth(patient: SimulatedPatient, views: tuple[View, ...]) -> bytes:
    """Returns a compressed npz; masks are packed, eight columns to a byte."""
    arrays: dict[str, np.ndarray] = {"note": np.array("SYNTHETIC")}
    for view in views:
        truth = patient.views[view]
        arrays |= {
            f"{view}_thorax_box": np.array(truth.thorax_box, np.int32),
            f"{view}_lesion_masks": np.packbits(truth.lesion_masks, axis=-1),
            f"{view}_lesion_sites": np.array(truth.lesion_sites, str),
            f"{view}_bone_masks": np.packbits(truth.bone_masks, axis=-1),
            f"{view}_bone_names": np.array(truth.bone_names, str),
        }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
