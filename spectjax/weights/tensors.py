"""A model's own numbers as safetensors: names, shapes and bytes, nothing that runs.

A name is a path as `params/down0/conv1/kernel`.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from spectjax.system.limits import WEIGHTS_LIST_BYTES
from spectjax.weights import WeightsError

_KINDS = ("float16", "float32")
_TEXT = "spectjax"  # of the file's metadata


def pack_tensors(
    variables: Mapping[str, Any], *, dtype: str = "float32", text: str | None = None
) -> bytes:
    """Returns a safetensors file; the same numbers always become the same bytes.

    Args:
        variables: arrays in dictionaries within dictionaries.
        dtype: of kernels in the file, "float32" or "float16". What has one axis, the
            statistics of batch normalisation among it, is always float32: it takes no
            room, and a variance may be beyond float16.
        text: what the file says of itself; None: nothing.
    """
    arrays = {
        name: np.ascontiguousarray(x, dtype if np.ndim(x) > 1 else "float32")
        for name, x in _flatten(variables, "")
    }
    return safetensors.numpy.save(arrays, {_TEXT: text} if text else None)


def read_tensors_text(content: bytes) -> str | None:
    """Returns the text that was packed with tensors; None if there is none."""
    size = int.from_bytes(content[:8], "little")
    if size > WEIGHTS_LIST_BYTES:
        return None
    try:
        said = json.loads(content[8 : 8 + size])["__metadata__"][_TEXT]
    except (LookupError, RecursionError, TypeError, ValueError):
        return None
    return said if isinstance(said, str) else None


def unpack_tensors(content: bytes) -> dict[str, Any]:
    """Returns what `pack_tensors` packed, float32.

    Raises:
        WeightsError: if it is no such file; a few words.
    """
    if int.from_bytes(content[:8], "little") > WEIGHTS_LIST_BYTES:
        raise WeightsError("a header that is too large")
    try:
        arrays = safetensors.numpy.load(content)
    except (
        safetensors.SafetensorError,
        AttributeError,  # names of dtypes that numpy does not have
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise WeightsError(f"no safetensors ({error})") from error
    variables: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.dtype.name not in _KINDS:
            raise WeightsError(f"numbers of {array.dtype.name}")
        *path, last = name.split("/")
        inner = variables
        for key in path:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                break
        if not isinstance(inner, dict) or last in inner:
            raise WeightsError(f"two kinds of things under {name[:80]!r}")
        inner[last] = array.astype(np.float32)
    return variables


def _flatten(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    """Returns the arrays of a tree with their paths."""
    pairs = []
    for key, value in tree.items():
        path = f"{prefix}{key}"
        pairs += (
            _flatten(value, f"{path}/")
            if isinstance(value, Mapping)
            else [(path, value)]
        )
    return pairs
