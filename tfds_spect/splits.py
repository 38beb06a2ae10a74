"""Which originals and copies stand in which split of a data set."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tfds_spect.copies import draw_copies, move_example
from tfds_spect.example import ThoraxExample, encode_example
from tfds_spect.features import serialise
from tfds_spect.names import AUGMENTED, TEST, TRAIN, name_fold
from tfds_spect.sheets import SheetExample, serialise_sheet

TRAIN_SHARE = Fraction(7, 10)  # [P1] and [P2]: 70 % for training


@dataclass(frozen=True)
class Portion:
    """What one original gives to one split.

    Attributes:
        original: an original image.
        fold: of its patient.
        n_copies: how many copies of it there are, in all splits.
        numbers: which of them stand in this split; None stands for the original.
        normalised: whether counts are scaled to [0, 1].
    """

    original: ThoraxExample
    fold: int
    n_copies: int
    numbers: tuple[int | None, ...]
    normalised: bool


@dataclass(frozen=True)
class SheetPortion:
    """A sheet in the split of its fold; it has no copies.

    Attributes:
        original: the sheet.
        fold: of its patient.
        numbers: as of `Portion`.
    """

    original: SheetExample
    fold: int
    numbers: tuple[None] = (None,)


def plan_folds(
    folds: Sequence[Sequence[ThoraxExample]],
    n_copies: Mapping[str, int],
    *,
    normalised: bool,
) -> dict[str, list[Portion]]:
    """Returns the splits of a data set that does not leak.

    Args:
        folds: the originals of each fold.
        n_copies: how many copies of each (by example id) there are.
        normalised: whether counts are scaled to [0, 1].

    Returns:
        `fold0` with its originals, `fold0_augmented` with their copies, and so on;
        without `_augmented` if there are no copies.
    """
    splits: dict[str, list[Portion]] = {}
    for fold, originals in enumerate(folds):
        for original in originals:
            name, n = name_fold(fold), n_copies[original.example_id]
            parts = {name: (None,), name + AUGMENTED: tuple(range(n))}
            for split, numbers in parts.items():
                if numbers:
                    portion = Portion(original, fold, n, numbers, normalised)
                    splits.setdefault(split, []).append(portion)
    return splits


def plan_leaking(
    folds: Sequence[Sequence[ThoraxExample]],
    n_copies: Mapping[str, int],
    *,
    normalised: bool,
) -> dict[str, list[Portion]]:
    """Returns the splits of the papers' protocol, which leaks.

    Originals and copies alike are shuffled, and the first 70 % are for training: copies
    of one image, and images of one patient, stand on both sides. Arguments as of
    `plan_folds`.

    Returns:
        `train` and `test`.
    """
    drawn = []
    for original in itertools.chain(*folds):
        for number in (None, *range(n_copies[original.example_id])):
            text = f"{original.example_id} {number}".encode()
            order = hashlib.blake2b(text, key=b"leaking split").digest()
            drawn.append((order, original.example_id, number))
    drawn.sort(key=lambda one: one[:2])
    n_train = round(len(drawn) * TRAIN_SHARE)

    splits: dict[str, list[Portion]] = {}
    for name, part in ((TRAIN, drawn[:n_train]), (TEST, drawn[n_train:])):
        numbers: dict[str, list[int | None]] = {}
        for _, example_id, number in part:
            numbers.setdefault(example_id, []).append(number)
        splits[name] = [
            Portion(
                original,
                fold,
                n_copies[original.example_id],
                tuple(numbers[original.example_id]),
                normalised,
            )
            for fold, originals in enumerate(folds)
            for original in originals
            if original.example_id in numbers
        ]
    return splits


def make_examples(portion: Portion) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields key and features of each example of a portion."""
    copies = draw_copies(portion.original.example_id, portion.n_copies)
    for number in portion.numbers:
        example = portion.original
        if number is not None:
            example = move_example(example, copies[number], number)
        yield (
            example.example_id,
            encode_example(example, portion.fold, normalised=portion.normalised),
        )


def make_records(portion: "Portion | SheetPortion") -> list[tuple[str, bytes]]:
    """Returns key and serialised example of each example of a portion."""
    if isinstance(portion, SheetPortion):
        example = portion.original
        return [(example.example_id, serialise_sheet(example, portion.fold))]
    return [
        (key, serialise(example, normalised=portion.normalised))
        for key, example in make_examples(portion)
    ]
