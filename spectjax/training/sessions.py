"""`run.json`: by which software and on which machine a run was trained.

A run may go on elsewhere: a session stands for each beginning, in their order. No name
of a machine or of a person is noted.
"""

import importlib.metadata
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

import jax

import spectjax
from spectjax.system.files import write_json
from spectjax.system.limits import CONFIG_BYTES
from spectjax.system.machine import find_commit, name_processor
from spectjax.system.messages import DISCLAIMER, ConfigError
from spectjax.system.schema import Each, Maybe, read_json
from spectjax.system.workers import count_cores

NAME = "run.json"  # in the folder of a run
FORMAT = 1  # raise it when a name changes or what it means
# Whose versions decide about numbers.
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "tensorflow-datasets")
_SESSION = {
    "epochs_done": int,
    "weights": [str],
    "spectjax_version": str,
    "commit": Maybe(str),
    "python": str,
    "system": str,
    "packages": Each(str),
    "device": str,
    "num_devices": int,
    "num_processes": int,
    "processor": str,
    "cores": int,
}


def note_session(
    workdir: pathlib.Path, epochs_done: int, weights: Sequence[str] = ()
) -> None:
    """Adds to `run.json` what trains from here on.

    Args:
        workdir: folder of the run.
        epochs_done: how many epochs were trained before.
        weights: what is to be known of those of another model that it begins with.

    Raises:
        ConfigError: if there is a `run.json` that cannot be read.
        WriteError: if it cannot be written.
    """
    session = {
        "epochs_done": epochs_done,
        "weights": list(weights),
        "spectjax_version": spectjax.__version__,
        "commit": find_commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "device": jax.devices()[0].device_kind,
        "num_devices": jax.device_count(),
        "num_processes": jax.process_count(),
        "processor": name_processor(),
        "cores": count_cores(),
    }
    document = {
        "format": FORMAT,
        "disclaimer": DISCLAIMER,
        "sessions": [*(read_sessions(workdir) or ()), session],
    }
    write_json(workdir / NAME, document)


def read_sessions(workdir: pathlib.Path) -> list[dict[str, Any]] | None:
    """Returns what `note_session` wrote; None of a run that is older than that.

    Raises:
        ConfigError: if it cannot be read.
    """
    path = workdir / NAME
    if not path.exists():
        return None
    document: dict[str, Any] = read_json(
        path,
        {"format": int, "sessions": [_SESSION]},
        what="by which software and where a run was trained",
        remedy="Remove it; what it said is lost then.",
        most=CONFIG_BYTES,
        error=ConfigError,
    )
    if document["format"] != FORMAT:
        raise ConfigError(
            f"{path}: expected format {FORMAT}, found {document['format']}: another "
            "version of spectjax wrote it. Use that version."
        )
    sessions: list[dict[str, Any]] = document["sessions"]
    return sessions
