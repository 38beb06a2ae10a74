"""One row of an image table, read: the view, and what is outlined in it."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from spectjax.imaging.annotations.labelme import Annotation, AnnotationError
from spectjax.imaging.crop_decision import CropDecision, OfFile, attach
from spectjax.imaging.dicom.reading import read_bone_scans, read_identity
from spectjax.imaging.identity import Identity, compute_pseudonym, identify_by_id
from spectjax.imaging.listed.outlines import check_agreement, read_outlines
from spectjax.imaging.listed.pictures import (
    UnknownPolarityError,
    is_dark_hot,
    read_picture,
)
from spectjax.imaging.scan import (
    PICTURE_SUFFIXES,
    REGIONS,
    BodyPart,
    BoneScan,
    ScanError,
    UnknownViewError,
    View,
)


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
        region: what the image shows; None if the row does not say it: the whole body.
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
    region: BodyPart | None = None

    @property
    def is_picture(self) -> bool:
        """Whether the file is no DICOM file."""
        return self.file.suffix.lower() in PICTURE_SUFFIXES

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
    scan = read_listed_scan(row, crops)
    with _naming_row(row):
        annotation, evidence = read_outlines(row, scan, words)
        if annotation is not None:
            check_agreement(row, annotation)
    return ListedImage(scan, annotation, evidence, row.diagnosis)


def read_listed_scan(row: ImageRow, crops: OfFile | None = None) -> BoneScan:
    """Reads the image of a row; arguments as of `read_listed_image`.

    Raises:
        ScanError: the image cannot be used, or is not what the row says.
    """
    with _naming_row(row):
        scan = dataclasses.replace(_read_scan(row), crop_decision=row.crop)
        (scan,) = attach([scan], crops or {}, whole=row.is_picture)
        return scan


def identify_row(row: ImageRow) -> Identity | None:
    """Returns whose image a row is; None if reading it will tell what is wrong."""
    if row.is_picture:
        return identify_by_id(row.patient)
    stored = read_identity(row.file)
    with contextlib.suppress(ScanError):
        return _name_patient(row, stored) if row.patient else stored
    return None


@contextlib.contextmanager
def _naming_row(row: ImageRow) -> Iterator[None]:
    """Puts the row behind the text of an error that is raised in the block."""
    try:
        yield
    except (ScanError, AnnotationError) as error:
        raise type(error)(f"{error} ({row.table.name}, row {row.number})") from error


def _read_scan(row: ImageRow) -> BoneScan:
    if not row.is_picture:
        return _read_dicom(row)
    if row.view is None:
        raise ValueError(f"{row.file}: expected a row with a view, got None.")
    return read_view_of_picture(
        row.file,
        row.view,
        view_evidence=row.table.name,
        identity=identify_by_id(row.patient),
        spacing_mm=row.spacing_mm,
        inverted=row.inverted,
        region=row.region or "whole_body",
    )


def read_view_of_picture(
    path: Path,
    view: View,
    *,
    view_evidence: str,
    identity: Identity,
    spacing_mm: tuple[float, float] | None,
    region: BodyPart,
    inverted: bool | None = None,
) -> BoneScan:
    """Reads a picture of which somebody said all that it does not say itself.

    Raises:
        ScanError: the picture cannot be used.
    """
    picture = read_picture(path, inverted=inverted, region=region)
    return BoneScan(
        counts=picture.counts,
        view=view,
        view_evidence=view_evidence,
        spacing_mm=spacing_mm,
        path=path,
        frame=0,
        patient_key=identity.patient,
        patient_evidence=identity.evidence,
        image_key=compute_pseudonym("image", "picture", picture.content),
        synthetic=picture.synthetic,
        notes=picture.notes,
        identity=identity,
        region=region,
    )


def _read_dicom(row: ImageRow) -> BoneScan:
    """Returns the view of a DICOM file that a row means."""
    try:
        scans = read_bone_scans(row.file, region=row.region)
    except UnknownViewError:
        if row.view is None:
            raise
        scans = read_bone_scans(row.file, view=row.view, region=row.region)
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
        identity = _name_patient(row, scan.identity)
        scan = dataclasses.replace(
            scan,
            patient_key=identity.patient,
            patient_evidence=identity.evidence,
            identity=identity,
        )
    return check_stated(scan, row.spacing_mm, row.region)


def check_stated(
    scan: BoneScan, spacing_mm: tuple[float, float] | None, region: BodyPart | None
) -> BoneScan:
    """Returns a view of a DICOM file with the size of pixels that somebody stated.

    Raises:
        ScanError: if the file says another, or if the image that somebody says to be a
            `region` has the bright background of one on which hot is dark.
    """
    if region is not None:
        with contextlib.suppress(UnknownPolarityError):
            if is_dark_hot(scan.counts, region):
                raise ScanError(
                    f"{scan.path}: expected a {REGIONS[region]} on which hot is "
                    "bright, found the bright background of one on which hot is dark. "
                    "Save it as PNG, and state 'inverted' in images.csv, or "
                    "--inverted."
                )
    if spacing_mm is None:
        return scan
    if scan.spacing_mm and not np.allclose(spacing_mm, scan.spacing_mm, 0.01):
        raise ScanError(
            f"{scan.path}: expected pixels of {spacing_mm[0]:g} mm, found "
            f"{scan.spacing_mm[0]:g} in the file. Leave spacing_mm empty."
        )
    return dataclasses.replace(scan, spacing_mm=scan.spacing_mm or spacing_mm)


def _name_patient(row: ImageRow, stored: Identity | None) -> Identity:
    """Returns an identity with the row's patient where the file has no Patient ID."""
    named = identify_by_id(row.patient)
    if stored is None or stored.patient_id is None:
        return dataclasses.replace(
            stored or named,
            patient=named.patient,
            evidence="Patient ID",
            patient_id=named.patient_id,
        )
    if stored.patient_id != named.patient_id:
        raise ScanError(
            f"{row.file}: expected the patient of the row, found another Patient ID in "
            "the file. Leave the row's patient empty: the file knows better."
        )
    return stored
