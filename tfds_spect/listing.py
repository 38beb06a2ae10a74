"""What of a folder is read and what is not; the folder is known again by its content.

Not read are votes gone astray, rows that fail, and files of no use.
"""

import contextlib
import hashlib
import os
import pathlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spectjax.imaging.annotations.consensus import translate_words
from spectjax.imaging.annotations.files import (
    ANNOTATION_SUFFIXES,
    UnusedFile,
    find_annotations,
    list_candidates,
)
from spectjax.imaging.annotations.image_names import Claim, drop_image_suffix, fold_name
from spectjax.imaging.annotations.labelme import Annotation, AnnotationError
from spectjax.imaging.annotations.labelme_xml import list_mask_files
from spectjax.imaging.crop_decision import CropDecisions
from spectjax.imaging.dicom.reading import find_dicom_files
from spectjax.imaging.folders import walk_files
from spectjax.imaging.identity import compute_pseudonym
from spectjax.imaging.listed.crops import find_crop_table, list_idle, read_crops
from spectjax.imaging.listed.csv_table import ImageTableError
from spectjax.imaging.listed.image import ImageRow
from spectjax.imaging.listed.table import (
    drop_contradicted,
    find_image_table,
    read_image_table,
    read_words,
)
from spectjax.imaging.scan import DICOM_SUFFIXES, PICTURE_SUFFIXES
from tfds_spect.errors import PrepareError
from tfds_spect.example import SourceFile
from tfds_spect.skips import Skip

# To be raised when other examples are made of the same files: data sets of before are
# then not taken for those of now. 2: no vote is lost, one patient is one patient.
RULES = 3
TABLE_NAMES = ("images.csv", "words.csv", "crops.csv")
# What our own commands write beside what is read, by the file that tells them.
_OURS = {
    "phantom.json": ("truth",),
    "deidentified.json": ("report.csv", "attributes.csv"),
}


@dataclass(frozen=True)
class Listing:
    """What is to be read.

    Attributes:
        files: those with images, and what is known of them.
        annotations: of the readers, in our words, by image.
        unused: files that may hold votes and cannot be used.
        skips: what was left out, `unused` among it.
    """

    files: list[SourceFile]
    annotations: dict[str, tuple[Annotation, ...]]
    unused: list[UnusedFile]
    skips: list[Skip]


def list_source(folder: pathlib.Path) -> Listing:
    """Lists what is to be read, without reading images."""
    words, rows, row_errors, crops = _read_tables(folder)
    paths, file_errors = find_dicom_files([folder])
    known = [file for row in rows for file in row.files]
    found, unused = find_annotations([folder], known=known)
    annotations = {
        name: tuple(translate_words(each, words) for each in of_image)
        for name, of_image in found.items()
    }
    usable, errors = drop_contradicted(rows, row_errors)
    skips = [skip_for(error) for error in (*errors, *file_errors)]
    if rows:  # then a folder without DICOM files is no mistake
        skips = [skip for skip in skips if skip.name != str(folder)]
    names = {str(file.path) for file in unused}
    skips = [skip for skip in skips if skip.name not in names]
    skips += [Skip(str(file.path), file.reason) for file in unused]
    tables = [folder / name for name in TABLE_NAMES]
    skips += _list_rest(folder, [*paths, *known, *tables], annotations)
    unused += [_list_row(error) for error in row_errors]

    by_stem: dict[str, dict[str, tuple[Annotation, ...]]] = defaultdict(dict)
    for name, of_image in annotations.items():
        by_stem[name.rpartition("_")[0]][name] = of_image
    listed = {row.file.resolve() for row in rows}
    unlisted = [path for path in paths if path.resolve() not in listed]
    found_in: list[tuple[pathlib.Path, ImageRow | None]]
    found_in = [(path, None) for path in unlisted]
    found_in += [(row.file, row) for row in usable]
    files = [
        SourceFile(
            path,
            by_stem.get(_stem(path), {}),
            row,
            words,
            crops.get(path.resolve(), {}),
        )
        for path, row in found_in
    ]
    skips += [Skip(str(p), reason) for p, reason in list_idle(crops, [*paths, *listed])]
    return Listing(files, annotations, unused, skips)


def _read_tables(
    folder: pathlib.Path,
) -> tuple[dict[str, str], list[ImageRow], list[ImageTableError], CropDecisions]:
    """Returns words.csv, the rows of images.csv and errors in them, and crops.csv."""
    try:
        words, table = read_words(folder), find_image_table(folder)
        rows, errors = read_image_table(table, words) if table else ([], [])
        crops = read_crops(find_crop_table(folder))
    except ImageTableError as error:
        raise PrepareError(str(error)) from error
    return words, rows, errors, crops


