"""From readers' annotations to hotspots and a diagnosis: one consensus for each view.

H and W are rows and columns, T is the number of hotspots.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from spectjax.imaging.annotations.labelme import Annotation, AnnotationError
from spectjax.imaging.annotations.regions import lies_inside
from spectjax.imaging.diagnosis import (
    METASTASIS,
    MULTIPLE,
    NORMAL,
    OUTSIDE_SPINE,
    clean_word,
)
from spectjax.imaging.hotspots import number_regions
from spectjax.imaging.thorax.transform import CropTransform
from spectjax.system.limits import FILLED_PIXELS, HOTSPOTS


@dataclasses.dataclass(frozen=True)
class Hotspots:
    """Hotspots of one view, in frame or in thorax pixels.

    Attributes:
        numbers: 0 where there is none, k + 1 on the pixels of hotspot k, int32, (H, W).
        labels: T words of the readers, e.g. "metastasis".
    """

    numbers: np.ndarray
    labels: tuple[str, ...]

    @property
    def masks(self) -> np.ndarray:
        """One mask for each hotspot, bool, (T, H, W); no two share a pixel."""
        return self.numbers == np.arange(1, len(self.labels) + 1)[:, None, None]


def agree(annotations: Sequence[Annotation], hw: tuple[int, int]) -> Hotspots:
    """Returns what a strict majority of the readers marked, as separate hotspots.

    A pixel counts when more than half of the readers marked it, under whatever label: 2
    of 3, 2 of 2, 1 of 1. Pixels that touch, also by a corner, are one hotspot. Its
    label is the one that the readers gave to most of its pixels, each reader counted;
    of equal ones, the first in the alphabet.

    [P1] takes the majority of three doctors for an image ("at least two of them") and
    does not say how their outlines are merged; here the majority decides each pixel.

    A reader who saw no lesion has an annotation without regions.

    Returns:
        Hotspots in frame pixels, in the order of their first rows.

    Raises:
        AnnotationError: an annotation states another image size, lies outside of the
            frame, or has an outline without a pixel, which would count as none drawn;
            or there is more of them than readers draw.
        ValueError: no annotation, annotations of several images, or a reader twice.
    """
    readers = [annotation.reader for annotation in annotations]
    names = {annotation.image_name for annotation in annotations}
    if len(names) != 1 or len(set(readers)) != len(readers):
        raise ValueError(
            "Expected annotations of one image by different readers, got images "
            f"{sorted(names)} and readers {readers}."
        )
    _check_effort(annotations, hw)
    placed = [_place_regions(annotation, hw) for annotation in annotations]
    votes = np.zeros(hw, np.int32)
    for regions in placed:
        votes += _unite(regions, hw)
    numbers, count = number_regions(2 * votes > len(placed))
    if count > HOTSPOTS:
        raise AnnotationError(
            f"{annotations[0].path}: expected at most {HOTSPOTS} separate hotspots, "
            f"found {count}, as in a mask of dots or of noise. Draw it again."
        )
    return Hotspots(numbers, _majority_labels(placed, numbers, count))


@dataclasses.dataclass(frozen=True)
class Readings:
    """How the readers of an image agree, before a majority decides.

    Attributes:
        number: of readers.
        abnormal: how many of them outlined anything in the thorax.
        dice: of the pixels that two readers outlined in the thorax, mean of all pairs
            of which either did; None if there is no such pair.
    """

    number: int
    abnormal: int
    dice: float | None


def compare_readers(
    annotations: Sequence[Annotation], transform: CropTransform
) -> Readings:
    """Returns how readers of an image agree; arguments as of `diagnose`."""
    hw = transform.frame_hw
    masks = [
        transform.apply(_unite(_place_regions(each, hw), hw)) for each in annotations
    ]
    pairs = [
        2 * np.sum(one & other) / (one.sum() + other.sum())
        for one, other in itertools.combinations(masks, 2)
        if one.any() or other.any()
    ]
    return Readings(
        number=len(masks),
        abnormal=sum(bool(mask.any()) for mask in masks),
        dice=float(np.mean(pairs)) if pairs else None,
    )


def crop_hotspots(hotspots: Hotspots, transform: CropTransform) -> Hotspots:
    """Returns the hotspots of the frame in thorax pixels.

    A hotspot without a pixel in the crop is dropped. One that the crop's edge cuts in
    two stays one hotspot.
    """
    inside = transform.apply(hotspots.numbers)
    kept = np.unique(inside[inside > 0])
    new = np.zeros(len(hotspots.labels) + 1, hotspots.numbers.dtype)
    new[kept] = np.arange(1, len(kept) + 1)
    return Hotspots(new[inside], tuple(hotspots.labels[k - 1] for k in kept))


def translate_words(annotation: Annotation, words: Mapping[str, str]) -> Annotation:
    """Returns an annotation in our words, without the outlines that are to be ignored.

    `words` has our word for a clean word of the hospital's, empty for one to ignore;
    words that are not in it stay as they are.
    """
    ours = [
        (region, words.get(clean_word(region.label), clean_word(region.label)))
        for region in annotation.regions
    ]
    kept = tuple(
        dataclasses.replace(region, label=word) for region, word in ours if word
    )
    return dataclasses.replace(annotation, regions=kept)


def is_abnormal(annotation: Annotation, transform: CropTransform) -> bool:
    """Returns whether a reader calls the thorax abnormal: "at least one hot spot" [P2].

    An outline counts if it has a pixel in the crop.
    """
    return any(
        transform.apply(region.fill(transform.frame_hw)).any()
        for region in annotation.regions
    )


def name_kind(sites: Sequence[str]) -> str:
    """Returns the kind of metastasis of an image with hotspots at these sites.

    [P2] Table 1 counts "multiple", spinal and "outside the spine" without defining
    them. Read as: spinal if all hotspots are spinal; multiple if there are several and
    not all of them are; outside the spine if there is a single one and it is. Where
    unstated sites leave that open, or no hotspot is agreed upon, the kind is unstated.
    `sites` are of `SITE_WORDS`, one for each hotspot.
    """
    if len(sites) > 1 and OUTSIDE_SPINE in sites:
        return MULTIPLE
    if len(set(sites)) == 1:
        return sites[0]
    return METASTASIS


def diagnose(
    annotations: Sequence[Annotation], hotspots: Hotspots, transform: CropTransform
) -> str:
    """Returns the one of `DIAGNOSES` that the readers of an image agree upon.

    An image is abnormal if a strict majority of its readers call it so: "at least two
    doctors" of three [P2]. Its kind follows from the hotspots. The annotations, one for
    each reader, are in our words (`translate_words`), the hotspots in thorax pixels
    (`agree`, `crop_hotspots`).

    Raises:
        ValueError: if there is no annotation.
    """
    if not annotations:
        raise ValueError("Expected the annotation of at least one reader, got none.")
    abnormal = sum(is_abnormal(annotation, transform) for annotation in annotations)
    return name_kind(hotspots.labels) if 2 * abnormal > len(annotations) else NORMAL


# Word, pixels of a box, and where in the frame the first of them lies.
_Placed = tuple[str, np.ndarray, tuple[int, int]]


def _check_effort(annotations: Sequence[Annotation], hw: tuple[int, int]) -> None:
    """Refuses outlines that would take long to fill, before any is filled."""
    filled = 0
    for annotation in annotations:
        _check_frame(annotation, hw)
        for region in annotation.regions:
            y0, x0, y1, x1 = region.bound(hw)
            filled += (y1 - y0) * (x1 - x0)
            if region.polygon_xy is not None:  # a crossing costs as much as 4 pixels
                filled += 4 * (y1 - y0) * len(region.polygon_xy)
        if filled > FILLED_PIXELS:
            raise AnnotationError(
                f"{annotation.path}: expected outlines around at most {FILLED_PIXELS} "
                f"pixels in all, found {len(annotation.regions)} outlines around more. "
                "Draw around lesions."
            )


def _check_frame(annotation: Annotation, hw: tuple[int, int]) -> None:
    """Refuses an annotation that was drawn on an image of another size."""
    if annotation.image_hw is not None and annotation.image_hw != tuple(hw):
        raise AnnotationError(
            f"{annotation.path}: expected an image of {hw[0]}x{hw[1]} pixels (rows x "
            f"columns), found {annotation.image_hw[0]}x{annotation.image_hw[1]}. "
            "Annotate the unscaled image."
        )
    if annotation.image_hw is not None:
        return  # its points were checked when the file was read
    for region in annotation.regions:
        points = region.polygon_xy
        if points is not None and not lies_inside(points, hw):
            raise AnnotationError(
                f"{annotation.path}: expected {region.label!r} inside the frame of "
                f"{hw[0]}x{hw[1]} pixels (rows x columns), found it outside. Annotate "
                "the unscaled image."
            )


def _place_regions(annotation: Annotation, hw: tuple[int, int]) -> list[_Placed]:
    """Returns the pixels of each region, none of which is without a pixel."""
    placed = []
    for region in annotation.regions:
        mask, corner = region.place(hw)
        if not mask.any():
            raise AnnotationError(
                f"{annotation.path}: expected outlines around pixels, found an outline "
                f"{region.label!r} without any: too thin, too small or empty. Draw it "
                "larger, or delete it."
            )
        placed.append((region.label, mask, corner))
    return placed


def _unite(placed: Sequence[_Placed], hw: tuple[int, int]) -> np.ndarray:
    """Returns the pixels that any of these regions has, bool, (H, W)."""
    united = np.zeros(hw, bool)
    for _, mask, (y0, x0) in placed:
        united[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]] |= mask
    return united


def _majority_labels(
    placed: Sequence[Sequence[_Placed]], numbers: np.ndarray, count: int
) -> tuple[str, ...]:
    """Returns for each hotspot the word that readers gave to most of its pixels."""
    pixels: list[Counter[str]] = [Counter() for _ in range(count)]
    for regions in placed:
        by_label: dict[str, list[_Placed]] = {}
        for region in regions:
            by_label.setdefault(region[0], []).append(region)
        for label, alike in by_label.items():
            marks = _unite(alike, (numbers.shape[0], numbers.shape[1]))
            found = np.bincount(numbers[marks], minlength=count + 1)
            for k in np.flatnonzero(found[1:]):
                pixels[k][label] += int(found[1 + k])
    return tuple(min(each, key=lambda label: (-each[label], label)) for each in pixels)
