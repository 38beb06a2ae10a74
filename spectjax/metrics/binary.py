"""Labels and scores of two classes, as every function beside this one takes them.

A label is 1 for metastasis (positive) and 0 for normal (negative). A score is the
log-odds of metastasis, log p1 - log p0; larger means more suspect. The number of images
is N.
"""

import numpy as np


def check_labels(labels: np.ndarray) -> np.ndarray:
    """Returns labels as int64, (N,).

    Args:
        labels: 0 or 1, integer, bool or float, (N,).

    Raises:
        ValueError: if there is none, or if one is neither 0 nor 1.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(
            f"Expected labels of shape (N,), at least one image, got {labels.shape}."
        )
    known = (labels == 0) | (labels == 1)
    if not known.all():
        raise ValueError(
            "Expected labels 0 (normal) or 1 (metastasis), "
            f"got {labels[~known][0]} at index {int(np.argmin(known))}."
        )
    return labels.astype(np.int64)


def check_scores(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels as int64 and scores as float64, each (N,).

    Args:
        labels: 0 or 1, (N,).
        scores: finite, (N,).

    Raises:
        ValueError: as `check_labels`; if the shapes differ; if a score is not finite.
    """
    labels, scores = check_labels(labels), np.asarray(scores, np.float64)
    if scores.shape != labels.shape:
        raise ValueError(
            f"Expected one score per label, shape {labels.shape}, got {scores.shape}."
        )
    finite = np.isfinite(scores)
    if not finite.all():
        raise ValueError(
            f"Expected finite scores, got {scores[~finite][0]} "
            f"at index {int(np.argmin(finite))}."
        )
    return labels, scores


def compute_probs(scores: np.ndarray) -> np.ndarray:
    """Returns the probabilities of metastasis, 1 / (1 + exp(-score)), in [0, 1].

    Args:
        scores: float64, of any size and shape.
    """
    # The exponent is never positive, so that nothing overflows.
    decay = np.exp(-np.abs(scores))
    return np.where(scores >= 0, 1.0, decay) / (1 + decay)
