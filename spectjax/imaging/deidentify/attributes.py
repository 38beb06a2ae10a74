"""Attributes with the Basic Profile applied: a new data set, nothing copied unseen."""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from pydicom.datadict import (
    dictionary_has_tag,
    dictionary_VM,
    dictionary_VR,
    keyword_for_tag,
)
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID_dictionary
from pydicom.valuerep import format_number_as_ds

from spectjax.imaging.deidentify.kept_values import list_dates, list_numbers
from spectjax.imaging.deidentify.profile import Profile
from spectjax.imaging.dicom.views import make_code
from spectjax.imaging.identity import compute_pseudonym

# What was done to how many attributes: (attribute, deed) -> number.
Tally = Counter[tuple[str, str]]

REMOVED, EMPTIED, DUMMY = "removed", "emptied", "replaced by a dummy"
NEW_UID, KEPT, ANEW = "replaced by a pseudonymous UID", "kept", "written anew"
NOT_LISTED = "emptied: no listed word, code or plausible number"
UNUSABLE = "removed: no value of its type"
PRIVATE_BLOCK = "private block"

# Text that may hold a number of the patient; comments hold too many others.
_IDENTIFYING = ("PN", "LO", "SH", "DA", "DT")
_WORDED = ("CS", "LO", "SH", "UI")
# More values than these are no setting of a camera.
_MAX_VALUES = 16
# Code Value, Coding Scheme Designator and Version, Code Meaning.
_CODE_TAGS = (0x00080100, 0x00080102, 0x00080103, 0x00080104)
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


def collect_identity(dataset: Dataset, profile: Profile) -> frozenset[str]:
    """Returns the numbers in names, identifiers, dates and labels that are not kept.

    A plausible number may be one of them: the patient's in Series Number.
    """
    numbers: set[str] = set()
    for tag in dataset.keys():
        element = None if tag.is_private else _read_element(dataset, tag)
        if element is None:
            continue
        if element.VR == "SQ":
            numbers.update(*(collect_identity(i, profile) for i in element.value))
        elif element.VR in _IDENTIFYING and profile.decide(tag) != "K":
            for text in map(str, _values(element.value)):
                numbers |= list_numbers(text)
                numbers |= list_dates(text) if element.VR in ("DA", "DT") else set()
    return frozenset(numbers)


def clean_attributes(
    dataset: Dataset,
    profile: Profile,
    identity: Collection[str],
    tally: Tally,
    *,
    skipped: Collection[int] = (),
) -> Dataset:
    """Returns a new data set with the profile applied, in sequences too.

    No number that is kept repeats one of `identity`; tags in `skipped` are left out
    without a word. What was done is added to `tally`, which names attributes by keyword
    or group, never values.
    """
    cleaned = Dataset()
    for tag in sorted(dataset.keys()):
        if tag in skipped:
            continue
        if tag.is_private_creator:
            tally["private", PRIVATE_BLOCK] += 1
        action = profile.decide(tag)
        # Groups below 8 belong to messages and to the file's header, not to an image.
        if action == "X" or tag.group < 8:
            tally[_name(tag), REMOVED] += 1
            continue
        if action == "K" and profile.kept[tag] == "anew":
            tally[_name(tag), ANEW] += 1
            continue
        element = _read_element(dataset, tag)
        if element is None:
            tally[_name(tag), UNUSABLE] += 1
            continue
        if action == "Z":
            value, deed = _empty(element.VR), EMPTIED
        elif action == "D":
            value, deed = _make_dummy(element.VR), DUMMY
        elif element.VR == "SQ":
            value, deed = list(_clean_items(element, profile, identity, tally)), KEPT
        elif action == "U":
            value = [pseudonymise_uid(str(uid or "")) for uid in _values(element.value)]
            deed = NEW_UID
        else:
            value, is_whole = _clean_values(element, profile, identity)
            deed = KEPT if is_whole else NOT_LISTED
            if not value:
                # A made-up number would be believed: it stays empty.
                is_needed = profile.find_type(tag) == "1" and element.VR in _WORDED
                value = _make_dummy(element.VR) if is_needed else None
        tally[_name(tag), deed] += 1
        if element.VR == "SQ":
            value = Sequence(value)
        cleaned.add(DataElement(tag, element.VR, value))
    return cleaned


def _clean_items(
    element: DataElement, profile: Profile, identity: Collection[str], tally: Tally
) -> Iterator[Dataset]:
    """Yields the items of a sequence; those of codes are made anew, or left out."""
    is_coded = profile.kept.get(element.tag) == "codes"
    for item in element.value:
        code = profile.values.find_code(item) if is_coded else None
        if is_coded and code is None:
            tally[_name(element.tag), NOT_LISTED] += 1
            continue
        skipped = _CODE_TAGS if code else ()
        cleaned = clean_attributes(item, profile, identity, tally, skipped=skipped)
        if code:
            cleaned.update(make_code(*code))
        yield cleaned


def _clean_values(
    element: DataElement, profile: Profile, identity: Collection[str]
) -> tuple[list[str], bool]:
    """Returns what of an element's values may be kept, written anew; and whether all.

    Where a word goes, the words behind it keep their places; of numbers that belong
    together all go.
    """
    keyword, kind = element.keyword, profile.kept[element.tag]
    texts = [str(v if v is not None else "").strip() for v in _values(element.value)]
    if len(texts) > _count_values(element.tag):
        return [], False
    found: list[str | None] = []
    for text in texts:
        if not text:
            found.append("")
        elif kind == "words":
            found.append(profile.values.find_word(keyword, text))
        elif kind == "standard":
            found.append(text if text in UID_dictionary else None)
        else:
            number = profile.values.find_number(keyword, text, identity)
            found.append(None if number is None else _write_number(number))
    is_whole = None not in found
    if kind == "number" and not is_whole:
        return [], False
    kept = [text or "" for text in found]
    while kept and not kept[-1]:
        kept.pop()
    return kept, is_whole


def _write_number(number: float) -> str:
    """Returns at most 16 characters, as DS and IS may have."""
    if number.is_integer():
        return str(int(number))
    text = repr(number)
    return text if len(text) <= 16 else format_number_as_ds(number)


def _count_values(tag: BaseTag) -> int:
    """Returns how many values the dictionary allows, and no more than are plausible."""
    most = dictionary_VM(tag).split("-")[-1]
    return int(most) if most.isdigit() else _MAX_VALUES


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


def _values(value: Any) -> list[Any]:
    return list(value) if isinstance(value, MultiValue | list) else [value]


def _empty(vr: str) -> Any:
    return [] if vr == "SQ" else None


def _make_dummy(vr: str) -> Any:
    return [Dataset()] if vr == "SQ" else _DUMMIES[vr]


def _name(tag: BaseTag) -> str:
    """Returns what a report may say of an attribute; a number may be a message too."""
    return "private" if tag.is_private else keyword_for_tag(tag) or "unknown"
