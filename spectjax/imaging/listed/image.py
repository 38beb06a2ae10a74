"""One row of an image table, read: the view, and what is outlined in it."""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spectjax.imaging.annotations.consensus import translate_words
from spectjax.imaging.annotations.labelme import Annotation, AnnotationError
from spectjax.imaging.annotations.masks import decode_mask
from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.annotations.voc import read_boxes
from spectjax.imaging.crop_decision import CropDecision, OfFile, attach
from spectjax.imaging.diagnosis import (
    METASTASIS,
    NORMAL,
    OUTSIDE_SPINE,
    SITE_WORDS,
    SPINAL,
)
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.identity import compute_pseudonym, identify_by_id
from spectjax.imaging.listed.pictures import read_picture
from spectjax.imaging.scan import (
    PICTURE_SUFFIXES,
    BoneScan,
    ScanError,
    UnknownViewError,
    View,
)
from spectjax.system.limits import PICTURE_BYTES, read_limited
from spectjax.system.messages import UserError

# Lesions fill a few hundredths of a picture; a mask of more than half is a negative.
_MAX_SHARE_OF_MASK = 0.5


@dataclasses.dataclass(frozen=True)
class ImageRow:
    """One row of an image table.

    Attributes:
        table: path of the table.
        number: of the row, as a spreadsheet counts; the names of columns are row 1.
        file: a picture, or else a DICOM file.
        patient: the hospital's word for the patient; may be empty for DICOM.
        view: None only if a DICOM file is to tell it.
        diagnosis: one of `DIAGNOSES`; None if the row states none.
        mask: a PNG of the picture's size, nonzero in lesions; None without one.
        boxes: Pascal VOC XML; None without one.
        spacing_mm: distance between rows and between columns; None if unknown.
        inverted: whether hot is dark; None if the background is to tell it.
        crop: what is decided about the crop; None if the row says nothing of it.
    """

    table: Path
    number: int
    file: Path
    patient: str = dataclasses.field(repr=False)
    view: View | None
    diagnosis: str | None
    mask: Path | None
    boxes: Path | None
    spacing_mm: tuple[float, float] | None
    inverted: bool | None
    crop: CropDecision | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the row names."""
        return tuple(p for p in (self.file, self.mask, self.boxes) if p is not None)


@dataclasses.dataclass(frozen=True)
class ListedImage:
    """One row of an image table with its image.

    Attributes:
        scan: the view; a picture's grey values as counts, which `scan.notes` says.
        annotation: what mask or boxes outline, in our words; without regions if the row
            says "normal"; None if nothing is known of outlines.
        mask_evidence: "mask picture", "boxes", or "none" if the row names neither.
        diagnosis: what the row states, one of `DIAGNOSES`, or None.
    """

    scan: BoneScan
    annotation: Annotation | None
    mask_evidence: str
    diagnosis: str | None


def read_listed_image(
    row: ImageRow, words: Mapping[str, str], crops: OfFile | None = None
) -> ListedImage:
    """Reads the image of a row, and its mask or boxes.

    Args:
        row: from `read_image_table`.
        words: from `read_words`, for the names of objects in boxes.
        crops: what crops.csv decides about the file, from `read_crops`.

    Raises:
        ScanError: the image cannot be used, or is not what the row says.
        AnnotationError: mask or boxes cannot be used, do not fit the image, or
            contradict the row's label.
    """
    try:
        scan = dataclasses.replace(_read_scan(row), crop_decision=row.crop)
        is_picture = row.file.suffix.lower() in PICTURE_SUFFIXES
        (scan,) = attach([scan], crops or {}, whole=is_picture)
        annotation, evidence = _read_outlines(row, scan, words)
        if annotation is not None:
            _check_agreement(row, annotation)
    except (ScanError, AnnotationError) as error:
        raise type(error)(f"{error} ({row.table.name}, row {row.number})") from error
    return ListedImage(scan, annotation, evidence, row.diagnosis)


def _read_scan(row: ImageRow) -> BoneScan:
    if row.file.suffix.lower() not in PICTURE_SUFFIXES:
        return _read_dicom(row)
    if row.view is None:
        raise ValueError(f"{row.file}: expected a row with a view, got None.")
    picture = read_picture(row.file, inverted=row.inverted)
    identity = identify_by_id(row.patient)
    return BoneScan(
        counts=picture.counts,
        view=row.view,
        view_evidence=row.table.name,
        spacing_mm=row.spacing_mm,
        path=row.file,
        frame=0,
        patient_key=identity.patient,
        patient_evidence="Patient ID",
        image_key=compute_pseudonym("image", "picture", picture.content),
        synthetic=picture.synthetic,
        notes=picture.notes,
        identity=identity,
    )


def _read_dicom(row: ImageRow) -> BoneScan:
    """Returns the view of a DICOM file that a row means."""
    try:
        scans = read_bone_scans(row.file)
    except UnknownViewError:
        if row.view is None:
            raise
        scans = read_bone_scans(row.file, view=row.view)
        if len(scans) > 1:
            raise
        scans = [dataclasses.replace(scans[0], view_evidence=row.table.name)]
    kept = [scan for scan in scans if row.view in (None, scan.view)]
    if len(kept) != 1:
        found = " and ".join(f"{scan.view} by {scan.view_evidence}" for scan in scans)
        raise UnknownViewError(
            f"{row.file}: expected one view, {row.view or 'as the file says'}, found "
            f"{found}. State the right one in the row."
        )
    scan = kept[0]
    if row.patient:
        scan = _name_patient(row, scan)
    if row.spacing_mm is not None:
        if scan.spacing_mm and not np.allclose(row.spacing_mm, scan.spacing_mm, 0.01):
            raise ScanError(
                f"{row.file}: expected pixels of {row.spacing_mm[0]:g} mm, found "
                f"{scan.spacing_mm[0]:g} in the file. Leave spacing_mm empty."
            )
        scan = dataclasses.replace(scan, spacing_mm=scan.spacing_mm or row.spacing_mm)
    return scan


def _name_patient(row: ImageRow, scan: BoneScan) -> BoneScan:
    """Returns a scan with the row's patient where the file has no Patient ID."""
    named, stored = identify_by_id(row.patient), scan.identity
    if stored is None or stored.patient_id is None:
        identity = dataclasses.replace(
            stored or named,
            patient=named.patient,
            evidence="Patient ID",
            patient_id=named.patient_id,
        )
        return dataclasses.replace(
            scan,
            patient_key=identity.patient,
            patient_evidence=identity.evidence,
            identity=identity,
        )
    if stored.patient_id != named.patient_id:
        raise ScanError(
            f"{row.file}: expected the patient of the row, found another Patient ID in "
            "the file. Leave the row's patient empty: the file knows better."
        )
    return scan


