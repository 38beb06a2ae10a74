"""From a folder of DICOM and LabelMe files to thorax images with their lesions.

The folder is a hospital's or the phantom's; nothing here knows which.
"""

import csv
import hashlib
import io
import os
import pathlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from spectjax.files import write_file
from spectjax.imaging.annotation import (
    Annotation,
    AnnotationError,
    agree,
    crop_hotspots,
    find_annotations,
)
from spectjax.imaging.dicom import (
    BoneScan,
    ScanError,
    find_bone_scans,
    find_dicom_files,
)
from spectjax.imaging.folders import walk_files
from spectjax.imaging.identity import compute_pseudonym
from spectjax.imaging.thorax import crop_thorax
from tfds_spect.errors import PrepareError
from tfds_spect.example import LESION_CLASSES, Place, ThoraxExample

ANNOTATION_SUFFIXES = (".json", ".xml")
_MAX_COUNT = np.iinfo(np.uint16).max
_NONE = np.zeros((0, 0), np.uint16)


class UnusableImageError(ValueError):
    """An image that is left out; the message says why."""


@dataclass(frozen=True)
class Skip:
    """A file or an image that is left out of the data set.

    Attributes:
        name: the file, relative to its folder, or the image, `<DICOM stem>_<view>`.
        reason: why, in one line.
    """

    name: str
    reason: str


def write_skips(path: pathlib.Path, skips: Sequence[Skip]) -> None:
    """Writes what was left out as a table.

    Raises:
        WriteError: if the file cannot be written.
    """
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("name", "reason"))
    writer.writerows((skip.name, skip.reason) for skip in skips)
    write_file(path, table.getvalue())


def read_skips(path: pathlib.Path) -> tuple[Skip, ...]:
    """Returns what `write_skips` wrote; nothing if the file is not there."""
    if not path.exists():
        return ()
    with path.open(newline="", encoding="utf-8") as stream:
        return tuple(Skip(**row) for row in csv.DictReader(stream))


def read_source(
    folder: pathlib.Path, *, keep_pixels: bool = True
) -> tuple[list[ThoraxExample], list[Skip]]:
    """Reads every annotated thorax image in a folder.

    Files are read one by one and their frames dropped after the crop: memory holds
    256 KiB an image, or a few KiB without its pixels.

    Args:
        folder: any tree of DICOM and LabelMe files.
        keep_pixels: if not, counts and lesions are empty; `read_again` brings them.

    Returns:
        The originals, sorted by example id, and what was left out.
    """
    files, file_errors = find_dicom_files([folder])
    annotations, annotation_errors = find_annotations([folder])
    skips = [_skip(folder, error) for error in (*file_errors, *annotation_errors)]
    examples: dict[str, ThoraxExample] = {}
    paths: dict[str, list[pathlib.Path]] = defaultdict(list)
    for path in tqdm(files, "Reading", unit=" files", disable=None):
        scans, scan_errors = find_bone_scans([path])
        skips += [_skip(folder, error) for error in scan_errors]
        for scan in scans:
            paths[scan.name].append(path)
            outlines = tuple(annotations.get(scan.name, ()))
            try:
                example = make_example(scan, outlines)
                place = Place(path.resolve(), scan.name, outlines)
                example = replace(example, place=place)
                if not keep_pixels:
                    example = replace(example, counts=_NONE, lesions=_NONE)
                examples[scan.name] = example
            except UnusableImageError as error:
                skips.append(Skip(scan.name, str(error)))
            except (ScanError, AnnotationError) as error:
                skips.append(_skip(folder, error))

    for name in sorted(annotations):
        if len(paths[name]) != 1:
            found = ", ".join(str(p.relative_to(folder)) for p in paths[name]) or "none"
            skips.append(Skip(name, f"annotated; expected one image, found {found}"))
            examples.pop(name, None)
    return _drop_repeated(examples, skips), skips


def read_again(original: ThoraxExample) -> ThoraxExample:
    """Returns an original with the pixels that `read_source` dropped.

    Raises:
        PrepareError: if the file holds another image now, or another pseudonym key is
            in use here than where it was read first.
    """
    place = original.place
    if place is None:
        raise ValueError(f"{original.example_id}: not read from a file.")
    scans, _ = find_bone_scans([place.path])
    for scan in scans:
        if scan.name == place.name:
            example = make_example(scan, place.annotations)
            if example.example_id == original.example_id:
                return replace(example, place=place)
    raise PrepareError(
        f"{place.path}: expected image {original.example_id}, found another. The file "
        "changed while it was prepared, or SPECTJAX_PSEUDONYM_KEY is not the same on "
        "every worker."
    )


