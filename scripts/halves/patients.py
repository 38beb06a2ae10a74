"""Which patients of a set of labelled pictures train, how many, and who is held out."""

import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.halves.pictures import Halves
from spectjax.imaging.diagnosis import METASTASIS, NORMAL
from spectjax.imaging.listed.csv_table import read_table
from spectjax.system.files import format_csv, write_file
from spectjax.system.messages import UserError
from tfds_spect.duplicates import find_near_duplicates
from tfds_spect.folds import deal_folds
from tfds_spect.names import FOLDS

SPLIT = "split.csv"
_COLUMNS = ("patient", "abnormal", "fold")


@dataclass(frozen=True)
class _Picture:
    """What the search for duplicates and the dealing of folds ask of a picture."""

    example_id: str
    patient: str
    diagnosis: str
    counts: np.ndarray


def split_patients(halves: Halves, path: pathlib.Path) -> dict[str, int]:
    """Returns the fold of each patient that takes part, and keeps it in a table.

    Patients go to folds as in a data set (`deal_folds`). Of patients who share a
    picture the first takes part, and none if their labels differ. What the table says
    once is not searched for again.

    Raises:
        ImageTableError: if the table cannot be read.
        UserError: if it is of other patients.
    """
    labels = find_labels(halves)
    if not path.is_file():
        folds = _deal(halves, labels)
        rows = [(name, labels[name], fold) for name, fold in sorted(folds.items())]
        write_file(path, format_csv(_COLUMNS, rows))
    found, errors = read_table(path, _COLUMNS)
    if errors:
        raise errors[0]
    told = {cells["patient"]: int(cells["abnormal"]) for _, cells in found}
    if any(labels.get(name) != abnormal for name, abnormal in told.items()):
        raise UserError(
            f"{path}: expected the patients of these pictures, found others. Choose "
            "another --output_dir."
        )
    return {cells["patient"]: int(cells["fold"]) for _, cells in found}


def find_labels(halves: Halves) -> dict[str, int]:
    """Returns 1 for each patient with a picture that is not normal, else 0."""
    labels: dict[str, int] = {}
    for row, abnormal in zip(halves.rows, halves.abnormal, strict=True):
        name = row["patient"]
        labels[name] = max(labels.get(name, 0), int(abnormal))
    return labels


def _deal(halves: Halves, labels: Mapping[str, int]) -> dict[str, int]:
    """Returns the fold of each patient without a double."""
    pictures = [
        _Picture(row["file"], row["patient"], (NORMAL, METASTASIS)[label], counts)
        for row, label, counts in zip(
            halves.rows, halves.abnormal, halves.counts, strict=True
        )
    ]
    patient_of = {each.example_id: each.patient for each in pictures}
    left_out: set[str] = set()
    for pair in find_near_duplicates(pictures):
        first, second = patient_of[pair.first], patient_of[pair.second]
        left_out |= {second} if labels[first] == labels[second] else {first, second}
    kept = [each for each in pictures if each.patient not in left_out]
    folds = deal_folds(kept)
    return {each.patient: fold for fold in FOLDS for each in folds[fold]}


def draw_patients(
    folds: Mapping[str, int], labels: Mapping[str, int], fold: int, size: int | None
) -> list[str]:
    """Returns who trains: so many of the patients of the other folds, None for all.

    Abnormal ones have their share of them. A larger draw has the smaller ones in it.

    Raises:
        UserError: if there are not so many.
    """
    others = [name for name in folds if folds[name] != fold]
    if size is None:
        return sorted(others)
    if size > len(others):
        raise UserError(
            f"--sizes={size}: expected at most {len(others)} patients, who are not in "
            f"fold {fold}. Ask for fewer, or for all."
        )
    chosen: list[str] = []
    abnormal = [name for name in others if labels[name]]
    share = round(size * len(abnormal) / len(others))
    normal = [name for name in others if not labels[name]]
    for group, count in ((abnormal, share), (normal, size - share)):
        chosen += sorted(group, key=_shuffle)[:count]
    return sorted(chosen)


def _shuffle(name: str) -> bytes:
    """Returns what orders names as if at random, always alike."""
    return hashlib.blake2b(name.encode(), key=b"learning curve").digest()


def find_rows(halves: Halves, patients: Sequence[str]) -> np.ndarray:
    """Returns which pictures are of these patients, int64, in their order."""
    wanted = set(patients)
    return np.flatnonzero([row["patient"] in wanted for row in halves.rows])
