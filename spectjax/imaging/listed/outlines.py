"""What a row of an image table outlines: lesions in a mask or in boxes."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spectjax.imaging.annotations.consensus import translate_words
from spectjax.imaging.annotations.labelme import Annotation, AnnotationError
from spectjax.imaging.annotations.masks import decode_mask
from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.annotations.voc import read_boxes
from spectjax.imaging.diagnosis import (
    METASTASIS,
    NORMAL,
    OUTSIDE_SPINE,
    SITE_WORDS,
    SPINAL,
)
from spectjax.imaging.scan import BoneScan
from spectjax.system.limits import PICTURE_BYTES, read_limited
from spectjax.system.messages import UserError

if TYPE_CHECKING:  # a row is read there
    from spectjax.imaging.listed.image import ImageRow

# Lesions fill a few hundredths of a picture; a mask of more than half is a negative.
_MAX_SHARE_OF_MASK = 0.5


def read_outlines(
    row: "ImageRow", scan: BoneScan, words: Mapping[str, str]
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


def check_agreement(row: "ImageRow", annotation: Annotation) -> None:
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
