"""Channel-first tensors inside an exported network, as ONNX's own operations want them.

JAX keeps the channel axis last, so the converter puts a transposition before and after
each convolution and pooling. Between two of them lie operations that do not care for
the order of axes: here they are told the other one, and only what enters and leaves the
network is transposed. Batch, height, width and channel axes are B, H, W and C.
"""

import dataclasses
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # comes with jax2onnx, see `spectjax.inference.conversion`
    from onnx import GraphProto, NodeProto

_TO_FIRST, _TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
_CHANNELS_LAST = (3, -1)  # what a node calls the last axis
_PRODUCT = b"abcd,de->abce"
_INTO_BLOCKS = [0, 1, 3, 2, 4, 5]  # (B, H, W, 2, 2, D) to (B, H, 2, W, 2, D)
_BY_ELEMENT = frozenset("Add Div Max Mean Min Mul Relu Sigmoid Sqrt Sub".split())
# Of numbers that are known: what needs no running.
_FOLDED: dict[str, Callable[..., Any]] = {
    "Add": operator.add,
    "Div": operator.truediv,
    "Mul": operator.mul,
    "Sqrt": np.sqrt,
    "Sub": operator.sub,
}


def make_channel_first(graph: "GraphProto") -> None:
    """Rewrites a graph so that only its ends, which are channel-last, are transposed.

    What is computed of parameters alone is computed now, in their own precision. A
    product of pixels with four kernels, sorted into 2x2 blocks, becomes the transposed
    convolution that it is (`spectjax.ops.convolution.up_convolve`). What is not known
    here stays channel-last.
    """
    rewriting = _Rewriting(graph)
    for node in list(graph.node):
        rewriting.take(node)
    rewriting.finish()


