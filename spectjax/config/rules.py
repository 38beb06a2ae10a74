"""What every value of a config may be: one row for each key, and rows for two keys.

A config is judged before jax is there.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spectjax.tasks import TASKS
from tfds_spect.names import FOLDS, LEAKING, SCALED

Values = Mapping[str, Any]
CANVAS = 256  # rows and columns of the images of every data set


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value may be.

    Attributes:
        expected: says so in words.
        accepts: whether a value is so.
    """

    expected: str
    accepts: Callable[[Any], bool]


def _whole(least: int, most: int) -> Rule:
    return Rule(
        f"a whole number from {least} to {most}",
        lambda x: type(x) is int and least <= x <= most,
    )


def _number(least: float, most: float, *, without: tuple[float, ...] = ()) -> Rule:
    """A number, whole or not, from `least` to `most`, `without` some of the ends."""
    low = f"above {least:g}" if least in without else f"of at least {least:g}"
    high = f"below {most:g}" if most in without else f"at most {most:g}"
    return Rule(
        f"a number {low} and {high}",
        lambda x: type(x) in (int, float) and least <= x <= most and x not in without,
    )


def _one_of(*names: str) -> Rule:
    return Rule(
        f"known are {', '.join(names)}", lambda x: type(x) is str and x in names
    )


def _several(rule: Rule, least: int, most: int, example: str) -> Rule:
    count = f"{least}" if least == most else f"{least} to {most}"
    return Rule(
        f"{count} values as in {example}, each {rule.expected}",
        lambda x: (
            type(x) is tuple and least <= len(x) <= most and all(map(rule.accepts, x))
        ),
    )


def _or_none(rule: Rule) -> Rule:
    return Rule(f"{rule.expected}, or None", lambda x: x is None or rule.accepts(x))


_YES_NO = Rule("True or False", lambda x: type(x) is bool)
_TEXT = Rule("a text", lambda x: type(x) is str and bool(x.strip()))
_SEED = _whole(0, 2**32 - 1)  # jax takes no other bits of it
_FOLD = _whole(0, FOLDS[-1])
_RATE = _number(0, 1, without=(1,))
_SHARE = _number(0, 1)
_POSITIVE_SHARE = _number(0, 1, without=(0,))
_WIDTH = _whole(1, 8192)
_WIDTHS = _several(_WIDTH, 1, 8, "(8, 16)")
_SIZES = _several(_whole(1, 128), 1, 8, "(2, 2)")
_LOOK_AT = _several(_whole(1, 10_000), 2, 2, "(500, 500)")

# Every key of `spectjax.config.base_config` outside of `model`.
RULES: dict[str, Rule] = {
    "seed": _SEED,
    "dtype": _one_of("float32", "bfloat16"),
    "num_epochs": _whole(0, 1_000_000),
    "checkpoint_every_epochs": _whole(1, 1_000_000),
    "checkpoint_every_minutes": _number(0, 1e6),
    "parallel": _one_of("jit", "pmap"),
    "steps_per_dispatch": _whole(0, 10_000),
    "data.name": _TEXT,
    "data.fingerprint": _or_none(_TEXT),
    "data.fold": _FOLD,
    "data.validation_fold": _or_none(_FOLD),
    "data.augmentation": _one_of("copies", "online"),
    "data.count_level": _POSITIVE_SHARE,
    "data.contrast": _number(0, 10),
    "data.feed": _one_of("auto", "resident", "stream"),
    "data.batch_size": _whole(1, 65_536),
    "data.train_hw": _several(_whole(1, CANVAS), 2, 2, "(160, 160)"),
    "data.normalisation": _one_of(
        "min_max", "square_root", "divide_by_255", "none", "imagenet"
    ),
    "class_weights": _several(_number(0, 1e6, without=(0,)), 0, 255, "(1.0, 2.0)"),
    "optimizer.name": _one_of("sgd", "adamw"),
    "optimizer.learning_rate": _number(0, 3e38, without=(0,)),
    "optimizer.schedule": _one_of("constant", "cosine"),
    "optimizer.momentum": _RATE,
    "optimizer.weight_decay": _number(0, 1e6),
    "optimizer.average": _RATE,
    "test_mirroring": _YES_NO,
    "pretrained": _or_none(_TEXT),
}

