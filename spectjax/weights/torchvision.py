"""Weights of torchvision's networks as variables of ours.

Kernels are (out, in, height, width) there and (height, width, in, out) here.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from spectjax.weights import WeightsError
from spectjax.weights.networks import NETWORKS, TAKERS, Network, recognise
from spectjax.weights.state_dict import read_state_dict

# Our name of an array: collection, modules from the outside in, array.
_Path = tuple[str, ...]

# Names of arrays within a module, ours and torchvision's.
_ARRAYS = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_HEAD = ("params", "head", "bias")
# torchvision's VGG averages its last map to 7x7 before the first product.
_POOLED = 7
_COLOURS = 3
_NAMED = 3  # names that an error gives before it stops
_WHOLE = "biuc"  # kinds of dtypes that are no floating-point numbers
_AGAIN = "Download or save it again."


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
    by the sum over them, which is what three equal colours make of it. A head for
    another number of classes stays as it was.

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
    match = _Match(source, model_name, own, _modernise(state_dict))
    match.check_pooling()
    match.check_names()
    match.check_shapes()
    loaded = {path: match.take(path) for path in own}
    return _restore(variables, loaded), match.describe()


def _check_model(model_name: str, source: str) -> None:
    if model_name not in NETWORKS:
        known = (f"{ours} ({n.peers[0]})" for ours, n in NETWORKS.items())
        raise WeightsError(
            f"{source}: expected a model that torchvision has as well, found "
            f"{model_name}. Choose one of {', '.join(known)}, or leave "
            "--config.pretrained out."
        )


def _flatten(tree: Mapping[str, Any], path: _Path = ()) -> Iterable[tuple[_Path, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, (*path, name))
        else:
            yield (*path, name), value


def _restore(
    tree: Mapping[str, Any], leaves: Mapping[_Path, np.ndarray], path: _Path = ()
) -> dict[str, Any]:
    """Returns the tree with those of its leaves replaced that `leaves` names."""
    return {
        name: _restore(value, leaves, (*path, name))
        if isinstance(value, Mapping)
        else leaves.get((*path, name), value)
        for name, value in tree.items()
    }


def _modernise(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays by the names of today's torchvision.

    Old DenseNets have `norm.1` for `norm1`; counts of batches are of no use here.
    """
    return {
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key): array
        for key, array in state_dict.items()
        if not key.endswith("num_batches_tracked")
    }


