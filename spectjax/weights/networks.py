"""torchvision's networks that we have as well: their names for our modules."""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

# Our name of a module, from the outside in.
Module = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Network:
    """What torchvision has for one of our models.

    Attributes:
        peers: its names for it, without and with batch normalisation where one can
            choose.
        find_places: maps our modules to its names of them.
        stem: our name of the first convolution.
        biased: its convolutions have biases even before a batch normalisation.
    """

    peers: tuple[str, ...]
    find_places: Callable[[Iterable[Module]], dict[Module, str]]
    stem: str
    biased: bool = False


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
    outer = {"stem": "conv1", "stem_norm": "bn1", "head": "fc"}
    inner = {
        "conv1": "conv1",
        "norm1": "bn1",
        "conv2": "conv2",
        "norm2": "bn2",
        "project": "downsample.0",
        "project_norm": "downsample.1",
    }
    places = {}
    for module in modules:
        block = re.fullmatch(r"stage(\d+)_(\d+)", module[0])
        if block:
            stage, i = block.groups()
            places[module] = f"layer{stage}.{int(i) - 1}.{inner[module[1]]}"
        else:
            places[module] = outer[module[0]]
    return places


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


NETWORKS = {
    "specs_v16": Network(("vgg16", "vgg16_bn"), _find_vgg_places, "conv1_1", True),
    "specs_v19": Network(("vgg19", "vgg19_bn"), _find_vgg_places, "conv1_1", True),
    "specs_r34": Network(("resnet34",), _find_resnet_places, "stem"),
    "specs_d121": Network(("densenet121",), _find_densenet_places, "stem"),
}
# Which model takes which network.
TAKERS = {
    peer: ours + (" with --config.model.batch_norm=True" if "_bn" in peer else "")
    for ours, network in NETWORKS.items()
    for peer in network.peers
}


def recognise(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Returns torchvision's name of the network with these arrays, if we have it."""
    if _count_layers(arrays, r"layer(\d+)\.(\d+)\.") == (3, 4, 6, 3):
        return None if "layer1.0.conv3.weight" in arrays else "resnet34"
    dense = _count_layers(arrays, r"features\.denseblock(\d+)\.denselayer(\d+)\.")
    if dense == (6, 12, 24, 16):
        return "densenet121"
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
