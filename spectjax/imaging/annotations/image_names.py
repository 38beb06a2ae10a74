"""Names of images, and which images a file may be about.

An image is called `<DICOM stem>_<view>`, and a reader's file has its name. Whether a
file that cannot be used was meant for an image is judged generously: to leave out one
image too many costs an image, to lose a reader's vote costs the truth.
"""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from spectjax.imaging.dicom.views import find_view
from spectjax.imaging.scan import DICOM_SUFFIXES, PICTURE_SUFFIXES

IMAGE_SUFFIXES = (*PICTURE_SUFFIXES, ".bmp", ".tif", ".tiff", *DICOM_SUFFIXES)
_LOOKED_AT = 512 * 1024  # bytes at either end of a file, for the names in it
_LONGEST_NAME = 255


@dataclasses.dataclass(frozen=True)
class Claim:
    """A name that says which images a file may be about.

    Attributes:
        name: a file's stem, or the name of an image that a file quotes.
        is_loose: whether more than the name of the image may stand in it, or less, as
            in "P1", "p1 ant" and "P1_anterior (2)" for the image P1_anterior.
    """

    name: str
    is_loose: bool


def fold_name(name: str) -> str:
    """Returns the form in which names are compared: macOS takes letters apart."""
    return unicodedata.normalize("NFC", name)


def drop_image_suffix(name: str) -> str:
    """Returns the name of a picture or DICOM file without its suffix."""
    path = Path(name)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else name


def list_quoted_names(contents: bytes) -> Iterator[str]:
    """Yields what looks like the name of an image in a file of any kind.

    These are names with the suffix of an image, and those that end with a view.
    """
    wide = contents[:2] in (b"\xff\xfe", b"\xfe\xff")
    if len(contents) > 2 * _LOOKED_AT:  # the picture lies in the middle
        contents = contents[:_LOOKED_AT] + contents[-_LOOKED_AT:]
    text = contents.decode("utf-16" if wide else "utf-8", "replace")
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    for piece in re.finditer(r"[^\"'<>/\\\r\n,;=]+", text):
        name = piece[0].strip()
        folded = name[-12:].lower()
        if len(name) <= _LONGEST_NAME and folded.endswith(
            (*IMAGE_SUFFIXES, "anterior", "posterior")
        ):
            yield drop_image_suffix(name)


def find_claimed(
    claims: Iterable[Claim], names: "ImageNames", *, loosely: bool = True
) -> set[str]:
    """Returns the names of the images that claims may be about."""
    found: set[str] = set()
    for claim in claims:
        found |= names.find(claim, loosely=loosely and claim.is_loose)
    return found


class ImageNames:
    """Names of images, to be found by names that may be written otherwise."""

    def __init__(self, names: Iterable[str]) -> None:
        """Takes names of images, `<DICOM stem>_<view>`."""
        self._by_stem: dict[tuple[str, ...], set[str]] = {}
        for name in names:
            stem = _split(name.rpartition("_")[0])
            self._by_stem.setdefault(stem, set()).add(name)

    def find(self, claim: Claim, *, loosely: bool) -> set[str]:
        """Returns the names that a claim fits, ignoring capitals and punctuation."""
        words = _split(claim.name)
        for n in range(len(words), 0, -1):
            names = self._by_stem.get(words[:n], set())
            view = find_view(" ".join(words[n:]))
            rest = words[n:] if loosely else words[n + 1 :]
            fitting = {each for each in names if each.rpartition("_")[2] == view}
            if fitting and (loosely or not rest):
                return fitting
            if names and loosely and view is None:
                return set(names)
        return set()


def _split(name: str) -> tuple[str, ...]:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return tuple(re.findall(r"[^\W_]+", folded)) or (folded,)
