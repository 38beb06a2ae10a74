"""Mirrored, translated and rotated copies of thorax images ([P1] Eq. 2-4)."""

import functools
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from spectjax.imaging.geometry import GeometricCopy, list_moves, warp
from tfds_spect.example import ORIGINAL, ThoraxExample


@functools.cache
def list_copies() -> tuple[GeometricCopy, ...]:
    """Returns every move within [P1]'s ranges but the one that moves nothing."""
    return tuple(move for move in list_moves() if move != ORIGINAL)


def count_copies(n_originals: int, ratio: Fraction) -> list[int]:
    """Returns how many copies each original gets, as evenly as can be.

    Args:
        n_originals: number of originals N.
        ratio: originals and copies together, per original.

    Returns:
        N numbers that add up to round(N * ratio) - N.
    """
    n_copies = round(n_originals * ratio) - n_originals
    given = [i * n_copies // n_originals for i in range(n_originals + 1)]
    return [after - before for before, after in itertools.pairwise(given)]


def draw_copies(example_id: str, n_copies: int) -> list[GeometricCopy]:
    """Draws different copies of one original, all of them equally likely.

    The draw depends on nothing but its arguments: not on the other images, their order
    or the process that makes it.
    """
    return random.Random(example_id).sample(list_copies(), n_copies)


def move_example(
    example: ThoraxExample, copy: GeometricCopy, copy_number: int
) -> ThoraxExample:
    """Returns a moved copy of an original.

    Counts are interpolated linearly and rounded, lesions take the nearest pixel; what
    enters the canvas is background. A lesion that leaves the canvas is left out.
    """
    matrix = copy.matrix(example.counts.shape)
    counts = warp(example.counts.astype(np.float32), matrix, order=1)
    moved = warp(example.lesions, matrix, order=0)
    kept = [k for k in range(len(example.labels)) if (moved == k + 1).any()]
    lesions = np.zeros_like(example.lesions)
    for new, old in enumerate(kept):
        lesions[moved == old + 1] = new + 1
    return replace(
        example,
        counts=np.rint(counts).astype(np.uint16),
        lesions=lesions,
        labels=tuple(example.labels[k] for k in kept),
        copy=copy,
        copy_number=copy_number,
    )


def move_all(
    originals: Sequence[ThoraxExample], n_copies: Mapping[str, int]
) -> Iterator[ThoraxExample]:
    """Yields the copies of originals, `n_copies` (by example id) of each."""
    for original in originals:
        copies = draw_copies(original.example_id, n_copies[original.example_id])
        for number, copy in enumerate(copies):
            yield move_example(original, copy, number)
