"""ROC and precision-recall curves, and the areas that sum them up.

Every distinct score is a threshold, and an image is called metastasis if its score is
at least the threshold: images of equal score are called together, so that no curve
depends on the order of the images. Functions take labels, 0 or 1, and finite scores,
each (N,), and refuse others as `metrics.binary.check_scores` does. The number of images
is N, of distinct scores K.
"""

from dataclasses import dataclass

import numpy as np

from spectjax.metrics.binary import check_scores


@dataclass(frozen=True)
class RocCurve:
    """True against false positive rates, from the highest threshold to the lowest.

    Attributes:
        fpr: FP / (FP + TN), 1 - specificity, (K + 1,); NaN without a normal image.
        tpr: TP / (TP + FN), sensitivity, (K + 1,); NaN without a metastasis.
        thresholds: (K + 1,), strictly falling; the first is infinite and calls no image
            metastasis.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision against recall, from the highest threshold to the lowest.

    There is no point at recall 0: nothing is called there, and precision is undefined.

    Attributes:
        recall: TP / (TP + FN), (K,), never falling; NaN without a metastasis.
        precision: TP / (TP + FP), (K,).
        thresholds: (K,), strictly falling.
    """

    recall: np.ndarray
    precision: np.ndarray
    thresholds: np.ndarray


def count_calls(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts the images that each threshold calls metastasis.

    Returns:
        TP and FP, int64, and the thresholds, float64, strictly falling; each (K,).
    """
    labels, scores = check_scores(labels, scores)
    order = np.argsort(scores)[::-1]
    labels, scores = labels[order], scores[order]
    last_of_equals = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    tp = np.cumsum(labels)[last_of_equals]
    return tp, last_of_equals + 1 - tp, scores[last_of_equals]


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> RocCurve:
    """Returns the ROC curve: recall ([P2] Eq. 6) against [P2] Eq. 9."""
    tp, fp, thresholds = count_calls(labels, scores)
    return RocCurve(
        fpr=_divide(np.append(0, fp), fp[-1]),
        tpr=_divide(np.append(0, tp), tp[-1]),
        thresholds=np.append(np.inf, thresholds),
    )


def area_under_roc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns the probability that a metastasis scores above a normal image ([P2]).

    Over all pairs of one metastasis and one normal image,

        AUC = (pairs in right order + pairs of equal score / 2) / (P N),

    which is the area under the ROC curve whose points are joined by straight lines, and
    the Mann-Whitney statistic with mid-ranks. Pairs are counted as integers.

    Returns:
        In [0, 1]; NaN if all images are of one class.
    """
    labels, scores = check_scores(labels, scores)
    positives, negatives = scores[labels == 1], np.sort(scores[labels == 0])
    if not (positives.size and negatives.size):
        return float("nan")
    below = np.searchsorted(negatives, positives, side="left").sum()
    not_above = np.searchsorted(negatives, positives, side="right").sum()
    return int(below + not_above) / (2 * positives.size * negatives.size)


def precision_recall_curve(labels: np.ndarray, scores: np.ndarray) -> PrecisionRecall:
    """Returns the curve of precision ([P2] Eq. 5) against recall ([P2] Eq. 6)."""
    tp, fp, thresholds = count_calls(labels, scores)
    return PrecisionRecall(_divide(tp, tp[-1]), tp / (tp + fp), thresholds)


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns sum_k (R_k - R_k-1) P_k over falling thresholds, with R_0 = 0.

    Precision P_k holds for the whole step in recall R that ends in it; straight lines
    between the points would promise more than any threshold gives.

    Returns:
        In [0, 1]; NaN without a metastasis.
    """
    tp, fp, _ = count_calls(labels, scores)
    if tp[-1] == 0:
        return float("nan")
    return float(np.sum(np.diff(tp, prepend=0) * (tp / (tp + fp))) / tp[-1])


def _divide(counts: np.ndarray, total: int) -> np.ndarray:
    """Returns the counts over their total, NaN throughout if that is 0."""
    return counts / total if total else np.full(counts.shape, np.nan)
