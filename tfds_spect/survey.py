"""What a prepared data set holds, read once from front to back.

A part is what may be held out as one: a fold with its copies, or `train` or `test` of a
data set that leaks. Memory holds a few hundred bytes for each original image; pixels
stay on the disk.
"""

import functools
import itertools
import pathlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from tfds_spect.example import MASK_PICTURE, OUTLINES
from tfds_spect.features import decode_spacing, decode_texts, is_copy, is_scaled
from tfds_spect.names import AUGMENTED
from tfds_spect.opening import open_data_set
from tfds_spect.reading import DataSource, open_split

# Boxes are larger than what they hold, so they say nothing of a lesion's size.
DRAWN = (OUTLINES, MASK_PICTURE)
_BRIEF = ("patient", "copy")


@dataclass(frozen=True)
class Lesion:
    """One lesion of an original image.

    Attributes:
        area_px: number of its pixels.
        area_mm2: the same in square millimetres; None if the spacing is unknown.
        contrast: mean of its pixels, divided by the median of all pixels of the crop
            that hold a count.
    """

    area_px: int
    area_mm2: float | None
    contrast: float


@dataclass(frozen=True)
class StoredImage:
    """An original image of a data set; its pixels are read when they are asked for.

    Attributes:
        example_id: its key.
        patient: pseudonym of the patient.
        part: where it stands.
        view: "anterior" or "posterior".
        diagnosis: what it shows, a word of `DIAGNOSES`.
        mask_evidence: where its mask comes from, a word of `MASK_EVIDENCE`.
        spacing_mm: (row, column) size of a pixel; None if unknown.
        box_hw: rows and columns of the crop on its canvas.
        total: counts in the crop; None if the images are scaled to [0, 1].
        lesions: what was outlined.
        synthetic: whether the patient is simulated.
        records: the split that holds it.
        index: its place in the split.
        crop_by_hand: what a person did about the crop; empty if nobody did anything.
    """

    example_id: str
    patient: str
    part: str
    view: str
    diagnosis: str
    mask_evidence: str
    spacing_mm: tuple[float, float] | None
    box_hw: tuple[int, int]
    total: int | None
    lesions: tuple[Lesion, ...]
    synthetic: bool
    records: DataSource
    index: int
    crop_by_hand: str = ""

    def read(self) -> dict[str, Any]:
        """Returns all features of the image."""
        return self.records[self.index]

    @property
    def counts(self) -> np.ndarray:
        """The image, (H, W), uint16 or float32."""
        return self.read()["image"][..., 0]


@dataclass(frozen=True)
class Survey:
    """A data set in numbers.

    Attributes:
        name: data set, config and version.
        parts: their names.
        images: the original images, by part, then by example id.
        n_copies: number of moved copies in each part.
        patients: the patients of each part, of originals or copies.
        leaking: whether the data set is marked as one that leaks.
        normalised: whether its images are scaled to [0, 1].
    """

    name: str
    parts: tuple[str, ...]
    images: tuple[StoredImage, ...]
    n_copies: Mapping[str, int]
    patients: Mapping[str, frozenset[str]]
    leaking: bool
    normalised: bool

    @property
    def shared_patients(self) -> frozenset[str]:
        """Patients who stand in more than one part."""
        pairs = itertools.combinations(self.patients.values(), 2)
        return frozenset().union(*(one & other for one, other in pairs))

    @functools.cached_property
    def part_of(self) -> dict[str, str]:
        """The part of each original, by its example id."""
        return {image.example_id: image.part for image in self.images}

    @property
    def synthetic(self) -> bool:
        """Whether any patient is simulated."""
        return any(image.synthetic for image in self.images)


def survey_data_set(builder_dir: pathlib.Path) -> Survey:
    """Reads a data set once and returns what it holds.

    Raises:
        PrepareError: if no data set of ours is there, or one without diagnoses.
    """
    builder = open_data_set(builder_dir)
    features, splits = builder.info.features, sorted(builder.info.splits)
    total = sum(builder.info.splits[split].num_examples for split in splits)
    by_hand = (builder.info.metadata or {}).get("crops_by_hand") or {}
    images: list[StoredImage] = []
    n_copies: Counter[str] = Counter()
    patients: defaultdict[str, set[str]] = defaultdict(set)
    with tqdm(desc="Reading", total=total, unit=" images", disable=None) as bar:
        for split in splits:
            part = split.removesuffix(AUGMENTED)
            whole = open_split(builder_dir, split)
            brief = open_split(builder_dir, split, _BRIEF)
            for index in range(len(brief)):
                example = brief[index]
                patients[part].add(example["patient"].decode())
                if is_copy(example):
                    n_copies[part] += 1
                else:
                    image = _read_image(features, part, whole, index)
                    made = by_hand.get(image.example_id, "")
                    images.append(replace(image, crop_by_hand=made))
                bar.update()
    return Survey(
        name=builder.info.full_name,
        parts=tuple(sorted(patients)),
        images=tuple(sorted(images, key=lambda image: (image.part, image.example_id))),
        n_copies=n_copies,
        patients={part: frozenset(found) for part, found in sorted(patients.items())},
        leaking=bool(builder.info.metadata.get("leaking", False)),
        normalised=is_scaled(features),
    )


def _read_image(
    features: tfds.features.FeaturesDict, part: str, records: DataSource, index: int
) -> StoredImage:
    example = records[index]
    counts, spacing_mm = example["image"][..., 0], decode_spacing(example)
    texts = decode_texts(features, example)
    y0, x0, y1, x1 = example["crop_box"].tolist()
    return StoredImage(
        example_id=example["example_id"].decode(),
        patient=texts["patient"],
        part=part,
        view=texts["view"],
        diagnosis=texts["diagnosis"],
        mask_evidence=texts["mask_evidence"],
        spacing_mm=spacing_mm,
        box_hw=(y1 - y0, x1 - x0),
        total=None if is_scaled(features) else int(counts.sum(dtype=np.int64)),
        lesions=measure_lesions(counts, example["instance_masks"], spacing_mm),
        synthetic=bool(example["synthetic"]),
        records=records,
        index=index,
    )


def measure_lesions(
    counts: np.ndarray, masks: np.ndarray, spacing_mm: tuple[float, float] | None
) -> tuple[Lesion, ...]:
    """Measures the lesions of an image.

    Args:
        counts: (H, W), counts or anything proportional to them.
        masks: one for each lesion, (T, H, W).
        spacing_mm: (row, column) size of a pixel, None if unknown.
    """
    body = counts[counts > 0]
    median = float(np.median(body)) if body.size else np.nan
    lesions = []
    for mask in masks.astype(bool):
        area_px = int(mask.sum())
        area_mm2 = area_px * spacing_mm[0] * spacing_mm[1] if spacing_mm else None
        contrast = float(counts[mask].mean(dtype=np.float64)) / median
        lesions.append(Lesion(area_px, area_mm2, contrast))
    return tuple(lesions)
