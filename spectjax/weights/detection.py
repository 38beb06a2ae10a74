"""torchvision's Mask R-CNN: its names for our modules, and what its files hide."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

# Our name of a module, from the outside in.
Module = tuple[str, ...]

PEER = "maskrcnn_resnet50_fpn"
PEER_V2 = "maskrcnn_resnet50_fpn_v2"
# COCO's classes, background and eleven that it never used included.
_COCO_CLASSES = 91
_HEADS: dict[Module, str] = {
    ("rpn", "conv"): "rpn.head.conv.0.0",
    ("rpn", "objectness"): "rpn.head.cls_logits",
    ("rpn", "deltas"): "rpn.head.bbox_pred",
    ("box_head", "fc1"): "roi_heads.box_head.fc6",
    ("box_head", "fc2"): "roi_heads.box_head.fc7",
    ("box_head", "logits"): "roi_heads.box_predictor.cls_score",
    ("box_head", "deltas"): "roi_heads.box_predictor.bbox_pred",
    ("mask_head", "up"): "roi_heads.mask_predictor.conv5_mask",
    ("mask_head", "logits"): "roi_heads.mask_predictor.mask_fcn_logits",
}
# Of a ResNet's modules.
_OUTSIDE_BLOCKS = {"stem": "conv1", "stem_norm": "bn1", "head": "fc"}
_IN_BLOCKS = {f"conv{i}": f"conv{i}" for i in (1, 2, 3)}
_IN_BLOCKS |= {f"norm{i}": f"bn{i}" for i in (1, 2, 3)}
_IN_BLOCKS |= {"project": "downsample.0", "project_norm": "downsample.1"}
# Names before torchvision 0.13, and today's.
_RENAMED = (
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"(rpn\.head\.conv)\.(weight|bias)", r"\1.0.0.\2"),
)


def find_mask_rcnn_places(modules: Iterable[Module]) -> dict[Module, str]:
    """Maps our modules to torchvision's names; leaves out those that it lacks."""
    modules = list(modules)
    body = find_body_places(modules).items()
    places = {module: f"backbone.body.{place}" for module, place in body}
    for module in modules:
        if module in _HEADS:
            places[module] = _HEADS[module]
            continue
        name = re.fullmatch(r"(lateral|output|conv)(\d)", module[-1])
        if not name or module[0] not in ("pyramid", "mask_head"):
            continue
        kind, place = name[1], int(name[2]) - 1
        where = {
            "lateral": "backbone.fpn.inner_blocks",
            "output": "backbone.fpn.layer_blocks",
            "conv": "roi_heads.mask_head",
        }[kind]
        places[module] = f"{where}.{place}.0"
    return places


def find_body_places(modules: Iterable[Module]) -> dict[Module, str]:
    """Maps the modules of our body to ResNet-50's names; leaves out all others."""
    body = (module for module in modules if module[0] == "backbone")
    return {module: place for module in body if (place := find_in_resnet(module[1:]))}


def find_in_resnet(module: Module) -> str | None:
    """Returns torchvision's name of a module of a ResNet; None if it has none."""
    block = re.fullmatch(r"stage(\d+)_(\d+)", module[0])
    if block is None:
        return _OUTSIDE_BLOCKS.get(module[0])
    if module[1] not in _IN_BLOCKS:
        return None
    return f"layer{block[1]}.{int(block[2]) - 1}.{_IN_BLOCKS[module[1]]}"


def modernise_detection(name: str) -> str:
    """Returns today's name of an array of a detection network."""
    for old, new in _RENAMED:
        name = re.sub(f"^{old}$", new, name)
    layer = re.fullmatch(r"(roi_heads\.mask_head)\.mask_fcn(\d)\.(.*)", name)
    return f"{layer[1]}.{int(layer[2]) - 1}.0.{layer[3]}" if layer else name


def recognise_detection(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Returns torchvision's name of the Mask R-CNN with these arrays, if it is one."""
    if "roi_heads.mask_predictor.conv5_mask.weight" not in arrays:
        return None
    # The second version normalises in pyramid and heads too.
    second = "backbone.fpn.inner_blocks.0.1.weight" in arrays
    return PEER_V2 if second else PEER


def lacks_epsilon(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a file's batch normalisation divides by the bare standard deviation.

    So it is with torchvision's COCO_V1, which was trained before its frozen batch
    normalisation had an epsilon; torchvision sets it to 0 for this very file. No array
    says so. It is told by COCO's 91 classes and by what frozen normalisation lacks, the
    number of batches that it has seen.
    """
    classes = arrays.get(f"{_HEADS['box_head', 'logits']}.bias")
    frozen = not any(name.endswith("num_batches_tracked") for name in arrays)
    return frozen and classes is not None and classes.shape == (_COCO_CLASSES,)
