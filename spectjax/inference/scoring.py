"""From a finished run to its scores on what it held out, and to what is printed."""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from spectjax import input_pipeline
from spectjax.evaluation.metrics_file import locate_metrics, read_metrics
from spectjax.evaluation.run import FinishedRun
from spectjax.inference.ensembles import combine
from spectjax.inference.trained import TrainedRun, load_run
from spectjax.system.messages import ConfigError
from spectjax.system.schema import Maybe
from spectjax.tasks import TASKS
from spectjax.training.augment import move_images
from tfds_spect.names import Splits, name_fold

_LEAK_WARNING = """\
  LEAKING: images of these patients were trained on as well, as in the papers.
  The scores say little about new patients; a data set of folds holds patients out."""
# What else is printed, for all tasks.
_PRECISION = {"AP50": Maybe(float), "AP10_50": Maybe(float)}
_PRINTED: dict[str, Any] = {
    "n_images": int,
    "n_patients": int,
    "detection": Maybe({"mask": _PRECISION, "box": _PRECISION}),
    "images": Maybe({"by_view": {"all": {"n": int, "auc": Maybe(float)}}}),
    "lesion": Maybe(
        {
            "n": int,
            "found": int,
            "false_per_image": float,
            "sensitivity_at": {"1": Maybe(float)},
        }
    ),
}


def evaluate_run(
    config: ConfigDict, workdir: pathlib.Path, builder_dir: pathlib.Path, splits: Splits
) -> dict[str, Any]:
    """Scores a run's model, writes `<workdir>/eval` and returns its `metrics.json`.

    Args:
        config: the run's config.
        workdir: its folder, with a checkpoint unless the model has no parameters.
        builder_dir: folder of the data set.
        splits: what it trained on and held out.

    Raises:
        CheckpointError: if there is no checkpoint or it cannot be read.
        ValueError: if the model's output is not finite.
        WriteError: if a file cannot be written.
    """
    held_out = input_pipeline.load_examples(builder_dir, splits.held_out)
    return TASKS[config.task].evaluate()(
        FinishedRun(
            model=load_run(workdir),
            held_out=held_out,
            calibration=functools.partial(
                input_pipeline.load_examples, builder_dir, splits.calibration
            ),
            validated=splits.validation is not None,
            move=move_images,
            train_hw=tuple(config.data.train_hw),
            num_classes=config.model.num_classes,
            batch_size=config.data.batch_size,
            output_dir=workdir / "eval",
            model_name=config.model.name,
            dataset_info={
                "config": config.data.name,
                "fingerprint": config.data.fingerprint,
                "held_out_fold": None if held_out.leaking else config.data.fold,
            },
            training_log=workdir / "train.csv" if config.num_epochs else None,
            image_score=config.image_score,
        )
    )


def measure_operation(runs: Sequence[TrainedRun], builder_dir: pathlib.Path) -> Any:
    """Returns what runs that answer as one know about their use.

    It is measured on the patients that validated all of them, so that none learned from
    them. None if there are none such, or if their task knows of no such thing.

    Args:
        runs: at least one.
        builder_dir: folder of the data set that they learned from.
    """
    # Here, since scipy's optimisers take a while to load.
    from spectjax.tasks.hotspots.fitting import make_operation

    folds = {(run.config.data.name, run.config.data.validation_fold) for run in runs}
    (_, fold), *others = folds
    if TASKS[runs[0].task].operation is None or others or fold is None:
        return None
    predict = combine(runs, [str(number) for number in range(len(runs))]).predict
    examples = input_pipeline.load_examples(builder_dir, name_fold(fold))
    batch_size = runs[0].config.data.batch_size
    return make_operation(predict, examples, batch_size=batch_size)


def read_scores(workdir: pathlib.Path) -> dict[str, Any]:
    """Returns the `metrics.json` of a finished run, with all that is printed of it.

    Raises:
        ConfigError: if it is missing, or damaged.
    """
    task = read_metrics(workdir)["task"]
    if task not in TASKS:
        raise ConfigError(
            f"{locate_metrics(workdir)}: expected a task, found {task!r}; known are "
            f"{', '.join(TASKS)}. Remove {workdir / 'eval'}; the same command scores "
            "the run again."
        )
    shown = TASKS[task].shown
    scores = dict.fromkeys(shown.entries, dict.fromkeys(shown.scores, Maybe(float)))
    return read_metrics(
        workdir, _PRINTED | ({shown.section: scores} if shown.section else scores)
    )


def print_results(metrics: dict[str, Any], workdir: pathlib.Path) -> None:
    """Prints the scores and where everything is."""
    data = metrics["data"]
    kind = "SYNTHETIC" if data["synthetic"] else "real"
    if not data.get("leaking"):
        kind = f"held-out {kind}"
    print(
        f"{metrics['model']} on {metrics['n_images']} images of "
        f"{metrics['n_patients']} {kind} patients ({data['name']}, {data['split']}):"
    )
    if data.get("leaking"):
        print(_LEAK_WARNING)
    row = TASKS[metrics["task"]]
    found = metrics[row.shown.section] if row.shown.section else metrics
    for title in row.shown.entries:
        scores = found[title]
        print(
            f"  {title:10}"
            + "  ".join(
                f"{name} {scores[key]:.4f}"
                for key, name in row.shown.scores.items()
                if scores[key] is not None
            )
        )
    if "detection" in metrics:
        print(f"  {_describe_detection(metrics['detection'])}")
    if "images" in metrics:
        said = metrics["images"]["by_view"]["all"]
        auc = "undefined" if said["auc"] is None else f"{said['auc']:.4f}"
        print(f"  labels     AUC {auc} of {said['n']} images")
    if "lesion" in metrics:  # not of a classifier, nor of a run by an older version
        print(f"  {_describe_lesions(metrics['lesion'])}")
    asked = (
        f"{row.product} in new scans: python -m spectjax.predict "
        f"--workdir={workdir} --output_dir=OUT PATH..."
        if row.reads_views
        else ""
    )
    curves = (
        f"Curves: {workdir}/train.csv; tensorboard --logdir={workdir}/tensorboard\n"
        if (workdir / "train.csv").exists()
        else ""
    )
    print(
        f"Scores: {workdir}/eval/metrics.json, cases.csv, table.md, figures/\n"
        f"{curves}{asked}"
    )


def _describe_detection(scores: dict[str, Any]) -> str:
    """Returns in one line the average precision of masks and boxes."""
    if scores["mask"]["AP50"] is None:
        return "detection  no lesion to detect"
    kinds = (
        f"{kind} AP50 {scores[kind]['AP50']:.4f}, AP10–50 {scores[kind]['AP10_50']:.4f}"
        for kind in ("mask", "box")
    )
    return f"detection  {'; '.join(kinds)}"


def _describe_lesions(scores: dict[str, Any]) -> str:
    """Returns in one line what was found lesion by lesion, and what falsely."""
    at_one = scores["sensitivity_at"]["1"]
    best = "" if at_one is None else f"; at 1 false region per image {at_one:.4f} found"
    return (
        f"lesions    {scores['found']} of {scores['n']} found, "
        f"{scores['false_per_image']:.2f} false regions per image{best}"
    )
