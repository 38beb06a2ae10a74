"""Preparation through Apache Beam: many processes read, copy and write the images.

The result does not depend on how many there are. It equals a preparation without Beam:
byte by byte where a split has one shard, and else in the examples and their order.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tfds_spect.copies import move_all
from tfds_spect.errors import PrepareError
from tfds_spect.example import ThoraxExample, encode_example
from tfds_spect.source import read_again


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


def list_jobs(
    split: str,
    originals: Sequence[ThoraxExample],
    n_copies: Mapping[str, int] | None,
    fold: int,
) -> Any:
    """Returns the PTransform that makes the keys and features of one split.

    Args:
        split: its name.
        originals: without pixels; each is read again where it is needed.
        n_copies: how many copies of each (by example id) the split holds; None for the
            split of the originals themselves.
        fold: the split's fold.
    """
    import apache_beam as beam

    jobs = [(each, n_copies and n_copies[each.example_id]) for each in originals]
    make = beam.FlatMap(_make_examples, fold=fold)
    return (
        f"List {split}" >> beam.Create(jobs, reshuffle=True) | f"Make {split}" >> make
    )


def _make_examples(
    job: tuple[ThoraxExample, int | None], fold: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    original, n_copies = read_again(job[0]), job[1]
    examples: Iterable[ThoraxExample] = [original]
    if n_copies is not None:
        examples = move_all([original], {original.example_id: n_copies})
    for example in examples:
        yield example.example_id, encode_example(example, fold)
