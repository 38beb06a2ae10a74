"""Counts the floating-point operations of a model's products from its jaxpr.

XLA's own cost analysis leaves out what it hands to libraries. Here, each convolution
and matrix product counts two operations for each multiply-add, padding included as is
usual; everything else (normalisation, activation, pooling) counts nothing.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

# They may hide any number of products.
_OPAQUE = {"ffi_call", "pallas_call", "pure_callback", "io_callback"}


class UncountableError(ValueError):
    """The number of operations cannot be read from the jaxpr."""


@dataclasses.dataclass(frozen=True)
class Flops:
    """Operations of a forward pass, and of it with its gradients.

    Attributes:
        forward: operations of the forward pass.
        training: the same, and one more product of equal size for each operand that
            depends on parameters: three times `forward`, but twice where a layer sees
            the input itself, whose gradient nobody needs.
    """

    forward: int = 0
    training: int = 0

    def __add__(self, other: "Flops") -> "Flops":
        """Returns the operations of one after the other."""
        return Flops(self.forward + other.forward, self.training + other.training)

    def __mul__(self, times: int) -> "Flops":
        """Returns the operations of `times` repetitions."""
        return Flops(self.forward * times, self.training * times)


def count_flops(function: Callable[..., Any], params: Any, *inputs: Any) -> Flops:
    """Counts the products of `function(params, *inputs)`, of one call.

    Args:
        function: the forward pass; anything that `jax.make_jaxpr` can trace.
        params: what gradients are taken of; arrays or `jax.ShapeDtypeStruct`s.
        *inputs: the other arguments, likewise.

    Raises:
        UncountableError: if a custom call or a loop of unknown length hides products.
    """
    closed = jax.make_jaxpr(function)(params, *inputs)
    num_params = len(jax.tree.leaves(params))
    learned = [i < num_params for i in range(len(closed.jaxpr.invars))]
    return _walk(closed.jaxpr, learned)[0]


def _walk(jaxpr: core.Jaxpr, learned: list[bool]) -> tuple[Flops, list[bool]]:
    """Counts a jaxpr of whose inputs the `learned` ones depend on parameters.

    Returns:
        The operations, and which outputs depend on parameters.
    """
    dependent = {v for v, yes in zip(jaxpr.invars, learned, strict=True) if yes}

    def depends(variable: Any) -> bool:
        return not isinstance(variable, core.Literal) and variable in dependent

    total = Flops()
    for equation in jaxpr.eqns:
        flops, outputs = _count(equation, [depends(v) for v in equation.invars])
        total += flops
        for variable, yes in zip(equation.outvars, outputs, strict=True):
            # No gradient passes an integer, such as the index of a maximum.
            dtype = getattr(variable.aval, "dtype", jnp.int32)
            if yes and jnp.issubdtype(dtype, jnp.inexact):
                dependent.add(variable)
    return total, [depends(v) for v in jaxpr.outvars]


def _count(equation: Any, learned: list[bool]) -> tuple[Flops, list[bool]]:
    name, params = equation.primitive.name, equation.params
    if name in _OPAQUE:
        raise UncountableError(f"a {name} hides its operations")
    if name in ("dot_general", "conv_general_dilated"):
        macs = _dot_macs if name == "dot_general" else _convolution_macs
        forward = 2 * macs(equation)
        return Flops(forward, forward * (1 + sum(learned))), [any(learned)]
    if name == "scan":
        return _count_scan(equation, learned)
    if name == "cond":
        branches = core.jaxprs_in_params(params)
        counted = [_walk(branch, learned[1:]) for branch in branches]
        flops = max((flops for flops, _ in counted), key=lambda flops: flops.forward)
        return flops, [any(yes) for yes in zip(*(o for _, o in counted), strict=True)]

    total, outputs = Flops(), [any(learned)] * len(equation.outvars)
    for inner in core.jaxprs_in_params(params):
        aligned = len(inner.invars) == len(learned) and name != "while"
        marks = learned if aligned else [any(learned)] * len(inner.invars)
        flops, inner_outputs = _walk(inner, marks)
        if name == "while" and flops.forward:
            raise UncountableError("a while loop of unknown length has products")
        total += flops
        if aligned and len(inner_outputs) == len(outputs):
            outputs = inner_outputs
    return total, outputs


def _count_scan(equation: Any, learned: list[bool]) -> tuple[Flops, list[bool]]:
    jaxpr = getattr(equation.params["jaxpr"], "jaxpr", equation.params["jaxpr"])
    # Constants come first, then what is carried, then slices, which lose an axis. The
    # parameters that say so have other names in each version of jax.
    last = _count_of_equal_rank(equation.invars, jaxpr.invars)
    first = last - _count_of_equal_rank(equation.outvars, jaxpr.outvars)
    marks = list(learned)
    while True:
        flops, outputs = _walk(jaxpr, marks)
        carried = zip(marks[first:last], outputs[: last - first], strict=True)
        carry = [before or after for before, after in carried]
        if carry == marks[first:last]:
            return flops * equation.params["length"], outputs
        marks[first:last] = carry


def _count_of_equal_rank(outer: Sequence[Any], inner: Sequence[Any]) -> int:
    pairs = zip(outer, inner, strict=True)
    return sum(len(a.aval.shape) == len(b.aval.shape) for a, b in pairs)


def _dot_macs(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    lhs = equation.invars[0].aval.shape
    return math.prod(equation.outvars[0].aval.shape) * math.prod(
        lhs[axis] for axis in contracted
    )


def _convolution_macs(equation: Any) -> int:
    numbers = equation.params["dimension_numbers"]
    kernel = equation.invars[1].aval.shape
    _, in_channels, *window = (kernel[axis] for axis in numbers.rhs_spec)
    products = math.prod(equation.outvars[0].aval.shape) * in_channels
    # The zeros that dilation puts between the pixels of the input are no products.
    dilation = math.prod(equation.params["lhs_dilation"])
    return products * math.prod(window) // dilation
