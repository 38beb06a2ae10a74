"""JSON files of ours, read as what they should be: one line where they are not.

A schema is a type, a tuple of types, `[schema]` for a list, `{name: schema}` for an
object with at least these names, `Each(schema)` for one with names of any kind, or
`Maybe(schema)` for what may be absent or null. `float` takes whole numbers as well.
"""

import json
import pathlib
from dataclasses import dataclass
from typing import Any

from spectjax.system.limits import read_limited
from spectjax.system.messages import UserError

_NAMES = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
}


@dataclass(frozen=True)
class Each:
    """An object whose values, whatever their names, follow one schema."""

    schema: Any


@dataclass(frozen=True)
class Maybe:
    """Something that may be absent or null."""

    schema: Any


def read_json(
    path: pathlib.Path,
    schema: Any,
    *,
    what: str,
    remedy: str,
    most: int,
    error: type[UserError] = UserError,
) -> Any:
    """Returns the content of a JSON file that follows a schema.

    Args:
        path: the file.
        schema: see the module.
        what: the file should be, for the message.
        remedy: a sentence on what to do about another one.
        most: bytes that it may have.
        error: the kind of error to raise.

    Raises:
        UserError: of the kind `error`, in one line.
    """
    content = read_limited(path, most, error=error)
    try:
        document = json.loads(content)
    # RecursionError: lists within lists, some thousand deep.
    except (ValueError, RecursionError) as problem:
        raise error(
            f"{path}: expected {what}, found damaged JSON ({problem}). {remedy}"
        ) from None
    fault = find_fault(document, schema)
    if fault:
        raise error(f"{path}: expected {what}, found {fault}. {remedy}")
    return document


def find_fault(value: Any, schema: Any, name: str = "") -> str:
    """Returns the first thing that does not follow a schema; empty if all does."""
    if isinstance(schema, Maybe):
        return "" if value is None else find_fault(value, schema.schema, name)
    if isinstance(schema, Each | dict):
        return _find_fault_in_object(value, schema, name)
    if isinstance(schema, list):
        if not isinstance(value, list):
            return _describe(value, list, name)
        faults = (find_fault(x, schema[0], f"{name}[{i}]") for i, x in enumerate(value))
        return next(filter(None, faults), "")
    types = schema if isinstance(schema, tuple) else (schema,)
    if any(_is_instance(value, each) for each in types):
        return ""
    return _describe(value, types[0], name)


def _find_fault_in_object(value: Any, schema: Each | dict[str, Any], name: str) -> str:
    if not isinstance(value, dict):
        return _describe(value, dict, name)
    if isinstance(schema, Each):
        schema = dict.fromkeys(value, schema.schema)
    for key, inner in schema.items():
        full_name = f"{name}.{key}" if name else key
        if key not in value and not isinstance(inner, Maybe):
            return f"no {full_name!r} in it"
        fault = find_fault(value.get(key), inner, full_name)
        if fault:
            return fault
    return ""


def _is_instance(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # which Python takes for a whole number
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _describe(value: Any, kind: type, name: str) -> str:
    shown = repr(value)[:80]
    where = f"as {name!r} instead of" if name else "instead of"
    return f"{shown} {where} {_NAMES[kind]}"
