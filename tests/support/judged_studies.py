"""Studies that conform, in every layout of sources and results, for the judges.

The sources are the phantom's. What a model says of them is made up, so that every pixel
of it is known.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from spectjax.bones.found import FoundBones
from spectjax.bones.regions import draw_regions
from spectjax.dicom_results import DicomResults
from spectjax.imaging.canvas import FRAME_HW
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import BoneScan, View
from spectjax.inference.bones import add_bones
from spectjax.phantom import SimulatedPatient, simulate_patient
from spectjax.phantom.files import encode_dicom
from spectjax.phantom.frames import Frame
from spectjax.tasks.views import ModelInfo, Reading
from tests.support.dicom_studies import DESCRIBE, WEIGHTS, see

_MEMBERS = [WEIGHTS | {"parameters_sha256": f"{i:064x}"} for i in range(5)]
BOTH = ("anterior", "posterior")
FRAME = Frame((512, 128), 4.7)
BOX, CANVAS = (60, 24, 180, 104), (128, 96)  # of the crop, and what the model sees
# Where a camera states it: rows run to the patient's left or right, columns down.
ORIENTATIONS = {"anterior": [1, 0, 0, 0, 0, -1], "posterior": [-1, 0, 0, 0, 0, -1]}


def _mask(*slices: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros(FRAME.hw, bool)
    for rows_columns in slices:
        mask[rows_columns] = True
    return mask


# All on one side. The first has a hole and two parts that touch at a corner, the second
# is a single pixel.
RING = _mask(np.s_[80:90, 30:40], np.s_[90:94, 40:44])
RING[84:86, 34:36] = False
PIXEL = _mask(np.s_[120:121, 50:51])
BLOCK = _mask(np.s_[86:96, 36:48])  # overlaps the ring


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a study is stored, and what a model says of it.

    Attributes:
        files: the views of each file.
        edit: changes the header of each.
        masks: what is marked in each view.
        kind: of model, see `dicom_studies.see`.
        flags: of the crop.
        passed_over: sentences on what could not be used.
        info: where the model comes from.
        in_doubt: regions of the skeleton that are in doubt, if bones are looked for.
        whole_body: whether the model looks at the whole frame.
    """

    files: tuple[tuple[str, ...], ...] = (BOTH,)
    edit: Callable[[Dataset], None] = lambda dataset: None
    masks: tuple[np.ndarray, ...] = (RING, PIXEL)
    kind: str = "regions"
    flags: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    info: ModelInfo = dataclasses.field(default_factory=lambda: WEIGHTS)
    in_doubt: tuple[str, ...] | None = None
    whole_body: bool = False


@dataclasses.dataclass(frozen=True)
class Study:
    """A study's files, what was said of it, and the results by file name."""

    sources: list[pathlib.Path]
    reading: Reading
    results: dict[str, pathlib.Path]


def orient(dataset: Dataset) -> None:
    """States the orientation of each detector, as some cameras do."""
    for item in dataset.DetectorInformationSequence:
        item.ImageOrientationPatient = ORIENTATIONS[_view_of(item)]
        item.ImagePositionPatient = [0, 0, 0]


def _view_of(detector: Dataset) -> str:
    return detector.ViewCodeSequence[0].CodeMeaning.lower()


def _name_really(dataset: Dataset) -> None:
    """Says that it is a patient's, of a name that ASCII does not have."""
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientID = "Müller^Jürgen", "4711"
    dataset.StudyDescription = dataset.SeriesDescription = "Ganzkörper, Knochen"
    dataset.Manufacturer = "Camera"
    del dataset.SyntheticData, dataset.ImageComments


def make_capture(dataset: Dataset) -> None:
    """Makes it what export programs make of a scan: a Secondary Capture."""
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.ConversionType = "WSD"
    dataset.PatientOrientation = ["L", "F"]
    view = _view_of(dataset.DetectorInformationSequence[0])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[view])
    dataset.SeriesDescription = f"SYNTHETIC WHOLE BODY {view.upper()}"
    for element in list(dataset):
        if element.tag.group in (0x0018, 0x0054) and element.keyword not in (
            "BodyPartExamined",
            "ConversionType",
        ):
            del dataset[element.tag]
    for keyword in (
        "NumberOfFrames",
        "FrameIncrementPointer",
        "FrameOfReferenceUID",
        "PositionReferenceIndicator",
    ):
        del dataset[keyword]


def _leave_out(dataset: Dataset) -> None:
    """Leaves out what a file need not say, and empties what it may not leave out."""
    for keyword in ("StudyDescription", "SeriesDescription", "PatientAge"):
        del dataset[keyword]
    for keyword in ("SeriesDate", "AcquisitionDate", "ContentDate", "SeriesTime"):
        del dataset[keyword]
    for keyword in ("AcquisitionTime", "ContentTime", "PatientSize", "PatientWeight"):
        del dataset[keyword]
    dataset.StudyDate = dataset.StudyTime = dataset.PatientSex = ""
    dataset.StudyID = dataset.Manufacturer = ""


