"""A bone scan in memory, and the reasons why a file is none.

H is a frame's number of rows, W its number of columns.
"""

import contextlib
import dataclasses
import datetime
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spectjax.imaging.canvas import CANVAS_HW as CANVAS_HW
from spectjax.imaging.crop_decision import CropDecision
from spectjax.imaging.identity import Identity, PatientEvidence
from spectjax.system.messages import UserError, make_printable

View = Literal["anterior", "posterior"]
BodyPart = Literal["whole_body", "thorax", "chest_half"]

# As words of a sentence.
REGIONS: dict[BodyPart, str] = {
    "whole_body": "whole body",
    "thorax": "thorax",
    "chest_half": "chest half",
}
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


class ScanError(UserError):
    """A file that is no bone scan; the text is one line that starts with its path."""


class UnreadableFileError(ScanError):
    """Of another format, truncated, or with pixels that cannot be decoded."""


class NotWholeBodyError(ScanError):
    """A DICOM file of another kind, such as CT or a static nuclear-medicine image."""


class UnclearKindError(NotWholeBodyError):
    """A file that may be one all the same: its header says too little or too much."""


class EmptyImageError(ScanError):
    """No pixel holds a count."""


class UnknownViewError(ScanError):
    """No evidence tells anterior from posterior, or the evidence contradicts itself."""


class DuplicateScanError(ScanError):
    """The same frame of the same SOP instance as in another file."""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the path before the text of a `ScanError` that is raised in the block."""
    try:
        yield
    except ScanError as error:
        raise type(error)(f"{path}: {error}") from error


@dataclasses.dataclass(frozen=True)
class BoneScan:
    """One view of one whole-body bone scan, without any identifier of the patient.

    Attributes:
        counts: counts per pixel, float32, (H, W), not negative, rescale tags applied.
            Posterior views are as recorded: mirror images of anterior ones.
        view: "anterior" or "posterior".
        view_evidence: the attribute of the file that says so, or "images.csv".
        spacing_mm: distance between rows and between columns; None if unknown.
        path: the file.
        frame: zero-based index in the file; 0 for a picture.
        patient_key: 16 hexadecimal digits, the same for all files that name a patient
            alike: a pseudonym of `spectjax.imaging.identity`.
        patient_evidence: what it is made of. By study, two studies of one patient look
            like two patients.
        image_key: 16 hexadecimal digits of SOP Instance UID and frame, or of a
            picture's pixels, keyed alike.
        synthetic: the file says SYNTHETIC, as those of the phantom do.
        notes: other facts worth knowing, e.g. "3 negative values set to 0".
        study_key: 16 hexadecimal digits of the Study Instance UID, keyed alike: tells a
            patient's examinations apart. None if the file states none.
        identity: what the file says of patient and study, to be compared with other
            files by `spectjax.imaging.patients`; None if nobody asked the file.
        crop_decision: what a person decided about the crop; None if nobody did.
        camera: manufacturer and model, as the file says; empty if it does not.
        region: the part of the body that the image shows, by a person's word if it is
            not the whole body: there is nothing to crop then.
        day: of the study, by the file, to be compared with another's and not to be
            written anywhere; None if it states none.
    """

    counts: np.ndarray
    view: View
    view_evidence: str
    spacing_mm: tuple[float, float] | None
    path: Path
    frame: int
    patient_key: str
    patient_evidence: PatientEvidence
    image_key: str
    synthetic: bool
    notes: tuple[str, ...] = ()
    study_key: str | None = None
    identity: Identity | None = dataclasses.field(default=None, repr=False)
    crop_decision: CropDecision | None = None
    camera: str = ""
    region: BodyPart = "whole_body"
    day: datetime.date | None = dataclasses.field(default=None, repr=False)

    @property
    def title(self) -> str:
        """File and view, one printable line for its picture."""
        return f"{make_printable(self.path.name)}: {self.view} view"

    def to_json(self) -> dict[str, Any]:
        """Returns what every document says of where its image comes from."""
        return {
            "file": make_printable(self.path.name),
            "frame": self.frame,
            "image_key": self.image_key,
            "view": self.view,
            "view_evidence": self.view_evidence,
            "region": self.region,
            "spacing_mm": self.spacing_mm,
            "frame_hw": self.counts.shape,
            "synthetic": self.synthetic,
            "notes": self.notes,
        }

    @property
    def name(self) -> str:
        """`<file stem>_<view>`: names outputs and matches annotations."""
        return f"{find_stem(self.path)}_{self.view}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the view or the counts, and what is not known; a line each.

        They belong wherever something is said of the scan.
        """
        found = list(self.notes)
        if self.has_weak_view:
            evidence = self.view_evidence.removeprefix("WARNING: ")
            found.insert(0, f"{self.view} by weak evidence: {evidence}")
        if self.spacing_mm is None and not any("pacing" in note for note in found):
            found.append("the size of a pixel is not known")
        if self.region != "whole_body":
            found.append(f"a {REGIONS[self.region]} by a person's word: not cropped")
        return tuple(found)

    @property
    def shows_counts(self) -> bool:
        """Whether its values are counts, as far as its file tells."""
        return not any("grey values" in note for note in self.notes)

    @property
    def has_weak_view(self) -> bool:
        """Whether the evidence for the view is weak, or some contradicts it."""
        return "WARNING" in self.view_evidence or "; but " in self.view_evidence


def name_files(scans: Iterable[BoneScan]) -> str:
    """Returns the names of an examination's files, one printable line."""
    return ", ".join(dict.fromkeys(make_printable(scan.path.name) for scan in scans))


def find_stem(path: Path) -> str:
    """Returns a file's name without a known suffix: 1.2.840 may be a UID."""
    is_suffix = path.suffix.lower() in DICOM_SUFFIXES + PICTURE_SUFFIXES
    return path.stem if is_suffix else path.name
