"""Prepares a data set once, reuses it afterwards, and says what is in it."""

import contextlib
import io
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core.utils import tqdm_utils

from spectjax.files import WriteError
from tfds_spect.errors import PrepareError
from tfds_spect.source import Skip, fingerprint_folder, read_skips
from tfds_spect.tfds_spect_dataset_builder import Builder

PHANTOM_SUFFIX = "_phantom"
_FEW = 5  # skips that are shown; the file has all


@dataclass(frozen=True)
class FoldSize:
    """How much one fold holds."""

    patients: int
    images: int
    copies: int


@dataclass(frozen=True)
class Prepared:
    """A data set on disk.

    Attributes:
        builder_dir: folder for `tfds.builder_from_directory`.
        folds: size of each fold.
        synthetic: whether all patients are simulated.
        n_skipped: number of files and images that were left out.
        skipped: which, and why; empty if the data set was prepared elsewhere.
        skipped_path: file that lists them.
        reused: whether the data set was there already.
    """

    builder_dir: pathlib.Path
    folds: tuple[FoldSize, ...]
    synthetic: bool
    n_skipped: int
    skipped: tuple[Skip, ...]
    skipped_path: pathlib.Path
    reused: bool

    def summarise(self) -> str:
        """Returns what is where, in a few lines for people."""
        lines = ["fold  patients  images  copies"]
        for i, fold in enumerate(self.folds):
            row = (fold.patients, fold.images, fold.copies)
            lines.append("{:4}  {:8}  {:6}  {:6}".format(i, *row))
        if self.n_skipped:
            lines.append(f"Files and images that were left out: {self.n_skipped}")
            lines += [f"  {skip.name}: {skip.reason}" for skip in self.skipped[:_FEW]]
            lines.append(f"  all of them: {self.skipped_path}")
        lines.append(
            f"{'Found' if self.reused else 'Prepared'} "
            f"{sum(fold.images for fold in self.folds)} images and "
            f"{sum(fold.copies for fold in self.folds)} copies of "
            f"{sum(fold.patients for fold in self.folds)} "
            f"{'SYNTHETIC' if self.synthetic else 'real'} patients: {self.builder_dir}"
        )
        return "\n".join(lines)


def prepare(
    config_name: str,
    *,
    data_dir: str | os.PathLike[str] | None,
    manual_dir: str | os.PathLike[str] | None,
    beam: str | None = None,
) -> Prepared:
    """Prepares a data set, or finds it prepared.

    Args:
        config_name: name of a builder config. Without `manual_dir` its variant of
            simulated patients is meant: `segmentation` is `segmentation_phantom` then.
        data_dir: folder for data sets; None is TFDS's own default.
        manual_dir: a hospital's folder of DICOM and LabelMe files.
        beam: arguments for Apache Beam, which then shares the work out; None: one
            process does all of it.

    Raises:
        PrepareError: if the config is unknown, Beam is asked for but not installed,
            the folder has too little that is usable, the prepared data come from
            another folder or from another state of this one, or the disk is full or
            read-only. Nothing half-written is taken for a data set by a later call.
    """
    name = choose_config(config_name, manual_dir)
    root = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    source = None if manual_dir is None else pathlib.Path(manual_dir).expanduser()

    with quiet_tfds(), explain_os_errors(root):
        if source is not None:
            check_folder(source, root)
        builder = Builder(config=name, data_dir=root)
        reused = builder.data_path.exists()
        if not reused:
            with hold_lock(root):
                build(builder, source, beam)
            builder = Builder(config=name, data_dir=root)
        check_source(builder, source)
        return describe(builder, reused=reused)


def choose_config(config_name: str, manual_dir: str | os.PathLike[str] | None) -> str:
    """Returns the name of the config for a hospital's folder, or for none.

    Raises:
        PrepareError: if there is no such config.
    """
    name = config_name
    if manual_dir is None and not name.endswith(PHANTOM_SUFFIX):
        name += PHANTOM_SUFFIX
    known = Builder.builder_configs
    if name not in known:
        raise PrepareError(
            f"Expected one of the data set configs {', '.join(known)}, got {name!r}."
        )
    if manual_dir is not None and name.endswith(PHANTOM_SUFFIX):
        raise PrepareError(
            f"Config {name!r} is of simulated patients, but {manual_dir} was given as "
            "manual_dir. Leave out one of the two."
        )
    return name


