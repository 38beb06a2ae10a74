"""Whether a run meets the data that it was made of, wherever it meets data.

A run keeps the fingerprint of its data set's content (`tfds_spect.content`) in
`config.json` as `data.fingerprint`, and in `eval/metrics.json`.
"""

import os
import pathlib
import sys
from collections.abc import Sequence

from spectjax.config import load_config
from spectjax.evaluation.metrics_file import (
    OtherDataError,
    locate_metrics,
    read_metrics,
)
from tfds_spect.names import PHANTOM

_Folder = str | os.PathLike[str] | None


def read_fingerprints(workdir: pathlib.Path) -> dict[str, str | None]:
    """Returns the fingerprints that the files of a run state, by their names.

    None stands for a file of before there were any. A file that is not there yet states
    nothing.

    Raises:
        ConfigError: if a file is damaged.
    """
    stated: dict[str, str | None] = {}
    if (workdir / "config.json").exists():
        stated["config.json"] = load_config(workdir / "config.json").data.fingerprint
    if locate_metrics(workdir).exists():
        stated["eval/metrics.json"] = read_metrics(workdir)["data"].get("fingerprint")
    return stated


def check_data(
    workdirs: Sequence[pathlib.Path], fingerprint: str, builder_dir: pathlib.Path
) -> None:
    """Checks that runs were made of the data set that they meet now.

    A file of a run that is older than fingerprints is told of on stderr.

    Args:
        workdirs: folders of runs; one that is not there yet was made of anything.
        fingerprint: of the data set.
        builder_dir: its folder, for messages.

    Raises:
        OtherDataError: naming all that were made of other data.
        ConfigError: if a file of a run is damaged.
    """
    others: dict[str, str] = {}
    for workdir in workdirs:
        for name, found in read_fingerprints(workdir).items():
            if found is None:
                print(
                    f"{workdir / name}: older than fingerprints of data; that the run "
                    f"was made of the data in {builder_dir} was NOT checked.",
                    file=sys.stderr,
                    flush=True,
                )
            elif found != fingerprint:
                others[str(workdir)] = found
    if others:
        found = ", ".join(f"{name} ({found[:12]})" for name, found in others.items())
        raise OtherDataError(
            f"{found}: expected runs on the data in {builder_dir} as they are now "
            f"({fingerprint[:12]}), found other data: images, outlines, labels, folds "
            "or names differ. Choose another folder for runs on these data, or give "
            "the --data_dir of before."
        )


def settle_fingerprint(
    asked: str | None,
    workdir: pathlib.Path,
    fingerprint: str,
    builder_dir: pathlib.Path,
) -> str | None:
    """Returns the fingerprint that a run keeps; None if it began without one.

    Args:
        asked: the value of `--config.data.fingerprint`.
        workdir: folder of the run, which may have begun.
        fingerprint: of the data set that it meets.
        builder_dir: the data set's folder.

    Raises:
        OtherDataError: if it began with other data, or others are asked for.
    """
    if asked not in (None, fingerprint):
        raise OtherDataError(
            f"--config.data.fingerprint={asked}: expected these data in {builder_dir}, "
            f"found {fingerprint}. Leave the key out, or give their --data_dir."
        )
    check_data([workdir], fingerprint, builder_dir)
    began_without = None in read_fingerprints(workdir).values()
    return None if began_without else fingerprint


def check_finished(
    workdirs: Sequence[pathlib.Path], data_dir: _Folder, manual_dir: _Folder
) -> None:
    """Checks that finished runs, at least one, were made of what is named now.

    Where nothing is named and simulated patients are not there any more, that is told.

    Raises:
        OtherDataError: if they were not, or nobody can tell.
        ConfigError: if a file of a run is damaged.
    """
    # Here, since TFDS takes a while to load.
    from tfds_spect.errors import NotPreparedError, PrepareError

    try:
        find_data(workdirs, data_dir, manual_dir)
    except NotPreparedError as error:
        print(f"Not compared with its data: {error}", file=sys.stderr, flush=True)
    except PrepareError as error:
        raise OtherDataError(
            f"{workdirs[0]}: this run is finished, and not shown to be of the data "
            f"that are named now: {error}"
        ) from error


def find_data(
    workdirs: Sequence[pathlib.Path],
    data_dir: _Folder,
    manual_dir: _Folder = None,
    *,
    may_simulate: bool = False,
) -> pathlib.Path:
    """Returns the folder of the data set of runs, of this very content.

    Patients are never simulated for a run that had a hospital's.

    Args:
        workdirs: folders of runs, at least one, on data sets of one name.
        data_dir: where data sets live, None for TFDS's own default.
        manual_dir: folder of which the run's data set was made, to prepare it if it is
            not there.
        may_simulate: whether simulated patients may be made again.

    Raises:
        OtherDataError: if the data set that is there has another content.
        PrepareError: if there is none, or it is damaged or cannot be prepared.
        ConfigError: if one of `workdirs` does not hold a run.
    """
    # Here, since TFDS takes a while to load.
    from tfds_spect.prepare import check_prepared, find_prepared, prepare

    name = load_config(workdirs[0] / "config.json").data.name
    simulated = name.endswith(PHANTOM)
    if manual_dir is not None or (simulated and may_simulate):
        prepared = prepare(name, data_dir=data_dir, manual_dir=manual_dir)
        builder_dir, fingerprint = prepared.builder_dir, prepared.fingerprint
    else:
        builder_dir = find_prepared(name, data_dir=data_dir)
        fingerprint = check_prepared(builder_dir).fingerprint
    check_data(workdirs, fingerprint, builder_dir)
    return builder_dir
