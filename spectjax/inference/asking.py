"""A trained model, asked about examinations one by one, and what is written of each."""

import functools
import gc
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from spectjax.imaging.geometry import cut_centre
from spectjax.imaging.hotspots import AnswerError
from spectjax.imaging.outputs import OutputNames
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import BoneScan, ScanError, name_files
from spectjax.imaging.thorax import ThoraxImage, crop_thorax
from spectjax.imaging.thorax.frame import keep_frame
from spectjax.inference.answers import take
from spectjax.inference.pixels import carry_back, choose_zoom, enlarge
from spectjax.inference.regions import describe_mismatch, tell_unknown
from spectjax.inference.trained import TrainedModel
from spectjax.system.files import format_csv, write_file, write_json
from spectjax.system.messages import UserError, make_printable
from spectjax.tasks import TASKS
from spectjax.tasks.views import (
    TRAINED_ALONE,
    Describe,
    Finding,
    ModelInfo,
    Reading,
    SeenView,
)

if TYPE_CHECKING:
    from spectjax.inference.skeleton import SkeletonFinder

SUMMARY = "summary.csv"
_EXAMINATIONS_TO_COLLECT = 20  # a picture is a cycle of megabytes


class Product(Protocol):
    """Something more that is written of what a model says, as drafts to correct."""

    def begin(self, task: str, info: ModelInfo) -> None:
        """Takes what a model answers and where it comes from, before it is asked.

        Raises:
            UserError: if nothing of this kind can be written of what it says.
        """

    def write(self, reading: Reading, problems: Problems) -> None:
        """Writes what is said of an examination that has at least one view.

        `problems` receives views of which nothing can be written.

        Raises:
            WriteError: if a file cannot be written.
        """

    def finish(self) -> None:
        """Writes what is said of all of them together.

        Raises:
            WriteError: if a file cannot be written.
        """


def predict_examinations(
    examinations: Iterable[Sequence[BoneScan]],
    load_model: Callable[[], TrainedModel],
    *,
    names: OutputNames,
    output_dir: pathlib.Path,
    problems: Problems,
    min_score: float | None = None,
    operating_point: str | None = None,
    products: Sequence[Product] = (),
    skeleton: "SkeletonFinder | None" = None,
) -> int:
    """Writes what a model says of every view, as JSON and as a picture.

    Examinations are taken one by one, and nothing of one is kept but its lines of the
    table. The JSON file is written last: where it is, the picture is too. A
    classifier's table of all these views, `summary.csv`, follows at the end.

    Args:
        examinations: whole-body views, each time those of one examination.
        load_model: loads what is asked; called when there is something to ask.
        names: gives each view a name.
        output_dir: folder to write to.
        problems: receives the views that had to be passed over.
        min_score: what the score of an instance must exceed to be a hotspot, in (0, 1);
            None: 0.5. Models of other tasks refuse it, and what a model knows of its
            operating points is passed over.
        operating_point: one that the model knows, or false regions per image; None: the
            model's own choice, if it knows any.
        products: what else is written, each of every examination.
        skeleton: finds the bones that hotspots lie in; None: nobody asked for them.

    Returns:
        Number of views written.

    Raises:
        UserError: if the model takes other images, has no use for `min_score`, does
            not know the operating point, or says nothing for one of the products or
            of bones.
        WriteError: if a file cannot be written.
    """
    model: TrainedModel | None = None
    written, rows = 0, []
    for number, scans in enumerate(examinations, start=1):
        if model is None:
            model = load_model()
            if skeleton is not None:
                from spectjax.inference.bones import check_marking

                check_marking(model.task)
            describe = choose_describe(model, min_score, operating_point)
            for product in products:
                product.begin(model.task, model.info)
            if "name" in model.info:
                print(f"Model {model.info['name']}, {TRAINED_ALONE}.")
            tell_unknown(model.info)
        reading = read_examination(
            model, describe, scans, names.choose, problems, skeleton
        )
        findings, burden = reading.views, reading.burden
        for view, finding in findings:
            with problems.passing_over(view.thorax.scan.path):
                _write(view, finding, output_dir)
                written += 1
                if finding.row:
                    rows.append({"examination": number} | finding.row)
        if findings:
            if burden is not None:
                files = name_files(view.thorax.scan for view, _ in findings)
                print(make_printable(f"{files}: {burden.sentence}"))
            reading = Reading(findings, tuple(problems.recent), burden)
            for product in products:
                product.write(reading, problems)
        if number % _EXAMINATIONS_TO_COLLECT == 0:
            gc.collect()
    for product in products:
        product.finish()
    if rows:
        table = format_csv(list(rows[0]), (row.values() for row in rows))
        write_file(output_dir / SUMMARY, table)
    return written


