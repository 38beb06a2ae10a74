"""What all results have alike, and the UIDs that follow from their contents."""

import hashlib
import io
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.uid import UID

import spectjax
from spectjax.dicom_results.subject import Study, make_uid
from spectjax.imaging.dicom.views import make_code, make_item
from spectjax.imaging.dicom.whole_body import MAKER

RESEARCH = "RESEARCH ONLY - NOT FOR CLINICAL USE"
PLACEHOLDER = UID("2.25.0")  # until the contents are known
_SERIES_WORDS = 64


def stamp(result: Dataset, study: Study, description: str) -> None:
    """Adds what every result says: that it is research, by which weights, and when.

    Its times are the study's `moment`, so that equal results are equal bytes.
    """
    result.SeriesDescription = f"{description[: _SERIES_WORDS - 9]} RESEARCH"
    result.ContentQualification = "RESEARCH"  # SOP Common, type 3: of any object
    result.SpecificCharacterSet = "ISO_IR 192"
    if "BodyPartExamined" not in result and result.Modality != "SR":
        # It has no sides: of another part a Laterality would be asked for.
        result.BodyPartExamined = "WHOLEBODY"
    if study.synthetic:
        result.SyntheticData = "YES"
    header = study.first.header.dataset
    if "TimezoneOffsetFromUTC" in header:
        result.TimezoneOffsetFromUTC = header.TimezoneOffsetFromUTC
    # IHE AI Results: each algorithm in Contributing Equipment.
    equipment = make_item(
        PurposeOfReferenceCodeSequence=[
            make_code("109102", "DCM", "Processing Equipment")
        ],
        Manufacturer=MAKER,
        ManufacturerModelName=study.model.name,
        SoftwareVersions=spectjax.__version__,
        DeviceUID=study.model.uid,
        ContributionDescription=RESEARCH,
    )
    before = list(result.get("ContributingEquipmentSequence") or ())
    result.ContributingEquipmentSequence = [*before, equipment]
    _set_moment(result, *study.moment)
    classes = {file.SOPInstanceUID: file.SOPClassUID for file in study.files}
    for item in _list_items(result):
        if item.get("ReferencedSOPInstanceUID") in classes:
            item.ReferencedSOPClassUID = classes[item.ReferencedSOPInstanceUID]


def _list_items(dataset: Dataset) -> Iterator[Dataset]:
    """Yields a dataset and all items in it, to any depth."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _list_items(item)


def _set_moment(result: Dataset, date: str, time: str) -> None:
    """Puts one moment in place of the clock's, which highdicom writes."""
    for element in list(result):
        if element.keyword in _DATES:
            element.value = date
        elif element.keyword in _TIMES:
            element.value = time
    for item in result.ContributingEquipmentSequence:
        if "ContributionDateTime" in item:
            item.ContributionDateTime = date + time


_DATES = (
    "ContentDate",
    "InstanceCreationDate",
    "PresentationCreationDate",
    "DateOfSecondaryCapture",
)
_TIMES = (
    "ContentTime",
    "InstanceCreationTime",
    "PresentationCreationTime",
    "TimeOfSecondaryCapture",
)


def encode(result: Dataset) -> bytes:
    """Returns a result as a file, with the UIDs that its contents give it.

    An archive keeps what it knows under a UID and throws away what comes later: so the
    same UID must mean the same bytes. Its instance and its series, of which it is the
    only instance, are named by the digest of the file with `PLACEHOLDER` for both.
    """
    digest = hashlib.sha256(_write(result, PLACEHOLDER, PLACEHOLDER)).hexdigest()
    return _write(result, make_uid("instance", digest), make_uid("series", digest))


def _write(result: Dataset, instance: UID, series: UID) -> bytes:
    result.SOPInstanceUID, result.SeriesInstanceUID = instance, series
    result.file_meta.MediaStorageSOPInstanceUID = instance
    stream = io.BytesIO()
    result.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
