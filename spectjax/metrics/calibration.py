"""Whether the probabilities of metastasis are those that come true.

Probabilities p are 1 / (1 + exp(-score)). Bins are of equal width over p(metastasis),
not over the confidence in whichever class is called, so that both ends of a reliability
plot mean something to a reader: B bins, bin b = [b/B, (b + 1)/B), the last one closed.
With n_b images in bin b, of mean probability p_b and fraction of metastases f_b,

    ECE = sum_b (n_b / N) |f_b - p_b|      Brier = mean (p - label)^2

Functions take labels, 0 or 1, and finite scores, each (N,), and refuse others as
`metrics.binary.check_scores` does. The number of images is N.
"""

from dataclasses import dataclass

import numpy as np

from spectjax.metrics.binary import check_scores, compute_probs

# Where the images ask for more, e.g. because the scores separate the classes and every
# probability could as well be 0 or 1, a temperature stops here.
MIN_TEMPERATURE = 0.05
MAX_TEMPERATURE = 100.0
MAX_SHIFT = 20.0  # of log-odds

# Halvings of the range of log temperature, about 8, until float64 has no more digits.
_HALVINGS = 60


@dataclass(frozen=True)
class Reliability:
    """What a reliability plot shows, for each of B bins.

    Attributes:
        mean_prob: mean probability of metastasis, (B,); NaN in an empty bin.
        fraction: fraction of metastases, (B,); NaN in an empty bin.
        count: number of images, int64, (B,).
        edges: ends of the bins, (B + 1,).
    """

    mean_prob: np.ndarray
    fraction: np.ndarray
    count: np.ndarray
    edges: np.ndarray


def reliability(labels: np.ndarray, scores: np.ndarray, bins: int = 10) -> Reliability:
    """Returns probabilities and fractions of metastases, bin by bin.

    Raises:
        ValueError: as `check_scores`, or if there is no bin.
    """
    labels, scores = check_scores(labels, scores)
    return reliability_of_counts(labels, 1 - labels, scores, bins)


def reliability_of_counts(
    positives: np.ndarray, negatives: np.ndarray, scores: np.ndarray, bins: int = 10
) -> Reliability:
    """Returns what `reliability` does, of scores that many have, such as pixels.

    Args:
        positives: how many of a score are positive, int64, (S,).
        negatives: how many are not, likewise.
        scores: S log-odds.
        bins: B.

    Raises:
        ValueError: if there is no bin.
    """
    if bins < 1:
        raise ValueError(f"Expected at least one bin, got {bins}.")
    probs = compute_probs(scores)
    edges = np.arange(bins + 1) / bins
    index = np.searchsorted(edges[1:-1], probs, side="right")
    total = positives + negatives
    count = np.bincount(index, total, bins).astype(np.int64)
    return Reliability(
        mean_prob=_average(np.bincount(index, probs * total, bins), count),
        fraction=_average(np.bincount(index, positives, bins), count),
        count=count,
        edges=edges,
    )


def expected_calibration_error(
    labels: np.ndarray, scores: np.ndarray, bins: int = 10
) -> float:
    """Returns the ECE, in [0, 1]; 0 is best.

    Raises:
        ValueError: as `reliability`.
    """
    return sum_gaps(reliability(labels, scores, bins))


def sum_gaps(table: Reliability) -> float:
    """Returns the ECE of a reliability table; NaN if nothing is in it."""
    if not table.count.sum():
        return float("nan")
    gaps = table.count * np.abs(table.fraction - table.mean_prob)
    return float(np.nansum(gaps) / table.count.sum())


def brier_score(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns the Brier score, in [0, 1]; 0 is best, 1/4 is a constant p = 1/2."""
    labels, scores = check_scores(labels, scores)
    return float(np.mean((compute_probs(scores) - labels) ** 2))


def fit_temperature(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns the T whose probabilities 1 / (1 + exp(-score/T)) fit the labels best.

    With margins m = score for a metastasis and -score for a normal image, the mean
    negative log-likelihood mean log(1 + exp(-m/T)) is convex in 1/T; its derivative
    with respect to 1/T, -mean m / (1 + exp(m/T)), is 0 at the result or has one sign
    between the bounds. T keeps the order of the scores and what is called metastasis.

    Returns:
        In [MIN_TEMPERATURE, MAX_TEMPERATURE]. The lower bound if no image is on the
        wrong side of 0, the upper one if the scores say less than nothing; 1 if all
        scores are 0 and every T is as good.
    """
    labels, scores = check_scores(labels, scores)
    margins = np.where(labels == 1, scores, -scores)
    if not margins.any():
        return 1.0

    def is_too_low(temperature: float) -> bool:
        return bool(np.sum(margins * compute_probs(-margins / temperature)) < 0)

    # This bound first: the derivative of margins that are far right underflows to 0.
    if not is_too_low(MIN_TEMPERATURE):
        return MIN_TEMPERATURE
    if is_too_low(MAX_TEMPERATURE):
        return MAX_TEMPERATURE
    low, high = np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_too_low(np.exp(middle)) else (low, middle)
    return float(np.exp((low + high) / 2))


def fit_shift(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns the b whose probabilities 1 / (1 + exp(-(score + b))) fit labels best.

    At the best b they add up to the number of metastases: they are what they should be
    where metastases are more or less frequent than where the scores were learned, and
    nothing else differs.

    Returns:
        In [-MAX_SHIFT, MAX_SHIFT]; a bound if all images are of one class.
    """
    labels, scores = check_scores(labels, scores)
    low, high = -MAX_SHIFT, MAX_SHIFT
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_too_low = bool(compute_probs(scores + middle).sum() < labels.sum())
        low, high = (middle, high) if is_too_low else (low, middle)
    return float((low + high) / 2)


def _average(sums: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Returns the sum over the count of each bin, NaN in an empty one."""
    return np.divide(sums, count, out=np.full(count.shape, np.nan), where=count > 0)
