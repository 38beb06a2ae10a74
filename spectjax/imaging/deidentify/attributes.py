"""Attributes with the Basic Profile applied: a new data set, nothing copied unseen."""

import math
import re
from collections import Counter
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID_dictionary

from spectjax.imaging.deidentify.profile import Profile
from spectjax.imaging.identity import compute_pseudonym

# What was done to how many attributes: (attribute, deed) -> number.
Tally = Counter[tuple[str, str]]

REMOVED, EMPTIED, DUMMY = "removed", "emptied", "replaced by a dummy"
NEW_UID, KEPT = "replaced by a pseudonymous UID", "kept"
REPEATS_IDENTITY = "emptied: repeats a name or number of the patient"
UNUSABLE = "removed: no value of its type"
PRIVATE_BLOCK = "private block"

_NUMBERS = ("IS", "DS", "US", "SS", "UL", "SL", "FL", "FD", "AT")
_TEXTS = ("CS", "LO", "SH", "AS", "DA", "TM", "DT", "AE", "PN", "LT", "ST", "UT", "UC")
_MAX_CHARACTERS = 64
_IDENTIFIERS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID")
_DUMMIES = {
    "AE": "REMOVED",
    "AS": "000Y",
    "CS": "REMOVED",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "https://removed.invalid",
    "UI": "2.25.0",
    **dict.fromkeys(("LO", "LT", "PN", "SH", "ST", "UC", "UT"), "REMOVED"),
    **dict.fromkeys(("AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"), 0),
    **dict.fromkeys(("DS", "IS"), "0"),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), bytes(8)),
}


def pseudonymise_uid(uid: str) -> str:
    """Returns 2.25.<128 bits of keyed hash>; UIDs that the standard defines stay."""
    if not uid or uid in UID_dictionary:
        return uid
    digits = compute_pseudonym("uid, first", uid) + compute_pseudonym("uid, last", uid)
    return f"2.25.{int(digits, 16)}"


def collect_identity(dataset: Dataset) -> frozenset[str]:
    """Returns the words of all person names and of the patient's numbers, lower-case.

    Words of less than three characters are left out: they would be found anywhere.
    """
    words: set[str] = set()
    for tag in dataset.keys():
        element = None if tag.is_private else _read_element(dataset, tag)
        if element is None:
            continue
        if element.VR == "SQ":
            words.update(*(collect_identity(item) for item in element.value))
        elif element.VR == "PN" or element.keyword in _IDENTIFIERS:
            words |= _words_of(str(element.value))
    return frozenset(words - {"synthetic"})  # a phantom's name, and its maker


def clean_attributes(
    dataset: Dataset, profile: Profile, identity: frozenset[str], tally: Tally
) -> Dataset:
    """Returns a new data set with the profile applied, in sequences too.

    Args:
        dataset: without pixels that are wanted later.
        profile: the action for each tag.
        identity: words that no kept text may hold.
        tally: is added to. It names attributes by keyword or group, never values.
    """
    cleaned = Dataset()
    for tag in sorted(dataset.keys()):
        if tag.is_private_creator:
            tally["private", PRIVATE_BLOCK] += 1
        action = profile.decide(tag)
        # Groups below 8 belong to messages and to the file's header, not to an image.
        if action == "X" or tag.group < 8:
            tally[_name(tag), REMOVED] += 1
            continue
        element = _read_element(dataset, tag)
        if element is None:
            tally[_name(tag), UNUSABLE] += 1
            continue
        if action == "Z":
            value, deed = _empty(element.VR), EMPTIED
        elif action == "D":
            dummy = [Dataset()] if element.VR == "SQ" else _DUMMIES[element.VR]
            value, deed = dummy, DUMMY
        elif element.VR == "SQ":
            items = element.value
            value = [clean_attributes(i, profile, identity, tally) for i in items]
            deed = KEPT
        elif action == "U":
            value = [pseudonymise_uid(str(uid or "")) for uid in _values(element.value)]
            deed = NEW_UID
        elif not _is_usable(element):
            tally[_name(tag), UNUSABLE] += 1
            continue
        elif _words_of(_text(element)) & identity:
            value, deed = _empty(element.VR), REPEATS_IDENTITY
        else:
            value, deed = element.value, KEPT
        tally[_name(tag), deed] += 1
        if element.VR == "SQ":
            value = Sequence(value)
        cleaned.add(DataElement(tag, element.VR, value))
    return cleaned


def _read_element(dataset: Dataset, tag: BaseTag) -> DataElement | None:
    """Returns an element; None if it is damaged or of a type it may not have."""
    try:
        element = dataset[tag]
    except Exception:  # a damaged element raises almost anything
        return None
    if element.VR == "UN" or element.VR not in (*_DUMMIES, "SQ"):
        return None
    # A file may claim that a number is a text, and then hold one.
    known = dictionary_has_tag(tag)
    return element if not known or element.VR in dictionary_VR(tag) else None


def _is_usable(element: DataElement) -> bool:
    """Tells whether values are what their type promises, so that no text hides."""
    values = _values(element.value)
    if element.VR in _NUMBERS:
        return all(v in (None, "") or math.isfinite(float(v)) for v in values)
    if element.VR == "UI":
        return all(str(v) in UID_dictionary for v in values)
    if element.VR not in _TEXTS:
        return False
    texts = [str(v) for v in values]
    if element.VR == "CS":
        return all(re.fullmatch("[A-Za-z0-9_ ]{0,16}", text) for text in texts)
    return all(t.isprintable() and len(t) <= _MAX_CHARACTERS for t in texts)


def _values(value: Any) -> list[Any]:
    is_text = isinstance(value, str | bytes)
    return list(value) if hasattr(value, "__iter__") and not is_text else [value]


def _text(element: DataElement) -> str:
    # The frame's kind is made of defined words, BODY among them: nobody's name.
    is_text = element.VR in _TEXTS and element.keyword != "ImageType"
    return " ".join(map(str, _values(element.value))) if is_text else ""


def _words_of(text: str) -> set[str]:
    return {w.lower() for w in re.findall(r"[^\W_]+", text) if len(w) >= 3}


def _empty(vr: str) -> Any:
    return [] if vr == "SQ" else None


def _name(tag: BaseTag) -> str:
    """Returns what a report may say of an attribute."""
    if tag.is_private:
        return "private"
    if tag.group >> 8 in (0x50, 0x60):
        return f"({tag.group >> 8:02X}xx,{tag.element:04X})"
    return keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"
