"""Says what a model finds in new bone scans. Research software, not a medical device.

    python -m spectjax.predict --workdir=RUN --output_dir=OUT PATH...
    python -m spectjax.predict --model=FILE --output_dir=OUT PATH...

PATH is a DICOM file or a folder of them; RUN is the folder that a training run wrote,
FILE what `spectjax.export` made of it. JAX runs the first; an ONNX file needs no JAX.
Several runs, as of all folds, answer as one, unless they are Mask R-CNNs:
`--workdir=RUN0 --workdir=RUN1 ...`.
For every whole-body view OUT receives `<name>.json` and `<name>.png`. A segmenting
model marks hotspots: category, score, box and mask in thorax and whole-body pixels,
area, counts; those of a Mask R-CNN may overlap, and `--min_score` says how sure it has
to be of each. A classifier gives the label, normal or metastasis, and its probability,
of the view and of all views of the patient's examination; `summary.csv` lists them.
Files that cannot be used are named on stderr and passed over; the exit status is 0 if
at least one view was written.
"""

import csv
import io
import pathlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags, logging

from spectjax.answers import take
from spectjax.commands import define_path, define_paths, read_paths, run_command
from spectjax.ensembles import find_model
from spectjax.files import write_file, write_json
from spectjax.imaging.dicom import BoneScan, ScanError, View, find_bone_scans
from spectjax.imaging.geometry import cut_centre
from spectjax.imaging.thorax import crop_thorax
from spectjax.locks import hold
from spectjax.messages import UserError
from spectjax.prediction import SeenView, choose_describe
from spectjax.prediction.names import name_outputs
from spectjax.report import DISCLAIMER
from spectjax.runtimes import RUNTIMES, LoadedModel

SUMMARY = "summary.csv"


def main(argv: list[str]) -> None:
    """Predicts what the flags and paths name."""
    flag_values = flags.FLAGS
    # Libraries log what they do, and tracebacks of what is one line of ours here.
    logging.set_verbosity(logging.FATAL)
    with hold(flag_values.output_dir):
        run(
            read_paths(argv),
            workdirs=flag_values.workdir,
            model=flag_values.model,
            runtime=flag_values.runtime,
            output_dir=flag_values.output_dir,
            view=flag_values.view,
            min_score=flag_values.min_score,
        )


def run(
    paths: Sequence[pathlib.Path],
    *,
    output_dir: pathlib.Path,
    workdirs: Sequence[pathlib.Path] = (),
    model: pathlib.Path | None = None,
    runtime: str | None = None,
    view: View | None = None,
    min_score: float | None = None,
) -> None:
    """Predicts all scans below `paths`, with what is quick checked first.

    Args:
        paths: DICOM files or folders.
        output_dir: folder to write to.
        workdirs: folders of the training runs whose models are used.
        model: exported model to use instead, or None.
        runtime: what runs the model; None: what `find_model` chooses.
        view: view of every image, whatever its file says.
        min_score: see `predict_scans`.

    Raises:
        UserError: if there is no trained model, nothing that runs it, no scan that
            could be used, or a `min_score` that cannot be.
        WriteError: if a file cannot be written.
    """
    if min_score is not None and not 0 < min_score < 1:
        raise UserError(
            f"--min_score={min_score:g}: expected a score above 0 and below 1."
        )
    load_model = find_model(workdirs=workdirs, file=model, runtime=runtime)
    if not paths:
        raise UserError("Expected DICOM files or folders after the flags, found none.")
    scans, errors = find_bone_scans(paths, view=view)
    for error in errors:
        _report_skip(error)
    if not scans:
        raise UserError(f"No bone scan found, {len(errors)} files skipped.")

    written, uncropped = predict_scans(
        scans, load_model(), output_dir=output_dir, min_score=min_score
    )
    n_skipped = len(errors) + len(uncropped)
    summary = f"{written} views written to {output_dir}, {n_skipped} files skipped."
    if not written:
        raise UserError(summary)
    print(f"{summary}\n{DISCLAIMER}")


