"""What a model that marks instances finds in a view: hotspots, each with box and mask.

The number of instances is D; height and width of the canvas are H and W.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.imaging.hotspots import (
    CLASS_NAMES,
    AnswerError,
    Instances,
    bound_mask,
    check_finite,
)
from spectjax.imaging.thorax import ThoraxImage
from spectjax.tasks.hotspots.findings import (
    find_patient,
    locate,
    measure_mask,
    report_hotspots,
)
from spectjax.tasks.views import Finding, ModelInfo, SeenView

MIN_SCORE = 0.5  # exclusive; as of a pixel that a segmenting model marks
_RULE = (
    "instances whose score exceeds {min_score:g}; score: probability of the category, "
    "one for the whole instance; box: as the network gives it, pixel i from i to i + "
    "1; mask: pixels that the network gives at least even odds to belong to it; box "
    "and mask are cut where the patient's image ends; instances may share pixels"
)

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


def describe_instances(
    views: Sequence[SeenView], model_info: ModelInfo, *, min_score: float = MIN_SCORE
) -> list[Finding]:
    """Returns the hotspots of each view.

    Their entries are those of `findings.describe_hotspots` without `max_probability`:
    an instance has one probability, its score. Boxes are the network's own.

    Args:
        views: with `Instances` of one image, D of them, on the whole canvas.
        model_info: where the model comes from.
        min_score: what the score of a hotspot must exceed.

    Raises:
        AnswerError: if the instances have the wrong shape or are not finite.
    """
    return [_describe_view(view, model_info, min_score) for view in views]


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
        InstanceHotspot(class_names[label], float(score), _as_box(box), mask)
        for box, score, label, mask in zip(
            boxes, found.scores, found.labels, masks, strict=True
        )
        if mask.any()
    ]
    return sorted(hotspots, key=lambda h: (-h.score, -int(h.mask.sum()), h.box))


def _describe_view(view: SeenView, model_info: ModelInfo, min_score: float) -> Finding:
    patient = find_patient(view.thorax)
    hotspots = select_hotspots(view.answer, patient, min_score=min_score)
    entries = [_describe_hotspot(hotspot, view.thorax) for hotspot in hotspots]
    rule = _RULE.format(min_score=min_score)
    return report_hotspots(view, hotspots, entries, rule, model_info)


def _describe_hotspot(hotspot: InstanceHotspot, thorax: ThoraxImage) -> dict[str, Any]:
    """Returns the JSON entry of one hotspot."""
    y0, x0, y1, x1 = hotspot.box
    corners = thorax.transform.points_to_frame(np.array([(x0, y0), (x1, y1)]))
    return {
        "category": hotspot.category,
        "score": hotspot.score,
        **measure_mask(hotspot.mask, thorax),
        **locate(
            hotspot.mask,
            thorax,
            box=hotspot.box,
            frame_box=_as_box(corners[:, ::-1].ravel()),
        ),
    }


def _as_box(values: np.ndarray) -> Box:
    """Returns a box to a thousandth of a pixel."""
    y0, x0, y1, x1 = (round(float(value), 3) for value in values)
    return y0, x0, y1, x1
