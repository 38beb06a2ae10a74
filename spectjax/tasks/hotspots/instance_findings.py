"""What a model that marks instances finds in a view: hotspots, each with box and mask.

The number of instances is D; height and width of the canvas are H and W.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spectjax.imaging.thorax import ThoraxImage
from spectjax.tasks.hotspots.findings import (
    describe_scored,
    find_patient,
    locate,
    measure_mask,
    report_hotspots,
)
from spectjax.tasks.hotspots.instance_hotspots import (
    MIN_SCORE,
    InstanceHotspot,
    as_box,
    select_hotspots,
)
from spectjax.tasks.hotspots.operation import Operation
from spectjax.tasks.hotspots.wording import FINDING
from spectjax.tasks.views import Finding, ModelInfo, SeenView

_INSTANCES = "instances that the network gives, each with a box of its own"
_RULE = (
    "instances whose score exceeds {min_score:g}; score: probability of the category, "
    "one for the whole instance; box: as the network gives it, pixel i from i to i + "
    "1; mask: pixels that the network gives at least even odds to belong to it; box "
    "and mask are cut where the patient's image ends; instances may share pixels"
)


def describe_instances(
    views: Sequence[SeenView],
    model_info: ModelInfo,
    *,
    min_score: float = MIN_SCORE,
    operation: Operation | None = None,
    operating_point: str | None = None,
) -> list[Finding]:
    """Returns the hotspots of each view.

    Their entries are those of `findings.describe_hotspots` without `max_probability`:
    an instance has one probability, its score. Boxes are the network's own.

    Args:
        views: with `Instances` of one image, D of them, on the whole canvas.
        model_info: where the model comes from.
        min_score: what the score of a hotspot must exceed, without an operation.
        operation: see `findings.describe_hotspots`.
        operating_point: likewise.

    Raises:
        AnswerError: if the instances have the wrong shape or are not finite.
        OperationError: if there is no such operating point.
    """
    if operation is not None:
        return [
            describe_scored(view, model_info, operation, operating_point, _INSTANCES)
            for view in views
        ]
    return [_describe_view(view, model_info, min_score) for view in views]


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
        "finding": FINDING,
        "score": hotspot.score,
        **measure_mask(hotspot.mask, thorax),
        **locate(
            hotspot.mask,
            thorax,
            box=hotspot.box,
            frame_box=as_box(corners[:, ::-1].ravel()),
        ),
    }
