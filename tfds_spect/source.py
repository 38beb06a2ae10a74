"""From a folder of images and annotations to thorax images with their lesions.

The folder is a hospital's or the phantom's; nothing here knows which.
"""

import functools
import hashlib
import os
import pathlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from spectjax.imaging.annotations.consensus import translate_words
from spectjax.imaging.annotations.files import (
    ANNOTATION_SUFFIXES,
    UnusedFile,
    find_annotations,
    find_doubted,
    list_candidates,
)
from spectjax.imaging.annotations.image_names import fold_name
from spectjax.imaging.annotations.labelme import Annotation, AnnotationError
from spectjax.imaging.annotations.labelme_xml import list_mask_files
from spectjax.imaging.diagnosis import label_diagnosis
from spectjax.imaging.dicom.reading import find_bone_scans, find_dicom_files
from spectjax.imaging.folders import walk_files
from spectjax.imaging.identity import compute_pseudonym
from spectjax.imaging.listed.csv_table import ImageTableError
from spectjax.imaging.listed.image import ImageRow, read_listed_image
from spectjax.imaging.listed.table import find_image_table, read_image_table, read_words
from spectjax.imaging.problems import LOG_NAME as PROBLEMS_NAME
from spectjax.imaging.problems import describe_bug, format_traceback
from spectjax.imaging.scan import (
    DICOM_SUFFIXES,
    PICTURE_SUFFIXES,
    BoneScan,
    ScanError,
)
from spectjax.system.workers import Workers
from tfds_spect.errors import PrepareError
from tfds_spect.example import (
    NO_EVIDENCE,
    OUTLINES,
    Place,
    SourceFile,
    ThoraxExample,
)
from tfds_spect.image import UnusableImageError, make_example
from tfds_spect.leftovers import list_astray, list_rest, list_row
from tfds_spect.patients import unite_examples
from tfds_spect.skips import Skip

# To be raised when other examples are made of the same files: data sets of before are
# then not taken for those of now. 2: no vote is lost, one patient is one patient.
RULES = 2
TABLE_NAMES = ("images.csv", "words.csv")
_SECONDS_PER_FILE = 0.05
_NONE = np.zeros((0, 0), np.uint16)


@dataclass(frozen=True)
class FileContent:
    """What came of one file.

    Attributes:
        names: of all its images, `<DICOM stem>_<view>`, as `fold_name` gives them.
        outlined: those of them that readers' files decide.
        examples: those that can be used.
        skips: what cannot, and why.
    """

    names: tuple[str, ...]
    outlined: tuple[str, ...]
    examples: tuple[ThoraxExample, ...]
    skips: tuple[Skip, ...]


