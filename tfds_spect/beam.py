"""Preparation through Apache Beam: many processes read, copy and write the images.

The result does not depend on how many there are. It equals a preparation without Beam:
byte by byte where a split has one shard, and else in the examples and their order.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tfds_spect.errors import PrepareError
from tfds_spect.source import read_again
from tfds_spect.splits import Portion, make_examples


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


def list_jobs(split: str, portions: Sequence[Portion]) -> Any:
    """Returns the PTransform that makes the keys and features of one split.

    Portions come without pixels; each original is read again where it is needed.
    """
    import apache_beam as beam

    jobs = beam.Create(list(portions), reshuffle=True)
    return f"List {split}" >> jobs | f"Make {split}" >> beam.FlatMap(_read_and_make)


def _read_and_make(portion: Portion) -> Iterator[tuple[str, dict[str, Any]]]:
    return make_examples(replace(portion, original=read_again(portion.original)))
