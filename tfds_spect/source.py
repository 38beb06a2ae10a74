"""From a folder of images and annotations to thorax images with their lesions.

The folder is a hospital's or the phantom's; nothing here knows which.
"""

import functools
import os
import pathlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from spectjax.imaging.annotations.files import find_doubted
from spectjax.imaging.annotations.image_names import fold_name
from spectjax.imaging.annotations.labelme import Annotation, AnnotationError
from spectjax.imaging.canvas import WHOLE_FRAME
from spectjax.imaging.crop_decision import attach
from spectjax.imaging.diagnosis import label_diagnosis
from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.imaging.listed.crop_review import DoubtfulCrop, doubt_crop
from spectjax.imaging.listed.image import read_listed_image
from spectjax.imaging.patients import IdentityError, unite_patients
from spectjax.imaging.problems import LOG_NAME as PROBLEMS_NAME
from spectjax.imaging.problems import describe_bug, format_traceback
from spectjax.imaging.scan import BoneScan, ScanError
from spectjax.imaging.thorax import CropError
from spectjax.system.workers import Workers
from tfds_spect.errors import PrepareError
from tfds_spect.example import NO_EVIDENCE, OUTLINES, Place, SourceFile, ThoraxExample
from tfds_spect.image import (
    UncertainCropError,
    UnusableImageError,
    make_example,
)
from tfds_spect.listing import list_astray, list_source, skip_for
from tfds_spect.skips import Skip

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
    whole_frames: bool = False,
) -> tuple[list[ThoraxExample], list[Skip]]:
    """Reads every thorax image in a folder that has outlines or a label.

    Frames are dropped after the crop: memory holds 256 KiB an image, 1 MiB a whole
    frame, or a few KiB without its pixels.

    Args:
        folder: any tree of DICOM and LabelMe files; pictures that images.csv lists.
        workers: processes that read; without them it is done here.
        keep_pixels: if not, counts and lesions are empty; `read_again` brings them.
        whole_frames: the images are whole bodies, and nothing is cropped.

    Returns:
        The originals, sorted by example id, and what was left out.

    Raises:
        PrepareError: if images.csv, words.csv or crops.csv cannot be read, or files
            contradict each other about a patient.
    """
    top = f"{folder}{os.sep}"
    listing = list_source(folder)
    files, skips = listing.files, [*listing.skips]
    contents = (workers or Workers(1)).map(
        functools.partial(
            read_file, keep_pixels=keep_pixels, whole_frames=whole_frames
        ),
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
        found = ", ".join(str(path).removeprefix(top) for path in paths.get(name, ()))
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
    usable = [each for each in examples if fold_name(each.name) not in left_out]
    originals = _drop_repeated(_unite_patients(usable), skips)
    return originals, [
        replace(
            skip,
            name=skip.name.removeprefix(top),
            reason=skip.reason.replace(top, ""),
        )
        for skip in skips
    ]


def read_file(
    file: SourceFile, *, keep_pixels: bool = True, whole_frames: bool = False
) -> FileContent:
    """Reads the images of one file; arguments as of `read_source`.

    What one of them does to the code is its own skip, with the traceback.
    """
    try:
        images, errors = read_images(file)
    except Exception as error:
        return FileContent((), (), (), _list_skips(str(file.path), error))
    names, outlined, examples = [], [], []
    skips = [skip_for(error) for error in errors]
    for scan, annotations, evidence, stated in images:
        names.append(fold_name(scan.name))
        if evidence == OUTLINES and (annotations or stated is None):
            outlined.append(names[-1])
        try:
            example = make_example(
                scan,
                annotations,
                evidence=evidence,
                stated=stated,
                whole_frame=whole_frames,
            )
        except Exception as error:
            skips += _list_skips(scan.name, error, _doubt(scan, error))
            if isinstance(error, AnnotationError):
                skips.append(Skip(scan.name, f"a file of it is not used: {error}"))
            continue
        if not keep_pixels:
            example = replace(example, counts=_NONE, lesions=_NONE)
        examples.append(replace(example, place=Place(file, scan.name)))
    return FileContent(tuple(names), tuple(outlined), tuple(examples), tuple(skips))


_Image = tuple[BoneScan, Sequence[Annotation], str, str | None]


def read_images(file: SourceFile) -> tuple[list[_Image], list[ScanError]]:
    """Returns scan, annotations, their evidence and the stated diagnosis of images."""
    if file.row is None:
        scans, errors = find_bone_scans([file.path])
        return [
            (scan, file.annotations.get(fold_name(scan.name), ()), OUTLINES, None)
            for scan in attach(scans, file.crops, whole=not errors)
        ], errors
    listed = read_listed_image(file.row, file.words, file.crops)
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
    whole_frames = original.region == WHOLE_FRAME
    for example in read_file(place.file, whole_frames=whole_frames).examples:
        if example.name == place.name and example.source == original.source:
            # The patient was found by comparing all files.
            return replace(example, patient=original.patient)
    raise PrepareError(
        f"{place.file.path}: expected image {original.example_id}, found another. The "
        "file changed while it was prepared, or SPECTJAX_PSEUDONYM_KEY is not the same "
        "on every worker."
    )


def _unite_patients(examples: Sequence[ThoraxExample]) -> list[ThoraxExample]:
    """Returns the examples with one pseudonym for each patient.

    Raises:
        PrepareError: if two files contradict each other about a patient: nothing would
            keep the patient on one side of a split.
    """
    try:
        patients = unite_patients(
            (e.identity, str(e.place.file.path) if e.place else e.example_id)
            for e in examples
            if e.identity
        )
    except IdentityError as error:
        raise PrepareError(str(error)) from error
    return [replace(e, patient=patients.get(e.patient, e.patient)) for e in examples]


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
        key = (example.source, example.patient)
        same = first.setdefault(key, example)
        if same is example:
            continue
        reason = "the same image (SOP Instance UID or pixels) as {}"
        if not _says_the_same(same, example):
            reason += ", with another label or other outlines: both are left out"
            if key not in unclear:
                skips.append(Skip(same.name, reason.format(example.name)))
            unclear.add(key)
        skips.append(Skip(example.name, reason.format(same.name)))
    for key in unclear:
        del first[key]
    return sorted(first.values(), key=lambda example: example.example_id)


def _says_the_same(one: ThoraxExample, other: ThoraxExample) -> bool:
    """Tells whether two examples of one image agree, as far as both say something."""
    has_both = NO_EVIDENCE not in (one.mask_evidence, other.mask_evidence)
    return label_diagnosis(one.diagnosis) == label_diagnosis(other.diagnosis) and (
        not has_both or len(one.labels) == len(other.labels)
    )


def _doubt(scan: BoneScan, error: Exception) -> DoubtfulCrop | None:
    """Returns what a person may decide about an image that is left out, or None."""
    if isinstance(error, UncertainCropError):
        return doubt_crop(scan, error.thorax)
    return doubt_crop(scan, error) if isinstance(error, CropError) else None


def _list_skips(
    name: str, error: Exception, crop: DoubtfulCrop | None = None
) -> tuple[Skip, ...]:
    """Returns what an error says of a file or an image; an unexpected one is a bug.

    Raises:
        MemoryError: if it is one: no image is to blame.
    """
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, UnusableImageError):
        return (Skip(name, str(error), crop=crop),)
    if isinstance(error, ScanError | AnnotationError):
        return (replace(skip_for(error), crop=crop),)
    _, _, reason = describe_bug(name, error, PROBLEMS_NAME).partition(": unexpected")
    return (Skip(name, f"unexpected{reason}", traceback=format_traceback(error)),)
