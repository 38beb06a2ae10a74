"""Mirrored, translated and rotated copies of thorax images ([P1] Eq. 2-4)."""

import functools
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from spectjax.imaging.geometry import GeometricCopy, list_moves, warp
from tfds_spect.example import ORIGINAL, ThoraxExample


@dataclass(frozen=True)
class CopyRule:
    """How many copies the images of some diagnoses get.

    Attributes:
        diagnoses: of the images that the rule is for.
        ratio: originals and copies together, per original.
        every: of each fold only every so-many-th of these images gets copies.
    """

    diagnoses: tuple[str, ...]
    ratio: Fraction
    every: int = 1


@functools.cache
def list_copies() -> tuple[GeometricCopy, ...]:
    """Returns every move within [P1]'s ranges but the one that moves nothing."""
    return tuple(move for move in list_moves() if move != ORIGINAL)


def plan_copies(
    folds: Sequence[Sequence[ThoraxExample]], rules: Sequence[CopyRule]
) -> dict[str, int]:
    """Returns how many copies each original gets, by its example id.

    Each rule's images together get round(N * ratio) - N copies, N being their number;
    those that get any get as many as each other, or one more or less.

    Args:
        folds: the originals of each fold, sorted.
        rules: at most one for a diagnosis; without one, an image gets no copies.
    """
    n_copies = {example.example_id: 0 for fold in folds for example in fold}
    for rule in rules:
        concerned = [
            [e for e in fold if e.diagnosis in rule.diagnoses] for fold in folds
        ]
        n_images = sum(map(len, concerned))
        chosen = [e.example_id for fold in concerned for e in fold[:: rule.every]]
        shares = share_evenly(round(n_images * rule.ratio) - n_images, len(chosen))
        n_copies.update(zip(chosen, shares, strict=True))
    return n_copies


def share_evenly(total: int, n_shares: int) -> list[int]:
    """Returns numbers that add up to `total` and differ by at most one."""
    given = [i * total // n_shares for i in range(n_shares + 1)] if n_shares else []
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
    """Returns a moved copy of an original, of the same diagnosis.

    Counts are interpolated linearly and rounded, lesions take the nearest pixel; what
    enters the canvas is background. A lesion that leaves the canvas is left out.
    """
    matrix = copy.matrix(example.counts.shape)
    counts = warp(example.counts.astype(np.float32), matrix, order=1)
    moved = example.lesions
    if example.labels:
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
