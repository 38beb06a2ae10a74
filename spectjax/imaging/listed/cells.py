"""What single cells of an image table say."""

import re
from collections.abc import Mapping
from pathlib import PurePath

from spectjax.imaging.diagnosis import DIAGNOSES, clean_word
from spectjax.imaging.dicom.views import find_view
from spectjax.imaging.scan import REGIONS, BodyPart, View
from spectjax.system.limits import SPACING_MM
from spectjax.system.messages import UserError

WORDS_NAME = "words.csv"
UNKNOWN = "unknown"  # a size of pixels that nobody knows


def read_view(text: str) -> View | None:
    """Returns the view that a cell names, None for an empty one.

    Raises:
        UserError: if it is something else.
    """
    view = find_view(text) if text else None
    if text and view is None:
        raise UserError(
            "expected anterior or posterior (or ANT, POST) as view, found "
            f"{text[:80]!r}. Correct it."
        )
    return view


def check_view(name: PurePath, view: View | None) -> None:
    """Compares the view with that in the name of the file, else of its folder.

    Raises:
        UserError: if they are not the same.
    """
    for part in (name.stem, name.parent.name):
        # wholeBodyANT is one word to `find_view`.
        named = find_view(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", part))
        if named is None:
            continue
        if view not in (None, named):
            raise UserError(
                f"expected {named} as view, as {part!r} in its path says, found "
                f"{view}. Correct the view, or rename the file or folder."
            )
        return


def read_diagnosis(text: str, words: Mapping[str, str]) -> str | None:
    """Returns the diagnosis that a label means, None for an empty cell.

    Raises:
        UserError: if it is none that is known.
    """
    label = clean_word(text)
    # An empty label in words.csv is about outlines: a row still may be "normal" where
    # outlines of that name are ignored.
    diagnosis = words.get(label) or label
    if diagnosis and diagnosis not in DIAGNOSES:
        raise UserError(
            f"expected as label one of {', '.join(DIAGNOSES)}, found {text[:80]!r}. "
            f"Correct it, or say in {WORDS_NAME} (columns word,label) what it means."
        )
    return diagnosis or None


def read_region(text: str) -> BodyPart | None:
    """Returns what an image shows, None for an empty cell.

    Raises:
        UserError: if it is something else.
    """
    if not text:
        return None
    for region in REGIONS:
        if region == "_".join(re.split(r"[\s_-]+", text.lower())):
            return region
    raise UserError(
        f"expected {', '.join(REGIONS)} as region, or nothing, found {text[:80]!r}. "
        "Correct it."
    )


def check_asked(region: BodyPart, spacing: str, *, is_picture: bool) -> None:
    """Refuses a cut picture of whose pixels nothing is said, not even "unknown".

    Of a whole body the size can be guessed by its rows, and a DICOM file may tell it.

    Raises:
        UserError: if it is one.
    """
    if is_picture and region != "whole_body" and not spacing:
        raise UserError(
            f"expected as spacing_mm of a {REGIONS[region]} the size of a pixel in mm, "
            f"or {UNKNOWN!r}, found nothing. State it: nothing else tells it."
        )


def read_spacing(text: str) -> tuple[float, float] | None:
    """Returns the size of a pixel, None if it is not stated or not known.

    Raises:
        UserError: if the text is no such size.
    """
    if text.lower() in ("", UNKNOWN):
        return None
    low, high = SPACING_MM
    try:
        spacing = float(text.replace(",", "."))
    except ValueError:
        spacing = 0.0
    if not low <= spacing <= high:
        raise UserError(
            f"expected as spacing_mm the size of a pixel from {low:g} to {high:g} mm, "
            f"found {text[:80]!r}. Correct it, or write {UNKNOWN!r}."
        )
    return spacing, spacing