def predict_scans(
    scans: Sequence[BoneScan],
    model: LoadedModel,
    *,
    output_dir: pathlib.Path,
    min_score: float | None = None,
) -> tuple[int, list[ScanError]]:
    """Writes what a model says of every view, as JSON and as a picture.

    The JSON file is written last: where it is, the picture is too. A classifier's table
    of all these views, `summary.csv`, follows at the end.

    Args:
        scans: whole-body views.
        model: what is asked.
        output_dir: folder to write to.
        min_score: what the score of an instance must exceed to be a hotspot, in (0, 1);
            None: 0.5. Models of other tasks refuse it.

    Returns:
        Number of views written, and the errors of the views without a thorax, which
        have been reported and passed over.

    Raises:
        ValueError: if the model's output has the wrong shape or is not finite, or if
            the model has no use for `min_score`.
        WriteError: if a file cannot be written.
    """
    from spectjax.report.figures import save_figure

    describe = choose_describe(model.task, min_score)
    errors: list[ScanError] = []
    rows: list[dict[str, Any]] = []
    names = name_outputs(scans, output_dir)
    for number, views in enumerate(group_examinations(scans, names), start=1):
        seen = []
        for scan, name in views:
            try:
                seen.append(show_to(model, scan, name))
            except ScanError as error:
                _report_skip(error)
                errors.append(error)
        findings = describe(seen, model.info)
        for view, finding in zip(seen, findings, strict=True):
            save_figure(finding.draw(), output_dir / f"{view.name}.png")
            write_json(output_dir / f"{view.name}.json", finding.document)
            flagged = "; ".join(view.thorax.flags)
            doubts = f", CROP FLAGGED: {flagged}" if flagged else ""
            print(
                f"{view.name}: {view.thorax.scan.view} view, {finding.summary}{doubts}"
            )
            if finding.row:
                rows.append({"examination": number} | finding.row)
    if rows:
        write_file(output_dir / SUMMARY, _format_rows(rows))
    return len(scans) - len(errors), errors


def group_examinations(
    scans: Sequence[BoneScan], names: Sequence[str]
) -> Iterable[list[tuple[BoneScan, str]]]:
    """Returns the views of each patient's examinations, each with its name.

    Two files belong together if they name the same patient and the same study: views of
    a follow-up are not mixed with those of the first examination.
    """
    groups: dict[tuple[str, str | None], list[tuple[BoneScan, str]]] = defaultdict(list)
    for scan, name in zip(scans, names, strict=True):
        groups[scan.patient_key, scan.study_key].append((scan, name))
    return groups.values()


def show_to(model: LoadedModel, scan: BoneScan, name: str) -> SeenView:
    """Returns a view as the model saw it, and what the model made of it.

    Raises:
        CropError: if no thorax can be found.
        ModelFileError: if the model takes images of another size.
    """
    thorax = crop_thorax(scan)
    counts = cut_centre(thorax.counts, model.input_hw)
    answer = model.predict(counts[np.newaxis, :, :, np.newaxis])
    return SeenView(name, thorax, model.input_hw, take(answer, 0))


def _format_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the text of a CSV file; all rows have the columns of the first."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _report_skip(error: ScanError) -> None:
    """Prints one line about a file or view that is passed over."""
    print(f"skipped: {error}", file=sys.stderr)


def _define_flags() -> None:
    """Defines the flags; only the command does, since flags are global to a process."""
    define_paths(
        "workdir",
        "Folder of the training run to take. Given more than once: the mean of what "
        "the runs say.",
    )
    define_path("model", "Exported model to take instead of a run.")
    flags.DEFINE_enum(
        "runtime",
        None,
        RUNTIMES,
        "What runs the model. Default: jax, and onnxruntime for an ONNX file.",
    )
    define_path("output_dir", "Folder to write to; made if missing.", required=True)
    flags.DEFINE_enum(
        "view",
        None,
        ["anterior", "posterior"],
        "View of each given file (of its first detector, if it has two), for files "
        "that do not tell it.",
    )
    flags.DEFINE_float(
        "min_score",
        None,
        "What the score of an instance must exceed to be a hotspot, for Mask R-CNNs. "
        "Default: 0.5. A run's eval/table.md tells what others bring.",
    )


if __name__ == "__main__":
    _define_flags()
    run_command(main)
