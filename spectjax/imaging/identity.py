"""Pseudonyms: who is who, without saying who.

A pseudonym is a keyed BLAKE2b hash of 64 bits. The key is the environment variable
SPECTJAX_PSEUDONYM_KEY. Without one of your own, whoever knows a Patient ID can compute
its pseudonym and find the patient in a data set; with one, keep it: another key gives
other pseudonyms.

Identities are compared in one folded form, since two systems rarely write them alike.
"""

import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # takes a third of a second: not before --help
    from pydicom.dataset import Dataset

PatientEvidence = Literal["Patient ID", "name and birth date", "study"]

# A number that a spreadsheet made of an ID.
_WHOLE_NUMBER = re.compile(r"(\d+)[.,]0+")
# What programs write in small letters: hashes and UUIDs, our own pseudonyms too.
_HEXADECIMAL = re.compile("[0-9a-f-]{16,}")
# Family, given and middle name; what follows are titles.
_NAME_PARTS = 3


@dataclass(frozen=True, repr=False)
class Identity:
    """What a file says of its patient and study, in pseudonyms; None where it does not.

    They are for comparing files in memory (`spectjax.imaging.patients`) and are not to
    be written anywhere: a birth date is guessed from its hash in no time.

    Attributes:
        patient: the pseudonym of the patient by this file alone.
        evidence: what it is made of.
        patient_id: the Patient ID, whoever issued it.
        issuer: who issued it.
        name: the patient's name.
        other_names: the same in other scripts.
        birth_date: the patient's birth date.
        study: the Study Instance UID.
    """

    patient: str
    evidence: PatientEvidence
    patient_id: str | None = None
    issuer: str | None = None
    name: str | None = None
    birth_date: str | None = None
    study: str | None = None
    other_names: tuple[str, ...] = ()


def compute_pseudonym(*parts: str) -> str:
    """Returns 16 hexadecimal digits for an identity made of `parts`."""
    key = os.environ.get("SPECTJAX_PSEUDONYM_KEY", "").encode()
    # BLAKE2b takes 64 bytes of key; a longer one counts in full through its own hash.
    key = key if len(key) <= 64 else hashlib.blake2b(key).digest()
    text = "\0".join(parts).encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=8, key=key, person=b"spectjax").hexdigest()


def _show(character: str) -> str:
    """Returns what is to be seen of a character: dashes alike, marks of format not."""
    kind = "Pd" if character == "\N{MINUS SIGN}" else unicodedata.category(character)
    return {"Cf": "", "Pd": "-"}.get(kind, " " if kind[0] == "C" else character)


def fold_text(text: str) -> str:
    """Returns a text as it is compared: Unicode form, case and blanks do not count.

    Capitals, as most systems write them, but hashes stay in small letters; so most
    pseudonyms are what they were before texts were folded.
    """
    folded = unicodedata.normalize("NFKC", text.casefold())
    folded = " ".join("".join(map(_show, folded)).split())
    return folded if _HEXADECIMAL.fullmatch(folded) else folded.upper()


def fold_id(text: str) -> str:
    """Returns a Patient ID as it is compared; `1.0` of a spreadsheet is `1`.

    Leading zeros count: to a hospital, 007 and 7 are two patients.
    """
    folded = fold_text(text).lstrip("'")  # which makes a spreadsheet keep zeros
    number = _WHOLE_NUMBER.fullmatch(folded)
    return number[1] if number else folded


def fold_names(text: str) -> list[str]:
    """Returns a person's names as they are compared, without titles and empty parts.

    There may be one in each of several scripts: letters, ideographs, then phonetic
    signs (DICOM PS3.5, 6.2.1). Carets, commas and blanks divide alike.
    """
    names = []
    for group in text.split("="):
        parts = group.split("^")[:_NAME_PARTS]
        words = re.split(r"[\^,\s]+", fold_text("^".join(parts)))
        if any(words):
            names.append("^".join(filter(None, words)))
    return names


def identify_by_id(patient: str) -> Identity:
    """Returns the identity of a patient that is known by an ID and nothing else."""
    key = compute_pseudonym("id", "", fold_id(patient))
    return Identity(key, "Patient ID", patient_id=key)


def identify(dataset: "Dataset") -> Identity | None:
    """Returns what a file says of its patient.

    The patient is issuer and Patient ID, else name and birth date, else the study: two
    studies of one patient then look like two patients.
    """

    def read(keyword: str) -> str:
        return str(dataset.get(keyword) or "")

    issuer = fold_text(read("IssuerOfPatientID"))
    study = fold_text(read("StudyInstanceUID"))
    patient_id = fold_id(read("PatientID"))
    name, *others = fold_names(read("PatientName")) or [""]
    birth_date = re.sub(r"\D", "", fold_text(read("PatientBirthDate")))
    evidence: PatientEvidence
    if patient_id:
        key, evidence = compute_pseudonym("id", issuer, patient_id), "Patient ID"
    elif name and birth_date:
        key = compute_pseudonym("name", name, birth_date)
        evidence = "name and birth date"
    elif study:
        key, evidence = compute_pseudonym("study", study), "study"
    else:
        return None
    # Then the same dummies may stand in the files of all patients.
    if fold_text(read("PatientIdentityRemoved")) == "YES":
        name, birth_date, others = "", "", []
    return Identity(
        key,
        evidence,
        patient_id=compute_pseudonym("id", "", patient_id) if patient_id else None,
        issuer=compute_pseudonym("issuer", issuer) if issuer else None,
        name=compute_pseudonym("name", name) if name else None,
        birth_date=compute_pseudonym("born", birth_date) if birth_date else None,
        study=compute_pseudonym("study", study) if study else None,
        other_names=tuple(compute_pseudonym("name", other) for other in others),
    )
