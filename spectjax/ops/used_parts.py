"""A function of some parts of an array, in a loop that ends with them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_Function = Callable[[Any, jax.Array], jax.Array]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def map_used(
    function: _Function, weights: Any, parts: jax.Array, count: jax.Array
) -> jax.Array:
    """Returns function(weights, part) of the first parts, 0 of the others.

    Its gradient keeps what depends on the parts, and of the weights nothing: that of
    `jax.lax.map` over a condition keeps a copy of them for each part.

    Args:
        function: gives an array.
        weights: a tree of arrays.
        parts: (N, ...).
        count: of the parts that are used, int32, ().

    Returns:
        (N, ...).
    """
    empty = _make_empty(len(parts), jax.eval_shape(function, weights, parts[0]))
    return jax.lax.fori_loop(
        0, count, lambda i, y: y.at[i].set(function(weights, parts[i])), empty
    )


def _make_empty(count: int, like: jax.ShapeDtypeStruct) -> jax.Array:
    return jnp.zeros((count, *like.shape), like.dtype)


def _find_varying(function: Callable[..., Any], part: jax.Array) -> list[bool]:
    """Tells of each array that a function returns whether the part changes it."""
    jaxpr = jax.make_jaxpr(function)(part).jaxpr
    varying = {id(variable) for variable in jaxpr.invars}
    for equation in jaxpr.eqns:
        if varying & {id(variable) for variable in equation.invars}:
            varying.update(id(variable) for variable in equation.outvars)
    return [id(variable) in varying for variable in jaxpr.outvars]


_Saved = tuple[Any, jax.Array, list[jax.Array], jax.Array]


def _forward(
    function: _Function, weights: Any, parts: jax.Array, count: jax.Array
) -> tuple[jax.Array, _Saved]:
    def look(part: jax.Array) -> list[jax.Array]:
        y, pull = jax.vjp(function, weights, part)
        return [y, *jax.tree.leaves(pull)]

    varying = [True, *_find_varying(look, parts[0])[1:]]

    def look_at_one(part: jax.Array) -> list[jax.Array]:
        return [x for x, varies in zip(look(part), varying, strict=True) if varies]

    y, *saved = jax.lax.fori_loop(
        0,
        count,
        lambda i, all_: [
            x.at[i].set(each)
            for x, each in zip(all_, look_at_one(parts[i]), strict=True)
        ],
        [_make_empty(len(parts), x) for x in jax.eval_shape(look_at_one, parts[0])],
    )
    return y, (weights, parts, saved, count)


def _backward(
    function: _Function, kept: _Saved, dy: jax.Array
) -> tuple[Any, jax.Array, None]:
    weights, parts, saved, count = kept

    def look(part: jax.Array) -> Any:
        return jax.vjp(function, weights, part)[1]

    varying = _find_varying(lambda part: jax.tree.leaves(look(part)), parts[0])

    def step(i: jax.Array, sums: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        # Of what is computed here, XLA keeps what the part does not change.
        leaves, tree = jax.tree.flatten(look(parts[0]))
        found = iter(saved)
        leaves = [
            next(found)[i] if varies else leaf
            for leaf, varies in zip(leaves, varying, strict=True)
        ]
        dweights, dpart = jax.tree.unflatten(tree, leaves)(dy[i])
        return jax.tree.map(jnp.add, sums[0], dweights), sums[1].at[i].set(dpart)

    zeros = jax.tree.map(jnp.zeros_like, (weights, parts))
    return *jax.lax.fori_loop(0, count, step, zeros), None


map_used.defvjp(_forward, _backward)
