"""What happens to an attribute: the Basic Profile and the NM Image IOD as tables.

`basic_profile.csv` is Table E.1-1 of DICOM PS3.15, edition 2026c, column Basic Profile.
`nm_image.csv` lists attributes of NM whole-body images (PS3.3, A.5) with their types:
1 must have a value, 2 may be empty, 3 may be absent; and what of them may be kept.
"""

import dataclasses
import hashlib
import json
from typing import Literal, cast

from spectjax.imaging.deidentify.kept_values import (
    KeptValues,
    read_kept_values,
    read_rows,
)

EDITION = "2026c"

# Of Table E.1-1a: remove, empty, dummy, another UID, keep.
Action = Literal["X", "Z", "D", "U", "K"]

# What is kept of an attribute: listed words, numbers in their range, listed codes, UIDs
# that the standard defines, the items of a sequence; "anew" is written from the pixels.
Kept = Literal["words", "number", "codes", "standard", "items", "anew"]

# Where the profile leaves a choice (X/Z/D, ...), the first of these that it offers: an
# attribute goes as far as its type allows.
_CHOICES = {"1": "DUZX", "2": "ZDUX", "3": "XZDU"}


@dataclasses.dataclass(frozen=True)
class Profile:
    """The tables.

    Attributes:
        actions: letters of Table E.1-1 for each tag, e.g. "X/Z".
        patterns: (mask, value, letters) for the rows that stand for many tags.
        types: type of each attribute that an NM whole-body image may have.
        kept: what is kept of those of them that are.
        values: the words, numbers and codes that may be kept.
    """

    actions: dict[int, str]
    patterns: tuple[tuple[int, int, str], ...]
    types: dict[int, str]
    kept: dict[int, Kept]
    values: KeptValues

    def decide(self, tag: int) -> Action:
        """Returns the action for a tag.

        What neither table knows is removed: the profile lists what is known to
        identify, and a vendor's or a retired attribute may too. So is what the profile
        would keep, but nobody listed what it may say.
        """
        letters = self.actions.get(tag)
        if letters is None:
            letters = next((w for m, v, w in self.patterns if tag & m == v), None)
        if letters in (None, "K"):
            letters = "K" if tag in self.kept else "X/Z/D"
        # U* replaces the UIDs in a sequence. Cleaning (C) asks for an equivalent text
        # without identity; only a dummy is sure to be one.
        offered = letters.replace("*", "").replace("C", "D").split("/")
        choices = _CHOICES[self.find_type(tag)] + "K"
        return cast(Action, next(letter for letter in choices if letter in offered))

    def find_type(self, tag: int) -> str:
        """Returns 1, 2 or 3, whatever the condition."""
        return self.types.get(tag, "3")[0]


def read_profile() -> Profile:
    """Reads the tables of the package."""
    actions: dict[int, str] = {}
    patterns: list[tuple[int, int, str]] = []
    for row in read_rows("basic_profile.csv"):
        if not set(row["action"].replace("*", "").split("/")) <= set("XZDUKC"):
            raise ValueError(f"Expected letters of Table E.1-1a, got {row}.")
        mask, value = _parse_tag(row["tag"])
        if mask == 0xFFFFFFFF:
            actions[value] = row["action"]
        else:
            patterns.append((mask, value, row["action"]))
    types: dict[int, str] = {}
    kept: dict[int, Kept] = {}
    for row in read_rows("nm_image.csv"):
        tag = _parse_tag(row["tag"])[1]
        types[tag] = row["type"]
        if row["kept"]:
            kept[tag] = cast(Kept, row["kept"])
    return Profile(actions, tuple(patterns), types, kept, read_kept_values())


def digest_rules() -> str:
    """Returns 16 hexadecimal digits that change with any of the tables."""
    names = ("basic_profile", "nm_image", "kept_words", "kept_numbers", "kept_codes")
    tables = json.dumps([read_rows(f"{name}.csv") for name in names])
    return hashlib.sha256(tables.encode()).hexdigest()[:16]


def _parse_tag(text: str) -> tuple[int, int]:
    """Returns mask and value of "(0010,0010)", "(60xx,3000)" or "(odd,xxxx)"."""
    if text == "(odd,xxxx)":
        return 0x00010000, 0x00010000
    digits = text.strip("()").replace(",", "")
    mask = "".join("0" if digit == "x" else "F" for digit in digits)
    return int(mask, 16), int(digits.replace("x", "0"), 16)
