"""What the values of a config must be together: rows for two keys or three."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spectjax.config.models import MODEL_RULES
from spectjax.tasks import TASKS
from tfds_spect.names import LABELLED, LEAKING, SCALED, find_canvas

Values = Mapping[str, Any]
# Keys, whether their values contradict each other, which of them to name, and what is
# expected of it.
_CONTRADICTIONS: tuple[tuple[tuple[str, ...], Callable[..., bool], str, str], ...] = (
    (
        ("data.fold", "data.validation_fold", "data.name"),
        lambda fold, other, name: fold == other and LEAKING not in name,
        "data.validation_fold",
        "another fold than --config.data.fold={}, which is held out already",
    ),
    (
        ("data.name", "data.validation_fold"),
        lambda name, fold: LEAKING in name and fold is not None,
        "data.validation_fold",
        "None, for {} has no folds; take a data set of folds",
    ),
    (
        ("data.name", "data.augmentation"),
        lambda name, kind: LEAKING in name and kind != "copies",
        "data.augmentation",
        "copies, for {} has no folds; take a data set of folds",
    ),
    (
        ("data.train_hw", "data.name"),
        lambda hw, name: any(
            size > most for size, most in zip(hw, find_canvas(name), strict=True)
        ),
        "data.train_hw",
        "no more rows and columns than the images of {1} have",
    ),
    *(
        (
            (key, "data.augmentation"),
            lambda value, kind, still=still: value != still and kind != "online",
            key,
            f"{still}, or --config.data.augmentation=online, for it changes images on "
            "the device",
        )
        for key, still in (
            ("data.count_level", 1),
            ("data.contrast", 0),
            ("data.randomisation", 0),
        )
    ),
    *(
        (
            (key, "data.name"),
            lambda value, name, still=still: value != still and name.startswith(SCALED),
            key,
            f"{still}, for the images of {{1}} are scaled and have no counts left",
        )
        for key, still in (
            ("data.count_level", 1),
            ("data.contrast", 0),
            ("data.randomisation", 0),
        )
    ),
    (
        ("image_score", "task"),
        lambda said, task: said != "none" and task != "segmentation",
        "image_score",
        "none for --config.task={1}",
    ),
    (
        ("image_score", "data.name"),
        lambda said, name: said == "none" and name.startswith(LABELLED),
        "image_score",
        "log_sum_exp or top_k, for images of {1} may have a label and no outline, and "
        "would teach that they show nothing",
    ),
    (
        ("class_weights", "task"),
        lambda weights, task: bool(weights) and not _is_weighted(task),
        "class_weights",
        "(); leave it out for --config.task={1}, which has no such weights",
    ),
    (
        ("class_weights", "model.num_classes", "task"),
        lambda weights, count, task: (
            weights and _is_weighted(task) and len(weights) != count
        ),
        "class_weights",
        "{1} numbers above 0, one for each class",
    ),
    (
        ("test_mirroring", "model.torchvision"),
        lambda mirrored, torchvision: mirrored and torchvision,
        "test_mirroring",
        "False, for torchvision's anchors are not symmetric; or "
        "--config.model.torchvision=False",
    ),
    (
        ("model.torchvision", "model.stem_pool"),
        lambda torchvision, pool: torchvision and not pool,
        "model.stem_pool",
        "True with --config.model.torchvision=True",
    ),
    (
        ("model.name", "num_epochs"),
        lambda name, epochs: epochs > 0 and not MODEL_RULES[name].learns,
        "num_epochs",
        "0, for {} has nothing to learn",
    ),
    (
        ("model.name", "num_epochs"),
        lambda name, epochs: epochs == 0 and MODEL_RULES[name].learns,
        "num_epochs",
        "1 epoch or more, for {} has parameters",
    ),
    (
        ("model.name", "pretrained"),
        lambda name, source: source is not None and not MODEL_RULES[name].learns,
        "pretrained",
        "None, for {} has no weights",
    ),
    (
        ("frozen", "pretrained"),
        lambda names, source: names and source is None,
        "frozen",
        "(), or --config.pretrained: what is drawn at random should learn",
    ),
    (
        ("model.clusters", "model.hotspot_clusters"),
        lambda clusters, hot: hot >= clusters,
        "model.hotspot_clusters",
        "fewer than --config.model.clusters={}",
    ),
    (
        ("model.stage_sizes", "model.features"),
        lambda sizes, features: len(sizes) != len(features),
        "model.features",
        "as many as stages, --config.model.stage_sizes={}",
    ),
    (
        ("model.anchor_sizes",),
        lambda sizes: len(set(map(len, sizes))) != 1,
        "model.anchor_sizes",
        "as many on each level, for one head serves all",
    ),
    (
        ("model.anchor_sizes", "model.stage_sizes"),
        lambda sizes, stages: len(sizes) - len(stages) not in (0, 1),
        "model.anchor_sizes",
        "as many levels as stages, --config.model.stage_sizes={1}, or one more",
    ),
    (
        ("model.rpn_background_iou", "model.rpn_foreground_iou"),
        lambda background, foreground: background > foreground,
        "model.rpn_background_iou",
        "at most --config.model.rpn_foreground_iou={1}",
    ),
)


def _is_weighted(task: str) -> bool:
    """Returns whether a task learns by a cross-entropy, whose classes have weights."""
    return any("cross_entropy" in loss for loss in TASKS[task].losses)


def find_contradictions(values: Values) -> Iterator[tuple[str, str]]:
    """Yields each key whose value does not fit another, and what is expected of it.

    All values are good alone. What a row names and `values` lacks had a fault of its
    own, or has its default.
    """
    for keys, contradicts, key, expected in _CONTRADICTIONS:
        found = [values[name] for name in keys if name in values]
        if len(found) == len(keys) and contradicts(*found):
            yield key, expected.format(*found)
    yield from _find_unfit_names(values)
    yield from _find_unfit_sizes(values)


def _find_unfit_names(values: Values) -> Iterator[tuple[str, str]]:
    """Yields what does not belong to the task: its data, its loss, its model."""
    task = values.get("task")
    if task is None:
        return
    row = TASKS[task]
    if not values.get("data.name", row.data_sets).startswith(row.data_sets):
        yield (
            "data.name",
            f"a data set for task {task}, one whose name begins with {row.data_sets}",
        )
    if values.get("loss", row.losses[0]) not in row.losses:
        yield "loss", f"known are {', '.join(row.losses)} for task {task}"
    if values.get("model.name", row.models[0]) not in row.models:
        yield "model.name", f"a model for --config.task={task}"


def _find_unfit_sizes(values: Values) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with the size of the images for the model."""
    name, hw = values.get("model.name"), values.get("data.train_hw")
    rules = None if name is None else MODEL_RULES[name]
    if rules is None or rules.halvings is None or hw is None:
        return
    fields = {
        key.removeprefix("model."): value
        for key, value in values.items()
        if key.startswith("model.")
    }
    try:
        halvings = rules.halvings(fields)
    except KeyError:  # of what has a fault of its own
        return
    if not rules.evenly and min(hw) < (least := 2**halvings):
        yield (
            "data.train_hw",
            f"at least {least}x{least} pixels, since {name} halves images {halvings} "
            "times",
        )
    scale = fields.get("scale", 1)
    if rules.evenly and any(scale * size % 2**halvings for size in hw):
        step = 2**halvings // math.gcd(scale, 2**halvings)
        yield (
            "data.train_hw",
            f"multiples of {step}, since {name} halves images {halvings} times",
        )