def list_astray(
    annotations: Mapping[str, Sequence[Annotation]], names: Iterable[str]
) -> list[UnusedFile]:
    """Returns annotations of these images, which are not there, as unused files.

    A file called P1.json or p1_anterior.json may be a vote on P1_anterior.
    """
    return [
        UnusedFile(
            each.path,
            AnnotationError(f"{each.path}: expected the name of an image, found none"),
            (Claim(name, is_loose=True),),
        )
        for name in sorted(names)
        for each in annotations[name]
    ]


def _list_row(error: ImageTableError) -> UnusedFile:
    """Returns a row that cannot be used as a file that may be about its images."""
    parts = (re.split(r"[/\\]", cell)[-1] for cell in error.cells)
    claims = (Claim(drop_image_suffix(part), is_loose=True) for part in parts if part)
    return UnusedFile(error.path, error, tuple(claims))


def _list_rest(
    folder: pathlib.Path,
    read: Iterable[pathlib.Path],
    annotations: Mapping[str, Sequence[Annotation]],
) -> list[Skip]:
    """Returns a line for each kind of file that nothing reads.

    Readers' files are not among them, since `find_annotations` lists them one by one;
    nor are pictures with the name of an annotated image: readers drew on those.
    """
    files = [each.path for of_image in annotations.values() for each in of_image]
    masks = [mask for file in files for mask in list_mask_files(file)]
    done = {os.path.realpath(file) for file in (*read, *masks)}
    ours = [
        folder / name
        for marker, names in _OURS.items()
        for name in names
        if (folder / marker).is_file()
    ]
    rest: defaultdict[str, list[pathlib.Path]] = defaultdict(list)
    for file in walk_files(folder):
        suffix = file.suffix.lower()
        is_drawn_on = suffix in PICTURE_SUFFIXES and fold_name(file.stem) in annotations
        is_ours = any(file.is_relative_to(each) for each in ours)
        if suffix in ANNOTATION_SUFFIXES or is_drawn_on or is_ours:
            continue
        if os.path.realpath(file) not in done:
            rest[suffix].append(file)
    return [
        Skip(
            f"*{suffix or ' without suffix'}",
            f"{len(found)} files that are no DICOM, no LabelMe files and not listed in "
            f"images.csv, such as {found[0]}",
        )
        for suffix, found in sorted(rest.items())
    ]


def _stem(path: pathlib.Path) -> str:
    """Returns a file's folded name as `BoneScan.name` begins with it."""
    is_suffix = path.suffix.lower() in DICOM_SUFFIXES + PICTURE_SUFFIXES
    return fold_name(path.stem if is_suffix else path.name)


def skip_for(error: Exception) -> Skip:
    """Returns what an error, whose text starts with a path, says of a file."""
    name, _, reason = str(error).partition(": ")
    return Skip(name, reason)


def fingerprint_folder(folder: pathlib.Path, *, bones: bool = False) -> str:
    """Returns a hash of the names and contents of the files that `read_source` reads.

    So are files that others name: masks and boxes of images.csv, masks of LabelMe XML.
    Nothing is decoded, and where the folder lies does not matter. What cannot be read
    counts as such, and as something else once it can. The key of the pseudonyms and
    `RULES` count as well: others make another data set of the same files. So do masks
    of `bones`, where the data set is of them.

    Raises:
        PrepareError: if one of `TABLE_NAMES` cannot be read.
    """
    closed: list[OSError] = []
    files, _ = find_dicom_files([folder])
    if bones:
        files += [file for file in (folder / "bones").glob("*") if file.is_file()]
    for file in walk_files(folder, closed.append):
        if file.suffix.lower() in ANNOTATION_SUFFIXES:
            files += [file, *list_mask_files(file)]
    files += list_candidates(folder)  # a lost vote leaves its image out
    _, rows, _, _ = _read_tables(folder)
    files += [file for row in rows for file in row.files]
    files += [f for f in (folder / name for name in TABLE_NAMES) if f.is_file()]
    files += [pathlib.Path(str(error.filename)) for error in closed]
    digest = hashlib.sha256(compute_pseudonym("fingerprint", str(RULES)).encode())
    top = folder.absolute()
    names = {os.path.relpath(file.absolute(), top): file for file in files}
    for name in sorted(names, key=os.fsencode):
        shown = pathlib.Path(name).as_posix()
        digest.update(os.fsencode(shown) + f"\0{_hash(names[name])}\0".encode())
    return digest.hexdigest()


def _hash(file: pathlib.Path) -> str:
    with contextlib.suppress(OSError):  # of a folder, too
        if file.is_file():  # a pipe would block
            with file.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
    return "unreadable"
