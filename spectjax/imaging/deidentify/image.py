"""One whole-body file without its patient, verified before anyone may keep it."""

import dataclasses
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, NuclearMedicineImageStorage

from spectjax.imaging.deidentify.attributes import (
    Tally,
    clean_attributes,
    collect_identity,
)
from spectjax.imaging.deidentify.profile import EDITION, Profile
from spectjax.imaging.dicom.frames import choose_frames, read_vector
from spectjax.imaging.dicom.pixels import LOSSY, decode_frame
from spectjax.imaging.dicom.reading import read_bone_scans, read_with_scans
from spectjax.imaging.dicom.views import VIEW_CODES, make_code
from spectjax.imaging.identity import compute_pseudonym
from spectjax.imaging.scan import BoneScan, ScanError, View, naming
from spectjax.system.files import write_file
from spectjax.system.messages import UserError

_BASIC_PROFILE = ("113100", "DCM", "Basic Application Confidentiality Profile")


class RefusedError(UserError):
    """A file that may not go out; the text tells nothing of what the file holds."""


@dataclasses.dataclass(frozen=True)
class CleanImage:
    """A file that may go out.

    Attributes:
        stem: file name without suffix, two pseudonyms: patient's and image's.
        instance: the second.
        content: the DICOM file.
        scans: the views as read from the original.
        tally: what was done to its attributes.
        warnings: what a person should look at.
    """

    stem: str
    instance: str
    content: bytes
    scans: list[BoneScan]
    tally: Tally
    warnings: list[str]


def clean_image(
    path: Path,
    profile: Profile,
    patients: Mapping[str, str],
    *,
    view: View | None,
    allow_burned_in: bool,
) -> CleanImage:
    """Returns a file without its patient; frames, views and spacing are the same.

    The view is decided first and written as View Code Sequence, since what else tells
    it is removed. Pixels are written uncompressed: the comments that compressed frames
    may hold and bits above Bits Stored stay behind. `patients` has the patient's
    pseudonym for each that a file gives; `view` is as in `read_bone_scans`;
    `allow_burned_in` takes files that may show text in their pixels.

    Raises:
        ScanError: as `read_bone_scans`.
        RefusedError: text may be burned in, or the result is not the same image.
        WriteError: if the system's folder for temporary files is full.
    """
    dataset, scans = read_with_scans(path, view=view)
    patient = patients.get(scans[0].patient_key)
    if patient is None:
        raise RefusedError("it was replaced while the folder was read: run again")
    warnings = _check_burned_in(dataset, allow_burned_in)
    if any(scan.view_evidence.startswith("WARNING") for scan in scans):
        warnings.append("the view rests on weak evidence: compare with the picture")

    count = int(dataset.get("NumberOfFrames") or 1)
    with naming(path):
        detectors = dict(choose_frames(dataset)[0])
        frames = np.stack([decode_frame(dataset, i) for i in range(count)])
    views = {detectors[scan.frame]: scan.view for scan in scans}
    if dataset.file_meta.TransferSyntaxUID in LOSSY:
        dataset.LossyImageCompression = "01"
    vectors = arrange_frames(dataset, views, count)
    del dataset.PixelData  # decoded above

    tally = Tally()
    identity = collect_identity(dataset, profile)
    cleaned = clean_attributes(dataset, profile, identity, tally)
    _write_identity(cleaned, patient, synthetic=scans[0].synthetic)
    for keyword, value in vectors.items():
        setattr(cleaned, keyword, value)
    _write_pixels(cleaned, frames, dataset)
    content = _encode(cleaned)
    _verify(content, scans)
    instance = compute_pseudonym("instance", str(dataset.SOPInstanceUID))
    stem = f"{patient}_{instance}"
    return CleanImage(stem, instance, content, scans, tally, warnings)


def _check_burned_in(dataset: Dataset, allow_burned_in: bool) -> list[str]:
    stated = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    is_capture = dataset.get("SOPClassUID") != NuclearMedicineImageStorage
    if (stated == "YES" or is_capture) and not allow_burned_in:
        raise RefusedError(
            "a capture, not stored as an NM image: its pixels may show text"
            if is_capture
            else "Burned In Annotation is YES: its pixels may show text"
        )
    if stated == "NO" and not is_capture:
        return []
    return ["text may be burned into the pixels: look at the picture"]


