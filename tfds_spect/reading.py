"""Random access to a prepared data set, on every platform and without TensorFlow."""

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any, Protocol

import tensorflow_datasets as tfds

from tfds_spect.errors import PrepareError
from tfds_spect.opening import check_files, open_data_set, reads_array_record
from tfds_spect.records import find_records, read_record


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

    Raises:
        PrepareError: if no data set is there, or a file of these splits is missing or
            not as it was written. So does whatever reads an example that is damaged.
    """
    builder = open_data_set(pathlib.Path(builder_dir))
    names_of_splits = [part.partition("[")[0] for part in split.split("+")]
    check_files(
        builder, [name for name in names_of_splits if name in builder.info.splits]
    )
    folder = pathlib.Path(builder.data_path)
    if not reads_array_record(folder):
        return TFRecordSource(builder, split, names)
    try:
        records = builder.as_data_source(
            split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
        )
        len(records)  # which opens the files
    except RuntimeError as error:  # of ArrayRecord
        raise PrepareError(
            f"{builder_dir}: expected the files of {split} as they were written, found "
            f"them damaged ({error}). Copy the data set again, or remove this folder "
            "and prepare it anew."
        ) from error
    features = _select(builder.info.features, names)
    return SelectedSource(records, features, str(builder_dir))


def _select(
    features: tfds.features.FeaturesDict, names: Sequence[str] | None
) -> tfds.features.FeaturesDict:
    if names is None:
        return features
    return tfds.features.FeaturesDict({name: features[name] for name in names})


class _Source:
    """Serialised examples, decoded one by one."""

    def __init__(self, features: tfds.features.FeaturesDict, name: str) -> None:
        """Takes the features to decode, and how errors call the data set."""
        self._features = features
        self._name = name

    def _read(self, index: int) -> bytes:
        """Returns a serialised example."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Returns the number of examples."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads one example."""
        index = range(len(self))[index]  # IndexError ends a loop over all of them
        try:
            return self._features.deserialize_example_np(self._read(index))
        except PrepareError:
            raise
        # ArrayRecord, protobuf, zlib and TFDS have errors of their own.
        except Exception as error:
            raise PrepareError(
                f"{self._name}: expected example {index} as it was written, found it "
                f"damaged ({error}). Copy the data set again, or remove this folder "
                "and prepare it anew."
            ) from error

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Reads several examples."""
        return [self[index] for index in indices]


class SelectedSource(_Source):
    """Some features of the examples of a source."""

    def __init__(
        self,
        records: Sequence[bytes],
        features: tfds.features.FeaturesDict,
        name: str,
    ) -> None:
        """Takes serialised examples, the features to decode of each and a name."""
        super().__init__(features, name)
        self._records = records

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self._records)

    def _read(self, index: int) -> bytes:
        return self._records[index]


class TFRecordSource(_Source):
    """The examples of a split, read from TFRecord files."""

    def __init__(
        self,
        builder: tfds.core.DatasetBuilder,
        split: str,
        names: Sequence[str] | None = None,
    ) -> None:
        """Finds the records of a split; reads none of them."""
        features = _select(builder.info.features, names)
        super().__init__(features, str(builder.data_path))
        self._records: list[tuple[str, int, int]] = []
        for shard in builder.info.splits[split].file_instructions:
            records = find_records(shard.filename)
            taken = itertools.islice(records, shard.skip, shard.skip + shard.take)
            self._records += [(shard.filename, *record) for record in taken]

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self._records)

    def _read(self, index: int) -> bytes:
        return read_record(*self._records[index])
