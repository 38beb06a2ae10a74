"""Trains a model and scores it on held-out patients. Research software.

    python -m spectjax.main --config=configs/unet_res.py:quick --workdir=RUN

A hospital's folder of DICOM and LabelMe files is named with --manual_dir; without it,
simulated patients are made. Any value of the config can be changed, as in
--config.optimizer.learning_rate=0.01. The same command again resumes a stopped run,
also on another number of devices. All devices of this machine take part; on several
machines, start the same command on each with --coordinator, --num_processes and
--process_id, or all of them with srun.
"""

import math
import pathlib
import re
import sys
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from spectjax.config import (
    HOTSPOT_TASKS,
    ConfigError,
    check_name,
    describe_differences,
    load_config,
)
from spectjax.run_data import (
    check_finished,
    locate_metrics,
    read_metrics,
    settle_fingerprint,
)
from spectjax.schema import Maybe

LEAK_WARNING = """\
  LEAKING: images of these patients were trained on as well, as in the papers.
  The scores say little about new patients; a data set of folds holds patients out."""
# How the names of a task's data sets begin.
DATA_SETS = dict.fromkeys(HOTSPOT_TASKS, "segmentation") | {
    "classification": "classification"
}
_SHOWN_PIXELS = (
    "pixel",
    ("pooled", "per_image"),
    {name: name for name in ("PA", "CPA", "Rec", "IoU", "Dice")},
)
# What is printed: where in `metrics.json`, which of its entries, and which scores.
SHOWN = {
    **dict.fromkeys(HOTSPOT_TASKS, _SHOWN_PIXELS),
    "classification": (
        None,
        ("image", "patient"),
        {
            "accuracy": "Acc",
            "precision": "Prec",
            "recall": "Rec",
            "specificity": "Spe",
            "f1": "F-1",
            "auc": "AUC",
        },
    ),
}
# What else is printed, for all tasks.
_PRECISION = {"AP50": Maybe(float), "AP10_50": Maybe(float)}
_PRINTED: dict[str, Any] = {
    "n_images": int,
    "n_patients": int,
    "detection": Maybe({"mask": _PRECISION, "box": _PRECISION}),
    "lesion": Maybe(
        {
            "n": int,
            "found": int,
            "false_per_image": float,
            "sensitivity_at": {"1": Maybe(float)},
        }
    ),
}
PRODUCTS = dict.fromkeys(HOTSPOT_TASKS, "Hotspots") | {"classification": "Metastasis"}
# Bytes of examples to keep on the devices; None: what they have room for.
ROOM = {"auto": None, "resident": math.inf, "stream": 0.0}


def main(argv: list[str]) -> None:
    """Runs the command; errors become one line and exit status 1."""
    logging.set_verbosity(logging.WARNING)  # orbax tells of every step it takes
    values = flags.FLAGS
    config_path = config_flags.get_config_filename(values["config"])
    workdir = pathlib.Path(values.workdir or name_workdir(config_path))
    try:
        if argv[1:]:
            raise ConfigError(f"Unexpected argument {argv[1]!r}; see --help.")
        # Here, so that --help need not wait for jax.
        from spectjax.parallel import is_first_process, start_processes
        from spectjax.startup import enable_compilation_cache
        from spectjax.train import Stopped

        start_processes(values.coordinator, values.num_processes, values.process_id)
        enable_compilation_cache()
        try:
            metrics = train_and_evaluate(
                values.config,
                workdir,
                data_dir=values.data_dir,
                manual_dir=values.manual_dir,
            )
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            sys.exit(128 + stopped.signal)  # as shells tell of a signal
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on from the last checkpoint.")
    if is_first_process():
        print_results(metrics, workdir)


