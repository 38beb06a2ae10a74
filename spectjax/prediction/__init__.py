"""What predictions say about new scans: one module a task, and what both say."""

import functools
from collections.abc import Callable, Sequence

from spectjax.messages import UserError
from spectjax.prediction import (
    classification,
    instance_segmentation,
    segmentation,
)
from spectjax.prediction.views import Finding, ModelInfo, SeenView

# What is said of the views of one examination, in their order.
Describe = Callable[[Sequence[SeenView], ModelInfo], list[Finding]]

_DESCRIBE: dict[str, Describe] = {
    "classification": classification.describe,
    "instance_segmentation": instance_segmentation.describe,
    "segmentation": segmentation.describe,
}


def choose_describe(task: str, min_score: float | None = None) -> Describe:
    """Returns what tells the findings of models of a task.

    Args:
        task: as of `LoadedModel`.
        min_score: which score hotspots must exceed; None: what the task does.

    Raises:
        UserError: if there is a `min_score`, but hotspots have no score to begin with.
    """
    if min_score is None:
        return _DESCRIBE[task]
    if task != "instance_segmentation":
        raise UserError(
            f"--min_score={min_score:g}: expected a model that marks instances, a Mask "
            f"R-CNN, found one for {task}. Leave --min_score out."
        )
    return functools.partial(instance_segmentation.describe, min_score=min_score)


__all__ = ["Describe", "Finding", "ModelInfo", "SeenView", "choose_describe"]