_CLASSES = {"num_classes": _whole(2, 255)}
_UNET = _CLASSES | {
    "features": _WIDTHS,
    "batch_norm": _YES_NO,
    "deep_supervision": _YES_NO,
}
_CLASSIFIER = _CLASSES | {
    "stage_sizes": _SIZES,
    "initial": _one_of("he", "normal"),
}
_VGG = _CLASSIFIER | {
    "stage_sizes": _several(_whole(0, 128), 1, 8, "(2, 2)"),
    "features": _WIDTHS,
    "hidden": _WIDTH,
    "pool_hw": _several(_whole(1, CANVAS), 2, 2, "(7, 7)"),
    "activation": _one_of("relu", "elu"),
    "batch_norm": _YES_NO,
    "dropout": _RATE,
}
_SIDE = _number(0, 4096, without=(0,))  # of an anchor
_MASK_RCNN = _CLASSES | {
    "stage_sizes": _SIZES,
    "features": _WIDTHS,
    "pyramid_features": _WIDTH,
    "box_features": _WIDTH,
    "mask_features": _WIDTH,
    "stem_pool": _YES_NO,
    "scale": _whole(1, 16),
    "norm": _one_of("batch", "frozen", "group"),
    "open_attention": _YES_NO,
    "anchor_sizes": _several(
        _several(_SIDE, 1, 8, "(4, 6)"), 1, 9, "((4, 6), (8, 12))"
    ),
    "anchor_ratios": _several(_number(0, 100, without=(0,)), 1, 8, "(0.5, 1.0)"),
    "rpn_foreground_iou": _POSITIVE_SHARE,
    "rpn_background_iou": _SHARE,
    "rpn_samples": _whole(1, 10_000),
    "rpn_positive": _SHARE,
    "pre_nms": _LOOK_AT,
    "proposals": _LOOK_AT,
    "rpn_nms_iou": _SHARE,
    "roi_iou": _POSITIVE_SHARE,
    "roi_samples": _whole(1, 10_000),
    "roi_positive": _SHARE,
    "min_score": _SHARE,
    "nms_iou": _SHARE,
    "detections": _whole(1, 10_000),
    "max_instances": _whole(1, 255),
    "torchvision": _YES_NO,
}
_ATTENTION = {"attention": _one_of("none", "stage", "lateral", "pyramid", "block")}
# The fields of every model of `spectjax.models`; those that are left out have defaults.
MODEL_RULES: dict[str, dict[str, Rule]] = {
    "unet": _UNET,
    "unet_res": _UNET,
    "kmeans": {
        "num_classes": _whole(2, 2),
        "clusters": _whole(2, 255),
        "hotspot_clusters": _whole(1, 254),
        "restarts": _whole(1, 1000),
        "max_iterations": _whole(1, 100_000),
        "seed": _SEED,
    },
    "mask_rcnn": _MASK_RCNN | _ATTENTION,
    "mask_rcnn_att": _MASK_RCNN | _ATTENTION,
    **dict.fromkeys(("specs_v7", "specs_v16", "specs_v19"), _VGG),
    **dict.fromkeys(("specs_v21", "specs_v24"), _VGG),
    "specs_r34": _CLASSIFIER | {"features": _WIDTHS},
    "specs_d121": _CLASSIFIER
    | {"growth": _WIDTH, "stem_features": _WIDTH, "bottleneck": _whole(1, 64)},
}


def collect_rules() -> dict[str, Rule]:
    """Returns the rules of all keys but the models' own fields."""
    losses = dict.fromkeys(loss for row in TASKS.values() for loss in row.losses)
    return RULES | {
        "task": _one_of(*TASKS),
        "loss": _one_of(*losses),
        "model.name": _one_of(*MODEL_RULES),
    }


def find_faults(tree: Values, *, together: bool = True) -> list[str]:
    """Returns a sentence for each value that cannot be used, each naming its flag.

    Args:
        tree: a config as nested dicts. Of keys that are not there only the model's name
            is missed.
        together: judge as well whether values fit each other.
    """
    values = flatten(tree)
    name = values.get("model.name")
    rules = collect_rules()
    if type(name) is str and name in MODEL_RULES:
        rules |= {f"model.{key}": rule for key, rule in MODEL_RULES[name].items()}
    else:  # whose fields these are is not known
        rules |= dict.fromkeys(values.keys() - rules.keys(), Rule("", lambda _: True))
    faults = {}
    for key, value in values.items():
        if key not in rules:
            of = f"; {name} has {', '.join(MODEL_RULES[name])}" if name else ""
            faults[key] = f"--config.{key}: there is no such key{of}"
        elif not rules[key].accepts(value):
            faults[key] = _say(values, key, rules[key].expected)
    if not together:
        return list(faults.values())
    if name is None:
        faults["model.name"] = f"--config.model.name: {rules['model.name'].expected}"
    good = {key: value for key, value in values.items() if key not in faults}
    return [*faults.values(), *_find_contradictions(good)]


