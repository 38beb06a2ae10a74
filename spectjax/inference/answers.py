"""What a model answers: class probabilities, or the instances that it marks.

The number of images is B, of instances in each D; height, width and classes are H, W
and K.
"""

from collections.abc import Callable

import numpy as np

from spectjax.hotspots import Instances

# Probabilities, float32, (B, H, W, K), or (B, K) of a classifier.
Answer = np.ndarray | Instances
# Maps counts (B, H, W, 1) to the answer.
Predict = Callable[[np.ndarray], Answer]


def take(answer: Answer, rows: int | slice) -> Answer:
    """Returns what is said of some images; of one, if `rows` is a number, no B."""
    if isinstance(answer, Instances):
        return Instances(*(each[rows] for each in answer))
    return answer[rows]


def measure_difference(first: Answer, second: Answer) -> float:
    """Returns how far two answers about the same images are apart at most.

    Of probabilities it is their largest difference. Two instances of one class are as
    far apart as their scores, as the sides of their boxes in fractions of the image, or
    as the fraction of the image's pixels in which their masks differ, whichever is
    most; two images are as far apart as the instance that is farthest from all those of
    the other image. The order of instances does not matter: that of equal scores is
    open.

    Returns:
        At least 0; infinite if one image has instances of a class and the other none;
        NaN if a number is.
    """
    if not isinstance(first, Instances) or not isinstance(second, Instances):
        return float(np.abs(np.asarray(first) - np.asarray(second)).max())
    pair = first, second
    return float(
        np.max(
            [
                _measure_image(*(Instances(*(x[row] for x in each)) for each in pair))
                for row in range(len(first.scores))
            ]
        )
    )


def _measure_image(first: Instances, second: Instances) -> float:
    """Returns how far the instances of one image are apart, see above."""
    a, b = (
        Instances(*(np.asarray(part)[each.valid] for part in each))
        for each in (first, second)
    )
    if not len(a.scores) or not len(b.scores):
        return 0.0 if len(a.scores) == len(b.scores) else float("inf")
    height, width = a.masks.shape[1:]
    sides = np.array([height, width, height, width])
    boxes = np.abs(a.boxes[:, None] - b.boxes[None]) / sides
    masks = (a.masks[:, None] != b.masks[None]).mean(axis=(2, 3))
    distances = np.maximum(np.abs(a.scores[:, None] - b.scores[None]), masks)
    distances = np.maximum(distances, boxes.max(axis=2))
    distances = np.where(a.labels[:, None] == b.labels[None], distances, np.inf)
    return float(max(distances.min(axis=1).max(), distances.min(axis=0).max()))