def _read_outlines(
    row: ImageRow, scan: BoneScan, words: Mapping[str, str]
) -> tuple[Annotation | None, str]:
    """Returns what the row's mask or boxes outline, and which of them it was."""
    hw = scan.counts.shape
    if row.mask is not None:
        regions, path, evidence = (
            _read_mask(row.mask, row.diagnosis, hw),
            row.mask,
            "mask picture",
        )
    elif row.boxes is not None:
        regions, path, evidence = read_boxes(row.boxes, hw), row.boxes, "boxes"
    elif row.diagnosis == NORMAL:
        regions, path, evidence = (), row.table, "none"
    else:
        return None, "none"
    annotation = Annotation(path, row.table.name, scan.name, hw, regions)
    annotation = translate_words(annotation, words)
    labels = sorted({region.label for region in annotation.regions})
    unknown = [label for label in labels if label not in SITE_WORDS]
    if unknown:
        raise AnnotationError(
            f"{path}: expected objects called {', '.join(SITE_WORDS)}, found "
            f"{', '.join(map(repr, unknown))}. Say in words.csv (columns word,label) "
            "what that means; an empty label means that they are ignored."
        )
    return annotation, evidence


def _read_mask(
    path: Path, diagnosis: str | None, image_hw: tuple[int, int]
) -> tuple[Region, ...]:
    """Returns one region of all pixels of a mask that are set, or none."""
    contents = read_limited(path, PICTURE_BYTES, error=AnnotationError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mask = decode_mask(contents, image_hw)
    except UserError as error:
        raise AnnotationError(
            f"{path}: {error}. Save the mask in the size of the picture."
        ) from error
    if diagnosis is None and not mask.any():
        raise AnnotationError(
            f"{path}: expected a mask of lesions, found no pixel set and no label in "
            "the row. State the label; 'normal' if there is no lesion."
        )
    if mask.mean() > _MAX_SHARE_OF_MASK:
        raise AnnotationError(
            f"{path}: expected a mask that is black but for lesions, found "
            f"{mask.mean():.0%} of it set. Invert it, or remove its background."
        )
    label = diagnosis if diagnosis in SITE_WORDS else METASTASIS
    return (Region(label, None, mask),) if mask.any() else ()


def _check_agreement(row: ImageRow, annotation: Annotation) -> None:
    """Refuses outlines that contradict the row's label."""
    labels = {region.label for region in annotation.regions}
    found = ""
    if row.diagnosis == NORMAL and labels:
        found = "outlined lesions"
    elif row.diagnosis not in (NORMAL, None) and not labels:
        found = "no outlined lesion"
    elif {row.diagnosis, *labels} >= {SPINAL, OUTSIDE_SPINE}:
        if row.diagnosis in (SPINAL, OUTSIDE_SPINE):
            found = f"lesions called {', '.join(sorted(labels))}"
    if found:
        raise AnnotationError(
            f"{annotation.path}: expected outlines of {row.diagnosis!r}, as the row's "
            f"label says, found {found}. Correct the label or the outlines."
        )