def make_example(scan: BoneScan, annotations: Sequence[Annotation]) -> ThoraxExample:
    """Crops a scan to the thorax and turns its readers' outlines into lesions.

    Raises:
        UnusableImageError: if the scan is not annotated, its patient is not known, its
            crop is uncertain, or its counts or labels do not fit the data set.
        ScanError: if no thorax is found.
        AnnotationError: if the annotations do not fit the scan.
    """
    if not annotations:
        raise UnusableImageError("no annotation")
    if scan.patient_evidence == "study":
        raise UnusableImageError(
            "no Patient ID, nor name and birth date: two studies of one patient could "
            "end on both sides of a split; expected at least a pseudonym as Patient ID"
        )
    check_labels(annotations)
    thorax = crop_thorax(scan)
    if thorax.flags:
        raise UnusableImageError(f"uncertain crop: {', '.join(thorax.flags)}")
    hotspots = agree(annotations, thorax.transform.frame_hw)
    hotspots = crop_hotspots(hotspots, thorax.transform)
    return ThoraxExample(
        counts=store_counts(thorax.counts),
        lesions=number_masks(hotspots.masks),
        labels=tuple(clean_label(label) for label in hotspots.labels),
        patient=scan.patient_key,
        view=scan.view,
        spacing_mm=scan.spacing_mm,
        crop_box=thorax.transform.box,
        frame_hw=thorax.transform.frame_hw,
        source=scan.image_key,
        synthetic=scan.synthetic,
    )


def check_labels(annotations: Sequence[Annotation]) -> None:
    """Checks that readers outlined nothing but known lesions.

    Raises:
        UnusableImageError: if a label is no lesion class. To take "benign" for a
            metastasis, or to pass over it, would both be silent mistakes.
    """
    labels = {region.label for each in annotations for region in each.regions}
    unknown = sorted(x for x in labels if clean_label(x) not in LESION_CLASSES)
    if unknown:
        raise UnusableImageError(
            f"outlines labelled {', '.join(map(repr, unknown))}; expected "
            f"{' or '.join(map(repr, LESION_CLASSES))}"
        )


def clean_label(label: str) -> str:
    """Returns a reader's word without capitals and blanks around it."""
    return label.strip().lower()


def store_counts(counts: np.ndarray) -> np.ndarray:
    """Returns counts (H, W) as uint16, unchanged in value.

    Raises:
        UnusableImageError: if they are not whole numbers from 0 to 65535.
    """
    if counts.min() < 0 or counts.max() > _MAX_COUNT or (counts % 1).any():
        raise UnusableImageError(
            f"counts from {counts.min():g} to {counts.max():g}; expected whole numbers "
            f"from 0 to {_MAX_COUNT}"
        )
    return counts.astype(np.uint16)


def number_masks(masks: np.ndarray) -> np.ndarray:
    """Returns one image (H, W), uint16, with k + 1 where mask k of (T, H, W) is set."""
    numbers = np.arange(1, len(masks) + 1, dtype=np.uint16)
    return (masks * numbers[:, None, None]).max(axis=0, initial=0)


def fingerprint_folder(folder: pathlib.Path) -> str:
    """Returns a hash of the names and contents of the files that `read_source` reads.

    Nothing is decoded, and where the folder lies does not matter. The key of the
    pseudonyms counts as well: another one makes another data set of the same files.
    """
    files, _ = find_dicom_files([folder])
    files += [f for f in walk_files(folder) if f.suffix.lower() in ANNOTATION_SUFFIXES]
    digest = hashlib.sha256(compute_pseudonym("fingerprint").encode())
    for file in sorted(files):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\0".encode())
    return digest.hexdigest()


def _drop_repeated(
    examples: Mapping[str, ThoraxExample], skips: list[Skip]
) -> list[ThoraxExample]:
    """Returns the examples by id; one that has a second name goes to `skips`."""
    first: dict[str, str] = {}
    for name, example in examples.items():
        same = first.setdefault(example.source, name)
        if same != name:
            skips.append(Skip(name, f"the same image (SOP Instance UID) as {same}"))
    kept = [examples[name] for name in first.values()]
    return sorted(kept, key=lambda example: example.example_id)


def _skip(folder: pathlib.Path, error: Exception) -> Skip:
    """Returns what an error, whose text starts with a path, says of a file."""
    name, _, reason = str(error).partition(": ")
    return Skip(name.removeprefix(f"{folder}{os.sep}"), reason)