def check_folder(source: pathlib.Path, root: pathlib.Path) -> None:
    """Checks that a hospital's folder can be one.

    Raises:
        PrepareError: if it is missing or empty, or holds the data sets as well.
    """
    if not source.is_dir() or not any(source.iterdir()):
        raise PrepareError(
            f"{source}: expected a folder with DICOM and LabelMe files, found "
            f"{'an empty one' if source.is_dir() else 'none'}. Check the path."
        )
    if root.resolve().is_relative_to(source.resolve()):
        raise PrepareError(
            f"{root}: expected data_dir outside of manual_dir, found it inside of "
            f"{source}. Choose another --data_dir."
        )


def build(
    builder: Builder, source: pathlib.Path | None, beam: str | None = None
) -> None:
    """Builds a data set, unless another process has done so in the meantime.

    TFDS writes to a folder `incomplete.*` and renames it at the end.
    """
    # A killed process leaves its folder behind; under our lock nobody writes to one.
    for unfinished in builder.data_path.parents[1].glob("*/incomplete.*"):
        shutil.rmtree(unfinished)
    options = None
    if beam is not None:
        # Here, since few have Apache Beam.
        from tfds_spect.beam import parse_options

        options = parse_options(beam)
        builder.with_beam = True
    config = tfds.download.DownloadConfig(
        manual_dir=source, try_download_gcs=False, beam_options=options
    )
    with tempfile.TemporaryDirectory() as downloads:
        builder.download_and_prepare(download_dir=downloads, download_config=config)


def check_source(builder: Builder, source: pathlib.Path | None) -> None:
    """Checks that a data set is ours, and of a hospital's folder as it is now.

    Simulated patients need no such check: the config names them.

    Raises:
        PrepareError: if it is not.
    """
    found = builder.info.metadata.get("fingerprint")
    if found is None:
        raise PrepareError(
            f"{builder.data_path}: expected a complete data set, found something else. "
            "Remove this folder and run the same command again."
        )
    if source is None or found == fingerprint_folder(source):
        return
    name_path = builder.local_path("source.txt")
    name = repr(name_path.read_text()) if name_path.exists() else "another folder"
    raise PrepareError(
        f"{builder.data_path} was prepared from {name}, not from {source} as it is "
        "now: DICOM files, annotations or the pseudonym key differ. Give another "
        f"--data_dir, or remove {builder.data_path} to prepare it anew."
    )


def describe(builder: Builder, *, reused: bool) -> Prepared:
    """Says what a data set on disk holds."""
    metadata, splits = builder.info.metadata, builder.info.splits
    skipped_path = builder.local_path("skipped.csv")

    def count(split: str) -> int:
        return splits[split].num_examples if split in splits else 0

    folds = tuple(
        FoldSize(
            patients=patients,
            images=count(f"fold{fold}"),
            copies=count(f"fold{fold}_augmented"),
        )
        for fold, patients in enumerate(metadata["patients_per_fold"])
    )
    return Prepared(
        builder_dir=pathlib.Path(builder.data_path),
        folds=folds,
        synthetic=metadata["synthetic"],
        n_skipped=metadata["n_skipped"],
        skipped=read_skips(skipped_path),
        skipped_path=skipped_path,
        reused=reused,
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
def hold_lock(folder: pathlib.Path) -> Iterator[None]:
    """Lets one process at a time prepare data in a folder; the others wait.

    The lock ends with its process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (folder / ".tfds_spect.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting: another process prepares {folder}.", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def explain_os_errors(folder: pathlib.Path) -> Iterator[None]:
    """Turns what the system refuses into one line with a remedy."""
    try:
        yield
    except WriteError as error:
        raise PrepareError(str(error)) from error
    except OSError as error:
        # TFDS puts its own words around an error; the first one says what happened.
        first = error
        while isinstance(first.__cause__, OSError):
            first = first.__cause__
        raise PrepareError(
            f"{first.filename or folder}: {first.strerror or first}. The data set was "
            "not prepared. Make room, or choose another --data_dir, and run the same "
            "command again."
        ) from error
