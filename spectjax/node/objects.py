"""DICOM objects as a node sees them: whose they are, and whether two are the same."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from spectjax.imaging.dicom.file import parse_dicom
from spectjax.imaging.identity import compute_pseudonym, identify
from spectjax.system.messages import UserError

_UID = re.compile(r"[0-9.]{1,64}")
_PADDING = 0xFFFCFFFC
_UNDEFINED = 0xFFFFFFFF  # length
_HEADER_BYTES = 8  # before a value with implicit VR: tag and length
# What is text in a header and might be of a patient; codes and numbers are not.
_TELLING = {"PN", "LO", "SH", "LT", "ST", "UT", "UC", "UR", "DA", "DT", "AS", "UI"}
_SHORTEST = 3  # letters of what is hidden: of fewer every sentence has some
_HIDDEN = "[...]"


class ObjectError(UserError):
    """What is no DICOM object for a node; says nothing of what is in it."""


@dataclass(frozen=True)
class Instance:
    """What a node knows of a DICOM object.

    Attributes:
        uid: SOP Instance UID.
        sop_class: SOP Class UID.
        series: Series Instance UID; may be empty.
        study: Study Instance UID.
        syntax: Transfer Syntax UID.
        digest: SHA-256 of the file.
        content: SHA-256 of what the data set says, however it is encoded.
        findings: likewise, without dates and times.
        size: bytes.
        patient: pseudonym of the patient; may be empty.
    """

    uid: str
    sop_class: str
    series: str
    study: str
    syntax: str
    digest: str
    content: str
    findings: str
    size: int
    patient: str = ""


def read_instance(contents: bytes) -> Instance:
    """Returns what is to be known of a file.

    Raises:
        ObjectError: if it cannot be read, or a UID that counts is none.
    """
    try:
        dataset = parse_dicom(contents, Path("object"))
        if _is_cut(dataset):
            raise ObjectError("ends within an element")
        uids = {
            key: str(dataset.get(key) or "")
            for key in ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID")
        }
        series = str(dataset.get("SeriesInstanceUID") or "")
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        digest = hashlib.sha256(contents).hexdigest()
        content = _digest(dataset, frozenset())
        findings = _digest(dataset, frozenset({"DA", "TM", "DT"}))
        identity = identify(dataset)
    except ObjectError:
        raise
    # Whatever a library makes of a hostile file; RecursionError is one of them.
    except Exception as error:
        raise ObjectError(f"cannot be read ({type(error).__name__})") from error
    for key, uid in uids.items():
        if not _UID.fullmatch(uid):
            raise ObjectError(f"has no {key}")
    if series and not _UID.fullmatch(series):
        raise ObjectError("has no SeriesInstanceUID")
    return Instance(
        uids["SOPInstanceUID"],
        uids["SOPClassUID"],
        series,
        uids["StudyInstanceUID"],
        syntax,
        digest,
        content,
        findings,
        len(contents),
        identity.patient if identity else "",
    )


def name_study(uid: str) -> str:
    """Returns what a study is called wherever people read: a pseudonym."""
    return compute_pseudonym("study", uid)


def name_instance(uid: str) -> str:
    """Returns what an object is called in logs: a pseudonym."""
    return compute_pseudonym("instance", uid)


def _digest(dataset: Dataset, without: frozenset[str]) -> str:
    """Returns the SHA-256 of what a data set says.

    The same for implicit and explicit VR, for sequences with and without a length, with
    and without group lengths and padding. Values count as bytes, compressed pixels too.

    Args:
        dataset: little-endian.
        without: value representations that do not count.
    """
    digest = hashlib.sha256()
    for part in _walk(dataset, without):
        digest.update(part)
    return digest.hexdigest()


def _walk(dataset: Dataset, without: frozenset[str]) -> Iterator[bytes]:
    for tag in sorted(dataset.keys()):
        if tag.element == 0 or tag == _PADDING:
            continue
        element = dataset.get_item(tag)
        kind = _find_kind(element)
        if kind in without:
            continue
        yield int(tag).to_bytes(4, "big")
        if kind == "SQ":
            for item in dataset[tag].value:
                yield b"("
                yield from _walk(item, without)
                yield b")"
            continue
        value = _get_bytes(element)
        yield len(value).to_bytes(8, "big")
        yield value


def _is_cut(dataset: Dataset) -> bool:
    """Tells whether a value is shorter than its element says."""
    elements = map(dataset.get_item, dataset.keys())
    return any(
        isinstance(each, RawDataElement)
        and each.length not in (_UNDEFINED, len(each.value or b""))
        for each in elements
    )


def _get_bytes(element: RawDataElement | DataElement) -> bytes:
    """Returns a value as little-endian files have it."""
    if isinstance(element, RawDataElement):
        return element.value or b""
    # One that pydicom has looked into on its way.
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, True
    write_data_element(stream, element)
    return stream.getvalue()[_HEADER_BYTES:]


def _find_kind(element: RawDataElement | DataElement) -> str:
    """Returns the value representation, that of the dictionary where none is stated."""
    kind = element.VR
    if kind in (None, "UN"):
        try:
            return dictionary_VR(element.tag)
        except KeyError:  # private, or of a later version
            return "UN"
    return str(kind)


def hide(text: str, files: list[Path]) -> str:
    """Returns a sentence without the texts that the headers of some files hold.

    For what a program says of a study: it may quote a header.
    """
    found: set[str] = set()
    for file in files:
        try:
            dataset = parse_dicom(file.read_bytes(), file)
            for element in dataset.iterall():
                if element.VR in _TELLING:
                    values = str(element.value).replace("\\", "^").split("^")
                    found |= {value.strip() for value in values}
                    found.add(str(element.value).strip())
        except Exception:
            return "(its words are not shown: a file of the study cannot be read)"
    for value in sorted(found, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = re.sub(re.escape(value), _HIDDEN, text, flags=re.IGNORECASE)
    return text
