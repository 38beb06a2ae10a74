"""One thorax image with its lesions and its origin: what the data set is made of."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spectjax.imaging.annotations.consensus import Readings
from spectjax.imaging.annotations.labelme import Annotation
from spectjax.imaging.crop_decision import CropDecision
from spectjax.imaging.diagnosis import label_diagnosis
from spectjax.imaging.geometry import GeometricCopy
from spectjax.imaging.hotspots import bound_mask
from spectjax.imaging.identity import Identity
from spectjax.imaging.listed.image import ImageRow
from spectjax.imaging.scan import View

VIEWS = ("anterior", "posterior")
LESION_CLASSES = ("metastasis",)
OUTLINES, MASK_PICTURE, BOXES, NO_EVIDENCE = "outlines", "mask picture", "boxes", "none"
MASK_EVIDENCE = (OUTLINES, MASK_PICTURE, BOXES, NO_EVIDENCE)
ORIGINAL = GeometricCopy()


@dataclass(frozen=True)
class SourceFile:
    """A file with images, and what other files say about them.

    Attributes:
        path: a DICOM file or a picture.
        annotations: what readers outlined, by the name of the image, in our words.
        row: what images.csv says; None if it does not list the file.
        words: our words for a hospital's, of words.csv.
        crops: what crops.csv decides about its crops, by view.
    """

    path: Path
    annotations: Mapping[str, tuple[Annotation, ...]] = field(default_factory=dict)
    row: ImageRow | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    crops: Mapping[View | None, CropDecision] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where an original comes from: enough to read it again in another process.

    Attributes:
        file: the file.
        name: which of its images, `<DICOM stem>_<view>`.
    """

    file: SourceFile
    name: str


@dataclass(frozen=True)
class ThoraxExample:
    """An original image of a patient's thorax, or a moved copy of one.

    It is one of the whole body if its data set is one of whole frames.

    Attributes:
        counts: uint16, (H, W): `CANVAS_HW`, of a whole body `FRAME_HW`.
        lesions: 0 where there is none, k + 1 on the pixels of lesion k, uint16, (H, W).
            Lesions are connected components, so no two overlap.
        labels: class of each lesion.
        diagnosis: what the image shows, one of `DIAGNOSES`.
        mask_evidence: where the lesions come from, one of `MASK_EVIDENCE`.
        patient: pseudonym of the patient.
        view: "anterior" or "posterior".
        spacing_mm: (row, column) size of a pixel, None if unknown.
        crop_box: (y0, x0, y1, x1) of the thorax in the whole-body frame.
        frame_hw: rows and columns of the whole-body frame.
        source: pseudonym of the whole-body image.
        synthetic: whether the patient is simulated.
        copy: how the image was moved; an original was not.
        copy_number: counts the copies of an original from 0; None for an original.
        place: where it was read; None if it was not.
        warnings: reasons to doubt view or counts, as `BoneScan.warnings` has them, and
            what a person decided about the crop.
        weak_view: whether the evidence for the view is weak.
        identity: what its file says of the patient; None if it was not read.
        crop_by_hand: what a person did about the crop, as `ThoraxImage.by_hand`.
        camera: as `BoneScan.camera` has it.
        region: what the image shows, as `ThoraxImage.region`.
        readings: how its readers agree; None if nobody outlined it by hand.
    """

    counts: np.ndarray
    lesions: np.ndarray
    labels: tuple[str, ...]
    diagnosis: str
    mask_evidence: str
    patient: str
    view: str
    spacing_mm: tuple[float, float] | None
    crop_box: tuple[int, int, int, int]
    frame_hw: tuple[int, int]
    source: str
    synthetic: bool
    copy: GeometricCopy = ORIGINAL
    copy_number: int | None = None
    place: Place | None = None
    warnings: tuple[str, ...] = ()
    weak_view: bool = False
    identity: Identity | None = None
    crop_by_hand: str = ""
    camera: str = ""
    region: str = "whole_body"
    readings: Readings | None = None

    @property
    def example_id(self) -> str:
        """A key that is the same in every preparation and identifies nobody."""
        number = "" if self.copy_number is None else f"_copy{self.copy_number:02d}"
        return f"{self.patient}_{self.view}_{self.source[:8]}{number}"

    @property
    def name(self) -> str:
        """What its own folder calls it; its example id if it was not read from one."""
        return self.place.name if self.place else self.example_id

    @property
    def masks(self) -> np.ndarray:
        """One mask per lesion, bool, (T, H, W)."""
        return self.lesions == np.arange(1, len(self.labels) + 1)[:, None, None]

    @property
    def boxes(self) -> np.ndarray:
        """The tightest box (y0, x0, y1, x1) around each lesion, float32, (T, 4)."""
        boxes = [bound_mask(mask) for mask in self.masks]
        return np.array(boxes, np.float32).reshape(-1, 4)


def encode_example(
    example: ThoraxExample, fold: int, *, normalised: bool = False
) -> dict[str, Any]:
    """Returns an example as the data set's features.

    Args:
        example: an original or a copy.
        fold: of its patient.
        normalised: whether its counts are scaled to [0, 1], as in [P2]'s D2.
    """
    image = scale_counts(example.counts) if normalised else example.counts
    spacing_mm = example.spacing_mm or (np.nan, np.nan)
    return {
        "image": image[..., None],
        "label": label_diagnosis(example.diagnosis),
        "diagnosis": example.diagnosis,
        "mask": (example.lesions > 0).astype(np.uint8),
        "mask_evidence": example.mask_evidence,
        "instance_masks": example.masks.astype(np.uint8),
        "instance_boxes": example.boxes,
        "instance_labels": list(example.labels),
        "example_id": example.example_id,
        "patient": example.patient,
        "view": example.view,
        "spacing_mm": np.array(spacing_mm, np.float32),
        "crop_box": np.array(example.crop_box, np.int32),
        "frame_hw": np.array(example.frame_hw, np.int32),
        "source": example.source,
        "copy": asdict(example.copy),
        "fold": fold,
        "synthetic": example.synthetic,
    }


def scale_counts(counts: np.ndarray) -> np.ndarray:
    """Returns (counts - min) / (max - min) of one image, float32, in [0, 1].

    [P2] names min-max normalisation and not its order among the steps. Here it is the
    last, so that every stored image spans [0, 1], copies too. An image of one value
    becomes 0.
    """
    low, high = float(counts.min()), float(counts.max())
    return (counts.astype(np.float32) - low) / np.float32(max(high - low, 1.0))
