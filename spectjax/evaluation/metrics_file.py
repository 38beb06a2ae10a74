"""`eval/metrics.json`, the scores of a finished run: its place, and how to read it."""

import pathlib
from collections.abc import Mapping
from typing import Any

from spectjax.system.limits import SCORES_BYTES
from spectjax.system.messages import ConfigError, UserError
from spectjax.system.schema import Maybe, read_json

# What the readers of `metrics.json` rely on, whatever they do with it.
_COMMON: dict[str, Any] = {
    "task": str,
    "model": str,
    "data": {
        "name": str,
        "split": str,
        "synthetic": bool,
        "leaking": Maybe(bool),
        "fingerprint": Maybe(str),
    },
}


class OtherDataError(UserError):
    """A run that meets other data than its own; one line for the user."""


def locate_metrics(workdir: pathlib.Path) -> pathlib.Path:
    """Returns where a finished run's scores are."""
    return workdir / "eval" / "metrics.json"


def read_metrics(
    workdir: pathlib.Path, schema: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Reads the `metrics.json` of a finished run.

    Args:
        workdir: folder of the run.
        schema: what else the file must hold, see `spectjax.system.schema`.

    Raises:
        ConfigError: if it is missing, or damaged.
    """
    document: dict[str, Any] = read_json(
        locate_metrics(workdir),
        {**_COMMON, **(schema or {})},
        what="the scores of a finished run",
        remedy=f"Remove {workdir / 'eval'}; the same command scores the run again.",
        most=SCORES_BYTES,
        error=ConfigError,
    )
    return document
