"""What may stay in a file: words, numbers and codes of closed lists.

A text that is none of the listed words may hold a name, whatever its attribute is meant
for, in more disguises than anyone can list. So nothing is searched for: what stays is
known beforehand, and is written anew in the list's own spelling.
"""

import csv
import dataclasses
import re
from collections.abc import Collection
from decimal import Decimal
from importlib import resources

from pydicom.dataset import Dataset

# Older designators of SNOMED's codes.
_SRT = ("SNM3", "99SDM")


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers that an attribute can plausibly have.

    Attributes:
        low: the least.
        high: the largest.
        figures: significant figures that are written; None for all, where counts or
            sizes depend on them.
    """

    low: float
    high: float
    figures: int | None


@dataclasses.dataclass(frozen=True)
class KeptValues:
    """The closed lists.

    Attributes:
        words: for each keyword, the word to write for each folded spelling.
        numbers: for each keyword, its range.
        codes: meaning of each scheme and value.
    """

    words: dict[str, dict[str, str]]
    numbers: dict[str, Range]
    codes: dict[tuple[str, str], str]

    def find_word(self, keyword: str, text: str) -> str | None:
        """Returns the listed word that a text is; None if it is none."""
        return self.words[keyword].get(_fold(text))

    def find_number(
        self, keyword: str, text: str, identity: Collection[str]
    ) -> float | None:
        """Returns a number, rounded; None if it is none, implausible or identifies.

        `identity` is as from `list_numbers`.
        """
        try:
            number = float(text)
        except ValueError:
            return None
        limits = self.numbers[keyword]
        if not limits.low <= number <= limits.high:
            return None
        figures = limits.figures
        kept = number if figures is None else float(f"{number:.{figures}g}")
        # Rounding may bring out what decimals had hidden: a birth year in 1941.2.
        if _repeats(number, identity) or _repeats(kept, identity):
            return None
        return kept

    def find_code(self, item: Dataset) -> tuple[str, str, str] | None:
        """Returns value, scheme and meaning if an item's code is listed."""
        value, scheme = (
            str(item.get(keyword) or "").strip()
            for keyword in ("CodeValue", "CodingSchemeDesignator")
        )
        scheme = "SRT" if scheme in _SRT else scheme
        meaning = self.codes.get((scheme, value))
        return None if meaning is None else (value, scheme, meaning)


def read_kept_values() -> KeptValues:
    """Reads the three tables of the package."""
    words: dict[str, dict[str, str]] = {}
    for row in read_rows("kept_words.csv"):
        listed = words.setdefault(row["keyword"], {})
        for spelling in (row["word"], *filter(None, row["also"].split("|"))):
            if listed.setdefault(_fold(spelling), row["word"]) != row["word"]:
                raise ValueError(f"Expected each spelling once, got {spelling} again.")
    numbers = {
        row["keyword"]: Range(
            float(row["low"]),
            float(row["high"]),
            int(row["figures"]) if row["figures"] else None,
        )
        for row in read_rows("kept_numbers.csv")
    }
    codes = {
        (row["scheme"], row["value"]): row["meaning"]
        for row in read_rows("kept_codes.csv")
    }
    return KeptValues(words, numbers, codes)


def read_rows(name: str) -> list[dict[str, str]]:
    """Returns the rows of a CSV file of this package."""
    text = (resources.files(__package__) / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def list_numbers(text: str) -> set[str]:
    """Returns the numbers in a text, also those whose digits marks divide."""
    joined = re.sub(r"(?<=\d)[\s./,:-]+(?=\d)", "", text)
    found = re.findall(r"\d+", f"{text} {joined}")
    return {str(int(digits)) for digits in found if len(digits) <= 64}


def list_dates(text: str) -> set[str]:
    """Returns the ways to write a DICOM date, YYYYMMDD, as a number."""
    if not re.fullmatch("[0-9]{8}.*", text):
        return set()
    year, month, day = text[:4], text[4:6], text[6:8]
    orders = ((year, month, day), (day, month, year), (month, day, year))
    short = [[part[-2:] for part in order] for order in orders]
    return {str(int("".join(order))) for order in (*orders, *short)}


def _fold(text: str) -> str:
    """Returns ASCII letters and digits alone, capital; nothing of any other text."""
    return re.sub("[^A-Z0-9]", "", text.upper()) if text.isascii() else ""


def _repeats(number: float, identity: Collection[str]) -> bool:
    """Tells whether a number repeats one that identifies, or begins or ends one.

    Numbers of fewer than three digits are found anywhere; with a point, only five or
    more digits in a row are no chance. Zeros at the end may come from rounding.
    """
    digits = re.sub(r"\D", "", format(Decimal(repr(float(number))), "f"))
    digits = digits.lstrip("0")
    if any(len(known) >= 5 and known in digits for known in identity):
        return True
    whole = digits
    if float(number).is_integer():
        whole = str(abs(int(number)))
        if len(whole) == 3:
            return whole in identity
    enough = 3 if float(number).is_integer() else 4
    return any(
        len(part) > enough and (known.startswith(part) or known.endswith(part))
        for part in (whole, whole.rstrip("0"))
        for known in identity
    )