def arrange_frames(
    dataset: Dataset, views: dict[int, View], count: int
) -> dict[str, object]:
    """Puts the items of detectors and windows in order, with a View Code for each view.

    Changes the data set. `views` are those of the detectors whose frames are used.

    Returns:
        The elements that say which frame belongs to which item.
    """
    detectors = read_vector(dataset, "DetectorVector") or [1] * count
    windows = read_vector(dataset, "EnergyWindowVector") or [1] * count
    # An item of an unused detector keeps its own code, if it has one.
    items = _sort_items(dataset, "DetectorInformationSequence", detectors)
    for detector, item in items.items():
        if detector in views:
            item.ViewCodeSequence = [make_code(*VIEW_CODES["sct", views[detector]])]
    if "ViewCodeSequence" in dataset:  # belongs into the items
        del dataset.ViewCodeSequence
    _sort_items(dataset, "EnergyWindowInformationSequence", windows)
    return {
        "FrameIncrementPointer": [0x00540010, 0x00540020],
        "EnergyWindowVector": [sorted(set(windows)).index(w) + 1 for w in windows],
        "NumberOfEnergyWindows": len(set(windows)),
        "DetectorVector": [sorted(set(detectors)).index(d) + 1 for d in detectors],
        "NumberOfDetectors": len(set(detectors)),
    }


def _sort_items(
    dataset: Dataset, keyword: str, numbers: list[int]
) -> dict[int, Dataset]:
    """Leaves one item for each number that a frame has, and returns them by it."""
    present = list(dataset.get(keyword) or ())
    items = {
        number: present[number - 1] if 1 <= number <= len(present) else Dataset()
        for number in sorted(set(numbers))
    }
    setattr(dataset, keyword, list(items.values()))
    return items


def _write_identity(cleaned: Dataset, key: str, *, synthetic: bool) -> None:
    # A person knows a phantom by this word; Image Comments are gone.
    cleaned.PatientName = f"SYNTHETIC^{key}" if synthetic else key
    if synthetic:
        cleaned.SyntheticData = "YES"
    cleaned.PatientID = key
    cleaned.SpecificCharacterSet = "ISO_IR 192"
    cleaned.PatientIdentityRemoved = "YES"
    cleaned.DeidentificationMethod = f"spectjax, PS3.15 {EDITION} Basic Profile"
    cleaned.DeidentificationMethodCodeSequence = [make_code(*_BASIC_PROFILE)]
    cleaned.LongitudinalTemporalInformationModified = "REMOVED"


def _write_pixels(cleaned: Dataset, frames: np.ndarray, dataset: Dataset) -> None:
    """Writes frames (F, H, W), and what the header says of them, from themselves."""
    allocated, stored_bits = dataset.BitsAllocated, dataset.BitsStored
    if allocated not in (8, 16, 32) or not 1 <= stored_bits <= allocated:
        raise RefusedError("pixels are not of 8, 16 or 32 bits")
    is_signed = bool(dataset.PixelRepresentation)
    stored = frames.astype(f"<{'i' if is_signed else 'u'}{allocated // 8}")
    if not np.array_equal(stored, frames):
        raise RefusedError("pixels do not fit the bits that the file states")
    cleaned.SamplesPerPixel = 1
    cleaned.PhotometricInterpretation = "MONOCHROME2"
    cleaned.NumberOfFrames, cleaned.Rows, cleaned.Columns = frames.shape
    cleaned.BitsAllocated, cleaned.BitsStored = allocated, stored_bits
    cleaned.HighBit = stored_bits - 1
    cleaned.PixelRepresentation = int(is_signed)
    total = int(frames.sum(dtype=np.int64))
    is_count = "RescaleSlope" not in dataset and 0 <= total < 2**31
    cleaned.CountsAccumulated = total if is_count else None
    pixels = stored.tobytes()
    cleaned.PixelData = pixels + bytes(len(pixels) % 2)
    cleaned["PixelData"].VR = "OB" if allocated == 8 else "OW"


def _encode(cleaned: Dataset) -> bytes:
    """Returns a DICOM file with a header of its own, its preamble zero."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(cleaned.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = UID(cleaned.SOPInstanceUID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    cleaned.file_meta = meta
    buffer = io.BytesIO()
    cleaned.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _verify(content: bytes, scans: list[BoneScan]) -> None:
    """Reads the new file as a user would and compares."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.dcm")
        write_file(path, content)
        try:
            found = read_bone_scans(path)
        except ScanError:
            raise RefusedError("it could not be read afterwards") from None
    for name, is_same in {
        "views": [s.view for s in found] == [s.view for s in scans],
        "frames": [s.frame for s in found] == [s.frame for s in scans],
        "spacing": all(map(_is_close, found, scans)),
        "synthetic mark": [s.synthetic for s in found] == [s.synthetic for s in scans],
        "view code": all(s.view_evidence.startswith("View Code") for s in found),
    }.items():
        if not is_same:
            raise RefusedError(f"the {name} would not be the same afterwards")
    if not all(
        np.array_equal(a.counts, b.counts) for a, b in zip(found, scans, strict=True)
    ):
        raise RefusedError("the counts would not be the same afterwards")


def _is_close(one: BoneScan, other: BoneScan) -> bool:
    """Compares spacings; a decimal string of DICOM holds 14 digits of them."""
    if one.spacing_mm is None or other.spacing_mm is None:
        return one.spacing_mm == other.spacing_mm
    return bool(np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-12, atol=0))
