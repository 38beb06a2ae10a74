"""Trains a model and scores it on held-out patients. Research software.

    python -m spectjax.main --config=configs/unet_res.py:quick --workdir=RUN

A hospital's folder of DICOM and LabelMe files is named with --manual_dir; without it,
simulated patients are made. Any value of the config can be changed, as in
--config.optimizer.learning_rate=0.01. The same command again resumes a stopped run,
also on another number of devices. All devices of this machine take part; on several
machines, start the same command on each with --coordinator, --num_processes and
--process_id, or all of them with srun.
"""

import contextlib
import itertools
import math
import os
import pathlib
import re
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from spectjax.config import (
    ConfigError,
    Faults,
    check_config,
    describe_differences,
    load_config,
)
from spectjax.config.rules import find_faults
from spectjax.evaluation.metrics_file import locate_metrics, read_metrics
from spectjax.system.commands import (
    define_path,
    explain_flags,
    refuse_arguments,
    run_command,
)
from spectjax.system.locks import hold
from spectjax.system.messages import UserError
from spectjax.system.paths import read_path
from spectjax.system.schema import Maybe
from spectjax.tasks import TASKS
from spectjax.training.run_data import check_finished, settle_fingerprint
from tfds_spect.names import PHANTOM, choose_splits

STOPPED = "Stopped. The same command goes on from the last checkpoint."
LEAK_WARNING = """\
  LEAKING: images of these patients were trained on as well, as in the papers.
  The scores say little about new patients; a data set of folds holds patients out."""
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
# Bytes of examples to keep on the devices; None: what they have room for.
ROOM = {"auto": None, "resident": math.inf, "stream": 0.0}


def main(argv: list[str]) -> None:
    """Trains and scores what the flags name."""
    logging.set_verbosity(logging.WARNING)  # orbax tells of every step it takes
    values = flags.FLAGS
    config_path = config_flags.get_config_filename(values["config"])
    workdir = values.workdir or name_workdir(config_path)
    refuse_arguments(argv)
    check_config(values.config)
    # Here, so that --help need not wait for jax.
    from spectjax.system.jax_setup import find_devices, load_jax

    load_jax()
    from spectjax.training.parallel import is_first_process, start_processes

    joined = (values.coordinator, values.num_processes, values.process_id)
    # Before the processes meet: whoever is refused leaves nobody waiting half-way.
    with (
        hold_run(workdir, first=_is_first(values.process_id)),
        start_processes(*joined, values.process_timeout),
    ):
        find_devices()
        metrics = train_and_evaluate(
            values.config,
            workdir,
            data_dir=values.data_dir,
            manual_dir=values.manual_dir,
        )
    if is_first_process():
        print_results(metrics, workdir)


@contextlib.contextmanager
def hold_run(workdir: pathlib.Path, *, first: bool = True) -> Iterator[None]:
    """Keeps other trainings out of `workdir` unless it is finished.

    Args:
        workdir: folder of the run.
        first: whether this is the first process of the run, which alone holds it.

    Raises:
        LockedError: if another training runs there.
        WriteError: if nothing can be written there.
    """
    finished = (workdir / "eval" / "metrics.json").exists()
    with hold(workdir) if first and not finished else nullcontext():
        yield


def _is_first(process_id: int | None) -> bool:
    """Returns whether this is the first process of a run, or the only one."""
    if process_id is None and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return os.environ.get("SLURM_PROCID", "0") == "0"
    return not process_id


