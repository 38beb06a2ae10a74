"""Folds of patients: no patient is in two of them."""

from collections.abc import Sequence

from tfds_spect.errors import PrepareError
from tfds_spect.example import ThoraxExample

N_FOLDS = 5


def deal_folds(examples: Sequence[ThoraxExample]) -> list[list[ThoraxExample]]:
    """Deals patients, with all their images, to folds as one deals cards.

    Patients go in the order of their pseudonyms. These are hashes, so the order has
    nothing to do with name, date or disease.

    Returns:
        The examples of each of the `N_FOLDS` folds, in their given order; the last
        folds are empty if there are fewer patients than folds.
    """
    patients = sorted({example.patient for example in examples})
    fold_of = {patient: rank % N_FOLDS for rank, patient in enumerate(patients)}
    return [[e for e in examples if fold_of[e.patient] == f] for f in range(N_FOLDS)]


def check_folds(folds: Sequence[Sequence[ThoraxExample]]) -> None:
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
