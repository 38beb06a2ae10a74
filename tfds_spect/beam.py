"""Preparation through Apache Beam: many processes read, copy and write the images.

The result does not depend on how many there are. It equals a preparation without Beam:
byte by byte where a split has one shard, and else in the examples and their order.
"""

import contextlib
import re
import shlex
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tfds_spect.errors import PrepareError
from tfds_spect.source import read_again
from tfds_spect.splits import Portion, make_examples

# Where Beam starts or asks the server that a runner works through.
_OF_SERVER = re.compile(r"grpc\b|apache_beam\.(.*job_server|utils\.subprocess_server)$")


def parse_options(arguments: str) -> Any:
    """Returns Beam's `PipelineOptions` for arguments as on a command line.

    Raises:
        PrepareError: if Apache Beam is not installed.
    """
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise PrepareError(
            "--beam: expected Apache Beam, found none. Install it, in the clone: "
            "pip install '.[beam]'"
        ) from error
    return PipelineOptions(shlex.split(arguments))


@contextlib.contextmanager
def explain_server(arguments: str) -> Iterator[None]:
    """Makes one line of a job server that cannot be started or does not answer.

    Args:
        arguments: for Beam, as on a command line.

    Raises:
        PrepareError: naming the runner and the remedy.
    """
    try:
        yield
    except Exception as error:  # they have no type in common
        cause: BaseException | None = error
        while cause is not None and not _is_of_server(cause):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        found = re.search(r"--runner[= ]\s*(\w+)", arguments)
        runner = found[1] if found else "Beam's runner"
        cure = "See that one answers at --job_endpoint=HOST:PORT"
        if runner in ("FlinkRunner", "SparkRunner"):
            jar = f"--{runner.removesuffix('Runner').lower()}_job_server_jar=FILE"
            cure = f"Install Java, and without a way to the internet give {jar}"
        said = str(cause).strip().partition("\n")[0] or type(cause).__name__
        raise PrepareError(
            f"--beam: expected a job server for {runner}, found none ({said}). {cure}; "
            "docs/scaling.md has the flags."
        ) from error


def _is_of_server(error: BaseException) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    names = [frame.f_globals.get("__name__", "") for frame, _ in frames]
    return any(map(_OF_SERVER.match, [type(error).__module__, *names]))


def list_jobs(split: str, portions: Sequence[Portion]) -> Any:
    """Returns the PTransform that makes the keys and features of one split.

    Portions come without pixels; each original is read again where it is needed.
    """
    import apache_beam as beam

    jobs = beam.Create(list(portions), reshuffle=True)
    return f"List {split}" >> jobs | f"Make {split}" >> beam.FlatMap(_read_and_make)


def _read_and_make(portion: Portion) -> Iterator[tuple[str, dict[str, Any]]]:
    return make_examples(replace(portion, original=read_again(portion.original)))
