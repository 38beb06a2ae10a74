"""Weights of torchvision's networks as variables of ours.

Kernels are (out, in, height, width) there and (height, width, in, out) here.
"""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from spectjax.weights import WeightsError
from spectjax.weights.detection import lacks_epsilon
from spectjax.weights.match import Match, Path
from spectjax.weights.networks import NETWORKS, modernise, recognise
from spectjax.weights.state_dict import read_state_dict


def load_pretrained(
    path: str | pathlib.Path, model_name: str, variables: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Returns a model's variables with the weights that a file has for them.

    Args:
        path: a state dict of torchvision's network, see `read_state_dict`.
        model_name: our name of the network.
        variables: the model's own, fresh: dicts of numpy arrays, float32.

    Returns:
        Variables of the same shapes, and a sentence on each thing that the user
        should know.

    Raises:
        WeightsError: if the file cannot be read or does not fit the model.
    """
    _check_model(model_name, str(path))
    return convert(read_state_dict(path), model_name, variables, source=str(path))


def convert(
    state_dict: Mapping[str, np.ndarray],
    model_name: str,
    variables: Mapping[str, Any],
    source: str = "state dict",
) -> tuple[dict[str, Any], list[str]]:
    """Returns a model's variables with the arrays of a state dict of torchvision's.

    The widths are those of `variables`. A stem for three colours becomes one for grey
    by the sum over them, which is what three equal colours make of it. Layers for
    another number of classes or anchors stay as they were, and so do those that the
    file has nothing for: attention, and all but the body if it holds a ResNet-50.

    Args:
        state_dict: arrays by torchvision's names, those of its old files included.
        model_name: our name of the network.
        variables: the model's own: dicts of numpy arrays, float32.
        source: where the state dict comes from, for errors.

    Returns:
        Variables of the same shapes, and a sentence on each thing that the user
        should know.

    Raises:
        WeightsError: if the model has no counterpart, or names, shapes or values do
            not fit.
    """
    _check_model(model_name, source)
    weights = {"params", "batch_stats"}
    own = {path: x for path, x in _flatten(variables) if path[0] in weights}
    found = modernise(state_dict)
    network = NETWORKS[model_name]
    if network.part is not None and recognise(found) in network.part.peers:
        network = network.part
    match = Match(
        source, model_name, network, own, found, exact=lacks_epsilon(state_dict)
    )
    match.check_pooling()
    match.check_names()
    match.check_shapes()
    loaded = {path: match.take(path) for path in match.keys}
    return _restore(variables, loaded), match.describe()


def _check_model(model_name: str, source: str) -> None:
    if model_name not in NETWORKS:
        known = (f"{ours} ({n.peers[0]})" for ours, n in NETWORKS.items())
        raise WeightsError(
            f"{source}: expected a model that torchvision has as well, found "
            f"{model_name}. Choose one of {', '.join(known)}, or leave "
            "--config.pretrained out."
        )


def _flatten(tree: Mapping[str, Any], path: Path = ()) -> Iterable[tuple[Path, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, (*path, name))
        else:
            yield (*path, name), value


def _restore(
    tree: Mapping[str, Any], leaves: Mapping[Path, np.ndarray], path: Path = ()
) -> dict[str, Any]:
    """Returns the tree with those of its leaves replaced that `leaves` names."""
    return {
        name: _restore(value, leaves, (*path, name))
        if isinstance(value, Mapping)
        else leaves.get((*path, name), value)
        for name, value in tree.items()
    }
