"""A fact about a run: lines of text, and where each of their numbers stands."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spectjax.report.markdown import format_bounds, format_score
from spectjax.system.messages import UserError

_ABSENT = object()


@dataclass(frozen=True)
class Source:
    """Where something stands.

    Attributes:
        file: a file, as its user knows it.
        key: which entry of it, names joined by dots; empty for the whole file.
    """

    file: str
    key: str = ""


@dataclass(frozen=True)
class Fact:
    """What is known, or not.

    Attributes:
        lines: sentences; none if nothing is known.
        sources: where they come from.
        missing: what is not known of it, and why; empty if nothing lacks.
    """

    lines: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    missing: str = ""


def state(lines: str | Iterable[str], *sources: Source, missing: str = "") -> Fact:
    """Returns a fact of a line or of several; one without any says nothing."""
    found = (lines,) if isinstance(lines, str) else tuple(lines)
    return Fact(found, sources if found else (), missing)


def look_up(document: Mapping[str, Any], path: str, absent: Any = None) -> Any:
    """Returns what stands at a path of names joined by dots, `absent` if nothing does.

    A name may hold dots itself, as "0.25" does.
    """
    if path in document:
        return document[path]
    for end, character in enumerate(path):
        inner = document.get(path[:end]) if character == "." else None
        if isinstance(inner, Mapping):
            found = look_up(inner, path[end + 1 :], _ABSENT)
            if found is not _ABSENT:
                return found
    return absent


def quote_score(document: Mapping[str, Any], path: str, file: str) -> str:
    """Returns a score of `metrics.json` with its interval; empty if it is not there.

    Raises:
        UserError: if something else than a number stands there.
    """
    value = look_up(document, path, _ABSENT)
    if value is _ABSENT:
        return ""
    if value is None:
        return "undefined"
    bounds = _find_bounds(document, path)
    for number in (value, *bounds):
        if isinstance(number, bool) or not isinstance(number, int | float | None):
            raise UserError(
                f"{file}: expected a number as {path!r}, found {str(number)[:40]!r}. "
                "Score the model again."
            )
    pattern = "d" if isinstance(value, int) else ".3f"
    return format_score(value, pattern) + format_bounds(bounds)


def _find_bounds(document: Mapping[str, Any], path: str) -> list[Any]:
    """Returns the interval of a score; the section that it stands in may have it."""
    names = path.split(".")
    for depth in range(len(names)):
        inside = ".".join((*names[:depth], "intervals"))
        found = look_up(document, inside)
        if isinstance(found, Mapping):
            bounds = found.get(".".join(names[depth:]))
            if isinstance(bounds, list) and len(bounds) == 2:
                return bounds
    return [None, None]
