"""What predictions say about new scans: one module a task, and what both say."""

from collections.abc import Callable, Sequence

from spectjax.prediction import (
    classification,
    instance_segmentation,
    segmentation,
)
from spectjax.prediction.views import Finding, ModelInfo, SeenView

# By task: what is said of the views of one examination, in their order.
DESCRIBE: dict[str, Callable[[Sequence[SeenView], ModelInfo], list[Finding]]] = {
    "classification": classification.describe,
    "instance_segmentation": instance_segmentation.describe,
    "segmentation": segmentation.describe,
}

__all__ = ["DESCRIBE", "Finding", "ModelInfo", "SeenView"]
