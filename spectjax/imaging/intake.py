"""Bone scans one examination at a time: memory holds the views of one.

Files are sorted by their headers first, for views of one examination may lie anywhere;
their pixels are read when their turn comes.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from spectjax.imaging.dicom import (
    collect_warnings,
    find_dicom_files,
    parse_file,
    read_bone_scans,
)
from spectjax.imaging.identity import identify_patient, identify_study
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import (
    BoneScan,
    DuplicateScanError,
    ScanError,
    UnreadableFileError,
    View,
)


class StudyOfTwoPatientsError(ScanError):
    """One Study Instance UID under two patients: nobody knows whose view it is."""


@dataclasses.dataclass(frozen=True)
class _Card:
    """Whose file it is, by its header.

    Attributes:
        path: the file.
        patient: pseudonym; None if the header cannot be read or does not tell.
        study: pseudonym, or None.
    """

    path: Path
    patient: str | None
    study: str | None


class Intake:
    """The bone scans below some paths.

    Attributes:
        files: those that may hold one, in the order of paths and names.
    """

    def __init__(
        self, paths: Sequence[Path], problems: Problems, *, view: View | None = None
    ) -> None:
        """Finds the files and reads their headers.

        Args:
            paths: files or folders, searched as by `find_dicom_files`.
            problems: receives what cannot be used.
            view: as in `read_bone_scans`, for every file.
        """
        found, errors = find_dicom_files(paths)
        for error in errors:
            problems.refuse(error)
        cards = [_read_card(path) for path in found]
        strangers = _find_contradictions(cards)
        for path, other in strangers.items():
            problems.refuse(
                StudyOfTwoPatientsError(
                    f"{path}: expected one patient in a study, found its Study "
                    f"Instance UID under another patient in {other}. Correct Patient "
                    "ID or name in one of the files, or leave one out."
                )
            )
        self.files = [card.path for card in cards if card.path not in strangers]
        self._problems, self._view = problems, view
        self._groups: dict[tuple[str, ...], list[_Card]] = {}
        for card in cards:
            if card.path in strangers:
                continue
            key: tuple[str, ...] = (str(card.path),)
            if card.patient is not None:
                key = (card.patient, card.study or "")
            self._groups.setdefault(key, []).append(card)

    def read_examinations(self) -> Iterator[list[BoneScan]]:
        """Yields the views of each patient's examinations, in the order of files.

        Two files belong together if they name the same patient and the same study:
        views of a follow-up are not mixed with those of the first examination. What
        cannot be read is reported and passed over, and so is a frame with the same SOP
        Instance UID as in an earlier file.
        """
        first_files: dict[str, Path] = {}
        for cards in self._groups.values():
            scans: list[BoneScan] = []
            for card in cards:
                with self._problems.passing_over(card.path):
                    for scan in read_bone_scans(card.path, view=self._view):
                        with self._problems.passing_over(card.path):
                            _check_identity(scan, card)
                            _check_first(scan, first_files)
                            scans.append(scan)
            if scans:
                yield scans


def _read_card(path: Path) -> _Card:
    """Returns whose file it is; what is wrong with it, reading it will tell."""
    try:
        with collect_warnings():
            dataset = parse_file(path, with_pixels=False)
            patient = identify_patient(dataset)
            study = identify_study(dataset)
    except MemoryError:
        raise
    except Exception:
        return _Card(path, None, None)
    return _Card(path, patient[0] if patient else None, study)


def _find_contradictions(cards: Sequence[_Card]) -> dict[Path, Path]:
    """Returns each file whose study is another patient's too, and a file of that."""
    patients: dict[str, dict[str, Path]] = {}
    known = [card for card in cards if card.patient and card.study]
    for card in known:
        patients.setdefault(card.study or "", {}).setdefault(
            card.patient or "", card.path
        )
    return {
        card.path: next(path for key, path in of_study.items() if key != card.patient)
        for card in known
        if len(of_study := patients[card.study or ""]) > 1
    }


def _check_identity(scan: BoneScan, card: _Card) -> None:
    """Checks that a file was not replaced since its header was read."""
    if (scan.patient_key, scan.study_key) != (card.patient, card.study):
        raise UnreadableFileError(
            f"{scan.path}: expected one file, found another patient or study in it "
            "than a moment ago. Wait until it is copied, then run the command again."
        )


def _check_first(scan: BoneScan, first_files: dict[str, Path]) -> None:
    """Checks that no earlier file holds the same image."""
    first = first_files.setdefault(scan.image_key, scan.path)
    if first is not scan.path:
        raise DuplicateScanError(
            f"{scan.path}: frame {scan.frame + 1} is the same image (SOP Instance UID) "
            f"as in {first} and is left out. Keep one of the files."
        )
