"""Which files are of one patient: what no file can tell by itself.

Where files differ in what they leave out, they are of one patient: that keeps them on
one side of a split. Where they contradict each other, somebody has to look.
"""

from collections import defaultdict
from collections.abc import Iterable

from spectjax.imaging.identity import Identity
from spectjax.system.messages import UserError

# A name and birth date that so many patients share, and most of them, is no person's:
# "ANONYMOUS, 1900-01-01".
_MANY = 3
_WORDS = {"patient_id": "Patient ID", "name": "name", "birth_date": "birth date"}


class IdentityError(UserError):
    """Files that contradict each other about a patient; the text names both.

    Attributes:
        files: the two.
        what: what was expected of them and found, without their names.
    """

    def __init__(self, one: str, other: str, what: str, text: str) -> None:
        """Takes the names of the files, what is wrong, and the whole text."""
        super().__init__(text)
        self.files, self.what = (one, other), what


class StudyError(IdentityError):
    """Files of one study that state what no two of one patient do."""


def unite_patients(found: Iterable[tuple[Identity, str]]) -> dict[str, str]:
    """Finds the pseudonyms that are of one patient.

    One patient are: a Patient ID with its issuer and without; a file without Patient ID
    and the one patient of the same birth date and name, in any script; the files of one
    study that do not contradict each other. Two issuers of one Patient ID are two
    patients.

    Returns:
        For each file's own pseudonym (`Identity.patient`) the patient's.

    Raises:
        IdentityError: one study, or one name and birth date, under two Patient IDs; one
            Patient ID or study with two birth dates; one study under two names and no
            ID; or a Patient ID without issuer that two issuers have given.
    """
    files: dict[Identity, str] = {}
    for identity, file in found:
        files.setdefault(identity, file)
    united = {identity.patient: identity.patient for identity in files}
    _unite_issuers(files, united)
    _check_birth_dates(files, united)
    _unite_persons(files, united)
    _unite_studies(files, united)
    _check_birth_dates(files, united)
    return {patient: _root(united, patient) for patient in united}


def _root(united: dict[str, str], patient: str) -> str:
    while united[patient] != patient:
        patient = united[patient]
    return patient


def _unite_issuers(files: dict[Identity, str], united: dict[str, str]) -> None:
    """Unites a Patient ID without issuer with the same one of its only issuer."""
    by_id: dict[str, dict[str | None, Identity]] = defaultdict(dict)
    for identity in files:
        if identity.patient_id:
            by_id[identity.patient_id].setdefault(identity.issuer, identity)
    for by_issuer in by_id.values():
        without = by_issuer.pop(None, None)
        if without is None or not by_issuer:
            continue
        first, *others = by_issuer.values()
        if others:
            raise IdentityError(
                files[without],
                files[first],
                "expected an Issuer of Patient ID, since two have given one ID, found "
                "none",
                f"{files[without]}: expected an Issuer of Patient ID, since two have "
                f"given this ID ({files[first]} and {files[others[0]]}), found none. "
                "State it in the file.",
            )
        united[first.patient] = without.patient


def _unite_persons(files: dict[Identity, str], united: dict[str, str]) -> None:
    """Unites files without Patient ID with the patient of that name and birth date."""
    by_person: dict[tuple[str, str], list[Identity]] = defaultdict(list)
    for identity in files:
        if identity.name and identity.birth_date:
            for name in {identity.name, *identity.other_names}:
                by_person[name, identity.birth_date].append(identity)
    n_patients = len({_root(united, i.patient) for i in files if i.patient_id})
    for identities in by_person.values():
        known = {_root(united, i.patient): i for i in identities if i.patient_id}
        unknown = [i for i in identities if not i.patient_id]
        is_person = len(known) < _MANY or 2 * len(known) <= n_patients
        if len(known) > 1 and (is_person or unknown):
            one, other = list(known.values())[:2]
            raise _contradiction(
                files[one],
                files[other],
                "one Patient ID for one name and birth date",
                "two",
                "If they are two people, remove the names or birth dates",
            )
        # Without a Patient ID, the same name in one script and in two.
        for patient in known or [_root(united, i.patient) for i in unknown[:1]]:
            for identity in unknown:
                united[_root(united, identity.patient)] = patient


def _unite_studies(files: dict[Identity, str], united: dict[str, str]) -> None:
    """Unites the files of a study, if nothing in them speaks against it."""
    by_study: dict[str, list[Identity]] = defaultdict(list)
    for identity in files:
        if identity.study:
            by_study[identity.study].append(identity)
    for identities in by_study.values():
        # The patient of a file with Patient ID is the one for all.
        identities.sort(key=lambda identity: not identity.patient_id)
        stated: dict[str, Identity] = {}
        for identity in identities:
            for what in _WORDS:
                if getattr(identity, what):
                    first = stated.setdefault(what, identity)
                    _check_study(files, united, first, identity, what)
            united[_root(united, identity.patient)] = _root(
                united, identities[0].patient
            )


def _check_study(
    files: dict[Identity, str],
    united: dict[str, str],
    one: Identity,
    other: Identity,
    what: str,
) -> None:
    """Refuses two files of one study that state what no two of one patient do."""
    if _root(united, one.patient) == _root(united, other.patient):
        return
    # One Patient ID of two issuers is of two patients.
    if what == "patient_id" or getattr(one, what) != getattr(other, what):
        raise _contradiction(
            files[one],
            files[other],
            "one patient for one Study Instance UID",
            f"two, by their {_WORDS[what]}",
            "If they are two people, give each a study",
            kind=StudyError,
        )


def _check_birth_dates(files: dict[Identity, str], united: dict[str, str]) -> None:
    """Refuses a patient with two birth dates."""
    first: dict[str, Identity] = {}
    for identity in files:
        if identity.birth_date:
            one = first.setdefault(_root(united, identity.patient), identity)
            if one.birth_date != identity.birth_date:
                raise _contradiction(
                    files[one],
                    files[identity],
                    "one birth date for one patient",
                    "two",
                    "If they are two people, give each a Patient ID",
                )


def _contradiction(
    one: str,
    other: str,
    expected: str,
    found: str,
    remedy: str,
    kind: type[IdentityError] = IdentityError,
) -> IdentityError:
    what = f"expected {expected}, found {found}"
    return kind(
        one,
        other,
        what,
        f"{one} and {other}: {what}. Correct the wrong header. {remedy}.",
    )