@dataclasses.dataclass(frozen=True)
class _Match:
    """Our arrays beside a file's.

    Attributes:
        source: where the file's come from.
        model_name: our name of the network.
        own: our arrays by path.
        found: the file's by torchvision's names.
        keys: torchvision's name for each of our paths.
        biases: its biases for which we have none, by the path of the running mean
            that follows. A mean that is smaller by the bias does the same.
    """

    source: str
    model_name: str
    own: Mapping[_Path, np.ndarray]
    found: Mapping[str, np.ndarray]
    keys: dict[_Path, str] = dataclasses.field(init=False)
    biases: dict[_Path, str] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Finds the names."""
        places = self.network.find_places({path[1:-1] for path in self.own})
        keys = {p: f"{places[p[1:-1]]}.{_ARRAYS[p[-1]]}" for p in self.own}
        means = [p for p in self.own if p[-1] == "mean" and self.network.biased]
        biases = {p: f"{places[(p[1].replace('norm', 'conv'),)]}.bias" for p in means}
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "biases", biases)

    @property
    def network(self) -> Network:
        return NETWORKS[self.model_name]

    @property
    def peer(self) -> str:
        """The name that torchvision has for our model as it is."""
        normalised = any(path[-1] == "mean" for path in self.own)
        return self.network.peers[-1 if normalised else 0]

    @property
    def other_classes(self) -> bool:
        """Whether the file's head has another number of classes."""
        return self.found[self.keys[_HEAD]].shape != self.own[_HEAD].shape

    @property
    def folded(self) -> bool:
        """Whether the file's stem is for three colours and ours for grey."""
        stem = ("params", self.network.stem, "kernel")
        shape = self.found[self.keys[stem]].shape
        return self.own[stem].shape[2] == 1 and shape[1:2] == (_COLOURS,)

    def check_pooling(self) -> None:
        """Raises WeightsError if our last map is not averaged as torchvision's is."""
        product = self.own.get(("params", "fc1", "kernel"))
        if product is None:
            return
        last = max(path[1] for path in self.own if path[1].startswith("conv"))
        channels = self.own[("params", last, "kernel")].shape[-1]
        if len(product) != channels * _POOLED**2:
            raise WeightsError(
                f"{self.source}: expected a map of {_POOLED}x{_POOLED} before fc1, "
                f"found {len(product) // channels} pixels. Leave "
                f"--config.model.pool_hw=({_POOLED}, {_POOLED}) as it is by default."
            )

    def check_names(self) -> None:
        """Raises WeightsError if the file has more arrays than we, or fewer."""
        expected = {*self.keys.values(), *self.biases.values()}
        missing = sorted(expected - self.found.keys())
        foreign = sorted(self.found.keys() - expected)
        if not missing and not foreign:
            return
        likely = recognise(self.found)
        if likely == self.peer:
            advice = _AGAIN
        elif likely is None:
            advice = f"It is none of {', '.join(TAKERS)}: give a file of {self.peer}."
        else:
            advice = f"It may be {likely}, which fits {TAKERS[likely]}."
        raise WeightsError(
            f"{self.source}: expected the arrays of {self.peer} for "
            f"{self.model_name}, found {_list(missing)} missing and {_list(foreign)} "
            f"unexpected. {advice}"
        )

    def check_shapes(self) -> None:
        """Raises WeightsError if an array has another shape than ours."""
        expected = {key: self.expect(path) for path, key in self.keys.items()}
        expected |= {key: self.own[path].shape for path, key in self.biases.items()}
        wrong = [key for key in expected if self.found[key].shape != expected[key]]
        if wrong:
            key = wrong[0]
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise WeightsError(
                f"{self.source}: {key} expected in shape {expected[key]}, found in "
                f"{self.found[key].shape}{more}. Leave config.model at the full size "
                f"of {self.peer}."
            )

    def expect(self, path: _Path) -> tuple[int, ...]:
        """Returns the shape that an array should have in the file."""
        shape = self.own[path].shape
        shape = (*shape[:-3:-1], *shape[:-2])  # (h, w, in, out) to (out, in, h, w)
        if path[1] == "head" and self.other_classes:
            return (*self.found[self.keys[_HEAD]].shape, *shape[1:])
        if path[1] == self.network.stem and len(shape) == 4 and self.folded:
            return (shape[0], _COLOURS, *shape[2:])
        return shape

    def take(self, path: _Path) -> np.ndarray:
        """Returns the file's array for a path in our order of axes."""
        shape = self.own[path].shape
        if path[1] == "head" and self.other_classes:
            return self.own[path]
        array = self.read(self.keys[path])
        if path in self.biases:
            array = array - self.read(self.biases[path])
        if path[1] == "fc1" and array.ndim == 2:
            # Rows are flattened from (channels, height, width) there.
            array = array.reshape(len(array), -1, _POOLED, _POOLED)
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
            if path[1] == self.network.stem and self.folded:
                array = array.sum(axis=2)
        elif array.ndim == 2:
            array = array.T
        return np.ascontiguousarray(array.reshape(shape))

    def read(self, key: str) -> np.ndarray:
        """Returns an array of the file as float32."""
        array = self.found[key]
        if array.dtype.kind not in _WHOLE:
            array = array.astype(np.float32)
            if np.isfinite(array).all():
                return array
        raise WeightsError(
            f"{self.source}: expected finite floating-point numbers in {key}, found "
            f"others ({array.dtype}). {_AGAIN}"
        )

    def describe(self) -> list[str]:
        """Returns a sentence on each thing that the user should know."""
        notes = [f"Weights of torchvision's {self.peer} from {self.source}."]
        if self.folded:
            notes.append("Their stem for three colours is summed into one for grey.")
        if self.other_classes:
            theirs = len(self.found[self.keys[_HEAD]])
            ours = len(self.own[_HEAD])
            notes.append(
                f"Their head for {theirs} classes is left out; the one for {ours} "
                "starts fresh."
            )
        return notes


def _list(keys: list[str]) -> str:
    if not keys:
        return "none"
    more = ", ..." if len(keys) > _NAMED else ""
    return f"{len(keys)} ({', '.join(f'{k:.60}' for k in keys[:_NAMED])}{more})"
