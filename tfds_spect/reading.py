"""Random access to a prepared data set, on every platform and without TensorFlow."""

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds

from tfds_spect.errors import PrepareError
from tfds_spect.opening import check_files, open_data_set, reads_array_record
from tfds_spect.records import find_records, read_record

_AGAIN = "Copy the data set again, or remove this folder and prepare it anew."


class DataSource:
    """Examples of a data set, read and decoded when they are asked for."""

    def __init__(
        self, records: Sequence[bytes], features: tfds.features.FeaturesDict, name: str
    ) -> None:
        """Takes serialised examples, the features to decode, and a name for errors."""
        self.records, self._features, self._name = records, features, name

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads one example."""
        index = range(len(self))[index]  # IndexError ends a loop over all of them
        try:
            return self._features.deserialize_example_np(self.records[index])
        except PrepareError:
            raise
        # ArrayRecord, protobuf, zlib and TFDS have errors of their own.
        except Exception as error:
            raise PrepareError(
                f"{self._name}: expected example {index} as it was written, found it "
                f"damaged ({error}). {_AGAIN}"
            ) from error

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Reads several examples."""
        return [self[index] for index in indices]


class TFRecords(Sequence[bytes]):
    """The serialised examples of a split in TFRecord files, read one by one."""

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str) -> None:
        """Finds the records; reads none of them."""
        self._places: list[tuple[str, int, int]] = []
        for shard in builder.info.splits[split].file_instructions:
            found = find_records(shard.filename)
            taken = itertools.islice(found, shard.skip, shard.skip + shard.take)
            self._places += [(shard.filename, *place) for place in taken]

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        """Reads one record."""
        return read_record(*self._places[index])


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
    builder = open_data_set(pathlib.Path(builder_dir), sheets=True)
    names_of_splits = [part.partition("[")[0] for part in split.split("+")]
    check_files(
        builder, [name for name in names_of_splits if name in builder.info.splits]
    )
    features = builder.info.features
    if names is not None:
        features = tfds.features.FeaturesDict({name: features[name] for name in names})
    if not reads_array_record(pathlib.Path(builder.data_path)):
        return DataSource(TFRecords(builder, split), features, str(builder_dir))
    try:
        records = builder.as_data_source(
            split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
        )
        len(records)  # which opens the files
    except RuntimeError as error:  # of ArrayRecord
        raise PrepareError(
            f"{builder_dir}: expected the files of {split} as they were written, found "
            f"them damaged ({error}). {_AGAIN}"
        ) from error
    return DataSource(records, features, str(builder_dir))