def _forget_spacing(dataset: Dataset) -> None:
    dataset.PixelSpacing = None


ONE_EACH = (("anterior",), ("posterior",))
LAYOUTS = {
    "one file, two frames": Layout(),
    "posterior first": Layout(files=(BOTH[::-1],)),
    "two files": Layout(files=ONE_EACH),
    "one view": Layout(files=(("posterior",),)),
    "a patient": Layout(edit=_name_really),
    "capture": Layout(files=ONE_EACH, edit=make_capture),
    "no spacing": Layout(edit=_forget_spacing),
    "little said": Layout(edit=_leave_out),
    "oriented": Layout(edit=orient),
    "no hotspot": Layout(masks=()),
    "instances that overlap": Layout(masks=(RING, BLOCK), kind="instances"),
    "ensemble": Layout(info={"ensemble": "mean of probabilities", "members": _MEMBERS}),
    "classifier": Layout(masks=(), kind="class"),
    "bones": Layout(in_doubt=(), whole_body=True),
    "bones in doubt": Layout(in_doubt=("thoracic spine", "left ribs")),
    "in doubt": Layout(
        flags=("feet outside",), passed_over=("/a/b.dcm: damaged, passed over.",)
    ),
}


@dataclasses.dataclass(frozen=True)
class _TrueBones:
    """Knows the bones of the phantom, and doubts some of them."""

    flags: Mapping[str, str]

    def find(self, scans: Mapping[View, BoneScan]) -> dict[View, FoundBones]:
        found = {}
        for view in scans:
            truth = _simulate(FRAME).views[view]
            regions = draw_regions(truth.bone_masks, truth.bone_names, view)
            found[view] = FoundBones(regions, self.flags, "the phantom")
        return found


@functools.cache
def _simulate(frame: Frame | None) -> SimulatedPatient:
    return simulate_patient(3, frame=frame)


def write_sources(
    folder: pathlib.Path, layout: Layout, frame: Frame = FRAME
) -> list[pathlib.Path]:
    """Writes the files of a study."""
    patient = _simulate(frame)
    paths = []
    for number, views in enumerate(layout.files, 1):
        path = folder / f"scan{number}.dcm"
        content = encode_dicom("P0001", patient, views, "sct", (folder.name,), number)
        path.write_bytes(content)
        dataset = pydicom.dcmread(path)
        layout.edit(dataset)
        dataset.save_as(path)
        paths.append(path)
    return paths


def write_phantoms(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Writes a file of every kind that the phantom does: views, evidence, camera."""
    stated = {"IssuerOfPatientID": "site", "ManufacturerModelName": "coarse"}
    files = itertools.product(
        (None, FRAME),
        (BOTH, BOTH[::-1], BOTH[:1], BOTH[1:]),
        ("sct", "srt", "ge letter", "ge word"),
        ({}, stated),
    )
    for number, (frame, views, evidence, more) in enumerate(files):
        if len(views) == 1 or not evidence.startswith("ge"):  # as in `slots.Layout`
            patient = _simulate(frame)
            path = folder / f"{number}.dcm"
            path.write_bytes(
                encode_dicom(
                    "P1", patient, views, evidence, (str(number),), stated=more
                )
            )
            yield path


def write_study(
    folder: pathlib.Path,
    layout: Layout,
    sources: list[pathlib.Path] | None = None,
    **place: Any,
) -> Study:
    """Writes the files of a study, unless given, and all results of it.

    `place` is where the model sees the views, see `dicom_studies.see`.
    """
    folder.mkdir(exist_ok=True)
    paths = sources or write_sources(folder, layout)
    where = {"box": BOX, "canvas": CANVAS}
    if layout.whole_body:
        where = {"box": (0, 0, *FRAME.hw), "canvas": FRAME_HW}
    place = where | place
    views = [
        see(scan, layout.masks, kind=layout.kind, flags=layout.flags, **place)
        for path in paths
        for scan in read_bone_scans(path)
    ]
    findings = DESCRIBE[layout.kind](views, layout.info)
    reading = Reading(list(zip(views, findings, strict=True)), layout.passed_over)
    product = DicomResults(folder / "results", pdf=True, gsps=True)
    problems = Problems(folder / "problems")
    if layout.in_doubt is not None:
        finder = _TrueBones(dict.fromkeys(layout.in_doubt, "two methods disagree"))
        placed, burden = add_bones(list(reading.views), finder, problems)
        reading = Reading(placed, layout.passed_over, burden)
    product.begin(layout.kind, layout.info)
    product.write(reading, problems)
    product.finish()
    assert not problems.recent, problems.recent
    results = {path.name: path for path in sorted((folder / "results").glob("*/*.dcm"))}
    return Study(paths, reading, results)
