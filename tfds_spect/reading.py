"""Random access to a prepared data set, on every platform and without TensorFlow."""

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any, Protocol

import tensorflow_datasets as tfds

from tfds_spect.writers import find_records, has_array_record, read_record


class DataSource(Protocol):
    """Examples that are read one by one or several at a time."""

    def __len__(self) -> int:
        """Returns the number of examples."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads one example."""

    def __getitems__(self, indices: Sequence[int]) -> Sequence[dict[str, Any]]:
        """Reads several examples."""


def open_split(
    builder_dir: str | pathlib.Path, split: str, names: Sequence[str] | None = None
) -> DataSource:
    """Opens a split for random access.

    The same as `tfds.builder_from_directory(builder_dir).as_data_source(split)` where
    array_record has wheels (Linux, macOS on ARM); elsewhere TFRecord files are read.

    Args:
        builder_dir: folder of the data set.
        split: e.g. "fold0" or "fold1+fold1_augmented[:50%]".
        names: the features to decode, all by default. Image and mask alone take a
            third of the time.
    """
    builder = tfds.builder_from_directory(builder_dir)
    if not has_array_record():
        return TFRecordSource(builder, split, names)
    if names is None:
        return builder.as_data_source(split)
    raw = builder.as_data_source(
        split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
    )
    return SelectedSource(raw, _select(builder.info.features, names))


def _select(
    features: tfds.features.FeaturesDict, names: Sequence[str] | None
) -> tfds.features.FeaturesDict:
    if names is None:
        return features
    return tfds.features.FeaturesDict({name: features[name] for name in names})


class SelectedSource:
    """Some features of the examples of a source."""

    def __init__(
        self, records: Sequence[bytes], features: tfds.features.FeaturesDict
    ) -> None:
        """Takes serialised examples and the features to decode of each."""
        self._records = records
        self._features = features

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads one example."""
        return self._features.deserialize_example_np(self._records[index])

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Reads several examples."""
        return [self[index] for index in indices]


class TFRecordSource:
    """The examples of a split, read from TFRecord files."""

    def __init__(
        self,
        builder: tfds.core.DatasetBuilder,
        split: str,
        names: Sequence[str] | None = None,
    ) -> None:
        """Finds the records of a split; reads none of them."""
        self._features = _select(builder.info.features, names)
        self._records: list[tuple[str, int, int]] = []
        for shard in builder.info.splits[split].file_instructions:
            records = find_records(shard.filename)
            taken = itertools.islice(records, shard.skip, shard.skip + shard.take)
            self._records += [(shard.filename, *record) for record in taken]

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads one example."""
        return self._features.deserialize_example_np(read_record(*self._records[index]))

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Reads several examples."""
        return [self[index] for index in indices]
