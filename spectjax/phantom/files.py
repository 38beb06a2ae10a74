"""Files of a simulated patient as a hospital would hand them over.

DICOM NM whole-body images (PS3.3 A.5, C.8.4), LabelMe outlines of three readers, and
the truth apart. Every file is a function of the seed: no clock, no host, no chance.
"""

import datetime
import io
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from xml.sax.saxutils import escape

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    NuclearMedicineImageStorage,
    generate_uid,
)

from spectjax.bones.regions import NAMES, draw_regions
from spectjax.imaging.annotations.labelme_json import encode_json
from spectjax.imaging.annotations.masks import encode_grey
from spectjax.imaging.diagnosis import METASTASIS
from spectjax.imaging.dicom.views import VIEW_CODES, make_code, make_item
from spectjax.imaging.scan import View
from spectjax.phantom.burden import Burden
from spectjax.phantom.cases import Case
from spectjax.phantom.patient import SimulatedPatient, SimulatedView
from spectjax.phantom.readers import READERS, Outline
from spectjax.phantom.slots import Evidence, Layout
from spectjax.phantom.tracer import Exam
from spectjax.system.files import write_file
from spectjax.system.messages import SYNTHETIC

ROOT_UID = "1.2.826.0.1.3680043.8.498."  # free for anyone through pydicom
_IMPLEMENTATION_UID = ROOT_UID + "1.20210101"
_GE_NAMES = {
    ("ge letter", "anterior"): "WHOLE BODY_E",
    ("ge letter", "posterior"): "WHOLE BODY_F",
    ("ge word", "anterior"): "WB BONE ANT",
    ("ge word", "posterior"): "WB BONE POS",
}
_SCAN_START = datetime.datetime(2020, 1, 1, 12)


def date_study(number: int) -> dict[str, str]:
    """Returns the dates of a patient's later study: half a year after each other."""
    date = _SCAN_START + datetime.timedelta(days=182 * number)
    keywords = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
    return dict.fromkeys(keywords, date.strftime("%Y%m%d"))


def write_patient(
    folder: pathlib.Path,
    name: str,
    case: Case,
    layout: Layout,
    identity: tuple[str, ...],
    stated: Mapping[str, str],
    *,
    whole: bool = False,
) -> None:
    """Writes dicom/, annotations/ and, last, truth/<name>.npz of one patient.

    `stated` are attributes of all its files, by keyword. If the whole frame counts,
    bones/ is written and the truth has the burden.
    """
    for number, (stem, views) in enumerate(_list_files(name, layout), 1):
        content = encode_dicom(
            name, case.patient, views, layout.evidence, identity, number, stated
        )
        write_file(folder / "dicom" / f"{stem}.dcm", content)
        for view in views:
            hw = case.patient.views[view].counts.shape
            for reader, outlines in zip(READERS, case.readings[view], strict=True):
                # The third reader works with MIT's LabelMe, the others with wkentaro's.
                suffix = "xml" if reader == READERS[-1] else "json"
                encode = _encode_mit if suffix == "xml" else _encode_wkentaro
                path = folder / "annotations" / reader / f"{stem}_{view}.{suffix}"
                write_file(path, encode(f"{stem}_{view}.png", outlines, hw, reader))
            if whole:
                png = _encode_bones(case.patient.views[view])
                write_file(folder / "bones" / f"{stem}_{view}.png", png)
    arrays = _list_truth(case, layout.views)
    if whole:
        arrays |= _list_burden(case.patient.burden)
    write_file(folder / "truth" / f"{name}.npz", _encode_truth(arrays))


def _encode_bones(shown: SimulatedView) -> bytes:
    """Returns a picture of a view's regions, their labels as of `draw_regions`."""
    regions = draw_regions(shown.bone_masks, shown.bone_names, shown.view)
    return encode_grey(regions, SYNTHETIC)


def _list_files(name: str, layout: Layout) -> list[tuple[str, tuple[View, ...]]]:
    """Returns the stem and the views of each DICOM file of a patient."""
    if layout.one_file:
        return [(name, layout.views)]
    return [(f"{name}_{view[0].upper()}", (view,)) for view in layout.views]


