"""From readers' annotations to hotspots: one consensus for each view.

H and W are rows and columns, T is the number of hotspots.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from spectjax.imaging.folders import walk_files
from spectjax.imaging.labelme import (
    Annotation,
    AnnotationError,
    NotAnnotationError,
    Region,
    lies_inside,
    list_mask_files,
    read_annotation,
)
from spectjax.imaging.thorax.transform import CropTransform

__all__ = [
    "ANNOTATION_SUFFIXES",
    "Annotation",
    "AnnotationError",
    "Hotspots",
    "NotAnnotationError",
    "Region",
    "agree",
    "crop_hotspots",
    "find_annotations",
    "list_mask_files",
    "read_annotation",
]

ANNOTATION_SUFFIXES = (".json", ".xml")


@dataclasses.dataclass(frozen=True)
class Hotspots:
    """Hotspots of one view, in frame or in thorax pixels.

    Attributes:
        masks: bool, (T, H, W); no two of them share a pixel.
        labels: T words of the readers, e.g. "metastasis".
    """

    masks: np.ndarray
    labels: tuple[str, ...]


def find_annotations(
    paths: Sequence[str | Path],
) -> tuple[dict[str, list[Annotation]], list[AnnotationError]]:
    """Reads the annotations of files and folders, by the name of their image.

    Folders are searched to their depth for `ANNOTATION_SUFFIXES`; in them, files
    of another kind are passed over.

    Args:
        paths: files or folders.

    Returns:
        For each image name the annotations, by reader; and one error for each file that
        cannot be used. An image that one reader annotated twice is left out, with an
        error, since nobody can tell which file holds.
    """
    folders = [Path(path) for path in paths if Path(path).is_dir()]
    named = [Path(path) for path in paths if not Path(path).is_dir()]
    found = [file for folder in folders for file in walk_files(folder)]
    found = [file for file in found if file.suffix.lower() in ANNOTATION_SUFFIXES]

    errors: list[AnnotationError] = []
    by_image: dict[str, list[Annotation]] = {}
    for file in {file.resolve(): file for file in (*found, *named)}.values():
        try:
            annotation = read_annotation(file)
        except AnnotationError as error:
            if file in named or not isinstance(error, NotAnnotationError):
                errors.append(error)
        else:
            by_image.setdefault(annotation.image_name, []).append(annotation)

    for image_name, annotations in list(by_image.items()):
        annotations.sort(key=lambda annotation: annotation.reader)
        for one, other in zip(annotations, annotations[1:], strict=False):
            if one.reader == other.reader:
                errors.append(
                    AnnotationError(
                        f"{other.path}: expected one annotation of {image_name!r} by "
                        f"{one.reader!r}, found another in {one.path}. The image is "
                        "left out; keep one file."
                    )
                )
                by_image.pop(image_name, None)
    return by_image, errors


def agree(annotations: Sequence[Annotation], hw: tuple[int, int]) -> Hotspots:
    """Returns what a strict majority of the readers marked, as separate hotspots.

    A pixel counts when more than half of the readers marked it, under whatever label: 2
    of 3, 2 of 2, 1 of 1. Pixels that touch, also by a corner, are one hotspot. Its
    label is the one that the readers gave to most of its pixels, each reader counted;
    of equal ones, the first in the alphabet.

    [P1] takes the majority of three doctors for an image ("at least two of them") and
    does not say how their outlines are merged; here the majority decides each pixel.

    Args:
        annotations: of one image, one for each reader; without regions from a reader
            who saw no lesion.
        hw: (H, W) of the frame.

    Returns:
        Hotspots in frame pixels, in the order of their first rows.

    Raises:
        AnnotationError: an annotation states another image size, or lies outside of the
            frame.
        ValueError: no annotation, annotations of several images, or a reader twice.
    """
    readers = [annotation.reader for annotation in annotations]
    names = {annotation.image_name for annotation in annotations}
    if len(names) != 1 or len(set(readers)) != len(readers):
        raise ValueError(
            "Expected annotations of one image by different readers, got images "
            f"{sorted(names)} and readers {readers}."
        )
    marked = [_marks_by_label(annotation, hw) for annotation in annotations]
    votes = sum(
        (np.any(list(marks.values()), axis=0).astype(int) for marks in marked if marks),
        start=np.zeros(hw, int),
    )
    eight_neighbours = np.ones((3, 3))
    components, count = ndimage.label(2 * votes > len(marked), eight_neighbours)
    masks = np.equal(components, np.arange(1, count + 1)[:, None, None])
    return Hotspots(masks, tuple(_majority_label(marked, mask) for mask in masks))


def crop_hotspots(hotspots: Hotspots, transform: CropTransform) -> Hotspots:
    """Returns the hotspots of the frame in thorax pixels.

    A hotspot without a pixel in the crop is dropped. One that the crop's edge cuts in
    two stays one hotspot.
    """
    masks = transform.apply(hotspots.masks)
    kept = np.flatnonzero(masks.any(axis=(1, 2)))
    return Hotspots(masks[kept], tuple(hotspots.labels[i] for i in kept))


def _marks_by_label(
    annotation: Annotation, hw: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Returns a mask, bool, (H, W), for each label that one reader used."""
    if annotation.image_hw is not None and annotation.image_hw != tuple(hw):
        raise AnnotationError(
            f"{annotation.path}: expected an image of {hw[0]}x{hw[1]} pixels (rows x "
            f"columns), found {annotation.image_hw[0]}x{annotation.image_hw[1]}. "
            "Annotate the unscaled image."
        )
    marks: dict[str, np.ndarray] = {}
    for region in annotation.regions:
        points = region.polygon_xy
        is_checked = annotation.image_hw is not None  # when the file was read
        if not (is_checked or points is None or lies_inside(points, hw)):
            raise AnnotationError(
                f"{annotation.path}: expected {region.label!r} inside the frame of "
                f"{hw[0]}x{hw[1]} pixels (rows x columns), found it outside. Annotate "
                "the unscaled image."
            )
        mask = region.fill(hw)
        marks[region.label] = marks.get(region.label, False) | mask
    return marks


def _majority_label(marked: Sequence[dict[str, np.ndarray]], mask: np.ndarray) -> str:
    pixels: Counter[str] = Counter()
    for marks in marked:
        for label, marks_of_label in marks.items():
            pixels[label] += int(marks_of_label[mask].sum())
    return min(pixels, key=lambda label: (-pixels[label], label))
