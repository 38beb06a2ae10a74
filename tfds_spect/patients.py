"""One patient is one patient, however the files of a folder write it."""

from collections.abc import Sequence
from dataclasses import replace

from spectjax.imaging.patients import IdentityError, unite_patients
from tfds_spect.errors import PrepareError
from tfds_spect.example import ThoraxExample


def unite_examples(examples: Sequence[ThoraxExample]) -> list[ThoraxExample]:
    """Returns the examples with one pseudonym for each patient.

    Raises:
        PrepareError: if two files contradict each other about a patient: nothing would
            keep the patient on one side of a split.
    """
    try:
        patients = unite_patients(
            (e.identity, str(e.place.file.path) if e.place else e.example_id)
            for e in examples
            if e.identity
        )
    except IdentityError as error:
        raise PrepareError(str(error)) from error
    return [replace(e, patient=patients.get(e.patient, e.patient)) for e in examples]
