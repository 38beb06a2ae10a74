"""From the finished runs of all folds to one table, whatever their tasks."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spectjax.config import HOTSPOT_TASKS
from spectjax.evaluation.classification_folds import compare_classifiers
from spectjax.evaluation.segmentation_folds import compare_segmentations

Compare = Callable[
    [
        Mapping[str, Sequence[pathlib.Path]],
        Mapping[str, Mapping[str, Any]],
        pathlib.Path,
    ],
    dict[str, Any],
]
# Takes the folders of the runs by model and fold, what is known of the networks, and
# the folder to write to; returns the content of `metrics.json`. Tasks with the same
# entry may stand in one table.
COMPARE: dict[str, Compare] = {
    "classification": compare_classifiers,
    **dict.fromkeys(HOTSPOT_TASKS, compare_segmentations),
}
