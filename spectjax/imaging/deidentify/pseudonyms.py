"""One pseudonym for each patient of a folder, however its files write who it is."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from spectjax.imaging.dicom.reading import read_identity
from spectjax.imaging.identity import Identity
from spectjax.imaging.patients import IdentityError, StudyError, unite_patients


@dataclasses.dataclass(frozen=True)
class Pseudonyms:
    """Who the patients of a folder are.

    Attributes:
        patients: for each pseudonym that a file gives its patient, the patient's.
        contradictions: the files of which it is not clear whose they are.
        doubts: the files of studies of which that is not clear. Their UIDs become one
            pseudonym, so whoever reads the results still finds them to be of one study.
    """

    patients: dict[str, str]
    contradictions: dict[Path, IdentityError]
    doubts: dict[Path, IdentityError]


def read_pseudonyms(files: Iterable[Path]) -> Pseudonyms:
    """Reads from all headers who is one patient, before the first file is written.

    Where two files contradict each other, neither is taken, and none of the same
    patient or study; where a study does, its files count as if they named none. A file
    that cannot be read has no part in it.
    """
    identities = {
        path: identity
        for path in files
        if (identity := read_identity(path)) is not None
    }
    contradictions: dict[Path, IdentityError] = {}
    doubts: dict[Path, IdentityError] = {}
    while True:
        by_name = {str(path): path for path in identities}
        try:
            patients = unite_patients((identities[p], n) for n, p in by_name.items())
        except IdentityError as error:
            one, other = (by_name[name] for name in error.files)
            if isinstance(error, StudyError):
                study = identities[one].study
                for path in [p for p, i in identities.items() if i.study == study]:
                    doubts[path] = error
                    identities[path] = dataclasses.replace(identities[path], study=None)
                continue
            for path in _find_related(identities, one, other):
                contradictions[path] = error
                del identities[path]
        else:
            return Pseudonyms(patients, contradictions, doubts)


def _find_related(identities: Mapping[Path, Identity], *files: Path) -> list[Path]:
    """Returns these files and all that name the patient or the study of one of them."""
    names = {
        name
        for file in files
        for name in (identities[file].patient, identities[file].study)
        if name
    }
    return [p for p, i in identities.items() if {i.patient, i.study} & names]
