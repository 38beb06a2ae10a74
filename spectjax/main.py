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
    check_config,
    describe_differences,
    load_config,
    save_config,
)
from spectjax.config.command_line import define_config, parse_flags
from spectjax.system.commands import (
    define_data_dirs,
    define_path,
    refuse_arguments,
    run_command,
)
from spectjax.system.locks import hold
from spectjax.training.run_data import (
    check_finished,
    locate_metrics,
    settle_fingerprint,
)
from tfds_spect.names import PHANTOM, choose_splits

STOPPED = "Stopped. The same command goes on from the last checkpoint."
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
    from spectjax.inference.scoring import print_results
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
        WeightsError: if the weights to begin with cannot be used.
        FloatingPointError: if the loss is not finite any more.
        Stopped: if a signal asked training to stop.
        OSError: if a file cannot be written.
    """
    # Here, so that --help need not wait for jax and TFDS.
    import jax

    from spectjax import input_pipeline
    from spectjax.inference.scoring import evaluate_run, read_scores
    from spectjax.inference.start import find_start
    from spectjax.training.feed import count_room
    from spectjax.training.loop import train
    from spectjax.training.parallel import (
        check_batch_size,
        is_first_process,
        wait_for_all,
    )
    from spectjax.training.sessions import note_session
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
    start = None
    if config.num_epochs:
        check_batch_size(config.data.batch_size, jax.device_count())
        start = find_start(config, workdir)
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
            start=start,
        )
    elif is_first_process():
        save_config(config, workdir / "config.json")
        note_session(workdir, epochs_done=0)
    if not is_first_process():
        wait_for_all("evaluated")
        return read_scores(workdir)
    metrics = evaluate_run(config, workdir, builder_dir, splits)
    wait_for_all("evaluated")
    return metrics


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


def name_workdir(config_path: str) -> pathlib.Path:
    """Returns where `--config=config_path` runs by default.

    `configs/unet_res.py:quick,fold=3` runs in `runs/unet_res_quick_fold3`.
    """
    path, _, arg = config_path.partition(":")
    words = [pathlib.Path(path).stem, *re.findall(r"\w+", arg.replace("=", ""))]
    return pathlib.Path("runs") / "_".join(words)


if __name__ == "__main__":  # flags are global to a process
    define_config()
    define_path(
        "workdir", "Folder of the run. Default: runs/<config>, e.g. runs/unet_res."
    )
    define_data_dirs()
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
    run_command(main, parse=parse_flags, stopped=STOPPED)
