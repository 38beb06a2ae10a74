"""What of a document is not as its TypedDict says."""

import types
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict


def find_fault(value, kind, path="document"):
    """Returns the first place that does not follow the type, or an empty text."""
    if kind is Any:
        return ""
    if is_typeddict(kind):
        if not isinstance(value, dict):
            return f"{path}: {value!r}"
        hints = get_type_hints(kind)
        wrong = (kind.__required_keys__ - set(value)) | (set(value) - set(hints))
        if wrong:
            return f"{path}: {', '.join(sorted(wrong))}"
        return next_fault((value[k], hints[k], f"{path}.{k}") for k in value)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        faults = [find_fault(value, each, path) for each in args]
        return "" if "" in faults else faults[0]
    if origin is dict and isinstance(value, dict):
        return next_fault((item, args[1], f"{path}.{k}") for k, item in value.items())
    if origin is list and isinstance(value, list):
        return next_fault((x, args[0], f"{path}[{i}]") for i, x in enumerate(value))
    # JSON tells whole numbers from others, and truths from both.
    known = (int, float) if kind is float else origin or kind
    fits = isinstance(value, known) and (kind is bool or not isinstance(value, bool))
    return "" if fits else f"{path}: {value!r}"


def next_fault(places):
    return next(filter(None, (find_fault(*place) for place in places)), "")
