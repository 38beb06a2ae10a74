"""The data set of a run in numbers; pixels are not read."""

import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spectjax.imaging.diagnosis import NORMAL
from tfds_spect.features import decode_spacing, decode_texts, is_copy
from tfds_spect.image import UNCERTAIN_CROP
from tfds_spect.names import AUGMENTED, Splits
from tfds_spect.opening import open_data_set
from tfds_spect.reading import open_split
from tfds_spect.skips import Skip, read_skips

_BRIEF = (
    *("example_id", "patient", "source", "label", "diagnosis", "mask_evidence"),
    *("view", "spacing_mm", "frame_hw", "instance_labels", "copy", "synthetic"),
)
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Image:
    """An original or a moved copy of one.

    Attributes:
        split: that holds it.
        patient: pseudonym.
        copy: whether it is one.
        synthetic: whether the patient is simulated.
        diagnosis: a word of `spectjax.imaging.diagnosis.DIAGNOSES`.
        evidence: where its mask comes from, a word of `MASK_EVIDENCE`.
        view: "anterior" or "posterior".
        matrix: rows and columns of the whole image, "1024x256".
        spacing_mm: size of a pixel (row, column); None if unknown.
        camera: what took it, "unknown" where nobody says.
        lesions: how many it has.
    """

    split: str
    patient: str
    copy: bool
    synthetic: bool
    diagnosis: str
    evidence: str
    view: str
    matrix: str
    spacing_mm: tuple[float, float] | None
    camera: str
    lesions: int


@dataclass(frozen=True)
class DataSet:
    """A prepared data set.

    Attributes:
        name: tfds_spect/<config>/<version>.
        metadata: what it says of itself.
        images: all that it holds.
        skips: what was left out; None if the list is not beside it.
    """

    name: str
    metadata: Mapping[str, Any]
    images: tuple[Image, ...]
    skips: tuple[Skip, ...] | None

    @property
    def originals(self) -> tuple[Image, ...]:
        """All but the copies."""
        return tuple(each for each in self.images if not each.copy)

    def select(self, splits: str) -> tuple[Image, ...]:
        """Returns what some splits hold, joined by plus signs as a run names them."""
        names = splits.split("+")
        return tuple(each for each in self.images if each.split in names)

    def count_shared(self, splits: Splits) -> int:
        """Returns how many patients are trained on, or validate, and are scored too."""
        learnt = [splits.train, *filter(None, [splits.validation])]
        seen = {each.patient for part in learnt for each in self.select(part)}
        return len({each.patient for each in self.select(splits.held_out)} & seen)


def read_data_set(folder: pathlib.Path) -> DataSet:
    """Reads all of a data set but its pixels.

    Raises:
        PrepareError: if there is none, or it is damaged.
    """
    builder = open_data_set(folder)
    metadata = dict(builder.info.metadata or {})
    cameras = metadata.get("cameras") or {}
    images: list[Image] = []
    for split in sorted(builder.info.splits):
        brief = open_split(folder, split, _BRIEF)
        for index in range(len(brief)):
            example = brief[index]
            texts = decode_texts(builder.info.features, example)
            height, width = example["frame_hw"].tolist()
            images.append(
                Image(
                    split=split,
                    patient=texts["patient"],
                    copy=split.endswith(AUGMENTED) or is_copy(example),
                    synthetic=bool(example["synthetic"]),
                    diagnosis=texts["diagnosis"],
                    evidence=texts["mask_evidence"],
                    view=texts["view"],
                    matrix=f"{height}x{width}",
                    spacing_mm=decode_spacing(example),
                    camera=cameras.get(example["example_id"].decode(), UNKNOWN),
                    lesions=len(example["instance_labels"]),
                )
            )
    skipped = folder.with_name(f"{folder.name}_local") / "skipped.csv"
    return DataSet(
        builder.info.full_name,
        metadata,
        tuple(images),
        read_skips(skipped) if skipped.exists() else None,
    )


def count_part(images: Iterable[Image]) -> str:
    """Returns how many patients, images and lesions there are, a line."""
    found = list(images)
    originals = [each for each in found if not each.copy]
    abnormal = [each for each in originals if each.diagnosis != NORMAL]
    patients, ill = (len({x.patient for x in some}) for some in (found, abnormal))
    copies = len(found) - len(originals)
    moved = f" and {copies} moved copies of images" if copies else ""
    return (
        f"{patients} patients, {len(originals)} images{moved}; {len(abnormal)} images "
        f"of {ill} patients show metastases, with "
        f"{sum(each.lesions for each in originals)} lesions outlined"
    )


def count_words(words: Iterable[str]) -> str:
    """Returns how often each word stands there, the most frequent first."""
    found = Counter(words).most_common()
    return ", ".join(f"{word} ({number})" for word, number in found)


def count_skips(data_set: DataSet) -> str:
    """Returns how much was left out, and for which reasons as far as they are ours."""
    number = data_set.metadata.get("n_skipped", 0)
    if not number or data_set.skips is None:
        return f"Files and images that preparation left out: {number}"
    uncertain = sum(each.reason.startswith(UNCERTAIN_CROP) for each in data_set.skips)
    return (
        f"Files and images that preparation left out: {number}, {uncertain} of them "
        "because nobody could be sure of the thorax's crop; skipped.csv has the reason "
        "of each"
    )
