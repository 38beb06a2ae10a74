"""What a result takes over of its scan's file: whose it is, of which study, and when.

A header is never trusted: what identifies is taken as it stands or refused, what only
describes is left out where DICOM does not allow it, and nothing else is taken.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.charset import python_encoding
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import NuclearMedicineImageStorage
from pydicom.valuerep import validate_value

from spectjax.imaging.dicom.file import looks_like_dicom, read_dicom
from spectjax.imaging.dicom.reading import collect_warnings
from spectjax.imaging.dicom.views import make_code
from spectjax.imaging.identity import compute_pseudonym, fold_text
from spectjax.imaging.scan import PICTURE_SUFFIXES, BoneScan, ScanError

# Without one of them a result cannot be filed with its scan.
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
# Identify: another value, or none in place of one, would be another patient's or order.
_NAMING = ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber")
# Of the patient and study modules what is not free text about the patient.
_DESCRIBING = (
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "LongitudinalTemporalInformationModified",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "StudyDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "TimezoneOffsetFromUTC",
)
# Say which image it is, and of what size.
PLACE = (
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
    "Modality",
    "Rows",
    "Columns",
    "NumberOfFrames",
)
_CODES = ("ProcedureCodeSequence", "DeidentificationMethodCodeSequence")
_CODE_PARTS = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
# Type 2: there, and empty where nothing is known.
_NEVER_ABSENT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_MOMENTS = ("Acquisition", "Series", "Study", "Content")
NO_MOMENT = ("19000101", "000000")  # of a scan without any date: type 1 takes no gap
_MOST_CODES = 32
_MOST_LETTERS = 64  # of LO, and of each group of PN
_UID = re.compile(r"[0-9.]{1,64}")
_UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Header:
    """What results take over of a file.

    Attributes:
        dataset: patient, study, what identifies series and instance, size in pixels.
        study_key: names the study's folder, 16 hexadecimal digits.
        orientation: cosines of rows and columns that viewers take for the file's.
        rescale: slope and intercept of the counts over the stored values.
        moment: date and time of the scan, as DICOM writes them.
        notes: what of the header is not taken over, a sentence each.
    """

    dataset: Dataset
    study_key: str
    orientation: tuple[float, ...]
    rescale: tuple[float, float]
    moment: tuple[str, str]
    notes: tuple[str, ...]

    def sort_key(self, scan: BoneScan) -> tuple[str, str, int]:
        """Returns what puts the file's views in order, the anterior ones first."""
        return scan.view, str(self.dataset.SOPInstanceUID), scan.frame

    @property
    def n_frames(self) -> int:
        """Number of frames of the file."""
        return int(self.dataset.get("NumberOfFrames") or 1)


def read_header(scan: BoneScan) -> Header:
    """Reads what results of a scan take over of its file.

    Raises:
        ScanError: if it is a picture, if it is not the file any more that the scan is
            from, or if it does not say whose it is in a way that DICOM allows.
    """
    path = scan.path
    if path.suffix.lower() in PICTURE_SUFFIXES and not looks_like_dicom(path):
        raise ScanError(
            f"{path}: expected a DICOM file, to whose study DICOM results belong, "
            "found a picture: no DICOM result is written for it, only JSON and PNG. "
            "Give the DICOM file that it was made of."
        )
    with collect_warnings():
        dataset = read_dicom(path)
        instance = _read(dataset, "SOPInstanceUID")
        if compute_pseudonym("image", str(instance), str(scan.frame)) != scan.image_key:
            raise ScanError(
                f"{path}: expected the file that was read a moment ago, found another. "
                "Wait until it is copied, then run the command again."
            )
        return _take_over(path, dataset)


def match(header: Header, first: Header, path: Path) -> Header:
    """Returns the header of another file of a study, with notes on what differs.

    Results have patient and study of the first file, so that they agree.

    Raises:
        ScanError: if it is another study.
    """
    if header.dataset.StudyInstanceUID != first.dataset.StudyInstanceUID:
        raise _refuse(path, "StudyInstanceUID", "that of the other views", "another")
    differing = [
        f"{_name(keyword)} is that of the study's first file, which differs."
        for keyword in _NAMING + _DESCRIBING
        if header.dataset.get(keyword) != first.dataset.get(keyword)
    ]
    return dataclasses.replace(header, notes=(*header.notes, *differing))


