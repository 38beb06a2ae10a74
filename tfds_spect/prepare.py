"""Prepares a data set once, reuses it afterwards, and says what is in it."""

import contextlib
import io
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core.utils import tqdm_utils

from spectjax.system.files import WriteError
from spectjax.system.locks import hold
from spectjax.system.paths import read_path
from spectjax.system.workers import WorkerError
from tfds_spect.beam import explain_server, parse_options
from tfds_spect.content import Content
from tfds_spect.errors import NotPreparedError, PrepareError
from tfds_spect.listing import fingerprint_folder
from tfds_spect.names import PHANTOM
from tfds_spect.opening import check_files, open_data_set, read_content
from tfds_spect.prepared import Prepared, read_prepared
from tfds_spect.tfds_spect_dataset_builder import Builder


def prepare(
    config_name: str,
    *,
    data_dir: str | os.PathLike[str] | None,
    manual_dir: str | os.PathLike[str] | None,
    beam: str | None = None,
    processes: int | None = None,
    flag: str = "--data_dir",
) -> Prepared:
    """Prepares a data set, or finds it prepared.

    Where several processes do the work, a script that calls this stands behind
    `if __name__ == "__main__":`, for each of them imports it.

    Args:
        config_name: name of a builder config. Without `manual_dir` its variant of
            simulated patients is meant: `segmentation` is `segmentation_phantom` then.
        data_dir: folder for data sets; None is TFDS's own default.
        manual_dir: a hospital's folder: DICOM and LabelMe files, or pictures that its
            images.csv lists.
        beam: arguments for Apache Beam, which then shares the work out.
        processes: how many processes share the work otherwise; None: one for each core
            if there is much to do. The result is the same.
        flag: what names `data_dir` to the user.

    Raises:
        PrepareError: if the config is unknown, Beam is asked for but not installed,
            the folder has too little that is usable or one image under two patients,
            the prepared data come from another folder or from another state of this
            one, are damaged or incomplete, or the disk is full or read-only. Nothing
            half-written is taken for a data set by a later call.
    """
    if processes is not None and processes < 1:
        raise PrepareError(f"Expected processes >= 1, got {processes}.")
    name = choose_config(config_name, manual_dir)
    root = read_path(data_dir or tfds.core.constants.DATA_DIR, flag)
    source = None if manual_dir is None else read_path(manual_dir, "--manual_dir")

    with quiet_tfds(), explain_errors(root, flag):
        if source is not None:
            check_folder(source, root, flag=flag)
        folder = locate(name, root)
        reused = folder.exists()
        if not reused:
            with hold(root, wait=True):
                reused = folder.exists()  # who was waited for may have built it
                if not reused:
                    build(Builder(config=name, data_dir=root), source, beam, processes)
        content = check_prepared(folder)
        builder = Builder(config=name, data_dir=root)
        check_source(builder, source, flag)
        return read_prepared(builder, reused=reused, fingerprint=content.fingerprint)


def locate(config_name: str, root: pathlib.Path) -> pathlib.Path:
    """Returns where the data set of a config is, or would be."""
    return root / Builder.name / config_name / str(Builder.VERSION)


def find_prepared(
    config_name: str, *, data_dir: str | os.PathLike[str] | None
) -> pathlib.Path:
    """Returns the folder of a data set that is prepared; prepares none.

    Its name is as the config of a run has it. Arguments as of `prepare`.

    Raises:
        PrepareError: if the config is unknown.
        NotPreparedError: if the data set is not there.
    """
    if config_name not in Builder.builder_configs:
        raise PrepareError(f"Expected a data set config, got {config_name!r}.")
    root = read_path(data_dir or tfds.core.constants.DATA_DIR, "--data_dir")
    found = locate(config_name, root)
    if not found.exists():
        raise NotPreparedError(
            f"{found}: expected the run's data set, found none. Name its folder with "
            "--data_dir, or prepare it as for the run."
        )
    return found


def choose_config(config_name: str, manual_dir: str | os.PathLike[str] | None) -> str:
    """Returns the name of the config for a hospital's folder, or for none.

    Raises:
        PrepareError: if there is no such config.
    """
    name = config_name
    if manual_dir is None and not name.endswith(PHANTOM):
        name += PHANTOM
    known = Builder.builder_configs
    if name not in known:
        raise PrepareError(
            f"Expected one of the data set configs {', '.join(known)}, got {name!r}."
        )
    if manual_dir is not None and name.endswith(PHANTOM):
        raise PrepareError(
            f"Config {name!r} is of simulated patients, but {manual_dir} was given as "
            "manual_dir. Leave out one of the two."
        )
    return name