def train_and_evaluate(
    config: ConfigDict,
    workdir: pathlib.Path,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
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
    import jax

    from spectjax import input_pipeline
    from spectjax.training.feed import count_room
    from spectjax.training.loop import skip_training, train
    from spectjax.training.parallel import (
        check_batch_size,
        is_first_process,
        wait_for_all,
    )
    from tfds_spect.prepare import choose_config, prepare

    config = config.copy_and_resolve_references()
    check_config(config)
    config.data.name = choose_config(config.data.name, manual_dir)
    check_workdir(config, workdir)
    wait_for_all("started")
    if locate_metrics(workdir).exists():
        if is_first_process():
            check_finished([workdir], data_dir, manual_dir)
            print(f"{workdir}: this run is finished.", flush=True)
        return read_scores(workdir)

    splits = choose_splits(
        config.data.name,
        config.data.fold,
        config.data.validation_fold,
        copies=config.data.augmentation == "copies",
    )
    if config.num_epochs:
        check_batch_size(config.data.batch_size, jax.device_count())
        check_pretrained(config, workdir)
    if not is_first_process():
        wait_for_all("prepared")
    prepared = prepare(config.data.name, data_dir=data_dir, manual_dir=manual_dir)
    if is_first_process():
        wait_for_all("prepared")
    builder_dir = prepared.builder_dir
    config.data.fingerprint = settle_fingerprint(
        config.data.fingerprint, workdir, prepared.fingerprint, builder_dir
    )

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
    from spectjax.evaluate import evaluate_run

    metrics = evaluate_run(config, workdir, builder_dir, splits)
    wait_for_all("evaluated")
    return metrics


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


def check_workdir(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Checks that `workdir` is free or holds a run of this very config.

    Raises:
        ConfigError: naming the keys that differ.
    """
    path = workdir / "config.json"
    if not path.exists():
        return
    found = load_config(path)
    if config.data.name == found.data.name + PHANTOM:
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


def check_pretrained(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Checks that there are weights to begin with, unless a run has begun.

    Raises:
        ConfigError: if their file is not there.
    """
    path = config.pretrained
    if path is None or (workdir / "checkpoints").is_dir():
        return
    if not pathlib.Path(path).is_file():
        raise ConfigError(
            f"--config.pretrained={path!r}: expected a file of weights, found none. "
            "Check the path."
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
        f"{curves}{row.product} in new scans: python -m spectjax.predict "
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
    """Parses the command line.

    Raises:
        UserError: naming all that is wrong with it.
    """
    argv, faults = _expand_config(argv), Faults()
    rest: list[str] = []
    with faults.collect():
        rest = _parse(flags.FLAGS, argv)
    if not faults:
        return rest
    # absl ends with the first fault: here each change of the config is tried alone.
    config, changes = _split_changes(argv)
    if config[1:]:
        good = [*config]
        for change in changes:
            with faults.collect():
                _load_config([*config, *change])
                good += change
        with faults.collect():
            for fault in find_faults(_load_config(good).to_dict()):
                faults.add(fault)
    faults.refuse()
    return rest


def _parse(values: flags.FlagValues, argv: list[str]) -> list[str]:
    """Returns what is left of a command line besides flags.

    Raises:
        UserError: naming the first that is wrong with it.
    """
    try:
        rest = values(argv)
        values.config.task  # noqa: B018 - a missing file shows at first use
    except (AttributeError, KeyError) as error:
        text = " ".join(str(error.args[0]).split()).strip('"')
        raise UserError(f"--config has no key {text}") from None
    except (flags.Error, OSError) as error:
        raise explain_flags(error) from None
    return rest


def _load_config(argv: list[str]) -> ConfigDict:
    """Returns the config of a command line that has no other flags."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    _parse(values, argv)
    return values.config


def _split_changes(argv: list[str]) -> tuple[list[str], list[list[str]]]:
    """Returns the program with its --config, and each change of it, flag and value."""
    found: list[list[str]] = [argv[:1]]
    for argument in argv[1:]:
        if argument.startswith("-"):
            found.append([argument])
        elif "=" not in found[-1][0]:
            found[-1].append(argument)
    config = [x for x in found if re.match("--?config(=|$)", x[0])]
    changes = [x for x in found if re.match("--?(no)?config[.]", x[0])]
    return [*argv[:1], *itertools.chain(*config)], changes


def _expand_config(argv: list[str]) -> list[str]:
    """Returns the command line with the home folder for the `~` of `--config=~/FILE`.

    Raises:
        PathError: if the file can be none.
    """
    expanded = list(argv)
    for place, argument in enumerate(argv):
        flag, equals, file = argument.partition("=")
        if argv[place - 1] in ("-config", "--config"):
            flag, equals, file = "", "", argument
        elif flag not in ("-config", "--config"):
            continue
        path = read_path(file, "--config")
        if file.startswith("~"):
            expanded[place] = f"{flag}{equals}{path}"
    return expanded


class _OrNone(flags.ArgumentParser):
    """Parses None, and what another parser does; which keys may be None comes later."""

    def __init__(self, parser: flags.ArgumentParser) -> None:
        self._parser = parser
        self.syntactic_help = parser.syntactic_help

    def parse(self, argument: Any) -> Any:
        return None if argument == "None" else self._parser.parse(argument)

    def flag_type(self) -> str:
        return self._parser.flag_type()


def define_flags() -> None:
    """Defines the flags; only the command does, since flags are global to a process."""
    # As --config.data.validation_fold=None.
    for kind, parser in ((int, flags.IntegerParser()), (str, flags.ArgumentParser())):
        config_flags.register_flag_parser_for_type(kind, _OrNone(parser))
    config_flags.DEFINE_config_file(
        "config",
        help_string="Config file, with an argument after a colon: FILE.py:quick.",
    )
    define_path(
        "workdir", "Folder of the run. Default: runs/<config>, e.g. runs/unet_res."
    )
    define_path("data_dir", "Folder of data sets. Default: TFDS's own.")
    define_path(
        "manual_dir", "Folder with DICOM and LabelMe files. Default: simulated."
    )
    flags.DEFINE_string(
        "coordinator",
        None,
        "HOST:PORT of process 0, if several processes share a run. SLURM's srun tells.",
    )
    flags.DEFINE_integer("num_processes", None, "How many processes share the run.")
    flags.DEFINE_integer("process_id", None, "Number of this process, from 0.")
    flags.DEFINE_float(
        "process_timeout",
        300.0,
        "Seconds after which a process that is missing, at the start or later, ends "
        "the others.",
    )
    flags.mark_flag_as_required("config")


if __name__ == "__main__":
    define_flags()
    run_command(main, parse=parse_flags, stopped=STOPPED)
