"""Says what a model finds in new bone scans. Research software, not a medical device.

    python -m spectjax.predict PATH...
    python -m spectjax.predict --workdir=RUN --output_dir=OUT PATH...
    python -m spectjax.predict --model=FILE --output_dir=OUT PATH...

PATH is a DICOM file, a picture (PNG, JPEG), or a folder of them. Of pictures images.csv
at the top of the folder says view, patient and more (docs/data.md); single ones take
--view, --region if they show a thorax already, and --inverted where no background tells
that hot is dark. The first form asks the model that ships with the package, which was
trained on simulated patients alone: `--about` prints its model card. It looks at the
thorax; `--whole_body` asks another one, about the whole frame. RUN is the folder
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
`--nopictures` leaves the pictures out, which take most of the time.
`--labelme` also writes OUT/labelme: for every view a picture and what was marked as
outlines, a draft to correct in LabelMe, and `order.csv`, the most doubtful first
(docs/correcting.md). `--html` also writes OUT/pages: for every examination one HTML
file to look at, and `index.html`, the most doubtful first (docs/pages.md).
`--bones` also says in which bone each hotspot lies, and of each examination how much
of its bones is marked: a planar index with its constants and what a repeated scan
would show, or every reason why it is withheld (docs/commands.md); `bones.csv` and
`index.csv` list both. `--whole_body` does so always.
`--dicom_dir=DIR` also writes, of each study, what an archive takes: a segmentation of
each view with hotspots, a structured report, a picture, with `--pdf` and `--gsps` more
(docs/dicom_results.md). It needs `pip install 'spectjax[dicom]'`.
Files that cannot be used are named on stderr and passed over; the exit status is 0 if
at least one view was written, else 1. It is 3 if a view was passed over for an error
that nobody expected, a bug: OUT/problems.log then has what to report. A view's result
of an earlier run is replaced, that of another view of the same name never.
`--crops=FILE` names what people decided about crops that are flagged or wrong: the
table that `python -m spectjax.imaging.thorax` writes, filled in (docs/data.md).
"""

import contextlib
import datetime
import pathlib
from collections.abc import Sequence

from absl import flags, logging

from spectjax.imaging.intake import Intake
from spectjax.imaging.listed.crops import read_crops
from spectjax.imaging.listed.found import UNSTATED, Stated
from spectjax.imaging.outputs import OutputNames
from spectjax.imaging.problems import Problems
from spectjax.inference.asking import predict_examinations
from spectjax.inference.card import write_card
from spectjax.inference.products import Product
from spectjax.inference.ready import FOLDER, WHOLE_BODY
from spectjax.inference.runtimes import RUNTIMES, find_model
from spectjax.system.commands import (
    define_crops,
    define_html,
    define_path,
    define_paths,
    define_stated,
    read_paths,
    run_command,
)
from spectjax.system.locks import hold
from spectjax.system.messages import DISCLAIMER, UserError

DRAFTS = "labelme"
MARK = "rule"  # no other command's JSON files have one


def main(argv: list[str]) -> None:
    """Predicts what the flags and paths name."""
    flag_values = flags.FLAGS
    # Libraries log what they do, and tracebacks of what is one line of ours here.
    logging.set_verbosity(logging.FATAL)
    paths = read_paths(argv)
    if flag_values.about:
        print(write_card(WHOLE_BODY if flag_values.whole_body else FOLDER))
        return
    with contextlib.ExitStack() as held:
        folders = [flag_values.output_dir, flag_values.dicom_dir]
        for folder in {f.resolve(): f for f in folders if f is not None}.values():
            held.enter_context(hold(folder))
        run(
            paths,
            workdirs=flag_values.workdir,
            model=flag_values.model,
            runtime=flag_values.runtime,
            whole_body=flag_values.whole_body,
            output_dir=flag_values.output_dir,
            stated=Stated.of(flag_values),
            crops=flag_values.crops,
            min_score=flag_values.min_score,
            operating_point=flag_values.operating_point,
            labelme=flag_values.labelme,
            html=flag_values.html,
            pictures=flag_values.pictures,
            bones=flag_values.bones,
            dicom_dir=flag_values.dicom_dir,
            pdf=flag_values.pdf,
            gsps=flag_values.gsps,
            dicom_clock=flag_values.dicom_clock,
        )


