"""A trained model, asked about examinations one by one, and what is written of each."""

import functools
import gc
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

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
from spectjax.inference.products import Product
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
# Of each view of an examination that a model is asked about: its file, and what waits
# for the answer.
_Begun = list[tuple[pathlib.Path, Callable[[], SeenView]]]


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
    pictures: bool = True,
) -> int:
    """Writes what a model says of every view, as JSON and as a picture.

    Examinations are taken one by one, and nothing of one is kept but its lines of the
    table; while a model looks at one, the next is read. The JSON file is written last:
    where it is, the picture is too. A classifier's table of all these views,
    `summary.csv`, follows at the end.

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
        pictures: without, that of an earlier run is removed.

    Returns:
        Number of views written.

    Raises:
        UserError: if the model takes other images, has no use for `min_score`, does
            not know the operating point, or says nothing for one of the products or
            of bones.
        WriteError: if a file cannot be written.
    """
    written, rows = 0, []
    for number, reading in enumerate(
        _read_all(
            examinations,
            load_model,
            names=names,
            problems=problems,
            min_score=min_score,
            operating_point=operating_point,
            products=products,
            skeleton=skeleton,
        ),
        start=1,
    ):
        findings, burden = reading.views, reading.burden
        for view, finding in findings:
            with problems.passing_over(view.thorax.scan.path):
                _write(view, finding, output_dir, pictures=pictures)
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


def _read_all(
    examinations: Iterable[Sequence[BoneScan]],
    load_model: Callable[[], TrainedModel],
    *,
    names: OutputNames,
    problems: Problems,
    min_score: float | None,
    operating_point: str | None,
    products: Sequence[Product],
    skeleton: "SkeletonFinder | None",
) -> Iterator[Reading]:
    """Yields what a model says of each examination, see `predict_examinations`.

    `problems.recent` is of that examination, whatever was read meanwhile.
    """
    remaining = iter(examinations)
    scans = next(remaining, None)
    if scans is None:
        return
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
    waiting, failed = None, list[UserError]()

    def look_unless_failed(look: Callable[[], SeenView]) -> SeenView:
        if failed:
            raise failed[0]
        try:
            return look()
        except ScanError:
            raise
        except UserError as error:  # the model's fault: it is not asked again
            failed.append(error)
            raise

    # The model computes in a thread of its own, without Python's lock; all else here.
    with ThreadPoolExecutor(1) as thread:

        def submit(look: Callable[[], SeenView]) -> Callable[[], SeenView]:
            return thread.submit(look_unless_failed, look).result

        while scans is not None:
            looks = _begin(model, scans, names.choose, problems, submit)
            begun = looks, list(problems.recent)
            if waiting is not None:
                yield _finish(model, describe, *waiting, problems, skeleton)
            waiting = begun
            scans = next(remaining, None)
        assert waiting is not None  # mypy
        yield _finish(model, describe, *waiting, problems, skeleton)


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
    begun = _begin(model, scans, choose_name, problems, lambda look: look)
    return _finish(model, describe, begun, problems.recent, problems, skeleton)


def _begin(
    model: TrainedModel,
    scans: Sequence[BoneScan],
    choose_name: Callable[[BoneScan], str],
    problems: Problems,
    submit: Callable[[Callable[[], SeenView]], Callable[[], SeenView]],
) -> _Begun:
    """Crops views and asks the model about each; `submit` gives what waits for that."""
    begun = []
    for scan in scans:
        with problems.passing_over(scan.path):
            thorax, name = _crop(model, scan), choose_name(scan)
            look = submit(functools.partial(look_at, model, thorax, name))
            begun.append((scan.path, look))
    return begun


def _finish(
    model: TrainedModel,
    describe: Describe,
    begun: _Begun,
    told: Sequence[str],
    problems: Problems,
    skeleton: "SkeletonFinder | None",
) -> Reading:
    """Returns what the model says, see `read_examination`, beside what was told."""
    problems.recent[:] = told
    seen = []
    for path, look in begun:
        with problems.passing_over(path):
            seen.append(look())
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
    return look_at(model, _crop(model, scan), name)


def _crop(model: TrainedModel, scan: BoneScan) -> ThoraxImage:
    return keep_frame(scan) if model.sees_frames else crop_thorax(scan)


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


def _write(
    view: SeenView, finding: Finding, output_dir: pathlib.Path, *, pictures: bool
) -> None:
    """Writes picture and document of one view, and prints a line about it."""
    picture = output_dir / f"{view.name}.png"
    if pictures:
        finding.save_picture(picture)
    else:
        picture.unlink(missing_ok=True)  # of another answer
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
