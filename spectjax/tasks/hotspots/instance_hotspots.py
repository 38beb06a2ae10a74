"""Instances that a model marks in one image, cut to what shows the patient.

The number of instances is D; height and width of the canvas are H and W.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectjax.imaging.hotspots import (
    CLASS_NAMES,
    AnswerError,
    Instances,
    bound_mask,
    check_finite,
)

MIN_SCORE = 0.5  # exclusive; as of a pixel that a segmenting model marks

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class InstanceHotspot:
    """One instance that a model marked.

    Attributes:
        category: name of its class.
        score: probability of that class, in (0, 1].
        box: (y0, x0, y1, x1), continuous pixels: pixel i covers [i, i + 1).
        mask: its pixels, bool, (H, W).
    """

    category: str
    score: float
    box: Box
    mask: np.ndarray


def select_hotspots(
    instances: Instances,
    patient: np.ndarray,
    class_names: Sequence[str] = CLASS_NAMES,
    *,
    min_score: float = MIN_SCORE,
) -> list[InstanceHotspot]:
    """Returns the instances whose score exceeds `min_score`, surest first.

    Masks and boxes are cut to the patient; what has no pixel left is left out.

    Args:
        instances: of one image, D of them.
        patient: pixels that show the patient, a rectangle, bool, (H, W).
        class_names: names of the classes, background first.
        min_score: in (0, 1).

    Raises:
        AnswerError: if the masks are of another size or a box or a score is not finite.
    """
    if instances.masks.shape[1:] != patient.shape:
        raise AnswerError(
            f"Expected masks of {patient.shape} pixels, the model gave "
            f"{instances.masks.shape[1:]}."
        )
    chosen = instances.valid & ~(instances.scores <= min_score)  # a NaN is chosen
    found = Instances(*(np.asarray(each)[chosen] for each in instances))
    check_finite("scores or boxes", found.scores, found.boxes)
    y0, x0, y1, x1 = bound_mask(patient)
    boxes = np.clip(found.boxes, (y0, x0, y0, x0), (y1, x1, y1, x1))
    masks = found.masks & patient
    hotspots = [
        InstanceHotspot(class_names[label], float(score), as_box(box), mask)
        for box, score, label, mask in zip(
            boxes, found.scores, found.labels, masks, strict=True
        )
        if mask.any()
    ]
    return sorted(hotspots, key=lambda h: (-h.score, -int(h.mask.sum()), h.box))


def as_box(values: np.ndarray) -> Box:
    """Returns a box to a thousandth of a pixel."""
    y0, x0, y1, x1 = (round(float(value), 3) for value in values)
    return y0, x0, y1, x1