def train_and_evaluate(
    config: ConfigDict,
    workdir: pathlib.Path,
    data_dir: str | None = None,
    manual_dir: str | None = None,
) -> dict[str, Any]:
    """Prepares the data, trains on all folds but one, and scores that one.

    The state after the last epoch is scored: nothing is selected on the held-out fold.
    With `config.num_epochs` 0, for a model without parameters, nothing is trained.
    A run that was stopped goes on; one that is finished is only reported, after a look
    whether its data are those that are named now.

    Args:
        config: what to do, see `spectjax.config.base_config`.
        workdir: folder of the run.
        data_dir: where data sets live, None for TFDS's own default.
        manual_dir: folder with DICOM and LabelMe files, None for the phantom.

    Returns:
        The content of `<workdir>/eval/metrics.json`.

    Raises:
        ConfigError: if a value cannot be used, or `workdir` holds another run.
        PrepareError: if the data cannot be prepared.
        OtherDataError: if the run was begun with other data.
        CheckpointError: if a checkpoint cannot be read or written.
        FloatingPointError: if the loss is not finite any more.
        Stopped: if a signal asked training to stop.
        OSError: if a file cannot be written.
    """
    # Here, so that --help need not wait for jax and TFDS.
    from spectjax import input_pipeline
    from spectjax.feed import count_room
    from spectjax.parallel import is_first_process, wait_for_all
    from spectjax.train import skip_training, train
    from tfds_spect.prepare import choose_config, prepare

    config = config.copy_and_resolve_references()
    config.data.name = choose_config(config.data.name, manual_dir)
    check_name("task", config.task, DATA_SETS)
    if not config.data.name.startswith(DATA_SETS[config.task]):
        raise ConfigError(
            f"--config.data.name={config.data.name!r}: task {config.task} needs a data "
            f"set of its own, one whose name begins with {DATA_SETS[config.task]}."
        )
    check_workdir(config, workdir)
    wait_for_all("started")
    if locate_metrics(workdir).exists():
        if is_first_process():
            check_finished([workdir], data_dir, manual_dir)
            print(f"{workdir}: this run is finished.", flush=True)
        return read_scores(workdir)

    if not is_first_process():
        wait_for_all("prepared")
    prepared = prepare(config.data.name, data_dir=data_dir, manual_dir=manual_dir)
    if is_first_process():
        wait_for_all("prepared")
    builder_dir = prepared.builder_dir
    config.data.fingerprint = settle_fingerprint(
        config.data.fingerprint, workdir, prepared.fingerprint, builder_dir
    )

    splits = input_pipeline.choose_splits(
        config.data.name,
        config.data.fold,
        config.data.validation_fold,
        copies=config.data.augmentation == "copies",
    )
    check_name("data.feed", config.data.feed, ROOM)
    room = ROOM[config.data.feed]
    if config.num_epochs:
        train(
            config,
            workdir,
            input_pipeline.open_examples(
                builder_dir,
                splits.train,
                max_bytes=count_room() if room is None else room,
            ),
            validation=None
            if splits.validation is None
            else input_pipeline.load_examples(builder_dir, splits.validation),
        )
    else:
        skip_training(config, workdir)
    if not is_first_process():
        wait_for_all("evaluated")
        return read_scores(workdir)
    # Here, since it loads what draws pictures, and training need not wait for that.
    from spectjax.evaluation.held_out import evaluate_run

    metrics = evaluate_run(config, workdir, builder_dir, splits)
    wait_for_all("evaluated")
    return metrics


def read_scores(workdir: pathlib.Path) -> dict[str, Any]:
    """Returns the `metrics.json` of a finished run, with all that is printed of it.

    Raises:
        ConfigError: if it is missing, or damaged.
    """
    task = read_metrics(workdir)["task"]
    check_name("task", task, SHOWN)
    section, titles, names = SHOWN[task]
    scores = dict.fromkeys(titles, dict.fromkeys(names, Maybe(float)))
    return read_metrics(workdir, _PRINTED | ({section: scores} if section else scores))


