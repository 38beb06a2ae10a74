"""How many patients, images and copies a data set and its parts hold."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spectjax.imaging.diagnosis import DIAGNOSES
from tfds_spect.example import ThoraxExample
from tfds_spect.names import AUGMENTED
from tfds_spect.splits import Portion


@dataclass(frozen=True)
class PartSize:
    """How much one part holds: a fold, or a side of a split that leaks.

    Attributes:
        patients: number of patients; a part that leaks shares some with the other.
        images: number of originals.
        copies: number of copies.
    """

    patients: int
    images: int
    copies: int


def measure_parts(splits: Mapping[str, Sequence[Portion]]) -> dict[str, PartSize]:
    """Returns the size of each part; `fold0` is `fold0` and `fold0_augmented`."""
    portions: dict[str, list[Portion]] = {}
    for name, of_split in splits.items():
        portions.setdefault(name.removesuffix(AUGMENTED), []).extend(of_split)
    return {
        name: PartSize(
            patients=len({portion.original.patient for portion in of_part}),
            images=sum(None in portion.numbers for portion in of_part),
            copies=sum(len(set(portion.numbers) - {None}) for portion in of_part),
        )
        for name, of_part in portions.items()
    }


def count_patients_on_both_sides(splits: Mapping[str, Sequence[Portion]]) -> int:
    """Returns how many patients stand in several parts: none if nothing leaks."""
    parts_of: dict[str, set[str]] = {}
    for name, portions in splits.items():
        for portion in portions:
            parts = parts_of.setdefault(portion.original.patient, set())
            parts.add(name.removesuffix(AUGMENTED))
    return sum(len(parts) > 1 for parts in parts_of.values())


def summarise_readings(originals: Sequence[ThoraxExample]) -> dict[str, Any]:
    """Returns how readers agree, of the images that somebody outlined by hand.

    Returns:
        `images_by_number`: how many images were outlined by so many readers;
        `n_compared`: how many of them by several, `n_unanimous`: of those, how many all
        called alike, normal or abnormal; `dice`: mean over `n_dice` images, None if
        there is none.
    """
    readings = [each.readings for each in originals if each.readings]
    compared = [each for each in readings if each.number > 1]
    dice = [each.dice for each in compared if each.dice is not None]
    numbers = Counter(each.number for each in readings)
    return {
        "images_by_number": {str(n): numbers[n] for n in sorted(numbers)},
        "n_compared": len(compared),
        "n_unanimous": sum(each.abnormal in (0, each.number) for each in compared),
        "n_dice": len(dice),
        "dice": sum(dice) / len(dice) if dice else None,
    }


def count_diagnoses(
    originals: Sequence[ThoraxExample], n_copies: Mapping[str, int]
) -> dict[str, list[int]]:
    """Returns the numbers of originals and of copies, for each diagnosis."""
    counts = {diagnosis: [0, 0] for diagnosis in DIAGNOSES}
    for each in originals:
        counts[each.diagnosis][0] += 1
        counts[each.diagnosis][1] += n_copies[each.example_id]
    return counts