def read_source(
    folder: pathlib.Path,
    workers: Workers | None = None,
    *,
    keep_pixels: bool = True,
) -> tuple[list[ThoraxExample], list[Skip]]:
    """Reads every thorax image in a folder that has outlines or a label.

    Frames are dropped after the crop: memory holds 256 KiB an image, or a few KiB
    without its pixels.

    Args:
        folder: any tree of DICOM and LabelMe files; pictures that images.csv lists.
        workers: processes that read; without them it is done here.
        keep_pixels: if not, counts and lesions are empty; `read_again` brings them.

    Returns:
        The originals, sorted by example id, and what was left out.

    Raises:
        PrepareError: if images.csv or words.csv cannot be read, or files contradict
            each other about a patient.
    """
    listing = list_source(folder)
    files, skips = listing.files, [*listing.skips]
    contents = (workers or Workers(1)).map(
        functools.partial(read_file, keep_pixels=keep_pixels),
        files,
        seconds=_SECONDS_PER_FILE * len(files),
    )
    examples: list[ThoraxExample] = []
    paths: dict[str, list[pathlib.Path]] = defaultdict(list)
    outlined: list[str] = []
    bar = tqdm(contents, "Reading", len(files), unit=" files", disable=None)
    for file, content in zip(files, bar, strict=True):
        examples += content.examples
        skips += content.skips
        outlined += content.outlined
        for name in content.names:
            paths[name].append(file.path)

    unclear = {name for name in listing.annotations if len(paths.get(name, ())) != 1}
    for name in sorted(unclear):
        found = ", ".join(_relative(folder, str(path)) for path in paths.get(name, ()))
        reason = f"annotated; expected one image, found {found or 'none'}"
        skips.append(Skip(name, reason))
    astray = list_astray(listing.annotations, unclear - set(paths))
    doubted = find_doubted([*listing.unused, *astray], paths, outlined=outlined)
    skips = [skip for skip in skips if fold_name(skip.name) not in doubted]
    for name in sorted(doubted):
        unused = doubted[name]
        reason = f"it may lack a vote: {unused.path} is not used ({unused.reason})"
        skips.append(Skip(name, reason))
    left_out = unclear | set(doubted)
    usable = [each for each in examples if fold_name(_name(each)) not in left_out]
    originals = _drop_repeated(unite_examples(usable), skips)
    top = f"{folder}{os.sep}"
    return originals, [
        Skip(skip.name.removeprefix(top), skip.reason.replace(top, ""))
        for skip in skips
    ]


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
    words, rows, row_errors = _read_tables(folder)
    paths, file_errors = find_dicom_files([folder])
    known = [file for row in rows for file in row.files]
    found, unused = find_annotations([folder], known=known)
    annotations = {
        name: tuple(translate_words(each, words) for each in of_image)
        for name, of_image in found.items()
    }
    skips = [_skip(error) for error in (*row_errors, *file_errors)]
    unclear = {error.contradicted for error in row_errors}
    skips += [
        Skip(
            str(row.table),
            f"row {row.number}: another row says something else about its image: both "
            "are left out. Delete one.",
        )
        for row in rows
        if row.number in unclear
    ]
    if rows:  # then a folder without DICOM files is no mistake
        skips = [skip for skip in skips if skip.name != str(folder)]
    names = {str(file.path) for file in unused}
    skips = [skip for skip in skips if skip.name not in names]
    skips += [Skip(str(file.path), file.reason) for file in unused]
    tables = [folder / name for name in TABLE_NAMES]
    skips += list_rest(folder, [*paths, *known, *tables], annotations)
    unused += [list_row(error) for error in row_errors]

    by_stem: dict[str, dict[str, tuple[Annotation, ...]]] = defaultdict(dict)
    for name, of_image in annotations.items():
        by_stem[name.rpartition("_")[0]][name] = of_image
    listed = {row.file.resolve() for row in rows}
    unlisted = [path for path in paths if path.resolve() not in listed]
    files = [
        SourceFile(path, by_stem.get(_stem(path), {}), row, words)
        for path, row in (
            *((path, None) for path in unlisted),
            *((row.file, row) for row in rows if row.number not in unclear),
        )
    ]
    return Listing(files, annotations, unused, skips)


def _read_tables(
    folder: pathlib.Path,
) -> tuple[dict[str, str], list[ImageRow], list[ImageTableError]]:
    """Returns the words of words.csv, the rows of images.csv and errors in them."""
    try:
        words, table = read_words(folder), find_image_table(folder)
        rows, errors = read_image_table(table, words) if table else ([], [])
    except ImageTableError as error:
        raise PrepareError(str(error)) from error
    return words, rows, errors


def read_file(file: SourceFile, *, keep_pixels: bool = True) -> FileContent:
    """Reads the images of one file; arguments as of `read_source`.

    What one of them does to the code is its own skip, with the traceback.
    """
    try:
        images, errors = _read_images(file)
    except (ScanError, AnnotationError) as error:
        return FileContent((), (), (), (_skip(error),))
    except Exception as error:
        bug = _skip_for_bug(str(file.path), error)
        return FileContent((), (), (), (bug,))
    names, outlined, examples = [], [], []
    skips = [_skip(error) for error in errors]
    for scan, annotations, evidence, stated in images:
        names.append(fold_name(scan.name))
        if evidence == OUTLINES and (annotations or stated is None):
            outlined.append(names[-1])
        try:
            example = make_example(scan, annotations, evidence=evidence, stated=stated)
            example = replace(example, place=Place(file, scan.name))
            examples.append(example if keep_pixels else _drop_pixels(example))
        except UnusableImageError as error:
            skips.append(Skip(scan.name, str(error)))
        except ScanError as error:
            skips.append(_skip(error))
        except AnnotationError as error:
            skips += [
                _skip(error),
                Skip(scan.name, f"a file of it is not used: {error}"),
            ]
        except Exception as error:
            skips.append(_skip_for_bug(scan.name, error))
    return FileContent(tuple(names), tuple(outlined), tuple(examples), tuple(skips))


_Image = tuple[BoneScan, Sequence[Annotation], str, str | None]


def _read_images(file: SourceFile) -> tuple[list[_Image], list[ScanError]]:
    """Returns scan, annotations, their evidence and the stated diagnosis of images."""
    if file.row is None:
        scans, errors = find_bone_scans([file.path])
        return [
            (scan, file.annotations.get(fold_name(scan.name), ()), OUTLINES, None)
            for scan in scans
        ], errors
    listed = read_listed_image(file.row, file.words)
    scan = listed.scan
    outlines = file.annotations.get(fold_name(scan.name), ())
    if outlines and listed.mask_evidence != NO_EVIDENCE:
        raise AnnotationError(
            f"{file.path}: expected outlines or a mask or boxes, found LabelMe files "
            "as well. Keep one of the two."
        )
    if outlines or listed.annotation is None:
        return [(scan, outlines, OUTLINES, listed.diagnosis)], []
    return [(scan, (listed.annotation,), listed.mask_evidence, listed.diagnosis)], []


