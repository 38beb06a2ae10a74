r"""Cross-validates models over patients: every fold is held out once.

    python -m spectjax.cross_validate --arg=quick --output_dir=OUT \
        configs/unet.py configs/unet_res.py configs/kmeans.py
    python -m spectjax.cross_validate --arg=d3,quick --output_dir=OUT configs/specs_*.py
    python -m spectjax.cross_validate --output_dir=OUT FILE.py:ARG FILE.py:ARG ...

Trains each config on each fold as `python -m spectjax.main` would, in
OUT/<config>_fold<k>; runs that are finished are only read, others go on where they
stopped. Then OUT receives `table.md` (all models beside the papers' figures),
`metrics.json` and `figures/`. The models of one call mark hotspots (U-Nets, K-means and
Mask R-CNNs in one table) or classify, all of them, and on one data set. With --folds,
or in several processes with some configs each, part of the work is done; a last call
with all configs then makes the table. --set=KEY=VALUE changes a key of every config
that has it, as in --set=data.name=segmentation_mixed. Research software, not a medical
device.
"""

import ast
import importlib.util
import os
import pathlib
from collections.abc import Sequence

from absl import flags, logging
from ml_collections import ConfigDict

from spectjax.config import ConfigError, Faults, load_config
from spectjax.config.rules import find_faults
from spectjax.main import STOPPED
from spectjax.system.commands import define_data_dirs, define_path, run_command
from spectjax.system.locks import hold
from spectjax.system.paths import read_path
from spectjax.tasks import TASKS
from tfds_spect.names import FOLDS, LEAKING


def main(argv: list[str]) -> None:
    """Trains what is not trained yet and, when all is, writes the table."""
    logging.set_verbosity(logging.WARNING)  # orbax tells of every step it takes
    values, faults = flags.FLAGS, Faults()
    configs = load_configs(argv[1:], faults, arg=values.arg)
    override(configs, values.set, faults)
    folds = parse_folds(values.folds, faults)
    judge(configs, folds or FOLDS, faults)
    faults.refuse()
    # Here, so that --help need not wait for jax.
    from spectjax.system.jax_setup import start_jax

    start_jax()
    missing = cross_validate(
        configs,
        values.output_dir,
        folds=folds,
        data_dir=values.data_dir,
        manual_dir=values.manual_dir,
    )
    if missing:
        print(f"No table yet. Not finished: {', '.join(missing)}.")


def cross_validate(
    configs: dict[str, ConfigDict],
    output_dir: pathlib.Path,
    *,
    folds: Sequence[int] = FOLDS,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
) -> list[str]:
    """Trains what is not trained yet and, when all is, writes the table.

    Args:
        configs: by name, of tasks that stand in one table; each is trained once for
            each fold.
        output_dir: folder of the runs and of the table.
        folds: those to hold out in this call.
        data_dir: where data sets live, None for TFDS's own default.
        manual_dir: folder with DICOM and LabelMe files, None for the phantom.

    Returns:
        The folders of the runs that are not finished; where there is one, no table was
        written.

    Raises:
        ConfigError: if a config is not of a data set of folds, if the configs name
            tasks of several tables or several data sets, or if a folder holds another
            run.
        LockedError: if another process trains in one of the folders.
        OtherDataError: if a run is on other data than those that are named now, or
            than the others.
        UserError, OSError, FloatingPointError, Stopped: as `train_and_evaluate`.
    """
    # Here, so that --help need not wait for jax.
    from spectjax.main import check_workdir, hold_run, train_and_evaluate
    from spectjax.training.run import describe_network
    from spectjax.training.run_data import locate_metrics
    from tfds_spect.prepare import choose_config

    faults = Faults()
    judge(configs, folds, faults)
    faults.refuse()
    finished, due, missing = [], [], []
    for name, given in configs.items():
        for fold in FOLDS:
            config = given.copy_and_resolve_references()
            config.data.name = choose_config(config.data.name, manual_dir)
            config.data.fold = fold
            workdir = output_dir / f"{name}_fold{fold}"
            check_workdir(config, workdir)
            if locate_metrics(workdir).exists():
                finished.append(workdir)
            elif fold in folds:
                due.append((config, workdir))
            else:
                missing.append(workdir.name)
    check_runs(finished, due, data_dir=data_dir, manual_dir=manual_dir)
    for config, workdir in due:
        print(f"{workdir}: fold {config.data.fold} is held out.", flush=True)
        with hold_run(workdir):
            train_and_evaluate(
                config, workdir, data_dir=data_dir, manual_dir=manual_dir
            )
    if missing:
        return missing
    row = TASKS[next(iter(configs.values())).task]
    with hold(output_dir):
        metrics = row.compare()(
            {
                name: [output_dir / f"{name}_fold{fold}" for fold in FOLDS]
                for name in configs
            },
            {
                name: describe_network(
                    load_config(output_dir / f"{name}_fold0/config.json")
                )
                for name in configs
            },
            output_dir,
        )
    for name, model in metrics["models"].items():
        print(f"{name:12} {row.summarise()(model)}")
    kind = "SYNTHETIC patients" if metrics["data"]["synthetic"] else "Patients"
    print(f"{kind}, each held out once: {output_dir}/table.md, metrics.json, figures/")
    return []


