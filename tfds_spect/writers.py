"""Writes data sets without TensorFlow: TFRecord, and ArrayRecord by its library.

TFDS writes TFRecord through TensorFlow only, and `tfds.load` reads nothing but TFRecord
(of what can be written here). So every shard is written twice: as TFRecord for those
who have TensorFlow, as ArrayRecord for those who have not.
"""

import errno
import importlib.util
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from typing import Any

from tensorflow_datasets.core import example_serializer, file_adapters
from tensorflow_datasets.core import writer as tfds_writer
from tensorflow_datasets.proto import tf_example_pb2

from tfds_spect.records import frame_record

TFRECORD = file_adapters.FileFormat.TFRECORD
ARRAY_RECORD = file_adapters.FileFormat.ARRAY_RECORD


class _TFRecordFile:
    """A TFRecord file open for writing."""

    def __init__(self, path: str) -> None:
        self._stream = open(path, "wb")
        self.close = self._stream.close

    def write(self, record: bytes) -> None:
        self._stream.write(frame_record(record))


class ArrayRecordFile:
    """An ArrayRecord file open for writing, each record a group: any can be read alone.

    The library reports a full disk and the like as RuntimeError; here it is OSError, as
    everywhere in Python.
    """

    def __init__(self, path: str) -> None:
        """Makes the file, or overwrites it."""
        from array_record.python import array_record_module

        self._path = path
        self._writer = array_record_module.ArrayRecordWriter(path, "group_size:1")

    def write(self, record: bytes) -> None:
        """Appends a record."""
        self._call(self._writer.write, record)

    def close(self) -> None:
        """Completes the file."""
        self._call(self._writer.close)

    def _call(self, function: Callable[..., Any], *arguments: bytes) -> None:
        try:
            function(*arguments)
        except RuntimeError as error:
            reason = str(error).partition(";")[0]
            raise OSError(errno.EIO, reason, self._path) from error


_FILES: dict[file_adapters.FileFormat, Callable[[str], Any]] = {
    TFRECORD: _TFRecordFile,
    ARRAY_RECORD: ArrayRecordFile,
}


def has_array_record() -> bool:
    """Says whether ArrayRecord is installed; it has no wheels for some platforms."""
    return importlib.util.find_spec("array_record") is not None


def list_formats() -> tuple[file_adapters.FileFormat, ...]:
    """Returns the formats that can be written here, TFRecord always first."""
    return (TFRECORD, ARRAY_RECORD) if has_array_record() else (TFRECORD,)


class SerialisedAlready(example_serializer.Serializer):
    """Stands where TFDS wants a serializer: examples come as records."""

    def serialize_example(self, example: bytes) -> bytes:
        """Returns the record."""
        return example


class CanonicalWriter(tfds_writer.ExampleWriter):
    """Writes each shard in every format of `list_formats`, the same bytes every time.

    Protocol buffers leave the order of a map's entries open, so TFDS's own bytes differ
    from one run to the next; here the entries are sorted.
    """

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> None:
        """Writes serialised examples to `path` and its siblings in other formats."""
        with ExitStack() as stack:
            files = []
            for each in list_formats():
                shard = file_adapters.convert_path_to_file_format(path, each)
                file = _FILES[each](os.fspath(shard))
                files.append(stack.enter_context(closing(file)))
            for _, example in examples:
                record = serialise_canonically(example)
                for file in files:
                    file.write(record)


def serialise_canonically(example: bytes) -> bytes:
    """Returns the same tf.train.Example with its features in sorted order."""
    message = tf_example_pb2.Example.FromString(example)
    return message.SerializeToString(deterministic=True)
