"""Runs a DICOM node: studies come in by C-STORE, results go back to the PACS.

    python -m spectjax.node --config=node.toml
    python -m spectjax.node --config=node.toml --status [--json]
    python -m spectjax.node --config=node.toml --health
    python -m spectjax.node --config=node.toml --retry=STUDY
    python -m spectjax.node --config=node.toml --discard=STUDY

The first form runs until SIGTERM or Ctrl-C; what happens is told on stderr, a line
each, without names and numbers of patients. `--status` says what is pending and what
has failed, `--health` in one line whether all is well (exit status 0) or not (1),
`--retry` takes up a study that has failed, `--discard` lets its files go. STUDY is what
`--status` calls it, or its Study Instance UID. See docs/node.md. Research software, not
a medical device.
"""

import json
import logging as standard_logging
import os
import pathlib
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.locks import hold
from spectjax.system.messages import DISCLAIMER, UserError

if TYPE_CHECKING:  # pydicom takes a third of a second: not before --help
    from spectjax.node.sections import Config, ModelSection

_ASKED = ("status", "health", "retry", "discard")


def main(argv: list[str]) -> None:
    """Does what the flags say."""
    logging.set_verbosity(logging.FATAL)
    refuse_arguments(argv)
    values = flags.FLAGS
    asked = {name: getattr(values, name) for name in _ASKED}
    run(values.config, {k: v for k, v in asked.items() if v}, as_json=values.json)


def run(
    path: pathlib.Path | None, asked: Mapping[str, Any], *, as_json: bool = False
) -> None:
    """Runs a node, or says or decides something about it.

    Args:
        path: its configuration.
        asked: `status`, `health`, or a study to `retry` or to `discard`; nothing: the
            node is to run.
        as_json: whether the status is JSON.

    Raises:
        UserError: if that cannot be, in one line.
        SystemExit: with 1 if it was asked for health and is not well.
    """
    if path is None:
        raise UserError("Expected --config=node.toml, found none. See docs/node.md.")
    if len(asked) > 1:
        names = " and ".join(f"--{name}" for name in asked)
        raise UserError(f"Expected one of {names}, found all.")
    _check_installed()
    from spectjax.node.config import read_config

    config = read_config(path)
    # They log what comes, values of headers too, and what is one line of ours.
    for name in ("pydicom", "pynetdicom"):
        standard_logging.getLogger(name).setLevel(standard_logging.CRITICAL + 1)
    if not asked:
        _serve(config)
    elif "status" in asked:
        from spectjax.node.status import format_json, format_status, gather_status

        status = gather_status(config)
        print(format_json(status) if as_json else format_status(status))
    elif "health" in asked:
        from spectjax.node.status import check_health, remark_failed

        fault = check_health(config)
        print(f"not well: {fault}" if fault else f"well{remark_failed(config)}")
        sys.exit(1 if fault else 0)
    else:
        _decide(config, *next(iter(asked.items())))


def _check_installed() -> None:
    """Says what to install where something is missing."""
    try:
        import pynetdicom  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"A node needs packages that are not installed ({error}). In the clone: "
            "pip install '.[node]'"
        ) from None


def _serve(config: "Config") -> None:
    """Runs the node until it is told to stop."""
    from spectjax.node.service import Service, run_until_told

    config.node.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    print(DISCLAIMER, file=sys.stderr)
    with hold(config.node.folder):
        run_until_told(Service(config, choose_command(config.model)))
    others = set(threading.enumerate()) - {threading.main_thread()}
    if not all(thread.daemon for thread in others):
        # One of pynetdicom's still waits for a peer: nobody is to wait for that.
        sys.stderr.flush()
        os._exit(0)


def choose_command(model: "ModelSection") -> Sequence[str]:
    """Returns the program that reads studies."""
    if model.command:
        return model.command
    options = {
        "workdirs": [str(path) for path in model.workdirs],
        "file": str(model.file) if model.file else None,
        "operating_point": model.operating_point,
        "pdf": model.pdf,
        "gsps": model.gsps,
    }
    return [sys.executable, "-m", "spectjax.node.model", json.dumps(options)]


def _decide(config: "Config", what: str, name: str) -> None:
    """Notes what a person decides about a study."""
    from spectjax.node.audit import Audit
    from spectjax.node.status import open_queue

    queue, disk = open_queue(config)
    study = queue.find_study(name)
    if study is None:
        raise UserError(
            f"--{what}={name}: expected a study that --status lists, found none."
        )
    done = queue.retry(study) if what == "retry" else queue.discard(study)
    if not done:
        raise UserError(
            f"--{what}={name}: expected a study that has failed, found another. "
            "--status says what it is."
        )
    Audit(disk.folder / "audit").write(what, study=name_of(study))
    print(f"{name_of(study)}: {done if what == 'retry' else 'discarded'}")


def name_of(study: str) -> str:
    """Returns what a study is called where people read."""
    from spectjax.node.objects import name_study

    return name_study(study)


if __name__ == "__main__":  # flags are global to a process
    define_path("config", "TOML file, see docs/node.md.")
    flags.DEFINE_bool("status", False, "Say what is pending and what has failed.")
    flags.DEFINE_bool("json", False, "Say it as JSON, with all studies.")
    flags.DEFINE_bool("health", False, "Say in one line whether all is well.")
    flags.DEFINE_string("retry", None, "Study to take up again.")
    flags.DEFINE_string("discard", None, "Study whose files may go.")
    run_command(main)