@dataclasses.dataclass(frozen=True)
class _Growth:
    """An up-convolution under way, or what may be one.

    Attributes:
        pixels: name of the tensor, channel-first, that it takes.
        kernel: (C, 4 D).
        steps: sizes of reshaped forms, and orders of transposed axes, so far.
    """

    pixels: str
    kernel: np.ndarray
    steps: tuple[list[int], ...] = ()

    def is_whole(self) -> bool:
        """Whether these were the steps of an up-convolution."""
        if len(self.steps) != 3:
            return False
        apart, order, (*hw, features) = self.steps
        height, width = (n // 2 for n in hw)
        return order == _INTO_BLOCKS and apart == [height, width, 2, 2, features]


class _Rewriting:
    """A graph while its nodes are taken one after the other."""

    def __init__(self, graph: "GraphProto") -> None:
        from onnx import helper, numpy_helper

        self._make_node, self._to_proto = helper.make_node, numpy_helper.from_array
        self._read_attribute = helper.get_attribute_value
        self._graph = graph
        self._results = {x.name for x in graph.output}
        self._nodes: list[NodeProto] = []
        self._numbers = {x.name: numpy_helper.to_array(x) for x in graph.initializer}
        self._alike: dict[str, str] = {}  # two names of one tensor
        # By the name of a channel-last tensor, that of the same channel-first; and
        # those that are not in the graph but for it.
        self._first: dict[str, str] = {}
        self._absent: set[str] = set()
        # What a node of these names says of a shape: all sizes but the first.
        self._sizes: dict[str, list[int]] = {}
        self._grown: dict[str, _Growth] = {}

    def take(self, node: "NodeProto") -> None:
        """Adds a node, channel-first if it can be, or leaves it out."""
        node.input[:] = [self._alike.get(name, name) for name in node.input]
        if not (self._fold(node) or self._turn(node)):
            for name in node.input:
                self._give_last(name)
            self._nodes.append(node)
            self._watch(node)

    def finish(self) -> None:
        """Puts what the results need, and nothing else, into the graph."""
        for name in self._results:
            self._give_last(name)
        needed = {*self._results}
        kept = []
        for node in reversed(self._nodes):
            if needed & {*node.output}:
                needed.update(node.input)
                kept.append(node)
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(reversed(kept))
        self._graph.initializer.extend(
            self._to_proto(numbers, name)
            for name, numbers in self._numbers.items()
            if name in needed
        )

    def _fold(self, node: "NodeProto") -> bool:
        """Computes a node of known numbers."""
        if not node.input or not self._numbers.keys() >= {*node.input}:
            return False
        values = [self._numbers[name] for name in node.input]
        if node.op_type == "Transpose":
            result = values[0].transpose(self._read(node, "perm"))
        elif node.op_type == "Reshape" and (values[1] > 0).all():
            result = values[0].reshape(values[1])
        elif node.op_type in _FOLDED and values[0].dtype == np.float32:
            result = np.asarray(_FOLDED[node.op_type](*values))
        else:
            return False
        self._numbers[node.output[0]] = result
        return True

    def _turn(self, node: "NodeProto") -> bool:
        """Takes a node whose result can be had channel-first."""
        result = node.output[0]
        if node.op_type == "Transpose":
            return self._turn_transposition(node)
        growth = self._follow(node)
        if growth is not None and growth.is_whole():
            taps = growth.kernel.reshape(len(growth.kernel), 2, 2, -1)
            kernel = f"{result}_kernel"
            self._numbers[kernel] = taps.transpose(0, 3, 1, 2)
            taken = [growth.pixels, kernel]
            self._add("ConvTranspose", taken, result, strides=[2, 2])
            return True
        if not self._first.keys() & {*node.input}:
            return False
        inputs: list[str | None]
        attributes = {}
        if node.op_type in _BY_ELEMENT:
            inputs = [self._find_first(name) for name in node.input]
        elif (
            node.op_type in ("Concat", "Softmax")
            and self._read(node, "axis") in _CHANNELS_LAST
        ):
            inputs = [self._first.get(name) for name in node.input]
            attributes = {"axis": 1}
        else:
            return False
        turned = [name for name in inputs if name is not None]
        if len(turned) < len(inputs):
            return False
        self._add(node.op_type, turned, result, **attributes)
        return True

    def _turn_transposition(self, node: "NodeProto") -> bool:
        """Takes a transposition if its other side is known, or will be."""
        name, result = node.input[0], node.output[0]
        perm = self._read(node, "perm")
        if perm == _TO_LAST:
            self._first[result] = name
            self._absent.add(result)
        elif perm == _TO_FIRST and name in self._first and result not in self._results:
            self._alike[result] = self._first[name]
        elif perm == _TO_FIRST and name not in self._first:
            self._first[name] = result
            self._nodes.append(node)
        else:
            return False
        return True

    def _watch(self, node: "NodeProto") -> None:
        """Remembers what a node that stays as it is tells of an up-convolution."""
        result = node.output[0]
        if node.op_type == "Concat":
            sizes = [self._numbers.get(name) for name in node.input[1:]]
            known = [int(n.item()) for n in sizes if n is not None and n.size == 1]
            if len(known) == len(sizes):
                self._sizes[result] = known
        elif node.op_type == "Einsum":
            pixels, kernel = node.input
            matches = self._read(node, "equation") == _PRODUCT
            if matches and pixels in self._first and kernel in self._numbers:
                self._grown[result] = _Growth(
                    self._first[pixels], self._numbers[kernel]
                )
        elif growth := self._follow(node):
            self._grown[result] = growth

    def _follow(self, node: "NodeProto") -> _Growth | None:
        """Returns an up-convolution with a step that a node adds to it."""
        growth = self._grown.get(node.input[0]) if node.input else None
        step = None
        if growth and node.op_type == "Reshape":
            step = self._sizes.get(node.input[1])
        elif growth and node.op_type == "Transpose":
            step = self._read(node, "perm")
        if growth is None or step is None:
            return None
        return dataclasses.replace(growth, steps=(*growth.steps, step))

    def _find_first(self, name: str) -> str | None:
        """Returns the name of a tensor channel-first, or of a number; None: unknown."""
        numbers = self._numbers.get(name)
        if name in self._first or numbers is None:
            return self._first.get(name)
        if numbers.ndim == 0:
            return name
        if numbers.ndim == 4:
            turned = numbers.transpose(_TO_FIRST)
        elif numbers.ndim == 1:
            turned = numbers.reshape(-1, 1, 1)
        else:
            return None
        self._first[name] = f"{name}_first"
        self._numbers[f"{name}_first"] = turned
        return f"{name}_first"

    def _add(
        self, kind: str, inputs: list[str], result: str, **attributes: Any
    ) -> None:
        """Adds a node that gives a tensor channel-first."""
        first = self._first[result] = f"{result}_first"
        self._absent.add(result)
        self._nodes.append(
            self._make_node(kind, inputs, [first], name=first, **attributes)
        )

    def _give_last(self, name: str) -> None:
        """Puts a tensor into the graph channel-last if it is not there."""
        if name in self._absent:
            self._absent.remove(name)
            self._nodes.append(
                self._make_node(
                    "Transpose", [self._first[name]], [name], name=name, perm=_TO_LAST
                )
            )

    def _read(self, node: "NodeProto", name: str) -> Any:
        """Returns an attribute of a node, None if it has none of that name."""
        for attribute in node.attribute:
            if attribute.name == name:
                return self._read_attribute(attribute)
        return None
