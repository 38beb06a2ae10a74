"""Says what a model finds in new bone scans. Research software, not a medical device.

    python -m spectjax.predict PATH...
    python -m spectjax.predict --workdir=RUN --output_dir=OUT PATH...
    python -m spectjax.predict --model=FILE --output_dir=OUT PATH...

PATH is a DICOM file, a picture (PNG, JPEG), or a folder of them. Of pictures images.csv
at the top of the folder says view, patient and more (docs/data.md); single ones take
--view, --region if they show a thorax already, and --inverted where no background tells
that hot is dark. The first form asks the model that ships with the package, which was
trained on simulated patients alone: `--about` prints its model card. RUN is the folder
that a training run wrote, FILE what `spectjax.export` made of it. JAX runs all but an
ONNX file, which needs no JAX. Several runs, as of all folds, answer as one, unless they
are Mask R-CNNs: `--workdir=RUN0 --workdir=RUN1 ...`.
For every whole-body view OUT, by default `predictions` in the current folder, receives
`<name>.json` and `<name>.png`. A segmenting model marks hotspots: category, score, box
and mask in thorax and whole-body pixels, area, counts; those of a Mask R-CNN may
overlap. What is marked follows the operating point that the model was measured at, or
another, `--operating_point`: a name (specific, balanced, sensitive) or how many false
regions per image are accepted. A model that knows none marks all that it sees;
`--min_score` says how sure a Mask R-CNN has to be then, or instead. A mark means
abnormal uptake, whatever its cause. A classifier gives the label, normal or metastasis,
and its probability, of the view and of all views of the patient's examination;
`summary.csv` lists them. A label of a flagged crop says so.
`--labelme` also writes OUT/labelme: for every view a picture and what was marked as
outlines, a draft to correct in LabelMe, and `order.csv`, the most doubtful first
(docs/correcting.md).
Files that cannot be used are named on stderr and passed over; the exit status is 0 if
at least one view was written, else 1. It is 3 if a view was passed over for an error
that nobody expected, a bug: OUT/problems.log then has what to report. A view's result
of an earlier run is replaced, that of another view of the same name never.
`--crops=FILE` names what people decided about crops that are flagged or wrong: the
table that `python -m spectjax.imaging.thorax` writes, filled in (docs/data.md).
"""

import functools
import gc
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from absl import flags, logging

from spectjax.imaging.geometry import cut_centre
from spectjax.imaging.hotspots import AnswerError
from spectjax.imaging.intake import Intake
from spectjax.imaging.listed.crops import read_crops
from spectjax.imaging.listed.found import UNSTATED, Stated
from spectjax.imaging.outputs import OutputNames
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import BoneScan, ScanError
from spectjax.imaging.thorax import crop_thorax
from spectjax.inference.answers import take
from spectjax.inference.card import write_card
from spectjax.inference.pixels import carry_back, choose_zoom, enlarge
from spectjax.inference.regions import describe_mismatch, tell_unknown
from spectjax.inference.runtimes import RUNTIMES, find_model
from spectjax.inference.trained import TrainedModel
from spectjax.system.commands import (
    define_crops,
    define_path,
    define_paths,
    define_stated,
    read_paths,
    run_command,
)
from spectjax.system.files import format_csv, write_file, write_json
from spectjax.system.locks import hold
from spectjax.system.messages import DISCLAIMER, UserError, make_printable
from spectjax.tasks import TASKS
from spectjax.tasks.views import (
    TRAINED_ALONE,
    Describe,
    Finding,
    ModelInfo,
    SeenView,
)

if TYPE_CHECKING:
    from spectjax.tasks.hotspots.drafting import DraftFolder

SUMMARY = "summary.csv"
DRAFTS = "labelme"
_EXAMINATIONS_TO_COLLECT = 20  # a picture is a cycle of megabytes
MARK = "rule"  # no other command's JSON files have one


def main(argv: list[str]) -> None:
    """Predicts what the flags and paths name."""
    flag_values = flags.FLAGS
    # Libraries log what they do, and tracebacks of what is one line of ours here.
    logging.set_verbosity(logging.FATAL)
    paths = read_paths(argv)
    if flag_values.about:
        print(write_card())
        return
    with hold(flag_values.output_dir):
        run(
            paths,
            workdirs=flag_values.workdir,
            model=flag_values.model,
            runtime=flag_values.runtime,
            output_dir=flag_values.output_dir,
            stated=Stated.of(flag_values),
            crops=flag_values.crops,
            min_score=flag_values.min_score,
            operating_point=flag_values.operating_point,
            labelme=flag_values.labelme,
        )


