"""Arrays of ours beside those of a file: what fits, and what it becomes."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from spectjax.weights import WeightsError
from spectjax.weights.detection import Module
from spectjax.weights.networks import TAKERS, Head, Network, recognise

# Our name of an array: collection, modules from the outside in, array.
Path = tuple[str, ...]

# Names of arrays within a module, ours and torchvision's.
_ARRAYS = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# torchvision's VGG averages its last map to 7x7 before the first product; so large are
# its Mask R-CNN's regions.
_POOLED = 7
_EPSILON = 1e-5  # that ours adds to a variance
# Below it, a variance without 1e-5 would be lost in float32's rounding of the sum.
_SMALLEST_VARIANCE = 1e-9
_COLOURS = 3
_NAMED = 3  # names that an error gives before it stops
_MODULES = 8  # and that a note gives
_WHOLE = "biuc"  # kinds of dtypes that are no floating-point numbers
_AGAIN = "Download or save it again."


@dataclasses.dataclass(frozen=True)
class Match:
    """Our arrays beside a file's.

    Attributes:
        source: where the file's come from.
        model_name: our name of the network.
        network: what torchvision has for it, or for a part of it.
        own: our arrays by path.
        found: the file's by torchvision's names.
        exact: its batch normalisation adds no epsilon to variances.
        keys: torchvision's name for each of our paths that it has.
        biases: its biases for which we have none, by the path of the running mean
            that follows. A mean that is smaller by the bias does the same.
    """

    source: str
    model_name: str
    network: Network
    own: Mapping[Path, np.ndarray]
    found: Mapping[str, np.ndarray]
    exact: bool
    keys: dict[Path, str] = dataclasses.field(init=False)
    biases: dict[Path, str] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Finds the names."""
        places = self.network.find_places({path[1:-1] for path in self.own})
        keys = {
            p: f"{places[p[1:-1]]}.{_ARRAYS[p[-1]]}"
            for p in self.own
            if p[1:-1] in places
        }
        means = [p for p in self.own if p[-1] == "mean" and self.network.biased]
        biases = {p: f"{places[(p[1].replace('norm', 'conv'),)]}.bias" for p in means}
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "biases", biases)

    @property
    def peer(self) -> str:
        """The name that torchvision has for our model as it is."""
        normalised = any(path[-1] == "mean" for path in self.own)
        return self.network.peers[-1 if normalised else 0]

    @property
    def folded(self) -> bool:
        """Whether the file's stem is for three colours and ours for grey."""
        stem = ("params", *self.network.stem, "kernel")
        shape = self.found[self.keys[stem]].shape
        return self.own[stem].shape[2] == 1 and shape[1:2] == (_COLOURS,)

    def count(self, head: Head) -> tuple[int, int]:
        """Returns of how many classes or anchors a head is in the file and here."""
        bias = ("params", *head.layers[0], "bias")
        return self.found[self.keys[bias]].size, self.own[bias].size

    def find_other_head(self, module: Module) -> Head | None:
        """Returns the head that a module is of, if the file has another number."""
        for head in self.network.heads:
            theirs, ours = self.count(head)
            if module in head.layers and theirs != ours:
                return head
        return None

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
        foreign = sorted(self.found.keys() - expected - {*self.network.ignored})
        if not missing and not foreign:
            return
        likely = recognise(self.found)
        statistics = all(".running_" in key for key in foreign)
        if likely is None:
            advice = f"It is none of {', '.join(TAKERS)}: give a file of {self.peer}."
        elif likely not in TAKERS:
            advice = f"It may be {likely}, which no model here is."
        elif likely != self.peer:
            advice = f"It may be {likely}, which fits {TAKERS[likely]}."
        elif statistics and not missing:
            advice = "Set --config.model.norm=batch or frozen."
        else:
            advice = _AGAIN
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

    def expect(self, path: Path) -> tuple[int, ...]:
        """Returns the shape that an array should have in the file."""
        shape = self.own[path].shape
        shape = (*shape[:-3:-1], *shape[:-2])  # (h, w, in, out) to (out, in, h, w)
        module = path[1:-1]
        if head := self.find_other_head(module):
            theirs, ours = self.count(head)
            return (shape[0] * theirs // ours, *shape[1:])
        if module == self.network.stem and len(shape) == 4 and self.folded:
            return (shape[0], _COLOURS, *shape[2:])
        if module == self.network.transposed and len(shape) == 4:
            return (shape[1], shape[0], *shape[2:])
        return shape

    def take(self, path: Path) -> np.ndarray:
        """Returns the file's array for a path in our order of axes."""
        shape, module = self.own[path].shape, path[1:-1]
        if self.find_other_head(module):
            return self.own[path]
        array = self.read(self.keys[path])
        if path in self.biases:
            array = array - self.read(self.biases[path])
        if path[-1] == "var" and self.exact:
            array = np.maximum(array, _SMALLEST_VARIANCE) - np.float32(_EPSILON)
        if module in self.network.deltas:
            boxes = array.reshape(-1, 4, *array.shape[1:])
            array = boxes[:, [1, 0, 3, 2]].reshape(array.shape)
        if module == self.network.flat and array.ndim == 2:
            # Rows are flattened from (channels, height, width) there.
            array = array.reshape(len(array), -1, _POOLED, _POOLED)
        if array.ndim == 4:
            if module == self.network.transposed:
                array = array.swapaxes(0, 1)
            array = array.transpose(2, 3, 1, 0)
            if module == self.network.stem and self.folded:
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
        notes = [
            f"Weights of torchvision's {self.peer} from {self.source}. Experimental: "
            "what they bring was not measured."
        ]
        if self.folded:
            notes.append("Their stem for three colours is summed into one for grey.")
        if self.exact:
            notes.append(
                "They are COCO_V1's or look like it (91 classes, no count of batches): "
                "without an epsilon, so variances are less by 1e-5 here."
            )
        for head in self.network.heads:
            theirs, ours = self.count(head)
            if theirs != ours:
                notes.append(
                    f"Their {head.name} for {theirs} {head.counted} is left out; the "
                    f"one for {ours} starts fresh."
                )
        if fresh := self.find_fresh():
            notes.append(
                f"They have nothing for {_list(fresh, _MODULES)}: these start fresh."
            )
        return notes

    def find_fresh(self) -> list[str]:
        """Returns our outermost modules of which the file has nothing."""
        known = {p[1:i] for p in self.keys for i in range(2, len(p))}
        fresh = set()
        for path in self.own.keys() - self.keys.keys():
            outermost = next(i for i in range(2, len(path)) if path[1:i] not in known)
            fresh.add("/".join(path[1:outermost]))
        return sorted(fresh)


def _list(keys: list[str], most: int = _NAMED) -> str:
    if not keys:
        return "none"
    more = ", ..." if len(keys) > most else ""
    return f"{len(keys)} ({', '.join(f'{k:.60}' for k in keys[:most])}{more})"