def encode_dicom(
    name: str,
    patient: SimulatedPatient,
    views: tuple[View, ...],
    evidence: Evidence,
    identity: tuple[str, ...],
    number: int = 1,
    stated: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Returns an NM whole-body file with one frame for each view, little endian.

    The name, "P0001", is the Patient ID; detector n saw the n-th of the views;
    `identity` makes the UIDs unique; `stated` has further attributes, by keyword.
    """
    frames = np.stack([patient.views[view].counts for view in views])
    entropy = ["spectjax phantom", *identity, name]
    file_meta = FileMetaDataset()
    file_meta.MediaStorageSOPClassUID = NuclearMedicineImageStorage
    file_meta.MediaStorageSOPInstanceUID = generate_uid(
        ROOT_UID, [*entropy, "instance", str(number)]
    )
    file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file_meta.ImplementationClassUID = UID(_IMPLEMENTATION_UID)
    file_meta.ImplementationVersionName = "SPECTJAX_PHANTOM"
    ds = FileDataset("", {}, file_meta=file_meta, preamble=bytes(128))

    ds.SyntheticData = "YES"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]
    ds.SOPClassUID = NuclearMedicineImageStorage
    ds.SOPInstanceUID = file_meta.MediaStorageSOPInstanceUID
    date, time = _SCAN_START.strftime("%Y%m%d"), _SCAN_START.strftime("%H%M%S")
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = time
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
    # Required, may be empty; Patient Position is not allowed beside it.
    ds.PatientOrientationCodeSequence = []
    ds.PatientGantryRelationshipCodeSequence = []
    ds.PatientSize = round(patient.size_m, 2)
    ds.PatientWeight = round(patient.weight_kg, 1)
    length_mm = round(frames.shape[1] * patient.spacing_mm)
    ds.ActualFrameDuration = round(1000 * length_mm / patient.exam.speed_mm_s)
    ds.ScanVelocity = round(patient.exam.speed_mm_s, 4)
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
    ds.BurnedInAnnotation = "NO"

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
    ds.EnergyWindowInformationSequence = [_energy_window()]
    ds.RadiopharmaceuticalInformationSequence = [_radiopharmaceutical(patient.exam)]
    ds.DetectorVector = list(range(1, len(views) + 1))
    ds.NumberOfDetectors = len(views)
    ds.DetectorInformationSequence = [_detector(view, evidence) for view in views]
    if evidence in ("ge letter", "ge word"):
        block = ds.private_block(0x0011, "GEMS_GENIE_1", create=True)
        block.add_new(0x12, "LO", _GE_NAMES[evidence, views[0]])
        block.add_new(0x30, "LO", _GE_NAMES[evidence, views[0]])
    for keyword, text in stated.items():
        setattr(ds, keyword, text)
    ds.PixelData = frames.astype("<u2").tobytes()

    buffer = DicomBytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _detector(view: View, evidence: Evidence) -> Dataset:
    item = make_item(CollimatorType="PARA", FieldOfViewShape="RECTANGLE")
    # Required, may be empty: without them GDCM ends the program that decodes the file.
    item.ImageOrientationPatient = item.ImagePositionPatient = None
    if (evidence, view) in VIEW_CODES:
        item.ViewCodeSequence = [make_code(*VIEW_CODES[evidence, view])]
    return item


def _energy_window() -> Dataset:
    limits = make_item(EnergyWindowLowerLimit=126.5, EnergyWindowUpperLimit=154.6)
    return make_item(EnergyWindowName="Tc99m", EnergyWindowRangeSequence=[limits])


def _radiopharmaceutical(exam: Exam) -> Dataset:
    injected = _SCAN_START - datetime.timedelta(hours=exam.hours)
    return make_item(
        RadiopharmaceuticalStartTime=injected.strftime("%H%M%S"),
        RadionuclideTotalDose=round(exam.activity_mbq, 1),  # MBq in NM (C.8.4.10)
        Radiopharmaceutical="Tc-99m MDP",
        RadionuclideCodeSequence=[make_code("72454006", "SCT", "^99m^Technetium")],
    )


def _encode_wkentaro(
    image_name: str, outlines: list[Outline], hw: tuple[int, int], reader: str
) -> str:
    """Returns the JSON of wkentaro's LabelMe."""
    shapes = [
        {
            "label": outline.word,
            "points": outline.polygon_xy.tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for outline in outlines
    ]
    return encode_json(image_name, hw, shapes, synthetic=True)


def _encode_mit(
    image_name: str, outlines: list[Outline], hw: tuple[int, int], reader: str
) -> str:
    """Returns the XML of MIT's LabelMe 3.0."""
    objects = []
    for number, outline in enumerate(outlines):
        points = "".join(
            f"<pt><x>{x:.1f}</x><y>{y:.1f}</y></pt>"
            for x, y in outline.polygon_xy.tolist()
        )
        objects.append(
            f"<object><name>{outline.word}</name><deleted>0</deleted>"
            "<verified>0</verified><occluded>no</occluded><attributes></attributes><parts><hasparts></hasparts>"
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


def _list_burden(burden: Burden) -> dict[str, np.ndarray]:
    """Returns the true index, percent, and the shares of regions that make it."""
    return {
        "burden_percent": np.array(burden.measure_index()),
        "burden_regions": np.array(NAMES, str),
        "burden_shares": burden.shares,
        "burden_lesion_shares": burden.lesion_shares,
    }


def _list_truth(case: Case, views: tuple[View, ...]) -> dict[str, np.ndarray]:
    """Returns the arrays of each view; masks are packed, eight columns to a byte."""
    arrays: dict[str, np.ndarray] = {"note": np.array("SYNTHETIC")}
    for view in views:
        truth = case.patient.views[view]
        benign = [spot for spot in truth.spots if spot.kind != METASTASIS]
        arrays |= {
            f"{view}_diagnosis": np.array(case.diagnoses[view]),
            f"{view}_thorax_box": np.array(truth.thorax_box, np.int32),
            f"{view}_lesion_masks": np.packbits(truth.lesion_masks, axis=-1),
            f"{view}_lesion_sites": np.array(truth.lesion_sites, str),
            f"{view}_bone_masks": np.packbits(truth.bone_masks, axis=-1),
            f"{view}_bone_names": np.array(truth.bone_names, str),
            f"{view}_benign_kinds": np.array([spot.kind for spot in benign], str),
            f"{view}_benign_sites": np.array([spot.site for spot in benign], str),
            f"{view}_benign_peaks": np.array(
                [spot.peak for spot in benign], np.int32
            ).reshape(-1, 2),
        }
    return arrays


def _encode_truth(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Returns a compressed npz."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