def run(
    paths: Sequence[pathlib.Path],
    *,
    output_dir: pathlib.Path,
    workdirs: Sequence[pathlib.Path] = (),
    model: pathlib.Path | None = None,
    runtime: str | None = None,
    stated: Stated = UNSTATED,
    crops: pathlib.Path | None = None,
    min_score: float | None = None,
    operating_point: str | None = None,
    labelme: bool = False,
) -> None:
    """Predicts all scans below `paths`, with what is quick checked first.

    Args:
        paths: images or folders.
        output_dir: folder to write to.
        workdirs: see `find_model`, as `model` and `runtime`.
        model: exported model.
        runtime: what runs it.
        stated: what holds of every file that no table lists.
        crops: table of what people decided about crops, see `listed.crops`.
        min_score: see `predict_examinations`.
        operating_point: likewise.
        labelme: whether drafts to correct are written too.

    Raises:
        UserError: if there is no trained model, nothing that runs it, no scan that
            could be used, or a `min_score` or an operating point that cannot be.
        SystemExit: see `Problems`, if a bug kept a view from being written.
        WriteError: if a file cannot be written.
    """
    if min_score is not None and not 0 < min_score < 1:
        raise UserError(
            f"--min_score={min_score:g}: expected a score above 0 and below 1."
        )
    if min_score is not None and operating_point is not None:
        raise UserError(
            "Expected --min_score or --operating_point, found both. An operating point "
            "says how sure a model has to be: leave --min_score out."
        )
    load_model = find_model(workdirs=workdirs, file=model, runtime=runtime)
    if not paths:
        raise UserError("Expected images or folders after the flags, found none.")
    problems = Problems(output_dir)
    intake = Intake(paths, problems, stated=stated, crops=read_crops(crops))
    drafts = None
    if labelme:  # here, since most runs draw none
        from spectjax.tasks.hotspots.drafting import DraftFolder

        drafts = DraftFolder(intake.files, output_dir / DRAFTS)
    written = predict_examinations(
        intake.read_examinations(),
        load_model,
        names=OutputNames(intake.files, output_dir, mark=MARK),
        output_dir=output_dir,
        problems=problems,
        min_score=min_score,
        operating_point=operating_point,
        drafts=drafts,
    )
    problems.conclude(written, output_dir, DISCLAIMER)


def predict_examinations(
    examinations: Iterable[Sequence[BoneScan]],
    load_model: Callable[[], TrainedModel],
    *,
    names: OutputNames,
    output_dir: pathlib.Path,
    problems: Problems,
    min_score: float | None = None,
    operating_point: str | None = None,
    drafts: "DraftFolder | None" = None,
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
        drafts: receives what was marked, for readers to correct; None: nobody does.

    Returns:
        Number of views written.

    Raises:
        UserError: if the model takes other images, has no use for `min_score`, does
            not know the operating point, or marks nothing that could be a draft.
        WriteError: if a file cannot be written.
    """
    model: TrainedModel | None = None
    written, rows = 0, []
    for number, scans in enumerate(examinations, start=1):
        if model is None:
            model = load_model()
            describe = choose_describe(model, min_score, operating_point)
            if drafts and TASKS[model.task].answer == "image":
                raise UserError(
                    "--labelme: expected a model that marks hotspots, found one for "
                    f"{model.task}, which draws nothing. Leave --labelme out."
                )
            if "name" in model.info:
                print(f"Model {model.info['name']}, {TRAINED_ALONE}.")
            tell_unknown(model.info)
        seen = []
        for scan in scans:
            with problems.passing_over(scan.path):
                seen.append(show_to(model, scan, names.choose(scan)))
        for view, finding in _find(describe, seen, model.info, problems):
            with problems.passing_over(view.thorax.scan.path):
                _write(view, finding, output_dir)
                written += 1
                if finding.row:
                    rows.append({"examination": number} | finding.row)
                if drafts:
                    drafts.write(view, finding.document)
        if number % _EXAMINATIONS_TO_COLLECT == 0:
            gc.collect()
    if drafts:
        drafts.finish()
    if rows:
        table = format_csv(list(rows[0]), (row.values() for row in rows))
        write_file(output_dir / SUMMARY, table)
    return written


def choose_describe(
    model: TrainedModel, min_score: float | None, operating_point: str | None
) -> Describe:
    """Returns what tells the findings of a model.

    Raises:
        UserError: if there is a `min_score`, but hotspots have no score to begin with;
            if there is no such operating point.
    """
    row = TASKS[model.task]
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
        ModelFileError: if the model takes images of another size.
    """
    thorax = crop_thorax(scan)
    counts = cut_centre(thorax.counts, model.input_hw)
    zoom = choose_zoom(scan.spacing_mm, model.pixel_mm)
    if zoom != 1:
        counts = enlarge(counts, zoom)
    answer = take(model.predict(counts[np.newaxis, :, :, np.newaxis]), 0)
    if zoom != 1:
        answer = carry_back(cast(np.ndarray, answer), zoom)
    strange = describe_mismatch(model.info, scan.region)
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


if __name__ == "__main__":  # flags are global to a process
    define_paths(
        "workdir",
        "Folder of the training run to take. Given more than once: the mean of what "
        "the runs say. Default: the model that ships with spectjax.",
    )
    define_path("model", "Exported model to take instead of a run.")
    flags.DEFINE_enum(
        "runtime",
        None,
        RUNTIMES,
        "What runs the model. Default: jax, and onnxruntime for an ONNX file.",
    )
    define_path(
        "output_dir",
        "Folder to write to; made if missing.",
        default=pathlib.Path("predictions"),
    )
    flags.DEFINE_bool(
        "about", False, "Print the model card of the model that ships, and stop."
    )
    flags.DEFINE_bool(
        "labelme",
        False,
        "Also write drafts to correct in LabelMe, in the folder labelme of output_dir.",
    )
    define_stated()
    define_crops()
    flags.DEFINE_float(
        "min_score",
        None,
        "What the score of an instance must exceed to be a hotspot, for Mask R-CNNs. "
        "Default: 0.5. A run's eval/table.md tells what others bring.",
    )
    flags.DEFINE_string(
        "operating_point",
        None,
        "What a segmenting model or Mask R-CNN marks: specific, balanced, sensitive, "
        "or how many false regions per image are accepted, a number. Default: "
        "specific, for models that know their operating points.",
    )
    run_command(main)
