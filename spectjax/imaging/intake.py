"""Bone scans one examination at a time: memory holds the views of one.

Files are sorted by their headers first, for views of one examination may lie anywhere;
their pixels are read when their turn comes.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from spectjax.imaging.crop_decision import CropDecisions, attach
from spectjax.imaging.dicom.file import read_dicom
from spectjax.imaging.dicom.reading import (
    check_first,
    collect_warnings,
    find_dicom_files,
    read_bone_scans,
)
from spectjax.imaging.identity import Identity, identify
from spectjax.imaging.patients import IdentityError, unite_patients
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import BoneScan, ScanError, UnreadableFileError, View
from spectjax.system.locks import hold
from spectjax.system.messages import UserError

# A file and whose it is; None where its header cannot be read or does not tell.
_Card = tuple[Path, Identity | None]


class UnclearPatientError(ScanError):
    """A file of a study whose files contradict each other about the patient."""


class Intake:
    """The bone scans below some paths.

    Attributes:
        files: those that may hold one, in the order of paths and names.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        problems: Problems,
        *,
        view: View | None = None,
        crops: CropDecisions | None = None,
    ) -> None:
        """Finds the files and reads their headers.

        Paths are as in `find_dicom_files`, the view is as in `read_bone_scans`, for
        every file; `problems` receives what cannot be used; `crops` are what people
        decided about the crops of these and other files.
        """
        found, errors = find_dicom_files(paths)
        for error in errors:
            problems.refuse(error)
        groups: dict[str, list[_Card]] = {}
        for path in found:
            identity = read_identity(path)
            key = f"{path}\0"
            if identity is not None:
                key = identity.study or identity.patient
            groups.setdefault(key, []).append((path, identity))
        self._groups = [
            cards for cards in groups.values() if _is_one_patient(cards, problems)
        ]
        used = {path for cards in self._groups for path, _ in cards}
        self.files = [path for path in found if path in used]
        self._problems, self._view, self._crops = problems, view, crops or {}

    def read_examinations(self) -> Iterator[list[BoneScan]]:
        """Yields the views of each patient's examinations, in the order of files.

        Two files belong together if they name the same study: views of a follow-up are
        not mixed with those of the first examination. Those that name none belong
        together if they name the same patient. What cannot be read is reported and
        passed over, and so is a frame with the same SOP Instance UID as in an earlier
        file.
        """
        first_files: dict[str, Path] = {}
        for cards in self._groups:
            scans: list[BoneScan] = []
            for path, identity in cards:
                with self._problems.passing_over(path):
                    found = read_bone_scans(path, view=self._view)
                    decided = self._crops.get(path.resolve(), {})
                    for scan in attach(found, decided):
                        with self._problems.passing_over(path):
                            _check_identity(scan, identity)
                            check_first(scan, first_files)
                            scans.append(scan)
            if scans:
                yield scans


def write_views(
    paths: Sequence[Path],
    output_dir: Path,
    choose_names: Callable[[Sequence[Path]], Callable[[BoneScan], str]],
    write: Callable[[BoneScan, str], None],
    *,
    view: View | None,
    crops: CropDecisions | None = None,
    finish: Callable[[], None] = lambda: None,
) -> None:
    """Writes a result for every view below some paths: the whole of a command.

    Nobody else writes to the folder meanwhile. `choose_names` takes all files and
    returns what gives each view a name, `write` takes a view and its name, `finish`
    comes after the last of them; `crops` are as of `Intake`. The command ends as
    `Problems` says.
    """
    if not paths:
        raise UserError("Expected DICOM files or folders after the flags, found none.")
    with hold(output_dir):
        problems = Problems(output_dir)
        intake = Intake(paths, problems, view=view, crops=crops)
        choose = choose_names(intake.files)
        written = 0
        for scans in intake.read_examinations():
            for scan in scans:
                with problems.passing_over(scan.path):
                    write(scan, choose(scan))
                    written += 1
        finish()
        problems.conclude(written, output_dir)


def read_identity(path: Path) -> Identity | None:
    """Returns whose file it is; what is wrong with it, reading it will tell."""
    try:
        with collect_warnings():
            return identify(read_dicom(path))
    except MemoryError:
        raise
    except Exception:
        return None


def _is_one_patient(cards: Sequence[_Card], problems: Problems) -> bool:
    """Tells whether files of one study are of one patient; if not, none is used."""
    known = [(identity, str(path)) for path, identity in cards if identity]
    try:
        unite_patients(known)
    except IdentityError as error:
        for path, _ in cards:
            problems.refuse(UnclearPatientError(f"{path}: not used. {error}"))
        return False
    return True


def _check_identity(scan: BoneScan, identity: Identity | None) -> None:
    """Checks that a file was not replaced since its header was read."""
    if scan.identity != identity:
        raise UnreadableFileError(
            f"{scan.path}: expected one file, found another patient or study in it "
            "than a moment ago. Wait until it is copied, then run the command again."
        )
