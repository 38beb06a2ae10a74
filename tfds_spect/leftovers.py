"""What of a folder is not read: votes gone astray, rows that fail, files of no use."""

import os
import pathlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from spectjax.imaging.annotations.files import ANNOTATION_SUFFIXES, UnusedFile
from spectjax.imaging.annotations.image_names import Claim, drop_image_suffix, fold_name
from spectjax.imaging.annotations.labelme import Annotation, AnnotationError
from spectjax.imaging.annotations.labelme_xml import list_mask_files
from spectjax.imaging.folders import walk_files
from spectjax.imaging.listed.csv_table import ImageTableError
from spectjax.imaging.scan import PICTURE_SUFFIXES
from tfds_spect.skips import Skip

# What our own commands write beside what is read, by the file that tells them.
_OURS = {
    "phantom.json": ("truth",),
    "deidentified.json": ("report.csv", "attributes.csv"),
}


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


def list_row(error: ImageTableError) -> UnusedFile:
    """Returns a row that cannot be used as a file that may be about its images."""
    parts = (re.split(r"[/\\]", cell)[-1] for cell in error.cells)
    claims = (Claim(drop_image_suffix(part), is_loose=True) for part in parts if part)
    return UnusedFile(error.path, error, tuple(claims))


def list_rest(
    folder: pathlib.Path,
    read: Iterable[pathlib.Path],
    annotations: Mapping[str, Sequence[Annotation]],
) -> list[Skip]:
    """Returns a line for each kind of file that nothing reads.

    Readers' files are not among them, since `find_annotations` lists them one by one;
    nor are pictures with the name of an annotated image: readers drew on those.

    Args:
        folder: searched to its depth, but for what is hidden.
        read: files that are read.
        annotations: of the readers, by image.
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
        if suffix not in ANNOTATION_SUFFIXES and not (is_drawn_on or is_ours):
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