def check_folder(
    source: pathlib.Path, root: pathlib.Path, *, flag: str = "--data_dir"
) -> None:
    """Checks that a hospital's folder can be one.

    What is written goes to `root`, which `flag` names.

    Raises:
        PrepareError: if it is missing or empty, or holds the data sets as well.
    """
    if not source.is_dir() or not any(source.iterdir()):
        raise PrepareError(
            f"{source}: expected a folder with images and annotations, found "
            f"{'an empty one' if source.is_dir() else 'none'}. Check the path."
        )
    if root.resolve().is_relative_to(source.resolve()):
        raise PrepareError(
            f"{root}: expected {flag} outside of manual_dir, found it inside of "
            f"{source}. Choose another {flag}."
        )


def build(
    builder: Builder,
    source: pathlib.Path | None,
    beam: str | None = None,
    processes: int | None = None,
) -> None:
    """Builds a data set, unless another process has done so in the meantime.

    TFDS writes to a folder `incomplete.*` and renames it at the end.
    """
    # A killed process leaves its folder behind; under our lock nobody writes to one.
    for unfinished in builder.data_path.parents[1].glob("*/incomplete.*"):
        shutil.rmtree(unfinished)
    builder.processes = processes
    options = None
    if beam is not None:
        options = parse_options(beam)
        builder.with_beam = True
    config = tfds.download.DownloadConfig(
        manual_dir=source, try_download_gcs=False, beam_options=options
    )
    with tempfile.TemporaryDirectory() as downloads, explain_server(beam or ""):
        builder.download_and_prepare(download_dir=downloads, download_config=config)


def check_prepared(folder: pathlib.Path) -> Content:
    """Checks that a data set is ours, whole and undamaged, and returns its content.

    Raises:
        PrepareError: if it is not.
    """
    if not (folder / "metadata.json").exists():
        raise PrepareError(
            f"{folder}: expected a complete data set, found something else. Remove "
            "this folder and run the same command again."
        )
    opened = open_data_set(folder, sheets=True)
    check_files(opened, opened.info.splits)
    return read_content(opened)


def check_source(builder: Builder, source: pathlib.Path | None, flag: str) -> None:
    """Checks that a data set is of a hospital's folder as it is now.

    Another place for it is given with `flag`. Simulated patients need no such check:
    the config names them.

    Raises:
        PrepareError: if it is not.
    """
    found = builder.info.metadata["fingerprint"]
    bones = builder.builder_config.sheets
    if source is None or found == fingerprint_folder(source, bones=bones):
        return
    path, name = builder.local_path("source.txt"), "another folder"
    if path.exists():
        name = repr(path.read_text(errors="replace"))
    raise PrepareError(
        f"{builder.data_path} was prepared from {name}, not from {source} as it is "
        "now: images, annotations, tables or the pseudonym key differ, or an older "
        f"version of spectjax prepared it, by other rules. Give another {flag}, or "
        f"remove {builder.data_path} to prepare it anew."
    )


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Silences TFDS's bars and messages: ours say the same in fewer lines."""
    bars, verbosity = tqdm_utils._active, logging.get_verbosity()
    tqdm_utils.display_progress_bar(False)
    logging.set_verbosity(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tqdm_utils.display_progress_bar(bars)
        logging.set_verbosity(verbosity)


@contextlib.contextmanager
def explain_errors(folder: pathlib.Path, flag: str = "--data_dir") -> Iterator[None]:
    """Turns what the system refuses into one line with a remedy."""
    try:
        yield
    except (WriteError, WorkerError) as error:
        raise PrepareError(str(error)) from error
    except OSError as error:
        # TFDS puts its own words around an error; the first one says what happened.
        first = error
        while isinstance(first.__cause__, OSError):
            first = first.__cause__
        raise PrepareError(
            f"{first.filename or folder}: {first.strerror or first}. The data set was "
            f"not prepared. Make room, or choose another {flag}, and run the same "
            "command again."
        ) from error
