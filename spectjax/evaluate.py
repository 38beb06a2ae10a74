"""Scores trained models on images that they were not prepared with. Research software.

    python -m spectjax.evaluate --manual_dir=OTHER --output_dir=OUT
    python -m spectjax.evaluate --workdir=RUN --manual_dir=OTHER --output_dir=OUT
    python -m spectjax.evaluate --model=FILE --dataset=DIR --output_dir=OUT

The first form scores the model that ships with the package. RUN is the folder of a
training run, FILE what `spectjax.export` wrote; both may be given again and again:
several models give one table with paired differences, each on its own in
OUT/models/<name>.
OTHER is a hospital's folder of DICOM and LabelMe files, or of pictures that its
images.csv lists; it is prepared in OUT/data. DIR is a data set that is prepared
already, .../tfds_spect/<config>/<version>. OUT receives what a run's folder `eval` has:
`metrics.json`, `cases.csv`, `table.md` and `figures/`.

Patients and acquisitions that a model learned from are refused, or left out with
--leave_out_seen; for that the data set of its training is looked for in --data_dir.
What could not be checked is said. With --html OUT/pages has a page of each patient,
readers' outlines beside the model's, and an index (docs/pages.md). Thresholds and
operating points are the model's own. --calibrate_on names parts of the data, such as
fold0, that are not scored: what an adjustment on them would give is told besides.
Research software, not a medical device.
"""

import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from spectjax.system.commands import (
    define_html,
    define_path,
    define_paths,
    refuse_arguments,
    run_command,
)
from spectjax.system.locks import hold
from spectjax.system.messages import UserError
from spectjax.tasks import TASKS
from tfds_spect.names import LABELLED, WHOLE_BODY

if TYPE_CHECKING:
    from spectjax.inference.provenance import Candidate

# What a folder is prepared as: all originals and no copies.
_CONFIGS = {"pixels": LABELLED, "instances": LABELLED, "image": "classification_d1"}


def main(argv: list[str]) -> None:
    """Scores what the flags name."""
    logging.set_verbosity(logging.FATAL)
    values = flags.FLAGS
    refuse_arguments(argv)
    if values.manual_dir is not None:
        # Here, so that --help need not wait for TFDS; before anything is written.
        from tfds_spect.prepare import check_folder

        check_folder(values.manual_dir, values.output_dir, flag="--output_dir")
    with hold(values.output_dir):
        evaluate(
            workdirs=values.workdir,
            files=values.model,
            dataset=values.dataset,
            manual_dir=values.manual_dir,
            data_dir=values.data_dir,
            output_dir=values.output_dir,
            split=values.split,
            calibrate_on=values.calibrate_on,
            leave_out_seen=values.leave_out_seen,
            html=values.html,
        )