def read_examination(
    model: TrainedModel,
    describe: Describe,
    scans: Sequence[BoneScan],
    choose_name: Callable[[BoneScan], str],
    problems: Problems,
    skeleton: "SkeletonFinder | None" = None,
) -> Reading:
    """Returns what a model says of the views of one examination; writes nothing.

    Args:
        model: is asked.
        describe: from `choose_describe`.
        scans: the views.
        choose_name: gives each a name.
        problems: receives those that had to be passed over.
        skeleton: see `predict_examinations`.
    """
    seen = []
    for scan in scans:
        with problems.passing_over(scan.path):
            seen.append(show_to(model, scan, choose_name(scan)))
    findings = _find(describe, seen, model.info, problems)
    burden = None
    if skeleton is not None and findings:
        from spectjax.inference.bones import add_bones  # most runs ask for none

        with problems.passing_over(findings[0][0].thorax.scan.path):
            findings, burden = add_bones(findings, skeleton, problems)
    return Reading(findings, tuple(problems.recent), burden)


def choose_describe(
    model: TrainedModel, min_score: float | None, operating_point: str | None
) -> Describe:
    """Returns what tells the findings of a model.

    Raises:
        UserError: if there is a `min_score`, but hotspots have no score to begin with;
            if there is no such operating point.
    """
    row = TASKS[model.task]
    if not row.reads_views:
        row.describe()([], model.info)
    if min_score is not None:
        if not row.scored:
            raise UserError(
                f"--min_score={min_score:g}: expected a model that marks instances, a "
                f"Mask R-CNN, found one for {model.task}. Leave --min_score out."
            )
        return functools.partial(row.describe(), min_score=min_score)
    if model.operation is not None:
        model.operation.choose_point(operating_point)
        return functools.partial(
            row.describe(), operation=model.operation, operating_point=operating_point
        )
    if operating_point is not None:
        raise UserError(
            f"--operating_point={operating_point}: expected a model that knows its "
            f"operating points, found one for {model.task} without them. Leave "
            "--operating_point out, or score the run again with this version."
        )
    return row.describe()


def show_to(model: TrainedModel, scan: BoneScan, name: str) -> SeenView:
    """Returns a view as the model saw it, and what the model made of it.

    Raises:
        CropError: if no thorax can be found.
        ScanError: if the model takes whole frames, and this is none or too large.
        ModelFileError: if the model takes images of another size.
    """
    crop = keep_frame if model.sees_frames else crop_thorax
    return look_at(model, crop(scan), name)


def look_at(model: TrainedModel, thorax: ThoraxImage, name: str) -> SeenView:
    """Returns a thorax, or a whole frame, as the model saw it, and what it made of it.

    Raises:
        ModelFileError: if the model takes images of another size.
    """
    scan = thorax.scan
    counts = cut_centre(thorax.counts, model.input_hw)
    zoom = choose_zoom(scan.spacing_mm, model.pixel_mm)
    if zoom != 1:
        counts = enlarge(counts, zoom)
    answer = take(model.predict(counts[np.newaxis, :, :, np.newaxis]), 0)
    if zoom != 1:
        answer = carry_back(cast(np.ndarray, answer), zoom)
    strange = describe_mismatch(model.info, thorax.region)
    return SeenView(name, thorax, model.input_hw, answer, zoom, strange)


def _find(
    describe: Describe, views: Sequence[SeenView], info: ModelInfo, problems: Problems
) -> list[tuple[SeenView, Finding]]:
    """Returns what is said of each view; one whose answer is none is passed over.

    It does not count in what is said of the examination either.
    """
    try:
        return list(zip(views, describe(views, info), strict=True))
    except Exception:
        usable = []
        for view in views:
            path = view.thorax.scan.path
            with problems.passing_over(path):
                try:
                    describe([view], info)
                except AnswerError as error:
                    raise ScanError(f"{path}: {error}") from error
                usable.append(view)
        return list(zip(usable, describe(usable, info), strict=True))


def _write(view: SeenView, finding: Finding, output_dir: pathlib.Path) -> None:
    """Writes picture and document of one view, and prints a line about it."""
    finding.save_picture(output_dir / f"{view.name}.png")
    write_json(output_dir / f"{view.name}.json", finding.document)
    scan = view.thorax.scan
    line = f"{view.name}: {scan.view} view, {finding.summary}"
    if view.thorax.flags:
        line += f", CROP FLAGGED: {'; '.join(view.thorax.flags)}"
    if view.thorax.decision:
        line += f", {view.thorax.decision}"
    if scan.warnings or view.input_notes:
        line += f", WARNING: {'; '.join((*scan.warnings, *view.input_notes))}"
    print(make_printable(line))
