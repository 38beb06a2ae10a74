"""Pseudonyms: who is who, without saying who.

A pseudonym is a keyed BLAKE2b hash of 64 bits. The key is the environment variable
SPECTJAX_PSEUDONYM_KEY. Without one of your own, whoever knows a Patient ID can compute
its pseudonym and find the patient in a data set; with one, keep it: another key gives
other pseudonyms.
"""

import hashlib
import os

from pydicom.dataset import Dataset


def compute_pseudonym(*parts: str) -> str:
    """Returns 16 hexadecimal digits for an identity made of `parts`."""
    key = os.environ.get("SPECTJAX_PSEUDONYM_KEY", "").encode()
    # BLAKE2b takes 64 bytes of key; a longer one counts in full through its own hash.
    key = key if len(key) <= 64 else hashlib.blake2b(key).digest()
    text = "\0".join(parts).encode()
    return hashlib.blake2b(text, digest_size=8, key=key, person=b"spectjax").hexdigest()


def identify_patient(dataset: Dataset) -> tuple[str, str | None] | None:
    """Returns a patient's pseudonym, and a note if it rests on weak evidence.

    The identity is issuer and Patient ID, else name and birth date, else the study.

    Args:
        dataset: the file without pixels.

    Returns:
        Pseudonym and note; None if the file holds nothing to tell patients apart.
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
        return compute_pseudonym("id", issuer, patient_id), None
    if name and birth_date:
        pseudonym = compute_pseudonym("name", name, birth_date)
        return pseudonym, "no Patient ID: patients are told by name and birth date"
    if study:
        # Two studies of one patient look like two patients: a leak between folds.
        pseudonym = compute_pseudonym("study", study)
        return pseudonym, "no Patient ID: patients are told by their study"
    return None
