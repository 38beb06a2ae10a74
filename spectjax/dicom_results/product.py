"""DICOM results of each study, in a folder of its own."""

import datetime
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spectjax.bones.burden import Burden, Reason
from spectjax.dicom_results.header import Header, match, read_header
from spectjax.dicom_results.subject import (
    Model,
    Study,
    Subject,
    name_views,
)
from spectjax.imaging.dicom.reading import collect_warnings
from spectjax.imaging.problems import Problems, drop_folders
from spectjax.system.files import write_file
from spectjax.system.messages import UserError, make_printable
from spectjax.tasks.views import Finding, ModelInfo, Reading, SeenView

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# What an earlier run may have written of a study.
_OURS = re.compile(r"(sc|pdf|sr|gsps_\d+|seg_(anterior|posterior)(_\d+)?)\.dcm")
REPORT = "sr.dcm"  # written last: where it is, the others are too
# Numbers of series that no camera uses.
_REPORT, _CAPTURE, _DOCUMENT, _SEGMENTATION, _STATE = 9001, 9002, 9003, 9010, 9110

_Found = tuple[SeenView, Finding, Header]


class DicomResults:
    """Writes DICOM results of each study to `<folder>/<16 hexadecimal digits>/`."""

    def __init__(
        self,
        folder: Path,
        *,
        pdf: bool = False,
        gsps: bool = False,
        began: datetime.datetime | None = None,
    ) -> None:
        """Takes the folder to write to, and what else is written.

        Args:
            folder: receives a folder for each study.
            pdf: whether a PDF of the picture is written.
            gsps: whether outlines over the scan are, as presentation states.
            began: when the analysis began, local time, to be told in the objects, whose
                UIDs are others then in each run. None: they tell the scan's time.

        Raises:
            UserError: if highdicom is not installed.
        """
        try:
            import highdicom  # noqa: F401 - before anything is read
        except ImportError as error:
            raise UserError(
                "--dicom_dir: expected the package highdicom, which cannot be imported "
                f"({error}). Install it: pip install 'spectjax[dicom]'"
            ) from error
        self._folder, self._pdf, self._gsps = folder, pdf, gsps
        self._moment = began and (f"{began:%Y%m%d}", f"{began:%H%M%S}")
        self._model: Model | None = None

    def begin(self, task: str, info: ModelInfo) -> None:
        """Takes which model speaks, whatever its task is.

        Raises:
            UserError: if it does not say which weights it has.
        """
        self._model = Model.of(info)

    def write(self, reading: Reading, problems: Problems) -> None:
        """Writes the results of a study.

        Views of pictures, and of files that do not say whose they are, are passed over:
        a line tells of each, and the report of the others. What an earlier run wrote of
        the study is replaced: its report goes first.

        Raises:
            WriteError: if a file cannot be written.
        """
        told = len(problems.recent)
        found = _read_headers(reading, problems)
        # The same results whatever the files are called.
        found.sort(key=lambda each: each[2].sort_key(each[0].thorax.scan))
        usable = _match_headers(found, problems)
        if not usable:
            return
        passed_over = (*reading.passed_over, *problems.recent[told:])
        # Folders may have names of patients, and equal results are equal bytes.
        folders = {view.thorax.scan.path.parent for view, _ in reading.views}
        folders.add(problems.log.parent)
        told_of = map(make_printable, drop_folders(passed_over, folders))
        burden = reading.burden
        if burden is not None and len(usable) < len(reading.views):
            text = "Not all views that the index is of are in this report."
            burden = burden.withhold(Reason("views_left_out", text))
        study = self._make_study(usable, tuple(told_of), burden)
        with problems.passing_over(usable[0][0].thorax.scan.path):
            self._write_study(study)

    def finish(self) -> None:
        """Does nothing: each study is written when it is read."""

    def _make_study(
        self,
        usable: list[_Found],
        passed_over: tuple[str, ...],
        burden: Burden | None,
    ) -> Study:
        assert self._model is not None, "begin comes before write"
        titles = name_views([view.thorax.scan.view for view, _, _ in usable])
        subjects = tuple(
            Subject(view, finding, header, title, self._model)
            for (view, finding, header), title in zip(usable, titles, strict=True)
        )
        moment = self._moment or max(header.moment for _, _, header in usable)
        return Study(subjects, passed_over, moment=moment, burden=burden)

    def _write_study(self, study: Study) -> None:
        from spectjax.dicom_results.stamp import encode

        folder = self._folder / study.first.header.study_key
        with collect_warnings():
            contents = {name: encode(make()) for name, make in self._plan(study)}
        (folder / REPORT).unlink(missing_ok=True)
        for old in folder.glob("*.dcm"):
            if old.name not in contents and _OURS.fullmatch(old.name):
                old.unlink()
        for name, content in contents.items():
            write_file(folder / name, content)

    def _plan(self, study: Study) -> "Iterator[tuple[str, Callable[[], Dataset]]]":
        """Yields names of files, and what makes their contents; the report last."""
        # Here, since highdicom and matplotlib take a second.
        from spectjax.dicom_results.capture import make_capture
        from spectjax.dicom_results.document import make_document
        from spectjax.dicom_results.presentation import make_state
        from spectjax.dicom_results.report import make_report
        from spectjax.dicom_results.segmentation import make_segmentation

        for number, subject in enumerate(study.subjects, start=_SEGMENTATION):
            if subject.hotspots:
                name = f"seg_{subject.title.replace(' no. ', '_')}.dcm"
                yield name, partial(make_segmentation, study, subject, number)
        yield "sc.dcm", partial(make_capture, study, _CAPTURE)
        if self._pdf:
            yield "pdf.dcm", partial(make_document, study, _DOCUMENT)
        if self._gsps:
            for i, file in enumerate(study.files):
                name = f"gsps_{i + 1}.dcm"
                yield name, partial(make_state, study, file, _STATE + i)
        yield REPORT, partial(make_report, study, _REPORT)


def _read_headers(reading: Reading, problems: Problems) -> list[_Found]:
    """Returns the views of files that results can be filed with; one header a file."""
    headers: dict[Path, Header] = {}
    found = []
    for view, finding in reading.views:
        path = view.thorax.scan.path
        with problems.passing_over(path):
            if path not in headers:
                headers[path] = read_header(view.thorax.scan)
            found.append((view, finding, headers[path]))
    return found


def _match_headers(found: list[_Found], problems: Problems) -> list[_Found]:
    """Returns the views of the first one's study, with notes on how files differ."""
    matched: dict[Path, Header] = {}
    usable = []
    for view, finding, header in found:
        path = view.thorax.scan.path
        with problems.passing_over(path):
            if path not in matched:
                matched[path] = match(header, found[0][2], path)
                for note in matched[path].notes:
                    problems.mention(f"{path}: in DICOM results {note}")
            usable.append((view, finding, matched[path]))
    return usable
