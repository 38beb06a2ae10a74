"""Whole-body bone scans from nuclear-medicine DICOM files.

A file is never trusted: what cannot be read with certainty is refused with one clear
line. The attributes are those of DICOM PS3.3 C.8.4. H is a frame's number of rows, W
its number of columns.
"""

import contextlib
import dataclasses
import datetime
import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from spectjax.imaging.dicom.file import looks_like_dicom, read_dicom
from spectjax.imaging.dicom.frames import choose_frames
from spectjax.imaging.dicom.pixels import describe_compression, read_counts
from spectjax.imaging.dicom.views import decide_views
from spectjax.imaging.dicom.whole_body import (
    check_proportions,
    check_whole_body,
    describe_doubts,
)
from spectjax.imaging.folders import BROKEN_LINK, walk_files
from spectjax.imaging.identity import Identity, compute_pseudonym, identify
from spectjax.imaging.scan import (
    BodyPart,
    BoneScan,
    DuplicateScanError,
    ScanError,
    UnreadableFileError,
    View,
    naming,
)
from spectjax.system.limits import SPACING_MM
from spectjax.system.messages import make_printable

# Some cameras scan lines of another height than the pixels are wide; 2 is known.
_MAX_SPACING_RATIO = 4


def read_bone_scans(
    path: str | os.PathLike[str],
    *,
    view: View | None = None,
    region: BodyPart | None = None,
) -> list[BoneScan]:
    """Reads all views of a whole-body file, one scan for each detector.

    Of several energy windows the one with the photopeak of technetium-99m is kept
    (`dicom.frames`). For the view, the strongest evidence counts: View Code Sequence,
    then GE's private label, then the words of Image ID and of the descriptions, then,
    each with a warning, an X-ray projection as View Code and the start angle of the
    detector (`spectjax.imaging.dicom.views`). `view` is that of the first frame that is
    kept, whatever the file says; a second frame is then the opposite view. `region` is
    what the images show by a person's word; None: the whole body, and the header has to
    say so.

    Returns:
        One or two scans, in the order of their frames.

    Raises:
        UnreadableFileError: not a DICOM file, damaged, or no decoder can read it.
        NotWholeBodyError: a DICOM file of another kind.
        UnknownViewError: evidence for the view is missing or contradictory.
        EmptyImageError: a view without any count.
    """
    return read_with_scans(path, view=view, region=region)[1]


def read_with_scans(
    path: str | os.PathLike[str],
    *,
    view: View | None = None,
    region: BodyPart | None = None,
) -> tuple[Dataset, list[BoneScan]]:
    """Reads a file once, for those who need the rest of it beside its views.

    Returns:
        The data set with its pixels, and what `read_bone_scans` returns.
    """
    path = Path(path)
    if view not in (None, "anterior", "posterior"):
        raise ValueError(f"Expected anterior or posterior as view, got {view!r}.")
    with collect_warnings() as caught:
        try:
            dataset = read_dicom(path)
            with naming(path):
                scans = _read_scans(path, dataset, view, region)
        except ScanError:
            raise
        except Exception as error:
            # pydicom decodes an element when it is first touched; a damaged one can
            # raise almost anything, from struct.error to RecursionError.
            raise UnreadableFileError(
                f"{path}: expected a DICOM file, found damaged contents "
                f"({str(error)[:200]}). Export the file again."
            ) from error
    remarks = tuple(dict.fromkeys(_without_values(w.message) for w in caught))
    return dataset, [dataclasses.replace(s, notes=s.notes + remarks) for s in scans]


def read_identity(path: Path) -> Identity | None:
    """Returns whose file it is; what is wrong with it, reading it will tell."""
    try:
        with collect_warnings():
            return identify(read_dicom(path))
    except MemoryError:
        raise
    except Exception:
        return None


def find_bone_scans(
    paths: Sequence[str | os.PathLike[str]], *, view: View | None = None
) -> tuple[list[BoneScan], list[ScanError]]:
    """Reads the scans of files and folders, and lists what could not be read.

    Returns:
        The scans, in the order of paths; and the errors: those of `find_dicom_files`,
        one for each file that is damaged or of another kind, and one for each frame
        that is a duplicate, with the same SOP Instance UID as in an earlier file.
    """
    scans: list[BoneScan] = []
    first_files: dict[str, Path] = {}
    files, errors = find_dicom_files(paths)
    for path in files:
        try:
            found = read_bone_scans(path, view=view)
        except ScanError as error:
            errors.append(error)
            continue
        for scan in found:
            try:
                check_first(scan, first_files)
            except DuplicateScanError as error:
                errors.append(error)
            else:
                scans.append(scan)
    return scans, errors


def check_first(scan: BoneScan, first_files: dict[str, Path]) -> None:
    """Raises a DuplicateScanError if an earlier file holds the same image."""
    first = first_files.setdefault(scan.image_key, scan.path)
    if first is not scan.path:
        raise DuplicateScanError(
            f"{scan.path}: frame {scan.frame + 1} is the same image (SOP Instance UID "
            f"or pixels) as in {first} and is left out. Keep one of the files."
        )


