"""Folds of patients: no patient and no acquisition is in two of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from spectjax.imaging.diagnosis import (
    METASTASIS,
    MULTIPLE,
    NORMAL,
    OUTSIDE_SPINE,
    SPINAL,
)
from tfds_spect.duplicates import find_near_duplicates
from tfds_spect.errors import PrepareError
from tfds_spect.example import ThoraxExample
from tfds_spect.names import FOLDS
from tfds_spect.source import read_again

# [P2] Table 1 has 1, 14, 111 and 220 images of the kinds that it counts.
_RAREST_FIRST = (OUTSIDE_SPINE, SPINAL, MULTIPLE, METASTASIS, NORMAL)


class _OfPatient(Protocol):
    """A thorax, or a sheet of both views."""

    @property
    def patient(self) -> str: ...


class _Original(_OfPatient, Protocol):
    """What is known by its source, too."""

    @property
    def source(self) -> str: ...

    @property
    def example_id(self) -> str: ...


_Example = TypeVar("_Example", bound=_OfPatient)


def rank_diagnosis(example: ThoraxExample) -> int:
    """Returns 0 for the rarest diagnosis."""
    return _RAREST_FIRST.index(example.diagnosis)


def deal_folds(
    examples: Sequence[_Example], rank: Callable[[Any], int] = rank_diagnosis
) -> list[list[_Example]]:
    """Deals patients, with all their images, to folds as one deals cards.

    Patients go by rank, such as `rank_diagnosis`, then by their number of images, then
    in the order of their pseudonyms. These are hashes, so that order has nothing to do
    with name or date. A patient whose images differ has the lowest of their ranks. Each
    fold's number of patients of a rank, and of all patients, differs from another
    fold's by one at most.

    Returns:
        The examples of each fold, in their given order; the last
        folds are empty if there are fewer patients than folds.
    """
    rank_of: dict[str, int] = {}
    for example in examples:
        own = rank(example)
        rank_of[example.patient] = min(own, rank_of.get(example.patient, own))
    n_images = Counter(example.patient for example in examples)
    patients = sorted(rank_of, key=lambda p: (rank_of[p], -n_images[p], p))
    fold_of = {patient: place % len(FOLDS) for place, patient in enumerate(patients)}
    return [[e for e in examples if fold_of[e.patient] == f] for f in FOLDS]


def check_folds(folds: Sequence[Sequence[_Original]]) -> None:
    """Checks that nothing stands on both sides of any split into folds.

    Args:
        folds: the originals of each fold.

    Raises:
        PrepareError: if a patient is in two folds or an image is there twice.
    """
    fold_of: dict[str, int] = {}
    seen: set[str] = set()
    for fold, examples in enumerate(folds):
        for example in examples:
            if fold_of.setdefault(example.patient, fold) != fold:
                raise PrepareError(
                    f"Patient {example.patient} is in fold {fold_of[example.patient]} "
                    f"and in fold {fold}: a patient belongs in one fold only."
                )
            if seen & {example.source, example.example_id}:
                raise PrepareError(
                    f"Image {example.example_id} is in the data set twice: remove one "
                    "of its files."
                )
            seen |= {example.source, example.example_id}


def check_acquisitions(originals: Sequence[ThoraxExample]) -> None:
    """Checks that no two patients share an image.

    Raises:
        PrepareError: if one acquisition seems to stand under two patients.
    """
    duplicates = find_near_duplicates(originals, _read_counts)
    if not duplicates:
        return
    found = duplicates[0]
    names = {
        each.example_id: f"{each.place.file.path} ({each.view})"
        if each.place
        else each.example_id
        for each in originals
    }
    more = f" (and {len(duplicates) - 1} more such pairs)" * (len(duplicates) > 1)
    raise PrepareError(
        f"{names[found.first]} and {names[found.second]}: expected two acquisitions of "
        f"two patients, found one ({found.kind}, similarity {found.similarity:.2f})"
        f"{more}. It could stand on both sides of a split: if one is a copy, remove "
        "it; if both are of one patient, give them one Patient ID."
    )


def _read_counts(original: ThoraxExample) -> np.ndarray:
    """Returns the counts of an original, read again if it was kept without pixels."""
    return (original if original.counts.size else read_again(original)).counts