def _take_over(path: Path, source: Dataset) -> Header:
    header, notes = Dataset(), []
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _UIDS:
        value = str(_read(source, keyword) or "")
        if not _UID.fullmatch(value):
            raise _refuse(path, keyword, "one UID", "none" if not value else "no UID")
        setattr(header, keyword, value)
    for keyword in _NAMING + _DESCRIBING:
        fault = _find_fault(source, keyword)
        if fault and keyword in _NAMING:
            expected = f"one text of at most {_MOST_LETTERS} letters"
            raise _refuse(path, keyword, expected, fault)
        if fault:
            notes.append(f"{_name(keyword)} is left out: {fault}.")
        elif keyword in source and str(source[keyword].value or ""):
            setattr(header, keyword, str(source[keyword].value))
    for keyword in _CODES:
        if codes := list(_read_codes(source, keyword)):
            setattr(header, keyword, codes)
    for keyword in _NEVER_ABSENT:
        if keyword not in header:
            setattr(header, keyword, None)
    header.SOPClassUID = str(
        _read(source, "SOPClassUID")
        or source.file_meta.get("MediaStorageSOPClassUID")
        or NuclearMedicineImageStorage
    )
    header.Modality = "NM" if _read(source, "Modality") == "NM" else "OT"
    header.Rows, header.Columns = int(source.Rows), int(source.Columns)
    if header.SOPClassUID == NuclearMedicineImageStorage or "NumberOfFrames" in source:
        header.NumberOfFrames = int(source.get("NumberOfFrames") or 1)
    if not (header.PatientName or header.PatientID):
        notes.append("neither Patient's Name nor Patient ID is stated, as in the file.")
    if not _states_letters(source) and not str(header).isascii():
        notes.append(
            "The file does not state a known character set: letters that are not "
            "ASCII, as in a name, are read as Latin-1."
        )
    return Header(
        header,
        compute_pseudonym("study", fold_text(header.StudyInstanceUID)),
        _read_orientation(source),
        (
            float(_read(source, "RescaleSlope") or 1),
            float(_read(source, "RescaleIntercept") or 0),
        ),
        _read_moment(source),
        tuple(notes),
    )


def _refuse(path: Path, keyword: str, expected: str, found: str) -> ScanError:
    return ScanError(
        f"{path}: expected {expected} as {_name(keyword)}, found {found}: no DICOM "
        "result can be filed with this scan, and none is written. Correct the header."
    )


def _name(keyword: str) -> str:
    return pydicom.datadict.dictionary_description(keyword)


def _read(dataset: Dataset, keyword: str) -> Any:
    """Returns a value; None where there is none or it cannot be decoded."""
    try:
        return dataset.get(keyword)
    except Exception:  # almost anything, of a damaged element
        return None


def _states_letters(dataset: Dataset) -> bool:
    """Tells whether a file says how its texts are to be read, in words of DICOM."""
    stated = _read(dataset, "SpecificCharacterSet") or ()
    stated = [stated] if isinstance(stated, str) else stated
    return any(stated) and all(not each or each in python_encoding for each in stated)


def _find_fault(dataset: Dataset, keyword: str) -> str:
    """Returns why DICOM does not allow an element's value; empty if it does.

    An order's number may be longer than its kind allows, if another kind has room for
    it: so some hospitals number their orders, and so their archive knows them.
    """
    try:
        if keyword not in dataset:
            return ""
        element = dataset[keyword]
        if dictionary_VR(keyword) != element.VR:
            return f"a value of type {element.VR}"
        if element.VM > 1:
            return f"{element.VM} values"
        text = str(element.value or "")
        if keyword == "PatientSex" and text not in ("", "M", "F", "O"):
            return "another word than M, F and O"
        if keyword not in _NAMING:
            validate_value(element.VR, text, RAISE)
    except Exception:  # almost anything, of a damaged element
        return "a value that is damaged"
    groups = text.split("=") if element.VR == "PN" else [text]
    longest = max(map(len, groups))
    if longest > _MOST_LETTERS or len(groups) > 3:
        return f"{len(text)} letters"
    is_plain = text.isprintable() and "\ufffd" not in text and "\\" not in text
    return "" if is_plain else "letters that cannot be written"


def _read_codes(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    """Yields the items of a code sequence that are whole."""
    for item in list(_read(dataset, keyword) or ())[:_MOST_CODES]:
        faults = [_find_fault(item, part) for part in _CODE_PARTS]
        if not any(faults) and all(_read(item, part) for part in _CODE_PARTS):
            yield make_code(*(str(item[part].value) for part in _CODE_PARTS))


def _read_moment(dataset: Dataset) -> tuple[str, str]:
    """Returns when the scan was made, to the second."""
    for what in _MOMENTS:
        date, time = f"{what}Date", f"{what}Time"
        if _read(dataset, date) and not _find_fault(dataset, date):
            text = "" if _find_fault(dataset, time) else str(_read(dataset, time) or "")
            return str(dataset[date].value), text.partition(".")[0].ljust(6, "0")
    return NO_MOMENT


def _read_orientation(dataset: Dataset) -> tuple[float, ...]:
    """Returns the cosines that OHIF 3.13 takes for the file's; else upright ones.

    They are the image's, else, of a file of several frames alone, the first detector's.
    """
    detectors: Sequence[Dataset] = list(
        _read(dataset, "DetectorInformationSequence") or ()
    )
    several = (_read(dataset, "NumberOfFrames") or 1) > 1
    for place in (dataset, *detectors[:several]):
        try:
            row = tuple(float(x) for x in place.get("ImageOrientationPatient") or ())
        except (TypeError, ValueError):
            continue
        if len(row) == 6 and _is_orthonormal(row):
            return row
    return _UPRIGHT


def _is_orthonormal(cosines: tuple[float, ...]) -> bool:
    axes = np.reshape(cosines, (2, 3))
    return bool(np.allclose(axes @ axes.T, np.eye(2), atol=1e-2))