def run(
    paths: Sequence[pathlib.Path],
    *,
    output_dir: pathlib.Path,
    workdirs: Sequence[pathlib.Path] = (),
    model: pathlib.Path | None = None,
    runtime: str | None = None,
    whole_body: bool = False,
    stated: Stated = UNSTATED,
    crops: pathlib.Path | None = None,
    min_score: float | None = None,
    operating_point: str | None = None,
    labelme: bool = False,
    html: bool = False,
    pictures: bool = True,
    bones: bool = False,
    dicom_dir: pathlib.Path | None = None,
    pdf: bool = False,
    gsps: bool = False,
    dicom_clock: bool = False,
) -> None:
    """Predicts all scans below `paths`, with what is quick checked first.

    Args:
        paths: images or folders.
        output_dir: folder to write to.
        workdirs: see `find_model`, as `model`, `runtime` and `whole_body`.
        model: exported model.
        runtime: what runs it.
        whole_body: whether the model of whole bodies is asked.
        stated: what holds of every file that no table lists.
        crops: table of what people decided about crops, see `listed.crops`.
        min_score: see `predict_examinations`.
        operating_point: likewise.
        labelme: whether drafts to correct are written too.
        html: whether a page of each examination is written too.
        pictures: whether one of each view is drawn.
        bones: whether the bones are looked for that hotspots lie in; they are for
            `whole_body`, too.
        dicom_dir: receives DICOM results, see `spectjax.dicom_results`, and whether
            there are `pdf` and `gsps` among them.
        pdf: see `dicom_dir`.
        gsps: likewise.
        dicom_clock: whether they tell the time of this run, not the scan's.

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
    if dicom_dir is None and (pdf or gsps or dicom_clock):
        flag = "--pdf" if pdf else "--gsps" if gsps else "--dicom_clock"
        raise UserError(f"{flag}: expected --dicom_dir, which it is about, found none.")
    products: list[Product] = []
    if dicom_dir is not None:  # here, since most runs write none
        from spectjax.dicom_results import DicomResults

        _check_apart(dicom_dir, paths)
        began = datetime.datetime.now() if dicom_clock else None
        products.append(DicomResults(dicom_dir, pdf=pdf, gsps=gsps, began=began))
    load_model = find_model(
        workdirs=workdirs, file=model, runtime=runtime, whole_body=whole_body
    )
    if not paths:
        raise UserError("Expected images or folders after the flags, found none.")
    problems = Problems(output_dir)
    intake = Intake(paths, problems, stated=stated, crops=read_crops(crops))
    if labelme:  # here, since most runs draw none
        from spectjax.tasks.hotspots.drafting import DraftFolder

        products.append(DraftFolder(intake.files, output_dir / DRAFTS))
    if html:
        from spectjax.pages.folder import FOLDER as PAGES
        from spectjax.pages.folder import PageFolder

        products.append(PageFolder(output_dir / PAGES, problems, intake.files))
    skeleton = None
    if bones or whole_body:
        from spectjax.inference.bone_tables import BoneTables
        from spectjax.inference.skeleton import load_skeleton

        skeleton = load_skeleton()
        products.append(BoneTables(output_dir))
    written = predict_examinations(
        intake.read_examinations(),
        load_model,
        names=OutputNames(intake.files, output_dir, mark=MARK),
        output_dir=output_dir,
        problems=problems,
        min_score=min_score,
        operating_point=operating_point,
        products=products,
        skeleton=skeleton,
        pictures=pictures,
    )
    problems.conclude(written, output_dir, DISCLAIMER)


def _check_apart(dicom_dir: pathlib.Path, paths: Sequence[pathlib.Path]) -> None:
    """Refuses to write DICOM files where DICOM files are looked for."""
    for path in paths:
        if path.is_dir() and dicom_dir.resolve().is_relative_to(path.resolve()):
            raise UserError(
                f"--dicom_dir={dicom_dir}: expected a folder outside of those that are "
                f"read, found one in {path}: the next run would find its results there."
            )


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
    flags.DEFINE_bool(
        "whole_body",
        False,
        "Ask the model that looks at the whole body, not at the thorax in it.",
    )
    define_path(
        "output_dir",
        "Folder to write to; made if missing.",
        default=pathlib.Path("predictions"),
    )
    flags.DEFINE_bool(
        "about",
        False,
        "Print the model card of the model that ships, and stop; with --whole_body of "
        "that of whole bodies.",
    )
    flags.DEFINE_bool(
        "labelme",
        False,
        "Also write drafts to correct in LabelMe, in the folder labelme of output_dir.",
    )
    define_html()
    flags.DEFINE_bool(
        "pictures",
        True,
        "Draw a picture of each view; --nopictures is twice as fast, for many scans.",
    )
    flags.DEFINE_bool(
        "bones",
        False,
        "Also say in which bone each hotspot lies, and how much of the skeleton is "
        "marked, or why that is not told; bones.csv and index.csv list both. With "
        "--whole_body always.",
    )
    define_path(
        "dicom_dir",
        "Also write DICOM results, a folder for each study, to this folder.",
    )
    flags.DEFINE_bool(
        "dicom_clock",
        False,
        "DICOM results tell when the command began, not the scan's time: each run then "
        "writes new objects, not the same again.",
    )
    flags.DEFINE_bool("pdf", False, "A PDF of the picture among the DICOM results.")
    flags.DEFINE_bool(
        "gsps",
        False,
        "Outlines over the scan itself, presentation states, among the DICOM results.",
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
