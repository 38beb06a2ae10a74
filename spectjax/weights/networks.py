"""torchvision's networks that we have as well: their names for our modules."""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from spectjax.weights.detection import (
    PEER,
    Module,
    find_body_places,
    find_in_resnet,
    find_mask_rcnn_places,
    modernise_detection,
    recognise_detection,
)


@dataclasses.dataclass(frozen=True)
class Head:
    """Layers that stay fresh where a file has another number of classes or anchors.

    Attributes:
        name: for the user.
        counted: what there may be another number of, for the user.
        layers: our modules; the first gives one number for each.
    """

    name: str
    counted: str
    layers: tuple[Module, ...]


@dataclasses.dataclass(frozen=True)
class Network:
    """What torchvision has for one of our models.

    Attributes:
        peers: its names for it, without and with batch normalisation where one can
            choose.
        find_places: maps our modules to its names of them; those that it leaves out
            stay fresh.
        stem: our name of the first convolution.
        heads: layers for classes and anchors.
        biased: its convolutions have biases even before a batch normalisation.
        flat: our product whose rows are a flattened map of 7x7 pixels.
        transposed: our up-convolution.
        deltas: our layers that move boxes; (x, y, width, height) there and
            (y, x, height, width) here.
        ignored: its arrays that we have no use for.
        part: what files of a part of the network give.
    """

    peers: tuple[str, ...]
    find_places: Callable[[Iterable[Module]], dict[Module, str]]
    stem: Module
    heads: tuple[Head, ...] = (Head("head", "classes", (("head",),)),)
    biased: bool = False
    flat: Module | None = None
    transposed: Module | None = None
    deltas: tuple[Module, ...] = ()
    ignored: tuple[str, ...] = ()
    part: "Network | None" = None


def _find_vgg_places(modules: Iterable[Module]) -> dict[Module, str]:
    """Returns places in a row of all layers, which counts ReLUs and poolings."""
    names = {name for (name,) in modules}
    stages = Counter(int(n[4:].split("_")[0]) for n in names if n.startswith("conv"))
    places: dict[Module, str] = {}
    position = 0
    for stage in range(1, max(stages) + 1):
        for i in range(1, stages[stage] + 1):
            places[(f"conv{stage}_{i}",)] = f"features.{position}"
            if f"norm{stage}_{i}" in names:
                position += 1
                places[(f"norm{stage}_{i}",)] = f"features.{position}"
            position += 2
        position += 1
    return places | {
        ("fc1",): "classifier.0",
        ("fc2",): "classifier.3",
        ("head",): "classifier.6",
    }


def _find_resnet_places(modules: Iterable[Module]) -> dict[Module, str]:
    places = ((module, find_in_resnet(module)) for module in modules)
    return {module: place for module, place in places if place is not None}


def _find_densenet_places(modules: Iterable[Module]) -> dict[Module, str]:
    outer = {
        "stem": "features.conv0",
        "stem_norm": "features.norm0",
        "last_norm": "features.norm5",
        "head": "classifier",
    }
    places = {}
    for module in modules:
        layer = re.fullmatch(r"block(\d+)_(\d+)", module[0])
        if layer:
            stage, i = layer.groups()
            places[module] = f"features.denseblock{stage}.denselayer{i}.{module[1]}"
        elif module[0].startswith("transition"):
            places[module] = f"features.{module[0]}.{module[1]}"
        else:
            places[module] = outer[module[0]]
    return places


_MASK_RCNN = Network(
    (PEER,),
    find_mask_rcnn_places,
    ("backbone", "stem"),
    heads=(
        Head(
            "output of boxes and masks",
            "classes",
            (("box_head", "logits"), ("box_head", "deltas"), ("mask_head", "logits")),
        ),
        Head(
            "output of proposals",
            "anchors at a place",
            (("rpn", "objectness"), ("rpn", "deltas")),
        ),
    ),
    flat=("box_head", "fc1"),
    transposed=("mask_head", "up"),
    deltas=(("rpn", "deltas"), ("box_head", "deltas")),
    part=Network(
        ("resnet50",),
        find_body_places,
        ("backbone", "stem"),
        heads=(),
        ignored=("fc.weight", "fc.bias"),
    ),
)
NETWORKS = {
    "specs_v16": Network(
        ("vgg16", "vgg16_bn"),
        _find_vgg_places,
        ("conv1_1",),
        biased=True,
        flat=("fc1",),
    ),
    "specs_v19": Network(
        ("vgg19", "vgg19_bn"),
        _find_vgg_places,
        ("conv1_1",),
        biased=True,
        flat=("fc1",),
    ),
    "specs_r34": Network(("resnet34",), _find_resnet_places, ("stem",)),
    "specs_d121": Network(("densenet121",), _find_densenet_places, ("stem",)),
    "mask_rcnn_att": _MASK_RCNN,
    "mask_rcnn": _MASK_RCNN,
}
# Which model takes which network.
TAKERS = {
    peer: ours + (" with --config.model.batch_norm=True" if "_bn" in peer else "")
    for ours, network in NETWORKS.items()
    for part in (network, network.part)
    for peer in (part.peers if part else ())
}


def modernise(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays by the names of today's torchvision.

    Old DenseNets have `norm.1` for `norm1`; counts of batches are of no use here.
    """
    return {
        re.sub(
            r"(denselayer\d+\.(?:norm|conv))\.([12]\.)",
            r"\1\2",
            modernise_detection(key),
        ): array
        for key, array in state_dict.items()
        if not key.endswith("num_batches_tracked")
    }


def recognise(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Returns torchvision's name of the network with these arrays, if we have it."""
    if _count_layers(arrays, r"layer(\d+)\.(\d+)\.") == (3, 4, 6, 3):
        if "layer1.0.conv3.weight" not in arrays:
            return "resnet34"
        # Wider ones and those of groups have the same names.
        plain = arrays["layer1.0.conv2.weight"].shape[:2] == (64, 64)
        return "resnet50" if plain else None
    dense = _count_layers(arrays, r"features\.denseblock(\d+)\.denselayer(\d+)\.")
    if dense == (6, 12, 24, 16):
        return "densenet121"
    if detector := recognise_detection(arrays):
        return detector
    kernels = [k for k in arrays if k.startswith("features.") and arrays[k].ndim == 4]
    name = {13: "vgg16", 16: "vgg19"}.get(len(kernels))
    if name is None or "classifier.6.weight" not in arrays:
        return None
    return f"{name}_bn" if any(k.endswith("running_mean") for k in arrays) else name


def _count_layers(names: Iterable[str], pattern: str) -> tuple[int, ...]:
    """Returns how many layers each stage has; the pattern finds stage and layer."""
    matches = (re.match(pattern, name) for name in names)
    stages = Counter(stage for stage, _ in {m.groups() for m in matches if m})
    return tuple(stages[stage] for stage in sorted(stages))
