"""What two data sets share: patients, acquisitions, and images under another name.

Pseudonyms tell patients apart only where both data sets were made with one key; the
noise of an acquisition tells it again without any name (`tfds_spect.duplicates`).
"""

import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spectjax.imaging.identity import compute_pseudonym
from tfds_spect.duplicates import Duplicate, find_near_duplicates
from tfds_spect.features import is_copy
from tfds_spect.names import AUGMENTED
from tfds_spect.opening import KEY_OF_PSEUDONYMS, open_data_set
from tfds_spect.reading import DataSource, open_split

_BRIEF = ("example_id", "patient", "source", "copy", "synthetic")


@dataclass(frozen=True)
class Original:
    """An original image; its pixels are read when they are asked for.

    Attributes:
        example_id: its key.
        patient: pseudonym of the patient.
        source: pseudonym of the acquisition.
        split: that holds it.
        synthetic: whether the patient is simulated.
        pixels: reads the images of the split.
        index: its place there.
    """

    example_id: str
    patient: str
    source: str
    split: str
    synthetic: bool
    pixels: DataSource
    index: int

    @property
    def counts(self) -> np.ndarray:
        """The image, (H, W), uint16 or float32."""
        return self.pixels[self.index]["image"][..., 0]


@dataclass(frozen=True)
class Shared:
    """What an image shares with one of another data set.

    Attributes:
        example_id: of the image.
        other_split: where the other one stands.
        what: "patient", "acquisition", "same counts" or "nearly the same".
    """

    example_id: str
    other_split: str
    what: str


def list_originals(
    builder_dir: pathlib.Path, splits: Iterable[str] | None = None
) -> list[Original]:
    """Returns the originals of a data set, of all its splits or of some.

    Raises:
        PrepareError: if no data set of ours is there, or it is damaged.
    """
    known = sorted(open_data_set(builder_dir).info.splits)
    originals = []
    for split in known if splits is None else splits:
        if split.endswith(AUGMENTED):
            continue
        brief = open_split(builder_dir, split, _BRIEF)
        pixels = open_split(builder_dir, split, ("image",))
        for index in range(len(brief)):
            example = brief[index]
            if not is_copy(example):
                originals.append(
                    Original(
                        example_id=example["example_id"].decode(),
                        patient=example["patient"].decode(),
                        source=example["source"].decode(),
                        split=split,
                        synthetic=bool(example["synthetic"]),
                        pixels=pixels,
                        index=index,
                    )
                )
    return originals


def read_key(builder_dir: pathlib.Path) -> str | None:
    """Returns what tells the pseudonym key of a data set; None if it is older."""
    metadata = open_data_set(builder_dir).info.metadata or {}
    found: str | None = metadata.get(KEY_OF_PSEUDONYMS)
    return found


def describe_key() -> str:
    """Returns what `read_key` gives for data sets that are prepared here and now."""
    return compute_pseudonym(KEY_OF_PSEUDONYMS)


def find_shared(scored: Sequence[Original], others: Sequence[Original]) -> list[Shared]:
    """Finds the images that share a patient or an acquisition with another data set.

    Args:
        scored: the images.
        others: originals of the other data set.

    Returns:
        A line for each image and split of the other data set; the first of patient,
        acquisition and pixels that is found is named.
    """
    found: dict[tuple[str, str], Shared] = {}
    for what in ("patient", "source"):
        places: dict[str, set[str]] = {}
        for other in others:
            places.setdefault(getattr(other, what), set()).add(other.split)
        for image in scored:
            for split in places.get(getattr(image, what), ()):
                word = "patient" if what == "patient" else "acquisition"
                key = (image.example_id, split)
                found.setdefault(key, Shared(*key, word))
    for pair in _find_duplicates(scored, others):
        split, _, _ = pair.first.partition("\0")
        key = (pair.second.partition("\0")[2], split)
        found.setdefault(key, Shared(*key, pair.kind))
    return sorted(found.values(), key=lambda each: (each.example_id, each.other_split))


def _find_duplicates(
    scored: Sequence[Original], others: Sequence[Original]
) -> list[Duplicate]:
    """Returns pairs across the two; the names of the others begin with their split."""

    @dataclass(frozen=True)
    class Named:
        example_id: str
        patient: str  # of all images of a side, so that sides alone are compared
        original: Original

    sides = [Named(f"{x.split}\0{x.example_id}", "others", x) for x in others]
    sides += [Named(f"\0{x.example_id}", "scored", x) for x in scored]
    return find_near_duplicates(sides, lambda each: each.original.counts)


def choose_seen(shared: Iterable[Shared], splits: Collection[str]) -> Mapping[str, str]:
    """Returns what each image shares with some splits, by its example id."""
    return {x.example_id: x.what for x in shared if x.other_split in splits}
