"""Pixel scores of a segmentation: PA, CPA, Rec, IoU ([P1] Eq. 8-11) and Dice.

Every score is a ratio of four sums over pixels, with "positive" = hotspot:

    PA = (TP + TN) / (TP + TN + FP + FN)     CPA = TP / (TP + FP)
    Rec = TP / (TP + FN)                     IoU = TP / (TP + FP + FN)
    Dice = 2 TP / (2 TP + FP + FN)

[P1] does not say whether it sums over all pixels of the test set first ("pooled") or
averages the scores of single images ("per image"), so both are given. Pooled scores
obey 1/IoU = 1/CPA + 1/Rec - 1; the IoU printed in [P1] Table 2 lie 0.03 to 0.05 above
the one that the printed CPA and Rec imply (see `report.tables`).

Ratios without a denominator:
    * CPA of an image without prediction and Rec of an image without lesion are not
      defined. They are NaN and are left out of the mean over images; the number of
      images that a mean was taken over stands beside it.
    * IoU and Dice are 1 where truth and prediction are both empty: the image was
      read correctly. A single false pixel makes them 0.
The number of images is N, height and width H and W.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SCORES = ("PA", "CPA", "Rec", "IoU", "Dice")


@dataclass(frozen=True)
class PixelCounts:
    """Numbers of pixels, integer; (N,) when they are counted per image, () when pooled.

    Attributes:
        tp: hotspot in truth and prediction.
        fp: hotspot in the prediction only.
        fn: hotspot in the truth only.
        tn: hotspot in neither.
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    def pool(self) -> "PixelCounts":
        """Returns the sums over all images."""
        return PixelCounts(self.tp.sum(), self.fp.sum(), self.fn.sum(), self.tn.sum())


def count_pixels(predictions: np.ndarray, labels: np.ndarray) -> PixelCounts:
    """Counts agreements and disagreements of every image.

    Args:
        predictions: predicted classes, integer or bool, (N, H, W); 0 is background,
            anything else hotspot.
        labels: true classes, likewise.

    Returns:
        Counts, each (N,).

    Raises:
        ValueError: if the shapes differ or there is no image or no pixel.
    """
    if predictions.shape != labels.shape or labels.ndim != 3 or labels.size == 0:
        raise ValueError(
            "Expected predictions and labels of one shape (N, H, W), got "
            f"{predictions.shape} and {labels.shape}."
        )
    predicted, true = predictions != 0, labels != 0
    return PixelCounts(
        tp=np.count_nonzero(predicted & true, axis=(1, 2)),
        fp=np.count_nonzero(predicted & ~true, axis=(1, 2)),
        fn=np.count_nonzero(~predicted & true, axis=(1, 2)),
        tn=np.count_nonzero(~predicted & ~true, axis=(1, 2)),
    )


def score_pixels(counts: PixelCounts) -> dict[str, np.ndarray]:
    """Returns the scores named in `SCORES`, float64, each of the shape of the counts.

    All lie in [0, 1]; NaN and 1 stand for undefined ratios as the module says.
    """
    tp, fp, fn, tn = counts.tp, counts.fp, counts.fn, counts.tn
    return {
        "PA": _divide(tp + tn, tp + tn + fp + fn, undefined=np.nan),
        "CPA": _divide(tp, tp + fp, undefined=np.nan),
        "Rec": _divide(tp, tp + fn, undefined=np.nan),
        "IoU": _divide(tp, tp + fp + fn, undefined=1.0),
        "Dice": _divide(2 * tp, 2 * tp + fp + fn, undefined=1.0),
    }


def summarise_pixels(counts: PixelCounts) -> dict[str, dict[str, Any]]:
    """Returns the scores of a test set, pooled over pixels and averaged over images.

    Args:
        counts: counts per image, each (N,).

    Returns:
        `pooled`: the scores and the sums TP, FP, FN, TN that they come from;
        `per_image`: the means of the defined scores, NaN where no image has one, and
        `n_averaged`, the number of images behind each mean; `with_lesion`: the same
        over the images that have a lesion pixel.
    """
    pool = counts.pool()
    pooled: dict[str, Any] = {k: float(v) for k, v in score_pixels(pool).items()}
    for name, value in zip(
        ("TP", "FP", "FN", "TN"), (pool.tp, pool.fp, pool.fn, pool.tn), strict=True
    ):
        pooled[name] = int(value)

    scores, has_lesion = score_pixels(counts), counts.tp + counts.fn > 0
    return {
        "pooled": pooled,
        "per_image": _average(scores),
        "with_lesion": _average({k: v[has_lesion] for k, v in scores.items()}),
    }


def imply_iou(cpa: float, rec: float) -> float:
    """Returns the IoU that pooled CPA and Rec, both in (0, 1], leave no choice about.

    From Eq. 9-11: 1/IoU = (TP + FP + FN)/TP = 1/CPA + 1/Rec - 1.
    """
    return 1 / (1 / cpa + 1 / rec - 1)


def _average(scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns the means of the defined scores and how many there are of each."""
    means: dict[str, Any] = {}
    n_averaged: dict[str, int] = {}
    for name, values in scores.items():
        defined = values[~np.isnan(values)]
        means[name] = float(defined.mean()) if defined.size else float("nan")
        n_averaged[name] = int(defined.size)
    return means | {"n_averaged": n_averaged}


def _divide(
    numerator: np.ndarray, denominator: np.ndarray, *, undefined: float
) -> np.ndarray:
    """Divides element by element, with `undefined` where the denominator is 0."""
    filled = np.full(np.shape(denominator), undefined)
    return np.divide(numerator, denominator, out=filled, where=denominator > 0)
