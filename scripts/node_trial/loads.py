"""Studies to send: a few simulated patients, each again and again under other UIDs."""

import copy
import hashlib
import io
import pathlib
from collections.abc import Sequence

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ROOT_UID = "1.2.826.0.1.3680043.8.498."  # free for anyone through pydicom
_SHRINK = 4  # what no model looks at is sent at a sixteenth of the size


def read_patients(
    folder: pathlib.Path, *, patients: int = 2, small: bool = False
) -> list[list[pydicom.Dataset]]:
    """Returns simulated patients, each as the files of a study.

    Args:
        folder: written unless it is there.
        patients: how many are simulated; those of one file and of two alternate.
        small: whether the frames are shrunk, for models that look at none.
    """
    if not folder.exists():
        from spectjax.phantom import write_phantom

        write_phantom(folder, patients=patients, seed=3, processes=1)
    studies: dict[str, list[pydicom.Dataset]] = {}
    for path in sorted((folder / "dicom").glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        if small:
            _shrink(dataset)
        studies.setdefault(dataset.StudyInstanceUID, []).append(dataset)
    return list(studies.values())


def _shrink(dataset: pydicom.Dataset) -> None:
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    dataset.PixelData = frames[:, ::_SHRINK, ::_SHRINK].tobytes()
    dataset.Rows, dataset.Columns = frames[:, ::_SHRINK, ::_SHRINK].shape[1:]
    dataset.PixelSpacing = [x * _SHRINK for x in dataset.PixelSpacing]


def split_views(study: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """Returns a study of one file and two frames as two files of one."""
    files = []
    for dataset in study:
        frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
        for number, frame in enumerate(frames):
            part = copy.deepcopy(dataset)
            part.PixelData = frame.tobytes()
            part.NumberOfFrames = part.NumberOfDetectors = 1
            part.EnergyWindowVector = part.DetectorVector = [1]
            part.DetectorInformationSequence = [
                copy.deepcopy(dataset.DetectorInformationSequence[number])
            ]
            uid = generate_uid(ROOT_UID, [dataset.SOPInstanceUID, str(number)])
            _name(part, SOPInstanceUID=uid)
            files.append(part)
    return files


def make_study(
    patients: Sequence[Sequence[pydicom.Dataset]], entropy: str, number: int
) -> list[pydicom.Dataset]:
    """Returns one of the patients' studies as that of somebody else.

    The same `entropy` and `number` make the same study; every other one has other UIDs,
    another Patient ID and another corner pixel in each file.
    """
    files = []
    for position, original in enumerate(patients[number % len(patients)]):
        dataset = copy.deepcopy(original)
        names = [entropy, str(number)]
        _name(
            dataset,
            StudyInstanceUID=generate_uid(ROOT_UID, [*names, "study"]),
            SeriesInstanceUID=generate_uid(ROOT_UID, [*names, "series"]),
            SOPInstanceUID=generate_uid(ROOT_UID, [*names, "file", str(position)]),
            PatientID=f"T{number:05d}",
            PatientName=f"SYNTHETIC^T{number:05d}",
        )
        mark = np.uint16(number % 7 + 1).tobytes()
        dataset.PixelData = mark + dataset.PixelData[2:]
        files.append(dataset)
    return files


def _name(dataset: pydicom.Dataset, **elements: str) -> None:
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def forge(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """Returns other content under the same UID."""
    forged = copy.deepcopy(dataset)
    forged.ImageComments = "somebody else's"
    return forged


def encode(dataset: pydicom.Dataset) -> bytes:
    """Returns a data set without preamble and file meta, explicit little endian."""
    stream = io.BytesIO()
    bare = pydicom.Dataset(dataset)  # no file's: nothing of group 2 is written
    pydicom.dcmwrite(
        stream, bare, implicit_vr=False, little_endian=True, force_encoding=True
    )
    return stream.getvalue()


def digest(dataset: pydicom.Dataset) -> str:
    """Returns what tells one content from another, whoever encoded it."""
    return hashlib.sha256(encode(dataset)).hexdigest()


SYNTAX = ExplicitVRLittleEndian
