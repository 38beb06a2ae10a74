"""Which detection finds which lesion: overlap and COCO's greedy matching.

An image has D detections and G lesions that the readers marked; there are T IoU
thresholds and A classes of size. Boxes are (y0, x0, y1, x1) in continuous pixels, and
all that is compared is float64. The rules are those of Microsoft COCO's evaluation (Lin
et al. 2014, "Microsoft COCO: common objects in context").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LOW_IOUS = (0.1, 0.2, 0.3, 0.4, 0.5)
COCO_IOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
IOUS = LOW_IOUS + COCO_IOUS[1:]
# Hotspots are 3 to 40 pixels long: all would be "small" in COCO, below 32^2 pixels.
SIZES_PX = (6, 12, 24)
SIZE_NAMES = ("all", "below 6 px", "6 to 12 px", "12 to 24 px", "24 px and more")


@dataclass(frozen=True)
class Overlaps:
    """The detections and lesions of one image, compared by boxes or by masks.

    Attributes:
        iou: intersection over union, float64, (D, G).
        scores: of the detections, (D,), any order.
        labels: classes of the detections, integer, (D,).
        areas: of the detections, square pixels, (D,).
        truth_labels: classes of the lesions, integer, (G,).
        truth_areas: of the lesions, pixels of their masks, (G,).
    """

    iou: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    truth_labels: np.ndarray
    truth_areas: np.ndarray


@dataclass(frozen=True)
class Matches:
    """What became of the M detections of one class in N images, the surest first.

    Detections of equal score are in the order of the images, then in that of the image.

    Attributes:
        image: index of the image of each, int64, (M,).
        correct: whether it found a lesion that counts in its class of size, bool,
            (A, T, M).
        counted: whether it counts at all, correct or false, bool, (A, T, M).
        lesions: number of lesions that count in each class of size, int64, (A, N).
    """

    image: np.ndarray
    correct: np.ndarray
    counted: np.ndarray
    lesions: np.ndarray


def measure_box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of all pairs, 0 for two empty boxes.

    Args:
        boxes: (D, 4).
        others: (G, 4).

    Returns:
        float64, (D, G).
    """
    a = boxes.astype(np.float64)[:, None]
    b = others.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.prod(np.maximum(sides, 0.0), axis=-1)
    return _divide(common, measure_box_area(a) + measure_box_area(b) - common)


def measure_box_area(boxes: np.ndarray) -> np.ndarray:
    """Returns the areas of boxes (..., 4) in square pixels, float64, (...)."""
    sides = boxes[..., 2:].astype(np.float64) - boxes[..., :2]
    return np.asarray(np.prod(sides, axis=-1))


def measure_mask_iou(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of all pairs, 0 for two empty masks.

    Args:
        masks: bool, (D, H, W).
        others: bool, (G, H, W).

    Returns:
        float64, (D, G).
    """
    used = others.any(axis=0)  # what lies outside meets nothing
    common = masks[:, used].astype(np.float64) @ others[:, used].T
    areas, other_areas = (each.sum(axis=(1, 2)) for each in (masks, others))
    return _divide(common, areas[:, None] + other_areas - common)


def match_images(images: Sequence[Overlaps], label: int) -> Matches:
    """Matches the detections of one class with the lesions of that class.

    In each image, for each threshold on its own, detections choose in the order of
    their scores: the lesion of the largest IoU, at least the threshold, that none
    before has taken. A second detection of a lesion is false. In a class of size the
    lesions outside are no lesions to find: a detection chooses one of them only if
    there is no other, and then it does not count; nor does one outside that finds
    nothing. A bound belongs to both its classes.

    Args:
        images: N images.
        label: the class.
    """
    parts = [_match_image(each, label) for each in images]
    image = np.repeat(np.arange(len(parts)), [part[0].size for part in parts])
    scores, correct, counted, lesions = (
        np.concatenate(column, axis=-1) for column in zip(*parts, strict=True)
    )
    order = np.argsort(-scores, kind="stable")
    return Matches(image[order], correct[..., order], counted[..., order], lesions)


def _match_image(
    image: Overlaps, label: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Matches one class in one image.

    Returns:
        Scores, (D,), falling; whether each detection is correct and whether it counts,
        bool, (A, T, D); and the number of lesions that count, (A, 1).
    """
    mine = np.flatnonzero(image.labels == label)
    mine = mine[np.argsort(-image.scores[mine], kind="stable")]
    theirs = image.truth_labels == label
    iou = image.iou[mine][:, theirs]
    outside = ~_is_of_size(image.areas[mine])
    ignored = ~_is_of_size(image.truth_areas[theirs])
    found, found_ignored = _choose(iou, ignored)
    counted = ~found_ignored & (found | ~outside[:, None])
    lesions = np.sum(~ignored, axis=1, keepdims=True)
    return image.scores[mine], found & counted, counted, lesions


def _choose(iou: np.ndarray, ignored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lets the detections choose one after another.

    Args:
        iou: of detections, the surest first, and lesions, (D, G).
        ignored: lesions outside each class of size, bool, (A, G).

    Returns:
        Whether each detection found a lesion, and whether that one is ignored, bool,
        (A, T, D).
    """
    shape = (len(ignored), len(IOUS), len(iou))
    found, found_ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    free = np.ones((*shape[:2], iou.shape[1]), bool)
    ignored = np.broadcast_to(ignored[:, None], free.shape)
    numbers = np.arange(iou.shape[1])
    for detection in np.flatnonzero((iou >= IOUS[0]).any(axis=1)):
        offered = free & (iou[detection] >= np.array(IOUS)[:, None])
        sought = offered & ~ignored
        offered = np.where(sought.any(axis=-1, keepdims=True), sought, offered)
        # Of equal overlaps COCO takes the last.
        reverse = np.where(offered, iou[detection], -1.0)[..., ::-1]
        best = numbers[::-1][reverse.argmax(axis=-1)]
        taken = offered & (numbers == best[..., None])
        found[..., detection] = taken.any(axis=-1)
        found_ignored[..., detection] = (taken & ignored).any(axis=-1)
        free &= ~taken
    return found, found_ignored


def _is_of_size(areas: np.ndarray) -> np.ndarray:
    """Returns which areas lie in each class of size, the first of all, bool, (A, D)."""
    bounds = np.array([0.0, *(side**2 for side in SIZES_PX), np.inf])
    low = np.concatenate([[0.0], bounds[:-1]])[:, None]
    high = np.concatenate([[np.inf], bounds[1:]])[:, None]
    return np.asarray((low <= areas) & (areas <= high))


def _divide(common: np.ndarray, union: np.ndarray) -> np.ndarray:
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)
