"""How much is marked: area and counts inside the outlines, readers' against model's.

Agreement is that of Bland and Altman (Lancet 1986): the differences "model minus
readers" of single images, their mean (bias), their standard deviation and the limits
bias +- 1.96 deviations, between which 95 % of differences lie if they are normal. Lin's
concordance (Biometrics 1989) is 1 where all pairs are equal, and lower for scatter as
well as for bias. The number of images is N, height and width are H and W.
"""

from dataclasses import dataclass

import numpy as np

LIMIT = 1.96  # standard deviations
BURDEN_DTYPES: dict[str, type[np.generic]] = {
    "lesion_mm2": np.float32,
    "predicted_mm2": np.float32,
    "lesion_counts": np.float64,
    "predicted_counts": np.float64,
}


@dataclass(frozen=True)
class Burden:
    """What is marked in each of N images; 0 where nothing is.

    Attributes:
        lesion_mm2: area that the readers marked, float32, (N,), NaN if the spacing is
            not known.
        predicted_mm2: area that the model marked, likewise.
        lesion_counts: sum of the counts inside what the readers marked, float64, (N,).
        predicted_counts: inside what the model marked, likewise.
    """

    lesion_mm2: np.ndarray
    predicted_mm2: np.ndarray
    lesion_counts: np.ndarray
    predicted_counts: np.ndarray


@dataclass(frozen=True)
class Agreement:
    """Agreement of two measurements, in their unit but for `concordance`.

    Attributes:
        n: pairs behind it.
        bias: mean difference, NaN without a pair.
        sd: standard deviation of the differences (n - 1), NaN below two pairs.
        low: lower limit of agreement, NaN below two pairs.
        high: upper limit, likewise.
        concordance: Lin's, in [-1, 1], NaN below two pairs or if all values are one.
    """

    n: int
    bias: float
    sd: float
    low: float
    high: float
    concordance: float


def measure_burden(
    predicted: np.ndarray, masks: np.ndarray, counts: np.ndarray, spacing_mm: np.ndarray
) -> Burden:
    """Measures areas and counts of each image.

    Args:
        predicted: what the model marked, bool or class, (N, H, W).
        masks: what the readers marked, likewise.
        counts: of the pixels, (N, H, W).
        spacing_mm: size of a pixel (row, column), NaN if unknown, (N, 2).

    Raises:
        ValueError: if the shapes do not match.
    """
    if not predicted.shape == masks.shape == counts.shape or spacing_mm.shape != (
        len(masks),
        2,
    ):
        raise ValueError(
            "Expected predictions, masks and counts of one shape (N, H, W) and spacing "
            f"(N, 2), got {predicted.shape}, {masks.shape}, {counts.shape} and "
            f"{spacing_mm.shape}."
        )
    pixel_mm2 = np.prod(spacing_mm, axis=1, dtype=np.float64)
    return Burden(
        lesion_mm2=_measure_area(masks, pixel_mm2),
        predicted_mm2=_measure_area(predicted, pixel_mm2),
        lesion_counts=_add_inside(counts, masks),
        predicted_counts=_add_inside(counts, predicted),
    )


def measure_agreement(truth: np.ndarray, predicted: np.ndarray) -> Agreement:
    """Returns how well a model's measurements agree with the readers'.

    Images in which neither marked anything are left out: they agree without merit, and
    the more of them there are, the narrower the limits would be. Views of one patient
    are alike; the limits take them as independent.

    Args:
        truth: the readers' measurements, (N,).
        predicted: the model's, (N,).
    """
    used = find_marked(truth, predicted)
    truth, predicted = (x[used].astype(np.float64) for x in (truth, predicted))
    difference, n = predicted - truth, int(used.sum())
    if n < 2:
        bias = float(difference[0]) if n else np.nan
        return Agreement(n, bias, np.nan, np.nan, np.nan, np.nan)
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    spread = truth.var() + predicted.var() + bias**2
    covariance = np.mean((truth - truth.mean()) * (predicted - predicted.mean()))
    return Agreement(
        n=n,
        bias=bias,
        sd=sd,
        low=bias - LIMIT * sd,
        high=bias + LIMIT * sd,
        concordance=float(2 * covariance / spread) if spread > 0 else np.nan,
    )


def find_marked(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Marks the images in which readers or model marked something, bool, (N,).

    An image whose measurements are not known (NaN) is not among them.
    """
    return np.asarray(truth + predicted > 0)


def _measure_area(marked: np.ndarray, pixel_mm2: np.ndarray) -> np.ndarray:
    return (np.count_nonzero(marked, axis=(1, 2)) * pixel_mm2).astype(np.float32)


def _add_inside(counts: np.ndarray, marked: np.ndarray) -> np.ndarray:
    inside = np.where(marked > 0, counts, 0)
    return np.asarray(inside.sum(axis=(1, 2), dtype=np.float64))
