"""A folder with the page of each study and an index of them."""

import os
from collections.abc import Sequence
from pathlib import Path

from spectjax.imaging.problems import Problems, drop_folders
from spectjax.imaging.scan import ScanError, name_files
from spectjax.pages.index import read_row, write_index
from spectjax.pages.study import (
    PageView,
    Row,
    Study,
    make_row,
    sort_views,
    write_page,
)
from spectjax.system.files import write_file
from spectjax.tasks.views import Finding, ModelInfo, Reading, SeenView

FOLDER = "pages"  # of a command's output


class PageFolder:
    """Writes a page of each study, named after its first view, and an index."""

    def __init__(self, folder: Path, problems: Problems, files: Sequence[Path]) -> None:
        """Takes the folder to write to, what goes wrong, and which files are read."""
        self._folder, self._problems = folder, problems
        self._folders = {file.parent for file in files} | {problems.log.parent}
        self._rows: dict[str, Row] = {}
        self._model: ModelInfo = {}

    def begin(self, task: str, info: ModelInfo) -> None:
        """Takes where the model comes from; any task has a page."""
        self._model = info

    def write(self, reading: Reading, problems: Problems) -> None:
        """Writes the page of an examination.

        It is passed over if a file that is no page of it is in the way.

        Raises:
            WriteError: if a file cannot be written.
        """
        scan = reading.views[0][0].thorax.scan
        with problems.passing_over(scan.path):
            views = [show_view(view, finding) for view, finding in reading.views]
            title = name_files(view.thorax.scan for view, _ in reading.views)
            self.add(title, views, reading.passed_over, "predict", scan.path)

    def add(
        self,
        title: str,
        views: Sequence[PageView],
        passed_over: Sequence[str],
        command: str,
        path: Path,
        notes: Sequence[str] = (),
    ) -> None:
        """Writes the page of a study, see `Study`; `path` names it in an error.

        What was passed over may still be told with folders.

        Raises:
            ScanError: if a file that is no page of it is in the way.
            WriteError: if a file cannot be written.
        """
        ordered = sort_views(views)
        said = drop_folders(passed_over, self._folders)
        study = Study(title, ordered, said, self._model, command, notes)
        row = make_row(study)
        page = self._folder / f"{ordered[0].name}.html"
        if os.path.lexists(page):
            found = read_row(page)
            if found is None or not set(found.images) & set(row.images):
                raise ScanError(
                    f"{path}: expected no file, or an earlier page of the study, found "
                    f"{page}, which is none. No page is written. Choose another "
                    "--output_dir."
                )
        write_file(page, write_page(study, row))
        self._rows[page.name] = row

    def finish(self) -> None:
        """Writes the index; without a page of this run none.

        Raises:
            WriteError: if it cannot be written.
        """
        if self._rows:
            said = drop_folders(self._problems.told, self._folders)
            write_index(self._folder, self._rows, said)
            print(f"Pages: {self._folder}/index.html")


def show_view(view: SeenView, finding: Finding) -> PageView:
    """Returns a view as a page shows it."""
    scan = view.thorax.scan
    return PageView(
        name=view.name,
        counts=scan.counts,
        view=scan.view,
        document=finding.document,
        crop_box=view.thorax.transform.box,
        in_doubt=view.in_doubt,
        weak_view=scan.has_weak_view,
        bones=finding.bones,
    )