def check_runs(
    finished: Sequence[pathlib.Path],
    due: Sequence[tuple[ConfigDict, pathlib.Path]],
    *,
    data_dir: str | os.PathLike[str] | None,
    manual_dir: str | os.PathLike[str] | None,
) -> None:
    """Checks that all runs of a table are on one data set, before any is trained.

    Args:
        finished: folders of runs that are finished.
        due: configs and folders of those that are to be trained now.
        data_dir: as of `cross_validate`.
        manual_dir: as of `cross_validate`.

    Raises:
        OtherDataError: naming the runs that are on other data.
        PrepareError: if the data cannot be prepared.
    """
    from spectjax.training.run_data import check_data, check_finished
    from tfds_spect.prepare import prepare

    if due:
        name = due[0][0].data.name
        prepared = prepare(name, data_dir=data_dir, manual_dir=manual_dir)
        begun = [workdir for _, workdir in due]
        check_data([*finished, *begun], prepared.fingerprint, prepared.builder_dir)
    elif finished:
        check_finished(finished, data_dir, manual_dir)


def judge(configs: dict[str, ConfigDict], folds: Sequence[int], faults: Faults) -> None:
    """Judges all values of all configs with each fold held out, and their table.

    It is of tasks that stand in one, on one data set of folds.
    """
    if not configs:
        faults.add("Expected config files after the flags, found none")
        return
    first, *_ = configs
    for name, given in configs.items():
        config = given.copy_and_resolve_references()
        for fold in folds:
            config.data.fold = fold
            for fault in find_faults(config.to_dict()):
                faults.add(fault, name)
        if config.task in TASKS and configs[first].task in TASKS:
            compare, wanted = (TASKS[x.task].compare for x in (config, configs[first]))
            if compare != wanted:
                faults.add(
                    f"expected the task {configs[first].task} as for {first}, found "
                    f"{config.task}; one table is of one kind of task",
                    name,
                )
        if LEAKING in config.data.name:
            faults.add(
                f"{config.data.name} is split at random and has no folds of patients; "
                "choose a data set without that word",
                name,
            )
        if config.data.name != configs[first].data.name:
            faults.add(
                f"expected {configs[first].data.name} as for {first}, found "
                f"{config.data.name}; one table is of one data set",
                name,
            )


def load_configs(
    names: Sequence[str], faults: Faults, *, arg: str | None
) -> dict[str, ConfigDict]:
    """Returns configs by the names of their files.

    Args:
        names: files, each perhaps with an argument of its own after a colon.
        faults: gets a file that is missing, named twice or not a config, or whose
            argument is not understood.
        arg: argument for the files that have none.
    """
    configs: dict[str, ConfigDict] = {}
    for name in names:
        with faults.collect(name):
            typed, colon, own = str(read_path(name, "CONFIG")).partition(":")
            path = pathlib.Path(typed)
            if path.stem in configs:
                raise ConfigError(f"{path.stem} is named twice; its runs would collide")
            configs[path.stem] = _load_config_file(path, own if colon else arg)
    return configs


def _load_config_file(path: pathlib.Path, arg: str | None) -> ConfigDict:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ConfigError("not found; expected a config file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ConfigError("expected a config file, found no get_config")
    config: ConfigDict = module.get_config(arg)
    return config.lock()


def override(
    configs: dict[str, ConfigDict], texts: Sequence[str], faults: Faults
) -> None:
    """Changes keys of all configs that have them.

    What trains nothing, such as K-means, goes on training nothing: `num_epochs` changes
    where it is not 0.

    Args:
        configs: by name; they are changed.
        texts: KEY=VALUE each, as in `data.batch_size=4`.
        faults: gets a key that no config has, or a value that is not of its type.
    """
    for text in texts:
        key, _, value = text.partition("=")
        *sections, name = key.split(".")
        changed = False
        for config in configs.values():
            section = _find_section(config, sections)
            if section is None or name not in section:
                continue
            changed = True
            if key != "num_epochs" or config.num_epochs:
                with faults.collect():
                    _set_value(section, name, value, text)
        if not changed:
            faults.add(f"--set={text}: no config has a key {key!r}")


def _find_section(config: ConfigDict, names: Sequence[str]) -> ConfigDict | None:
    """Returns the section of these names, one inside another, or None."""
    for name in names:
        if name not in config or not isinstance(config[name], ConfigDict):
            return None
        config = config[name]
    return config


def _set_value(section: ConfigDict, name: str, text: str, given: str) -> None:
    """Sets a key to what `text` stands for: Python's literals, else words."""
    is_text = isinstance(section[name], str) and text != "None"
    try:
        value = text if is_text else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    try:
        section[name] = value
    except TypeError as error:
        raise ConfigError(
            f"--set={given}: expected a value such as {section[name]!r}, got {text!r}."
        ) from error


def parse_folds(texts: Sequence[str], faults: Faults) -> list[int]:
    """Returns the numbers of the folds; `faults` gets one that is none."""
    known = [text for text in texts if text in map(str, FOLDS)]
    if len(known) < len(texts):
        faults.add(f"--folds={','.join(texts)}: expected numbers from 0 to {FOLDS[-1]}")
    return sorted(map(int, set(known)))


if __name__ == "__main__":  # flags are global to a process
    define_path("output_dir", "Folder of runs and table.", required=True)
    flags.DEFINE_string(
        "arg", None, "Argument of the config files that have none after a colon."
    )
    flags.DEFINE_multi_string(
        "set", [], "KEY=VALUE of the configs that have this key; may be repeated."
    )
    flags.DEFINE_list(
        "folds", [str(fold) for fold in FOLDS], "Folds to hold out in this call."
    )
    define_data_dirs()
    run_command(main, stopped=STOPPED)
