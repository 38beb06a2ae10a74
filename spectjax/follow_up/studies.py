"""The two studies: one examination each, of one patient, the earlier one first."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from spectjax.imaging.intake import Intake
from spectjax.imaging.patients import unite_patients
from spectjax.imaging.scan import BoneScan, View, name_files
from spectjax.system.messages import UserError, make_printable
from spectjax.tasks.views import Finding, Reading, SeenView

NAMES = ("BEFORE", "AFTER")
_LISTED = 5  # examinations, in a line about too many


@dataclasses.dataclass(frozen=True)
class Relation:
    """What makes two studies those of one patient, in this order.

    Attributes:
        same_patient: what says that they are of one.
        days: from the first study to the second; None if a file states no date.
        warnings: what to know of it, a sentence each.
    """

    same_patient: str
    days: int | None
    warnings: tuple[str, ...]


def take_examination(path: Path, name: str, intake: Intake) -> list[BoneScan]:
    """Returns the views of the one examination below a path, each view once.

    Args:
        path: a file or folder.
        name: of the argument, "BEFORE" or "AFTER".
        intake: what lies below it.

    Raises:
        UserError: if there is none, or more than one; if it has a view twice.
    """
    examinations = list(intake.read_examinations())
    if len(examinations) != 1:
        found = "; ".join(map(name_files, examinations[:_LISTED])) or "none"
        if len(examinations) > _LISTED:
            found += f"; and {len(examinations) - _LISTED} more"
        count = f"{len(examinations)}: " if examinations else ""
        raise UserError(
            f"{path}: expected one examination as {name}, found {count}{found}. Name "
            "the files or the folder of one."
        )
    (scans,) = examinations
    views = [scan.view for scan in scans]
    for scan in scans:
        if views.count(scan.view) > 1:
            twice = name_files(each for each in scans if each.view == scan.view)
            raise UserError(
                f"{path}: expected each view once in {name}, found "
                f"{views.count(scan.view)} {scan.view} views ({twice}). Name one file."
            )
    return scans


def relate(
    before: Sequence[BoneScan], after: Sequence[BoneScan], *, trusted: bool
) -> Relation:
    """Returns what two examinations have to do with each other.

    Args:
        before: the first.
        after: the second.
        trusted: whether a person says that they are of one patient.

    Raises:
        UserError: if they are one study, share an image, are of two patients or nothing
            tells, if files contradict each other, or if the second is the earlier one.
    """
    _check_apart(before, after)
    same_patient, warnings = _find_patient(before, after, trusted)
    days = _count_days(before, after)
    if days is None:
        warnings.append(
            "The files do not state the day of both studies: that BEFORE is the "
            "earlier one is the word of who named them."
        )
    elif days == 0:
        warnings.append(
            "Both studies are of one day: which is the earlier one is the word of who "
            "named them."
        )
    cameras = {scan.camera for scan in (*before, *after) if scan.camera}
    if len(cameras) > 1:
        warnings.append(
            f"The cameras differ ({'; '.join(sorted(cameras))}): a change may be "
            "theirs."
        )
    return Relation(same_patient, days, tuple(warnings))


def _check_apart(before: Sequence[BoneScan], after: Sequence[BoneScan]) -> None:
    """Refuses a study that is compared with itself."""
    images = {scan.image_key: scan for scan in before}
    studies = {scan.study_key: scan for scan in before if scan.study_key}
    for scan in after:
        for known, key, what in (
            (images, scan.image_key, "image"),
            (studies, scan.study_key, "study"),
        ):
            if key in known:
                raise UserError(
                    f"{scan.path}: expected another study than BEFORE, found the same "
                    f"{what} as in {known[key].path}. Name the other study."
                )


def _find_patient(
    before: Sequence[BoneScan], after: Sequence[BoneScan], trusted: bool
) -> tuple[str, list[str]]:
    """Returns what says that the studies are of one patient, and what to know of it."""
    scans = (*before, *after)
    united = unite_patients((s.identity, str(s.path)) for s in scans if s.identity)
    patients = [
        {united.get(scan.patient_key, scan.patient_key) for scan in study}
        for study in (before, after)
    ]
    evidence = {scan.patient_evidence for scan in scans}
    if patients[0] == patients[1]:
        return " and ".join(sorted(evidence - {"study"})), []
    unknown = "study" in evidence
    found = "nothing that tells" if unknown else "two patients"
    if not trusted:
        raise UserError(
            f"{after[0].path}: expected the patient of {before[0].path}, found {found}"
            ". If they are of one patient, say so: --same_patient."
        )
    states = "do not tell" if unknown else "name two patients"
    return "a person's word", [
        "That the studies are of one patient is a person's word (--same_patient): the "
        f"files {states}."
    ]


def _count_days(before: Sequence[BoneScan], after: Sequence[BoneScan]) -> int | None:
    """Returns the days between the studies.

    Raises:
        UserError: if the second is the earlier one.
    """
    days = [[s.day for s in study if s.day is not None] for study in (before, after)]
    if not all(days):
        return None
    between = (min(days[1]) - min(days[0])).days
    if between < 0:
        raise UserError(
            f"{after[0].path}: expected a later study than BEFORE, found one that is "
            f"{-between} days earlier. Exchange the two; if a date is wrong, correct "
            "Study Date."
        )
    return between


def by_view(reading: Reading) -> Mapping[View, tuple[SeenView, Finding]]:
    """Returns what was read of each view."""
    return {view.thorax.scan.view: (view, said) for view, said in reading.views}


def name_study(reading: Reading) -> str:
    """Returns the files of a study, one printable line."""
    return make_printable(name_files(view.thorax.scan for view, _ in reading.views))