def flatten(tree: Values, prefix: str = "") -> dict[str, Any]:
    """Returns the values of nested dicts by their keys, joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _say(values: Values, key: str, expected: str) -> str:
    found = repr(values[key])
    shown = found if len(found) <= 80 else f"{found[:60]}..."
    colon = "" if expected.startswith("known") else "expected "
    return f"--config.{key}={shown}: {colon}{expected}"


def _find_contradictions(values: Values) -> Iterator[str]:
    """Yields a sentence for each value that does not fit another; all are good alone.

    What a row names and `values` lacks had a fault of its own, or has its default.
    """
    for keys, contradicts, key, expected in _CONTRADICTIONS:
        found = [values[name] for name in keys if name in values]
        if len(found) == len(keys) and contradicts(*found):
            yield _say(values, key, expected.format(*found))
    yield from _find_unfit_names(values)
    yield from _find_unfit_sizes(values)


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
    *(
        (
            (key, "data.augmentation"),
            lambda value, kind, still=still: value != still and kind != "online",
            key,
            f"{still}, or --config.data.augmentation=online, for it changes images on "
            "the device",
        )
        for key, still in (("data.count_level", 1), ("data.contrast", 0))
    ),
    *(
        (
            (key, "data.name"),
            lambda value, name, still=still: value != still and name.startswith(SCALED),
            key,
            f"{still}, for the images of {{1}} are scaled and have no counts to thin",
        )
        for key, still in (("data.count_level", 1), ("data.contrast", 0))
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
        lambda name, epochs: name == "kmeans" and epochs > 0,
        "num_epochs",
        "0, for {} has nothing to learn",
    ),
    (
        ("model.name", "num_epochs"),
        lambda name, epochs: name != "kmeans" and epochs == 0,
        "num_epochs",
        "1 epoch or more, for {} has parameters",
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


def _find_unfit_names(values: Values) -> Iterator[str]:
    """Yields what does not belong to the task: its data, its loss, its model."""
    task = values.get("task")
    if task is None:
        return
    row = TASKS[task]
    if not values.get("data.name", row.data_sets).startswith(row.data_sets):
        yield _say(
            values,
            "data.name",
            f"a data set for task {task}, one whose name begins with {row.data_sets}",
        )
    if values.get("loss", row.losses[0]) not in row.losses:
        yield _say(values, "loss", f"known are {', '.join(row.losses)} for task {task}")
    name = values.get("model.name")
    if name is not None and name not in row.models:
        yield _say(values, "model.name", f"a model for --config.task={task}")


def _find_unfit_sizes(values: Values) -> Iterator[str]:
    """Yields what is wrong with the size of the images for the model."""
    name, hw = values.get("model.name"), values.get("data.train_hw")
    scale = values.get("model.scale", 1)
    key = "model.stage_sizes" if name in ("specs_d121",) else "model.features"
    if name in (None, "kmeans") or hw is None or key not in values:
        return
    levels = len(values[key])
    if name.startswith("specs"):
        # VGG halves images once a stage, the others twice before their first.
        least = 2 ** (levels + (name in ("specs_r34", "specs_d121")))
        if min(hw) < least:
            yield _say(
                values,
                "data.train_hw",
                f"at least {least}x{least} pixels, since {name} halves images "
                f"{least.bit_length() - 1} times",
            )
        return
    halvings = levels - 1
    if name.startswith("mask_rcnn"):
        halvings += 2 if values.get("model.stem_pool") else 1
    if any(scale * size % 2**halvings for size in hw):
        step = 2**halvings // math.gcd(scale, 2**halvings)
        yield _say(
            values,
            "data.train_hw",
            f"multiples of {step}, since {name} halves images {halvings} times",
        )
