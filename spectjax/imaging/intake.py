"""Bone scans one examination at a time: memory holds the views of one.

Files are sorted by their headers first, for views of one examination may lie anywhere;
their pixels are read when their turn comes.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from spectjax.imaging.crop_decision import CropDecisions
from spectjax.imaging.dicom.reading import check_first
from spectjax.imaging.identity import Identity
from spectjax.imaging.listed.found import UNSTATED, ImageFile, Stated, find_images
from spectjax.imaging.patients import IdentityError, unite_patients
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import BoneScan, ScanError, UnreadableFileError
from spectjax.system.locks import hold
from spectjax.system.messages import UserError

# A file and whose it is; None where its header cannot be read or does not tell.
_Card = tuple[ImageFile, Identity | None]


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
        stated: Stated = UNSTATED,
        crops: CropDecisions | None = None,
    ) -> None:
        """Finds the files and reads their headers.

        Paths and what is `stated` are as in `find_images`; `problems` receives what
        cannot be used or is not read; `crops` are what people decided about the crops
        of these and other files.

        Raises:
            ImageTableError: if images.csv or words.csv of a folder cannot be read.
        """
        found = find_images(paths, stated, problems.log.parent)
        for error, n_files in found.errors:
            problems.refuse(error, n_files)
        for note in found.notes:
            problems.mention(note)
        groups: dict[str, list[_Card]] = {}
        for file in found.files:
            identity = file.identify()
            key = f"{file.path}\0"
            if identity is not None:
                key = identity.study or identity.patient
            groups.setdefault(key, []).append((file, identity))
        self._groups = [
            cards for cards in groups.values() if _is_one_patient(cards, problems)
        ]
        used = {file.path for cards in self._groups for file, _ in cards}
        self.files = [file.path for file in found.files if file.path in used]
        self._problems, self._crops = problems, crops or {}

    def read_examinations(self) -> Iterator[list[BoneScan]]:
        """Yields the views of each patient's examinations, in the order of files.

        Two files belong together if they name the same study: views of a follow-up are
        not mixed with those of the first examination. Those that name none belong
        together if they name the same patient. What cannot be read is reported and
        passed over, and so is a frame with the same SOP Instance UID as in an earlier
        file, and a picture of the same pixels.
        """
        first_files: dict[str, Path] = {}
        for cards in self._groups:
            self._problems.recent.clear()
            scans: list[BoneScan] = []
            for file, identity in cards:
                with self._problems.passing_over(file.path):
                    for scan in file.read(self._crops):
                        with self._problems.passing_over(file.path):
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
    stated: Stated,
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
        raise UserError("Expected images or folders after the flags, found none.")
    with hold(output_dir):
        problems = Problems(output_dir)
        intake = Intake(paths, problems, stated=stated, crops=crops)
        choose = choose_names(intake.files)
        written = 0
        for scans in intake.read_examinations():
            for scan in scans:
                with problems.passing_over(scan.path):
                    write(scan, choose(scan))
                    written += 1
        finish()
        problems.conclude(written, output_dir)


def _is_one_patient(cards: Sequence[_Card], problems: Problems) -> bool:
    """Tells whether files of one study are of one patient; if not, none is used."""
    known = [(identity, str(file.path)) for file, identity in cards if identity]
    try:
        unite_patients(known)
    except IdentityError as error:
        for file, _ in cards:
            problems.refuse(UnclearPatientError(f"{file.path}: not used. {error}"))
        return False
    return True


def _check_identity(scan: BoneScan, identity: Identity | None) -> None:
    """Checks that a file was not replaced since its header was read."""
    if scan.identity != identity:
        raise UnreadableFileError(
            f"{scan.path}: expected one file, found another patient or study in it "
            "than a moment ago. Wait until it is copied, then run the command again."
        )