def evaluate(
    *,
    output_dir: pathlib.Path,
    workdirs: Sequence[pathlib.Path] = (),
    files: Sequence[pathlib.Path] = (),
    dataset: pathlib.Path | None = None,
    manual_dir: pathlib.Path | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    split: Sequence[str] = (),
    calibrate_on: Sequence[str] = (),
    leave_out_seen: bool = False,
    html: bool = False,
) -> dict[str, Any]:
    """Scores models on a data set, or on a folder, that is not theirs.

    Args:
        output_dir: folder to write to.
        workdirs: folders of runs.
        files: exported models; without runs and files the one that ships.
        dataset: folder of a prepared data set.
        manual_dir: a hospital's folder, instead.
        data_dir: where the data sets of the trainings live, None: TFDS's own default.
        split: parts to score; none: all but `calibrate_on`.
        calibrate_on: parts to adjust probabilities and points on, never scored.
        leave_out_seen: leave images out that a model learned from, else refuse them.
        html: write a page of each patient too; the model is asked once more for it.

    Returns:
        The content of `metrics.json`.

    Raises:
        UserError: if a model or the data cannot be used, or a model learned from them.
        WriteError: if a file cannot be written.
    """
    if (dataset is None) == (manual_dir is None):
        raise UserError(
            "Expected --dataset=DIR, a prepared data set, or --manual_dir=OTHER, a "
            f"folder to prepare, found {'neither' if dataset is None else 'both'}. "
            "Give one of them."
        )
    # Here, so that --help need not wait for jax and TFDS.
    from spectjax.inference.external import (
        choose_parts,
        describe_external,
        load_scored,
        score_candidate,
    )
    from spectjax.inference.provenance import find_seen, load_candidates, refuse_seen
    from tfds_spect.opening import open_data_set
    from tfds_spect.overlap import list_originals, read_key
    from tfds_spect.prepare import check_prepared, prepare

    candidates = load_candidates(workdirs, files)
    check_one_table(candidates)
    task = TASKS[candidates[0].model.task]
    if not task.reads_views:
        task.contrast()({}, {}, output_dir)
    sees_frames = candidates[0].model.sees_frames
    if manual_dir is not None:
        prepared = prepare(
            WHOLE_BODY if sees_frames else _CONFIGS[task.answer],
            data_dir=output_dir / "data",
            manual_dir=manual_dir,
            flag="--output_dir",
        )
        print(prepared.summarise(), flush=True)
        dataset = prepared.builder_dir
    assert dataset is not None
    builder = open_data_set(dataset)
    fingerprint = check_prepared(dataset).fingerprint
    parts = choose_parts(sorted(builder.info.splits), split, calibrate_on)
    originals = list_originals(dataset, (*parts.scored, *parts.calibration))
    seen = find_seen(candidates, originals, key=read_key(dataset), data_dir=data_dir)
    for name, each in seen.items():
        for line in dict.fromkeys(each.not_checked):
            print(f"NOT checked of {name}: {line}", file=sys.stderr, flush=True)
    if not leave_out_seen:
        refuse_seen(seen, dataset)
    known: dict[str, str] = {}
    for each in seen.values():
        known |= each.images
    examples, left_out = load_scored(dataset, parts.scored, candidates, known)
    calibration = None
    if parts.calibration:
        calibration, _ = load_scored(dataset, parts.calibration, candidates, known)

    documents, folders = {}, {}
    for candidate in candidates:
        name = candidate.name
        external = describe_external(candidate, seen[name], left_out, examples.regions)
        for line in external["warnings"]:
            print(f"WARNING: {name}: {line}", file=sys.stderr, flush=True)
        folders[name] = output_dir
        if len(candidates) > 1:
            folders[name] = output_dir / "models" / name
        # What an earlier call left must not be taken for the scores of this one.
        for folder in (output_dir, folders[name]):
            (folder / "metrics.json").unlink(missing_ok=True)
        documents[name] = score_candidate(
            candidate,
            examples,
            calibration,
            folders[name],
            external=external,
            dataset_info={
                "config": builder.info.config_name,
                "fingerprint": fingerprint,
                "held_out_fold": None,
                "external": True,
            },
        )
        print(f"{name}: {describe(documents[name])}", flush=True)
        if html:
            from spectjax.pages.evaluated import write_evaluated

            write_evaluated(candidate.model, examples, folders[name])
    metrics = next(iter(documents.values()))
    if len(candidates) > 1:
        metrics = task.contrast()(documents, folders, output_dir)
    kind = "SYNTHETIC" if examples.synthetic else "real"
    part = ""
    if metrics["n_images"] < len(examples):
        part = f", of {metrics['n_images']} pixels and lesions too"
    print(
        f"{len(examples)} images of {len(set(examples.patients))} {kind} patients of "
        f"elsewhere{part}. Scores: {output_dir}/metrics.json, table.md, figures/"
    )
    return metrics


def check_one_table(candidates: Sequence["Candidate"]) -> None:
    """Checks that models stand in one table.

    Raises:
        UserError: if some mark hotspots and others classify.
    """
    first, *others = candidates
    for each in others:
        if TASKS[each.model.task].contrast != TASKS[first.model.task].contrast:
            raise UserError(
                f"{each.name}: expected a model of {first.model.task}, as {first.name} "
                f"is, found one of {each.model.task}; one table is of one kind of "
                "task. Score them one by one."
            )


def describe(metrics: dict[str, Any]) -> str:
    """Returns the main scores of a model in a line."""
    line = TASKS[metrics["task"]].summarise()(metrics)
    if "images" in metrics:
        auc = metrics["images"]["by_view"]["all"]["auc"]
        line += f"; labels: AUC {'undefined' if auc is None else f'{auc:.3f}'}"
    if "operation" not in metrics:
        return line
    name, point = next(iter(metrics["operation"]["points"].items()))
    found = point["sensitivity"]
    told = "no lesion" if found is None else f"{found:.3f} of the lesions"
    return f"{line}; at its point {name!r} {told}, {point['false_per_image']:.3f} false"


if __name__ == "__main__":  # flags are global to a process
    define_paths("workdir", "Folder of a training run; may be repeated.")
    define_paths("model", "Exported model; may be repeated.")
    define_path("dataset", "Folder of a prepared data set to score on.")
    define_path("manual_dir", "Folder with images and annotations to score on instead.")
    define_path("output_dir", "Folder to write to; made if missing.", required=True)
    define_path(
        "data_dir", "Folder of the data sets of the trainings. Default: TFDS's own."
    )
    define_html()
    flags.DEFINE_list("split", [], "Parts to score, such as fold0. Default: all.")
    flags.DEFINE_list(
        "calibrate_on", [], "Parts that are not scored, to adjust on, such as fold0."
    )
    flags.DEFINE_bool(
        "leave_out_seen", False, "Leave out what a model learned from; else refuse it."
    )
    run_command(main)
