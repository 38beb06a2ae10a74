"""Scores of a classification from its four counts, and by patient and diagnosis.

Metastasis is positive ([P2] Eq. 4-8):

    accuracy = (TP + TN) / (TP + TN + FP + FN)     precision = TP / (TP + FP)
    recall = TP / (TP + FN)                        specificity = TN / (TN + FP)
    F1 = 2 TP / (2 TP + FP + FN)

Eq. 8, 2 precision recall / (precision + recall), is the same number wherever it is
defined. A model that finds no metastasis has no value there and F1 = 0 here, so that
the worst model is not left out of a mean.

Labels and scores are those of `metrics.binary`; the number of images is N. A prediction
is 1 (metastasis) where the score is above 0: at a probability of exactly one half the
image is called normal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.metrics.binary import check_labels, check_scores
from spectjax.metrics.curves import count_calls


@dataclass(frozen=True)
class Confusion:
    """Numbers of images.

    Attributes:
        tp: metastases called metastasis.
        fn: metastases called normal.
        fp: normal images called metastasis.
        tn: normal images called normal.
    """

    tp: int
    fn: int
    fp: int
    tn: int


@dataclass(frozen=True)
class PatientScores:
    """One label and one score for each of M patients, in the order of their names.

    Attributes:
        patients: names, (M,).
        labels: int64, (M,).
        scores: log-odds, float64, (M,).
    """

    patients: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


def count_confusion(labels: np.ndarray, predictions: np.ndarray) -> Confusion:
    """Counts agreements and disagreements.

    Args:
        labels: 0 or 1, (N,).
        predictions: 0 or 1, integer or bool, (N,).

    Raises:
        ValueError: if there is no image, the shapes differ, or a value is not 0 or 1.
    """
    labels, predictions = check_labels(labels), check_labels(predictions)
    if predictions.shape != labels.shape:
        raise ValueError(
            f"Expected one prediction per label, shape {labels.shape}, "
            f"got {predictions.shape}."
        )
    tp = int(labels @ predictions)
    fn, fp = int(labels.sum()) - tp, int(predictions.sum()) - tp
    return Confusion(tp=tp, fn=fn, fp=fp, tn=labels.size - tp - fn - fp)


def score_confusion(confusion: Confusion) -> dict[str, float]:
    """Returns accuracy, precision, recall, specificity and f1, each in [0, 1].

    A score is NaN where its denominator is 0: precision where nothing is called
    metastasis, recall without a metastasis, specificity without a normal image.
    """
    tp, fn, fp, tn = confusion.tp, confusion.fn, confusion.fp, confusion.tn
    return {
        "accuracy": _divide(tp + tn, tp + tn + fp + fn),
        "precision": _divide(tp, tp + fp),
        "recall": _divide(tp, tp + fn),
        "specificity": _divide(tn, tn + fp),
        "f1": _divide(2 * tp, 2 * tp + fp + fn),
    }


def sensitivity_at_specificity(
    labels: np.ndarray, scores: np.ndarray, specificity: float
) -> tuple[float, float]:
    """Returns the best sensitivity of all thresholds with at least this specificity.

    The threshold is read off the very images that are scored, so the pair says what the
    order of the scores allows, not what a threshold fixed beforehand would reach.

    Args:
        labels: 0 or 1, (N,).
        scores: finite, (N,).
        specificity: the least share of normal images that are called normal, [0, 1].

    Returns:
        The sensitivity, and the highest threshold that reaches it; an image is called
        metastasis if its score is at least that. Infinite where every finite threshold
        calls too many normal images or no metastasis; both NaN if all images are of one
        class.

    Raises:
        ValueError: as `check_scores`, or if the specificity lies outside [0, 1].
    """
    if not 0 <= specificity <= 1:
        raise ValueError(f"Expected a specificity in [0, 1], got {specificity}.")
    tp, fp, thresholds = count_calls(labels, scores)
    n_positive, n_negative = int(tp[-1]), int(fp[-1])
    if not (n_positive and n_negative):
        return float("nan"), float("nan")
    # A quotient of integers is rounded as the literal 0.9 is: 9 of 10 pass. 1 - FP / N
    # would be rounded twice.
    allowed = (n_negative - fp) / n_negative >= specificity
    best = int(tp[allowed].max(initial=0))
    if best == 0:
        return 0.0, float("inf")
    return best / n_positive, float(thresholds[np.argmax(tp == best)])


def recall_by_diagnosis(
    diagnoses: Sequence[str], labels: np.ndarray, predictions: np.ndarray
) -> dict[str, Any]:
    """Returns how many images of each diagnosis are called what they are.

    Args:
        diagnoses: what each image shows, N words.
        labels: 0 or 1, (N,).
        predictions: 0 or 1, (N,).

    Returns:
        For each diagnosis, in alphabetical order, `n` images, `n_correct` and their
        ratio `recall`; of normal images that is the specificity.

    Raises:
        ValueError: as `count_confusion`, or if there is not one word per label.
    """
    count_confusion(labels, predictions)
    if len(diagnoses) != len(labels):
        raise ValueError(
            f"Expected one diagnosis per label, {len(labels)}, got {len(diagnoses)}."
        )
    correct = np.asarray(labels) == np.asarray(predictions)
    words = np.array(diagnoses)
    groups = {str(word): correct[words == word] for word in np.unique(words)}
    return {
        word: {
            "n": int(group.size),
            "n_correct": int(group.sum()),
            "recall": int(group.sum()) / group.size,
        }
        for word, group in groups.items()
    }


def group_by_patient(
    patients: Sequence[str], labels: np.ndarray, scores: np.ndarray
) -> PatientScores:
    """Returns the mean score of each patient's images.

    A patient is positive if one of the images is.

    Args:
        patients: name of the patient of each image, N words.
        labels: 0 or 1, (N,).
        scores: finite, (N,).

    Raises:
        ValueError: as `check_scores`, or if there is not one name per label.
    """
    labels, scores = check_scores(labels, scores)
    if len(patients) != labels.size:
        raise ValueError(
            f"Expected one patient per label, {labels.size}, got {len(patients)}."
        )
    names, owner = np.unique(np.array(patients), return_inverse=True)
    n_images = np.bincount(owner)
    return PatientScores(
        patients=names,
        labels=(np.bincount(owner, weights=labels) > 0).astype(np.int64),
        scores=np.bincount(owner, weights=scores) / n_images,
    )


def _divide(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")
