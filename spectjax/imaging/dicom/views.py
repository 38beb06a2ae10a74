"""Anterior or posterior: what a nuclear-medicine file says about its frames.

Each kind of evidence is collected as claims, and the strongest kind decides. The
attributes are those of DICOM PS3.3 C.8.4. The number of a frame says nothing.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from spectjax.imaging.dicom.frames import names_no_detector, read_vector
from spectjax.imaging.scan import UnknownViewError, View


def _by_word(anterior: str, posterior: str) -> dict[str, View]:
    named: dict[View, str] = {"anterior": anterior, "posterior": posterior}
    return {word: view for view, words in named.items() for word in words.split()}


# DICOM PS3.16, context group 26: value, scheme and meaning of each projection. SRT,
# SNM3 and 99SDM are older designators of SNOMED.
VIEW_CODES: dict[tuple[str, View], tuple[str, str, str]] = {
    ("sct", "anterior"): ("399321004", "SCT", "Anterior"),
    ("sct", "posterior"): ("399001007", "SCT", "Posterior"),
    ("srt", "anterior"): ("G-5215", "SRT", "Anterior"),
    ("srt", "posterior"): ("G-5216", "SRT", "Posterior"),
}
_VIEW_CODES = {value: view for (_, view), (value, *_) in VIEW_CODES.items()}
# Antero-posterior and postero-anterior are projections of X-rays, which cross the body;
# a gamma camera that writes them may mean the side where it stood, or not.
_XRAY_CODES = _by_word("399348003 R-10206 G-5200", "272479007 R-10214 G-5201")
_CODE_SCHEMES = ("SCT", "SRT", "SNM3", "99SDM")

_GE_CREATOR = "GEMS_GENIE_1"
_GE_NAMES = {0x12: "Dataset Name", 0x30: "Picture Object Name"}
# English, with the abbreviations of all languages; French, Italian; Chinese. "Dorsal"
# is not here: in Spanish it names the thoracic spine.
_WORDS = _by_word(
    "ant anterior anterieur anterieure anteriore 前位",
    "post posterior posterieur posterieure posteriore 后位 後位",
)
# "3 h post" and "post injection" speak of time. A text with POST counts only without a
# unit of time before it, and with nothing but one of these words after it.
_TIME_UNITS = {"h", "hr", "hrs", "hour", "hours", "m", "min", "mins", "minutes"}
_WORDS_AFTER_POST = {"view", "image", "wb", "whole", "wholebody", "body", "bone", "nm"}

_GE_WORDS: dict[str, View] = _WORDS | {"pos": "posterior"}
_GE_SUFFIXES: dict[str, View] = {"_e": "anterior", "_f": "posterior"}

_MOST_CHARACTERS = 1024
_ANGLE_TOLERANCE = 5.0  # degrees


class Claim(NamedTuple):
    """A view and the attribute that says so."""

    view: View
    evidence: str


def make_code(value: str, scheme: str, meaning: str) -> Dataset:
    """Returns an item of a code sequence (PS3.3 8.8)."""
    return make_item(
        CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning
    )


def make_item(**values: object) -> Dataset:
    """Returns an item of a sequence from its attributes by their keywords."""
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def decide_views(
    dataset: Dataset, frames: Sequence[tuple[int, int]], stated: View | None
) -> list[Claim]:
    """Returns view and evidence of each frame; the strongest kind of evidence decides.

    Weaker evidence that contradicts it is told with it. `frames` are one or two pairs
    of frame (zero-based) and detector (one-based). `stated` is the view of the first
    frame by the user's word, which overrides the file; a second frame is then the
    opposite view.
    """
    remedy = "State the view of the first frame (--view)."
    if stated is None and names_no_detector(dataset):
        raise UnknownViewError(
            f"expected a Detector Vector to tell which of several detectors "
            f"made the frame, found none: its view would be a guess. {remedy}"
        )
    decided: list[Claim] = []
    for frame, detector in frames:
        kinds = _collect_claims(dataset, frame=frame, detector=detector)
        if stated is not None:
            is_first = not decided
            word: View = (
                "anterior" if (stated == "anterior") == is_first else "posterior"
            )
            kinds.insert(0, (Claim(word, "the user's word"),))
        elif foreign := _foreign_codes(dataset, detector):
            raise UnknownViewError(
                f"expected an anterior or posterior view as frame {frame + 1}, "
                f"found View Code Sequence {foreign[0]}, which is neither. {remedy}"
            )
        strongest = next((claims for claims in kinds if claims), ())
        if not strongest:
            raise UnknownViewError(
                f"expected evidence for the view of frame {frame + 1}, found "
                f"no view code, label, description or known start angle. {remedy}"
            )
        best = strongest[0]
        others = [c for claims in kinds for c in claims if c.view != best.view]
        if others and others[0] in strongest:
            raise UnknownViewError(
                f"expected one view for frame {frame + 1}, found "
                f"{best.view} by {best.evidence} and {others[0].view} by "
                f"{others[0].evidence}. {remedy}"
            )
        doubt = f"; but {others[0].view} by {others[0].evidence}" if others else ""
        decided.append(Claim(best.view, best.evidence + doubt))

    if len(decided) == 2 and decided[0].view == decided[1].view:
        (one, other), (first, second) = decided, frames
        raise UnknownViewError(
            f"expected opposite views, found {one.view} twice: frame {first[0] + 1} by "
            f"{one.evidence}, frame {second[0] + 1} by {other.evidence}. {remedy}"
        )
    return decided


def find_view(text: str) -> View | None:
    """Returns the view that words such as ANT or posterior name, if it is one."""
    word = _find_view_word(text, _WORDS)
    return _WORDS[word] if word else None


def _collect_claims(
    dataset: Dataset, *, frame: int, detector: int
) -> list[tuple[Claim, ...]]:
    """Returns what the file says about the view of one frame, strongest kind first.

    The kinds are: View Code Sequence; GE's private labels; descriptions; an X-ray
    projection as View Code; the detector's start angle. The number of a detector is no
    evidence, since vendors count differently; neither is Patient Orientation, since
    some mirror the posterior view. Attributes that speak for the whole file count only
    if one detector made all of its frames.

    Returns:
        Five tuples, each without claims, with one, or with several that may disagree.
    """
    return [
        tuple(_view_code_claims(dataset, detector)),
        tuple(_ge_label_claims(dataset, frame)),
        tuple(_description_claims(dataset)),
        tuple(_xray_code_claims(dataset, detector)),
        tuple(_start_angle_claims(dataset, detector)),
    ]


def _view_codes(dataset: Dataset, detector: int) -> Iterator[tuple[str, str]]:
    """Yields the SNOMED codes that speak for a detector, and each with its scheme."""
    item = _detector_item(dataset, detector)
    holders = [item] if item is not None else []
    if _one_detector(dataset):
        holders.append(dataset)
    for holder in holders:
        for code in holder.get("ViewCodeSequence") or ():
            value = str(code.get("CodeValue") or "").strip()
            scheme = str(code.get("CodingSchemeDesignator") or "").strip()
            if value and scheme in _CODE_SCHEMES:
                yield value, f"{value} ({scheme})"


def _view_code_claims(dataset: Dataset, detector: int) -> Iterator[Claim]:
    for value, text in _view_codes(dataset, detector):
        if value in _VIEW_CODES:
            yield Claim(_VIEW_CODES[value], f"View Code Sequence {text}")


def _xray_code_claims(dataset: Dataset, detector: int) -> Iterator[Claim]:
    for value, text in _view_codes(dataset, detector):
        if value in _XRAY_CODES:
            evidence = (
                f"WARNING: only View Code Sequence {text}, an X-ray projection "
                "(compare with the picture)"
            )
            yield Claim(_XRAY_CODES[value], evidence)


def _foreign_codes(dataset: Dataset, detector: int) -> list[str]:
    """Returns the codes of other projections, e.g. left lateral."""
    known = _VIEW_CODES | _XRAY_CODES
    return [
        text for value, text in _view_codes(dataset, detector) if value not in known
    ]


def _ge_label_claims(dataset: Dataset, frame: int) -> Iterator[Claim]:
    # The block that a creator reserves differs between files: ask for the creator.
    try:
        block = dataset.private_block(0x0011, _GE_CREATOR)
    except KeyError:
        return
    for offset, name in _GE_NAMES.items():
        if offset not in block:
            continue
        text = _text_of_frame(block[offset].value, dataset, frame)
        word, suffix = _find_view_word(text, _GE_WORDS) or "", text[-2:].lower()
        said = (word, _GE_WORDS.get(word)), (suffix, _GE_SUFFIXES.get(suffix))
        for token, view in said:
            if view:
                # The label itself is not repeated: it may hold the patient's name.
                evidence = f"{name} says {view} ({token.upper()})"
                yield Claim(view, f"{_GE_CREATOR} {evidence}")


def _description_claims(dataset: Dataset) -> Iterator[Claim]:
    if not _one_detector(dataset):
        return
    for keyword, name in (
        ("ImageID", "Image ID"),
        ("SeriesDescription", "Series Description"),
        ("StudyDescription", "Study Description"),
    ):
        view = find_view(str(dataset.get(keyword) or ""))
        if view:
            # The text itself is not repeated: descriptions may hold names.
            yield Claim(view, f"{name} says {view}")


def _start_angle_claims(dataset: Dataset, detector: int) -> Iterator[Claim]:
    item = _detector_item(dataset, detector)
    angle = item.get("StartAngle") if item is not None else None
    if angle is None:
        return
    degrees = float(angle) % 360.0
    # Zero is the patient's back (PS3.3 C.8.4). GE's two-frame files keep to it; others
    # may not.
    angles: dict[View, float] = {"anterior": 180.0, "posterior": 0.0}
    for view, expected in angles.items():
        distance = abs((degrees - expected + 180.0) % 360.0 - 180.0)
        if distance <= _ANGLE_TOLERANCE:
            evidence = (
                f"WARNING: only the detector's start angle {degrees:g} degrees "
                "(0 is the patient's back; compare with the picture)"
            )
            yield Claim(view, evidence)


def _detector_item(dataset: Dataset, detector: int) -> Dataset | None:
    items = dataset.get("DetectorInformationSequence") or ()
    if 1 <= detector <= len(items) and not names_no_detector(dataset):
        return items[detector - 1]
    return None


def _one_detector(dataset: Dataset) -> bool:
    detectors = set(read_vector(dataset, "DetectorVector"))
    return len(detectors) <= 1 and not names_no_detector(dataset)


def _text_of_frame(value: object, dataset: Dataset, frame: int) -> str:
    """Returns a label's text for `frame`: its own value, or one for a whole file."""
    texts = list(value) if isinstance(value, MultiValue) else [value or ""]
    if len(texts) == 1 and _one_detector(dataset):
        text = texts[0]
    elif len(texts) > 1 and len(texts) == int(dataset.get("NumberOfFrames") or 1):
        text = texts[frame]
    else:
        return ""
    # Text under a type for bytes (OB) stays bytes.
    text = text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
    return text.strip(" \0")


def _find_view_word(text: str, names: dict[str, View]) -> str | None:
    """Returns a word of `text` that names a view, if they name exactly one."""
    # The longest description has 64 characters, and a search below takes their square.
    if len(text) > _MOST_CHARACTERS:
        return None
    # Without accents. Chinese has no blanks between words, and 前后位 is neither 前位
    # nor 后位: the signs of place before 位 count together.
    letters = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(c for c in letters if not unicodedata.combining(c))
    words = re.findall("[a-z]+|[前后後左右侧側斜]+位", plain)
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        is_followed = after and after not in _WORDS_AFTER_POST and after not in names
        if word == "post" and (before in _TIME_UNITS or is_followed):
            return None
    found = [word for word in words if word in names]
    return found[0] if len({names[word] for word in found}) == 1 else None