def read_again(original: ThoraxExample) -> ThoraxExample:
    """Returns an original with the pixels that `read_source` dropped.

    Raises:
        PrepareError: if the file holds another image now, or another pseudonym key is
            in use here than where it was read first.
    """
    place = original.place
    if place is None:
        raise ValueError(f"{original.example_id}: not read from a file.")
    for example in read_file(place.file).examples:
        if _name(example) == place.name and example.source == original.source:
            # The patient was found by comparing all files.
            return replace(example, patient=original.patient)
    raise PrepareError(
        f"{place.file.path}: expected image {original.example_id}, found another. The "
        "file changed while it was prepared, or SPECTJAX_PSEUDONYM_KEY is not the same "
        "on every worker."
    )


def fingerprint_folder(folder: pathlib.Path) -> str:
    """Returns a hash of the names and contents of the files that `read_source` reads.

    So are files that others name: masks and boxes of images.csv, masks of LabelMe XML.
    Nothing is decoded, and where the folder lies does not matter. What cannot be read
    counts as such, and as something else once it can. The key of the pseudonyms and
    `RULES` count as well: others make another data set of the same files.

    Raises:
        PrepareError: if images.csv or words.csv cannot be read.
    """
    closed: list[OSError] = []
    files, _ = find_dicom_files([folder])
    for file in walk_files(folder, closed.append):
        if file.suffix.lower() in ANNOTATION_SUFFIXES:
            files += [file, *list_mask_files(file)]
    files += list_candidates(folder)  # a lost vote leaves its image out
    _, rows, _ = _read_tables(folder)
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
    try:
        if not file.is_file():  # a pipe would block
            return "unreadable"
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:  # a folder, too
        return "unreadable"


def _drop_repeated(
    examples: Sequence[ThoraxExample], skips: list[Skip]
) -> list[ThoraxExample]:
    """Returns the examples by id; one that has a second name goes to `skips`.

    So do both if their labels or outlines are not the same.
    """
    first: dict[tuple[str, str], ThoraxExample] = {}
    unclear: set[tuple[str, str]] = set()
    for example in examples:
        # Under two patients it is no repetition but a mistake: `check_acquisitions`.
        same = first.setdefault((example.source, example.patient), example)
        if same is not example:
            reason = f"the same image (SOP Instance UID or pixels) as {_name(same)}"
            key = (example.source, example.patient)
            if not _says_the_same(same, example):
                reason += ", with another label or other outlines: both are left out"
                if key not in unclear:
                    skips.append(
                        Skip(_name(same), reason.replace(_name(same), _name(example)))
                    )
                unclear.add(key)
            skips.append(Skip(_name(example), reason))
    for key in unclear:
        del first[key]
    return sorted(first.values(), key=lambda example: example.example_id)


def _says_the_same(one: ThoraxExample, other: ThoraxExample) -> bool:
    """Tells whether two examples of one image agree, as far as both say something."""
    has_both = NO_EVIDENCE not in (one.mask_evidence, other.mask_evidence)
    return label_diagnosis(one.diagnosis) == label_diagnosis(other.diagnosis) and (
        not has_both or len(one.labels) == len(other.labels)
    )


def _drop_pixels(example: ThoraxExample) -> ThoraxExample:
    return replace(example, counts=_NONE, lesions=_NONE)


def _name(example: ThoraxExample) -> str:
    """Returns the name of an example that was read from a file."""
    return example.place.name if example.place else example.example_id


def _stem(path: pathlib.Path) -> str:
    """Returns a file's folded name as `BoneScan.name` begins with it."""
    is_suffix = path.suffix.lower() in DICOM_SUFFIXES + PICTURE_SUFFIXES
    return fold_name(path.stem if is_suffix else path.name)


def _relative(folder: pathlib.Path, name: str) -> str:
    return name.removeprefix(f"{folder}{os.sep}")


def _skip_for_bug(name: str, error: Exception) -> Skip:
    """Returns what an unexpected error says of a file or an image.

    Raises:
        MemoryError: if it is one: no image is to blame.
    """
    if isinstance(error, MemoryError):
        raise error
    _, _, reason = describe_bug(name, error, PROBLEMS_NAME).partition(": unexpected")
    return Skip(name, f"unexpected{reason}", traceback=format_traceback(error))


def _skip(error: Exception) -> Skip:
    """Returns what an error, whose text starts with a path, says of a file."""
    name, _, reason = str(error).partition(": ")
    return Skip(name, reason)
