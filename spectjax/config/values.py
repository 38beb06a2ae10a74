"""Kinds of values that a key of a config may have, each with words for it."""

import dataclasses
from collections.abc import Callable
from typing import Any

CANVAS = 256  # rows and columns of a thorax
FRAME = 1024  # the most rows and columns of the images of a data set


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value may be.

    Attributes:
        expected: says so in words.
        accepts: whether a value is so.
    """

    expected: str
    accepts: Callable[[Any], bool]


def whole(least: int, most: int) -> Rule:
    """A whole number."""
    return Rule(
        f"a whole number from {least} to {most}",
        lambda x: type(x) is int and least <= x <= most,
    )


def number(least: float, most: float, *, without: tuple[float, ...] = ()) -> Rule:
    """A number, whole or not, from `least` to `most`, `without` some of the ends."""
    low = f"above {least:g}" if least in without else f"of at least {least:g}"
    high = f"below {most:g}" if most in without else f"at most {most:g}"
    return Rule(
        f"a number {low} and {high}",
        lambda x: type(x) in (int, float) and least <= x <= most and x not in without,
    )


def one_of(*names: str) -> Rule:
    """One of these words."""
    return Rule(
        f"known are {', '.join(names)}", lambda x: type(x) is str and x in names
    )


def several(rule: Rule, least: int, most: int, example: str) -> Rule:
    """A tuple of at least so many values and at most so many, as in `example`."""
    count = f"{least}" if least == most else f"{least} to {most}"
    return Rule(
        f"{count} values as in {example}, each {rule.expected}",
        lambda x: (
            type(x) is tuple and least <= len(x) <= most and all(map(rule.accepts, x))
        ),
    )


def or_none(rule: Rule) -> Rule:
    """None, or what another rule takes."""
    return Rule(f"{rule.expected}, or None", lambda x: x is None or rule.accepts(x))


YES_NO = Rule("True or False", lambda x: type(x) is bool)
TEXT = Rule("a text", lambda x: type(x) is str and bool(x.strip()))
SEED = whole(0, 2**32 - 1)  # jax takes no other bits of it
RATE = number(0, 1, without=(1,))
SHARE = number(0, 1)
POSITIVE_SHARE = number(0, 1, without=(0,))
