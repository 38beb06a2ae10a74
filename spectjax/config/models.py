"""What a config may say of each model, and what sizes of images a model takes."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from spectjax.config.values import (
    CANVAS,
    POSITIVE_SHARE,
    RATE,
    SEED,
    SHARE,
    YES_NO,
    Rule,
    number,
    one_of,
    several,
    whole,
)


@dataclasses.dataclass(frozen=True)
class ModelRules:
    """What a config may say of a model.

    Attributes:
        fields: of its fields; those that a config leaves out have defaults.
        learns: whether it has parameters.
        halvings: how often a model of these fields halves images; None: it takes all.
        evenly: whether no pixel may be left over where it does.
    """

    fields: Mapping[str, Rule]
    learns: bool = True
    halvings: Callable[[Mapping[str, Any]], int] | None = None
    evenly: bool = False


_WIDTH = whole(1, 8192)
_WIDTHS = several(_WIDTH, 1, 8, "(8, 16)")
_SIZES = several(whole(1, 128), 1, 8, "(2, 2)")
_LOOK_AT = several(whole(1, 10_000), 2, 2, "(500, 500)")
_CLASSES = {"num_classes": whole(2, 255)}
_UNET = _CLASSES | {
    "features": _WIDTHS,
    "batch_norm": YES_NO,
    "deep_supervision": YES_NO,
}
_CLASSIFIER = _CLASSES | {"stage_sizes": _SIZES, "initial": one_of("he", "normal")}
_VGG = _CLASSIFIER | {
    "stage_sizes": several(whole(0, 128), 1, 8, "(2, 2)"),
    "features": _WIDTHS,
    "hidden": _WIDTH,
    "pool_hw": several(whole(1, CANVAS), 2, 2, "(7, 7)"),
    "activation": one_of("relu", "elu"),
    "batch_norm": YES_NO,
    "dropout": RATE,
}
_SIDE = number(0, 4096, without=(0,))  # of an anchor
_MASK_RCNN = _CLASSES | {
    "stage_sizes": _SIZES,
    "features": _WIDTHS,
    "pyramid_features": _WIDTH,
    "box_features": _WIDTH,
    "mask_features": _WIDTH,
    "stem_pool": YES_NO,
    "scale": whole(1, 16),
    "norm": one_of("batch", "frozen", "group"),
    "open_attention": YES_NO,
    "anchor_sizes": several(several(_SIDE, 1, 8, "(4, 6)"), 1, 9, "((4, 6), (8, 12))"),
    "anchor_ratios": several(number(0, 100, without=(0,)), 1, 8, "(0.5, 1.0)"),
    "rpn_foreground_iou": POSITIVE_SHARE,
    "rpn_background_iou": SHARE,
    "rpn_samples": whole(1, 10_000),
    "rpn_positive": SHARE,
    "pre_nms": _LOOK_AT,
    "proposals": _LOOK_AT,
    "rpn_nms_iou": SHARE,
    "roi_iou": POSITIVE_SHARE,
    "roi_samples": whole(1, 10_000),
    "roi_positive": SHARE,
    "min_score": SHARE,
    "nms_iou": SHARE,
    "detections": whole(1, 10_000),
    "max_instances": whole(1, 255),
    "torchvision": YES_NO,
}
_ATTENTION = {"attention": one_of("none", "stage", "lateral", "pyramid", "block")}


def _halve_in_mask_rcnn(fields: Mapping[str, Any]) -> int:
    return len(fields["features"]) + bool(fields.get("stem_pool"))


_UNET_RULES = ModelRules(_UNET, halvings=lambda x: len(x["features"]) - 1, evenly=True)
_MASK_RCNN_RULES = ModelRules(
    _MASK_RCNN | _ATTENTION, halvings=_halve_in_mask_rcnn, evenly=True
)
_VGG_RULES = ModelRules(_VGG, halvings=lambda x: len(x["features"]))
# Every model of `spectjax.models`.
MODEL_RULES: dict[str, ModelRules] = {
    "unet": _UNET_RULES,
    "unet_res": _UNET_RULES,
    "skeleton_unet": ModelRules(
        _CLASSES | {"features": _WIDTHS, "batch_norm": YES_NO},
        # The two halves of a sheet become channels.
        halvings=lambda x: len(x["features"]),
        evenly=True,
    ),
    "kmeans": ModelRules(
        {
            "num_classes": whole(2, 2),
            "clusters": whole(2, 255),
            "hotspot_clusters": whole(1, 254),
            "restarts": whole(1, 1000),
            "max_iterations": whole(1, 100_000),
            "seed": SEED,
        },
        learns=False,
    ),
    "mask_rcnn": _MASK_RCNN_RULES,
    "mask_rcnn_att": _MASK_RCNN_RULES,
    **dict.fromkeys(("specs_v7", "specs_v16", "specs_v19"), _VGG_RULES),
    **dict.fromkeys(("specs_v21", "specs_v24"), _VGG_RULES),
    # Those two halve images once more before their first stage.
    "specs_r34": ModelRules(
        _CLASSIFIER | {"features": _WIDTHS},
        halvings=lambda fields: len(fields["features"]) + 1,
    ),
    "specs_d121": ModelRules(
        _CLASSIFIER
        | {"growth": _WIDTH, "stem_features": _WIDTH, "bottleneck": whole(1, 64)},
        halvings=lambda fields: len(fields["stage_sizes"]) + 1,
    ),
}