def find_dicom_files(
    paths: Sequence[str | os.PathLike[str]],
) -> tuple[list[Path], list[ScanError]]:
    """Lists the files that `find_bone_scans` reads, without reading them.

    Folders are searched to their depth and symbolic links are followed. In them a file
    counts as DICOM if it has the DICOM mark or the suffix `.dcm`, or begins with an
    element that opens data sets; anything else, DICOMDIR and hidden files are passed
    over.

    Returns:
        The files, each once, in the order of paths and names; and one error for each
        path that does not exist and each folder that cannot be read or has no DICOM
        file.
    """
    files: dict[Path, Path] = {}
    errors: list[ScanError] = []

    def report(error: OSError) -> None:
        kind = "file or folder" if error.strerror == BROKEN_LINK else "folder"
        text = f"{error.filename}: expected a readable {kind}, found: {error.strerror}."
        errors.append(UnreadableFileError(text))

    for path in map(Path, paths):
        if os.path.isdir(path):  # unlike pathlib's, it never raises
            everything = list(walk_files(path, report))
            dicom = [file for file in everything if looks_like_dicom(file)]
            if not dicom:
                text = (
                    f"{path}: expected DICOM files in this folder, found none among "
                    f"{len(everything)} files. Name the right folder."
                )
                errors.append(UnreadableFileError(text))
            for file in dicom:
                files.setdefault(file.resolve(), file)
        elif os.path.exists(path):
            files.setdefault(path.resolve(), path)
        else:
            text = f"{path}: expected a file or folder, found nothing. Check the path."
            errors.append(UnreadableFileError(text))
    return list(files.values()), errors


def _read_scans(
    path: Path, dataset: Dataset, view: View | None, region: BodyPart | None
) -> list[BoneScan]:
    check_whole_body(dataset, region)
    frames, window_note = choose_frames(dataset)
    claims = decide_views(dataset, frames, view)

    identity = identify(dataset)
    instance = str(dataset.get("SOPInstanceUID") or "")
    if identity is None or not instance:
        raise UnreadableFileError(
            f"expected a Patient ID and a SOP Instance UID, found "
            f"{'no Patient ID' if instance else 'no SOP Instance UID'}: the file "
            "cannot be told from others. Give it pseudonyms instead of nothing."
        )
    spacing_mm, spacing_note = _read_spacing(dataset)
    notes = [window_note, spacing_note, describe_compression(dataset)]
    notes += describe_doubts(dataset)

    scans = []
    for (frame, _), claim in zip(frames, claims, strict=True):
        counts, count_note = read_counts(dataset, frame)
        scans.append(
            BoneScan(
                counts=counts,
                view=claim.view,
                view_evidence=claim.evidence,
                spacing_mm=spacing_mm,
                path=path,
                frame=frame,
                patient_key=identity.patient,
                patient_evidence=identity.evidence,
                image_key=compute_pseudonym("image", instance, str(frame)),
                synthetic=_is_synthetic(dataset),
                notes=tuple(note for note in (*notes, count_note) if note),
                study_key=identity.study,
                identity=identity,
                camera=_read_camera(dataset),
                region=region or "whole_body",
                day=_read_day(dataset),
            )
        )
    check_proportions(dataset)
    return scans


def _read_spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, str | None]:
    """Returns (row, column) spacing in mm, or None and a note that it is unknown.

    Unknown is what is absent, empty or, as some write it, zero. Anything else is a
    statement, and one that cannot be true casts doubt on the rest of the header.
    """
    try:
        element = dataset.get("PixelSpacing")
    except ValueError:  # no number
        element = "text"
    values = list(element) if isinstance(element, MultiValue) else [element]
    if all(value in (None, "") or value == 0 for value in values):
        return None, "no usable Pixel Spacing"
    low, high = SPACING_MM
    try:
        row, column = map(float, values)
        is_possible = all(low <= value <= high for value in (row, column))
        is_possible &= max(row, column) <= _MAX_SPACING_RATIO * min(row, column)
    except (TypeError, ValueError):
        is_possible = False
    if not is_possible:
        found = ", ".join(str(value)[:20] for value in values[:3])
        raise UnreadableFileError(
            f"expected as Pixel Spacing two numbers from {low:g} to {high:g} "
            f"mm, one at most {_MAX_SPACING_RATIO} times the other, found {found}: no "
            "camera has such pixels. Correct the header, or export the file again."
        )
    return (row, column), None


def _read_day(dataset: Dataset) -> datetime.date | None:
    """Returns the day of the study, else of the image; None if neither is a date.

    It says nothing of the image: whatever is wrong with it, the scan is read.
    """
    for keyword in ("StudyDate", "AcquisitionDate"):
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            digits = re.sub(r"\D", "", str(dataset.get(keyword)))
            return datetime.date.fromisoformat(digits)
    return None


def _read_camera(dataset: Dataset) -> str:
    """Returns manufacturer and model of the camera, one line; "" if unknown."""
    words = (dataset.get("Manufacturer"), dataset.get("ManufacturerModelName"))
    return make_printable(" ".join(str(word).strip() for word in words if word))[:64]


def _is_synthetic(dataset: Dataset) -> bool:
    texts = (str(dataset.get(k) or "") for k in ("ImageComments", "PatientName"))
    is_named = any(text.upper().startswith("SYNTHETIC") for text in texts)
    return is_named or str(dataset.get("SyntheticData")).strip().upper() == "YES"


@contextlib.contextmanager
def collect_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Keeps warnings and logs off the user's terminal, and hands over the warnings."""
    # Decoders log a traceback of each failure, which is raised as well.
    level = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    finally:
        logging.disable(level)


def _without_values(message: Warning | str) -> str:
    """Returns the opening of a warning: what follows may quote an element's value."""
    return re.split(r"[:'\"(]", str(message))[0].strip()