def check_workdir(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Checks that `workdir` is free or holds a run of this very config.

    Raises:
        ConfigError: naming the keys that differ.
    """
    path = workdir / "config.json"
    if not path.exists():
        return
    found = load_config(path)
    if config.data.name == f"{found.data.name}_phantom":
        raise ConfigError(
            f"{workdir} holds a run on a hospital's data, {found.data.name}, and no "
            "--manual_dir was given, which means simulated patients. Give the run's, "
            "or choose another --workdir."
        )
    differences = describe_differences(config, found)
    if differences:
        raise ConfigError(
            f"{workdir} holds a run with another config: {'; '.join(differences)}. "
            "Choose another --workdir, or remove this one."
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
        print(LEAK_WARNING)
    task = metrics["task"]
    section, titles, names = SHOWN[task]
    found = metrics[section] if section else metrics
    for title in titles:
        scores = found[title]
        print(
            f"  {title:10}"
            + "  ".join(
                f"{name} {scores[key]:.4f}"
                for key, name in names.items()
                if scores[key] is not None
            )
        )
    if "detection" in metrics:
        print(f"  {describe_detection(metrics['detection'])}")
    if "lesion" in metrics:  # not of a classifier, nor of a run by an older version
        print(f"  {describe_lesions(metrics['lesion'])}")
    curves = (
        f"Curves: {workdir}/train.csv; tensorboard --logdir={workdir}/tensorboard\n"
        if (workdir / "train.csv").exists()
        else ""
    )
    print(
        f"Scores: {workdir}/eval/metrics.json, cases.csv, table.md, figures/\n"
        f"{curves}{PRODUCTS[task]} in new scans: python -m spectjax.predict "
        f"--workdir={workdir} --output_dir=OUT PATH..."
    )


def describe_detection(scores: dict[str, Any]) -> str:
    """Returns in one line the average precision of masks and boxes."""
    if scores["mask"]["AP50"] is None:
        return "detection  no lesion to detect"
    kinds = (
        f"{kind} AP50 {scores[kind]['AP50']:.4f}, AP10–50 {scores[kind]['AP10_50']:.4f}"
        for kind in ("mask", "box")
    )
    return f"detection  {'; '.join(kinds)}"


def describe_lesions(scores: dict[str, Any]) -> str:
    """Returns in one line what was found lesion by lesion, and what falsely."""
    at_one = scores["sensitivity_at"]["1"]
    best = "" if at_one is None else f"; at 1 false region per image {at_one:.4f} found"
    return (
        f"lesions    {scores['found']} of {scores['n']} found, "
        f"{scores['false_per_image']:.2f} false regions per image{best}"
    )


def name_workdir(config_path: str) -> pathlib.Path:
    """Returns where `--config=config_path` runs by default.

    `configs/unet_res.py:quick,fold=3` runs in `runs/unet_res_quick_fold3`.
    """
    path, _, arg = config_path.partition(":")
    words = [pathlib.Path(path).stem, *re.findall(r"\w+", arg.replace("=", ""))]
    return pathlib.Path("runs") / "_".join(words)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; what is wrong with it becomes one line."""
    try:
        rest = flags.FLAGS(argv)
        flags.FLAGS.config.task  # noqa: B018 - a missing file shows at first use
    except (AttributeError, KeyError) as error:
        text = " ".join(str(error.args[0]).split()).strip('"')
        sys.exit(f"error: --config has no key {text}")
    except (flags.Error, OSError) as error:
        sys.exit(f"error: {_shorten(error)}")
    return rest


def _shorten(error: Exception) -> str:
    """Returns an error's last line: absl puts a config's whole traceback before it."""
    return (
        str(error)
        .strip()
        .splitlines()[-1]
        .removeprefix("spectjax.config.ConfigError: ")
    )


def define_flags() -> None:
    """Defines the flags; only the command does, since flags are global to a process."""
    config_flags.DEFINE_config_file(
        "config",
        help_string="Config file, with an argument after a colon: FILE.py:quick.",
    )
    flags.DEFINE_string(
        "workdir",
        None,
        "Folder of the run. Default: runs/<config>, e.g. runs/unet_res.",
    )
    flags.DEFINE_string("data_dir", None, "Folder of data sets. Default: TFDS's own.")
    flags.DEFINE_string(
        "manual_dir", None, "Folder with DICOM and LabelMe files. Default: simulated."
    )
    flags.DEFINE_string(
        "coordinator",
        None,
        "HOST:PORT of process 0, if several processes share a run. SLURM's srun tells.",
    )
    flags.DEFINE_integer("num_processes", None, "How many processes share the run.")
    flags.DEFINE_integer("process_id", None, "Number of this process, from 0.")
    flags.mark_flag_as_required("config")


if __name__ == "__main__":
    define_flags()
    app.run(main, flags_parser=parse_flags)
