"""Average precision of boxes and masks, as COCO has it, and at lower IoU.

Precision is interpolated: at each of 101 recalls, 0 to 1, it is the largest that is
reached at this recall or a higher one, 0 where the recall is not reached. Its mean is
the average precision, AP. No number of detections is cut: a model's own limit counts.

There are N images and T IoU thresholds. Scores are of R resamples at once, which say
how often each image is drawn; the images themselves are the resample of ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectjax.metrics.instance_matching import (
    COCO_IOUS,
    IOUS,
    LOW_IOUS,
    SIZE_NAMES,
    Matches,
    Overlaps,
    match_images,
)

RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's very numbers, some an ulp above i / 100
AP_NAMES = (
    *(f"AP{100 * iou:.0f}" for iou in LOW_IOUS),
    *("AP10_50", "AP75", "AP", "AR"),
)


@dataclass(frozen=True)
class Curves:
    """Precision and recall of R resamples at T' thresholds.

    Attributes:
        precision: interpolated, at `RECALLS`, float64, (T', R, 101); NaN in a resample
            without a lesion.
        recall: of all detections, float64, (T', R), likewise.
    """

    precision: np.ndarray
    recall: np.ndarray


def match_classes(images: Sequence[Overlaps]) -> list[Matches]:
    """Returns the matches of each class that readers or model know.

    Raises:
        ValueError: if there is no image.
    """
    if not images:
        raise ValueError("Expected at least one image, got none.")
    labels = {
        int(label) for image in images for label in (*image.labels, *image.truth_labels)
    }
    return [match_images(images, label) for label in sorted(labels)]


def score_matches(
    matches: Sequence[Matches], drawn: np.ndarray, size: str = "all"
) -> dict[str, np.ndarray]:
    """Returns average precision and recall by name.

    Args:
        matches: of each class.
        drawn: how often each image is drawn in each resample, float64, (R, N).
        size: a word of `SIZE_NAMES`.

    Returns:
        `AP10` to `AP50`: AP at the IoU thresholds 0.1 to 0.5, `AP10_50` their mean;
        `AP75`; `AP`: the mean over 0.5, 0.55, ..., 0.95, which COCO calls AP; `AR`: the
        mean recall of all detections over the same. Each (R,), in [0, 1], the mean over
        the classes that have lesions, NaN where none has.
    """
    curves = average_classes(matches, drawn, IOUS, size)
    by_iou = dict(zip(IOUS, curves.precision.mean(axis=-1), strict=True))
    recall = dict(zip(IOUS, curves.recall, strict=True))
    values = (
        *(by_iou[iou] for iou in LOW_IOUS),
        np.mean([by_iou[iou] for iou in LOW_IOUS], axis=0),
        by_iou[0.75],
        np.mean([by_iou[iou] for iou in COCO_IOUS], axis=0),
        np.mean([recall[iou] for iou in COCO_IOUS], axis=0),
    )
    return dict(zip(AP_NAMES, values, strict=True))


def average_classes(
    matches: Sequence[Matches],
    drawn: np.ndarray,
    ious: Sequence[float],
    size: str = "all",
) -> Curves:
    """Returns the mean curves of the classes that have lesions.

    Args:
        matches: of each class.
        drawn: how often each image is drawn in each resample, float64, (R, N).
        ious: T' of the thresholds `IOUS`.
        size: a word of `SIZE_NAMES`.
    """
    n_classes = np.zeros(len(drawn))
    precision = np.zeros((len(ious), len(drawn), RECALLS.size))
    recall = np.zeros(precision.shape[:2])
    row = SIZE_NAMES.index(size)
    for each in matches:
        lesions = drawn @ each.lesions[row]
        n_classes += lesions > 0
        for k, iou in enumerate(ious):
            cell = row, IOUS.index(iou)
            found, marked = _count(
                each.correct[cell], each.counted[cell], each.image, drawn
            )
            precision[k] += _interpolate(found, marked, lesions)
            recall[k] += _divide(found.max(axis=1, initial=0), lesions)
    with np.errstate(invalid="ignore"):  # 0 / 0 is undefined, NaN
        return Curves(precision / n_classes[:, None], recall / n_classes)


def _count(
    correct: np.ndarray, counted: np.ndarray, image: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Counts down to each of the F correct detections of one class.

    How many are marked is a sum over images of their own numbers: for thousands of
    resamples far faster than to draw every detection.

    Args:
        correct: bool, (M,), the surest first.
        counted: likewise.
        image: index of the image of each, (M,).
        drawn: (R, N).

    Returns:
        Lesions found, (R, F), and all detections that count, (R, F).
    """
    n_before = np.cumsum(correct) - correct  # correct ones above each detection
    used = counted & (n_before < correct.sum())
    numbers = np.zeros((drawn.shape[1], int(correct.sum())))
    np.add.at(numbers, (image[used], n_before[used]), 1)
    found = np.cumsum(drawn[:, image[correct]], axis=1)
    return found, drawn @ np.cumsum(numbers, axis=1)


def _interpolate(
    found: np.ndarray, marked: np.ndarray, lesions: np.ndarray
) -> np.ndarray:
    """Returns the interpolated precision at `RECALLS`, 0 without a lesion.

    Precision falls with each false detection: only the correct ones matter.

    Args:
        found: lesions found down to each correct detection, (R, F).
        marked: detections down to each correct one, (R, F).
        lesions: how many there are, (R,).

    Returns:
        float64, (R, 101).
    """
    precision = _divide(found, marked)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.append(best, np.zeros((len(best), 1)), axis=1)
    recall = _divide(found, lesions[:, None])
    first = [each.searchsorted(RECALLS) for each in recall]
    reached = np.take_along_axis(best, np.array(first), axis=1)
    return np.where(lesions[:, None] > 0, reached, 0.0)


def _divide(number: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Returns the ratio, 0 for 0 / 0."""
    total = np.broadcast_to(total, number.shape)
    return np.divide(number, total, out=np.zeros(number.shape), where=total > 0)
