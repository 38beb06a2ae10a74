"""Stages of a model that stay as they are while the rest learns.

They are named as in `down0` or `backbone/stage1`, which stands for all that is called
so, or so with `_` and more after it.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from spectjax.ops.batch_norm import BatchNorm
from spectjax.system.messages import ConfigError


def check_frozen(names: tuple[str, ...], params: Mapping[str, Any]) -> None:
    """Checks that each name is one of a model's stages, and that something learns.

    Raises:
        ConfigError: naming the stages that there are.
    """
    paths = list(flatten_dict(params, sep="/"))
    unknown = [n for n in names if not any(is_frozen(p, (n,)) for p in paths)]
    known = ", ".join(dict.fromkeys(path.partition("/")[0] for path in paths))
    if unknown:
        raise ConfigError(
            f"--config.frozen={names}: expected stages of the model, found "
            f"{', '.join(unknown)}; known are {known}."
        )
    if names and all(is_frozen(path, names) for path in paths):
        raise ConfigError(
            f"--config.frozen={names}: expected that something is left to learn, found "
            f"all of {known}."
        )


def is_frozen(path: str, names: tuple[str, ...]) -> bool:
    """Returns whether a module or an array belongs to one of the stages.

    Args:
        path: as in `down0/conv1/kernel`, without collection.
        names: stages, as in `down0` or `backbone/stage1`.
    """
    return any(re.match(rf"{re.escape(name)}(?:[/_]|$)", path) for name in names)


def mark_frozen(tree: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Returns for each array whether it belongs to one of the stages."""
    marks = {path: is_frozen(path, names) for path in flatten_dict(tree, sep="/")}
    return unflatten_dict(marks, sep="/")


def hold_still(tree: Any, names: tuple[str, ...]) -> Any:
    """Returns parameters through which no gradient reaches the stages."""
    if not names:
        return tree
    return jax.tree.map(
        lambda x, frozen: jax.lax.stop_gradient(x) if frozen else x,
        tree,
        mark_frozen(tree, names),
    )


@contextlib.contextmanager
def still_statistics(names: tuple[str, ...]) -> Iterator[None]:
    """Lets the stages' batch normalisation use what it knows and learn nothing."""

    def intercept(
        apply: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        module = context.module
        if isinstance(module, BatchNorm) and is_frozen("/".join(module.path), names):
            kwargs = kwargs | {"still": True}
        return apply(*args, **kwargs)

    with nn.intercept_methods(intercept) if names else contextlib.nullcontext():
        yield
