"""Every acquisition belongs to one patient, or nothing keeps it on one side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfds_spect.duplicates import find_near_duplicates
from tfds_spect.errors import PrepareError
from tfds_spect.example import ThoraxExample
from tfds_spect.source import read_again


@dataclass(frozen=True)
class _Image:
    """An original whose pixels are read when they are asked for, if they must be."""

    original: ThoraxExample

    @property
    def example_id(self) -> str:
        return self.original.example_id

    @property
    def patient(self) -> str:
        return self.original.patient

    @property
    def counts(self) -> np.ndarray:
        if self.original.counts.size:
            return self.original.counts
        return read_again(self.original).counts


def check_acquisitions(originals: Sequence[ThoraxExample]) -> None:
    """Checks that no two patients share an image.

    Raises:
        PrepareError: if one acquisition seems to stand under two patients.
    """
    duplicates = find_near_duplicates([_Image(original) for original in originals])
    if not duplicates:
        return
    found = duplicates[0]
    names = {original.example_id: _name(original) for original in originals}
    more = f" (and {len(duplicates) - 1} more such pairs)" * (len(duplicates) > 1)
    raise PrepareError(
        f"{names[found.first]} and {names[found.second]}: expected two acquisitions of "
        f"two patients, found one ({found.kind}, similarity {found.similarity:.2f})"
        f"{more}. It could stand on both sides of a split: if one is a copy, remove "
        "it; if both are of one patient, give them one Patient ID."
    )


def _name(original: ThoraxExample) -> str:
    if original.place is None:
        return original.example_id
    return f"{original.place.file.path} ({original.view})"
