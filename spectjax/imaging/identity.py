"""Pseudonyms: who is who, without saying who.

A pseudonym is a keyed BLAKE2b hash of 64 bits. The key is the environment variable
SPECTJAX_PSEUDONYM_KEY. Without one of your own, whoever knows a Patient ID can compute
its pseudonym and find the patient in a data set; with one, keep it: another key gives
other pseudonyms.
"""

import hashlib
import os
from typing import Literal

from pydicom.dataset import Dataset

PatientEvidence = Literal["Patient ID", "name and birth date", "study"]


def compute_pseudonym(*parts: str) -> str:
    """Returns 16 hexadecimal digits for an identity made of `parts`."""
    key = os.environ.get("SPECTJAX_PSEUDONYM_KEY", "").encode()
    # BLAKE2b takes 64 bytes of key; a longer one counts in full through its own hash.
    key = key if len(key) <= 64 else hashlib.blake2b(key).digest()
    text = "\0".join(parts).encode()
    return hashlib.blake2b(text, digest_size=8, key=key, person=b"spectjax").hexdigest()


def identify_patient(dataset: Dataset) -> tuple[str, PatientEvidence] | None:
    """Returns a patient's pseudonym and what it is made of.

    The identity is issuer and Patient ID, else name and birth date, else the study:
    two studies of one patient then look like two patients.

    Args:
        dataset: the file without pixels.

    Returns:
        Pseudonym and evidence; None if the file holds nothing to tell patients apart.
    """
    issuer, patient_id, name, birth_date, study = (
        str(dataset.get(keyword) or "").strip()
        for keyword in (
            "IssuerOfPatientID",
            "PatientID",
            "PatientName",
            "PatientBirthDate",
            "StudyInstanceUID",
        )
    )
    if patient_id:
        return compute_pseudonym("id", issuer, patient_id), "Patient ID"
    if name and birth_date:
        return compute_pseudonym("name", name, birth_date), "name and birth date"
    if study:
        return compute_pseudonym("study", study), "study"
    return None


def identify_study(dataset: Dataset) -> str | None:
    """Returns the pseudonym of a file's study; None if it states none."""
    study = str(dataset.get("StudyInstanceUID") or "").strip()
    return compute_pseudonym("study", study) if study else None
