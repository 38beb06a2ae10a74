"""Record files without TensorFlow: TFRecord by hand, ArrayRecord through its library.

TFDS writes TFRecord through TensorFlow only, and `tfds.load` reads nothing but TFRecord
(of what can be written here). So every shard is written twice: as TFRecord for those
who have TensorFlow, as ArrayRecord for those who have not.

A TFRecord file is a row of records, each of them

    length   uint64, little-endian, bytes of data
    crc      uint32, masked CRC-32C of the eight bytes of length
    data     length bytes
    crc      uint32, masked CRC-32C of data
"""

import errno
import importlib.util
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from typing import Any, Protocol

import google_crc32c
from tensorflow_datasets.core import example_serializer, file_adapters
from tensorflow_datasets.core import writer as tfds_writer
from tensorflow_datasets.proto import tf_example_pb2

from tfds_spect.errors import PrepareError

TFRECORD = file_adapters.FileFormat.TFRECORD
ARRAY_RECORD = file_adapters.FileFormat.ARRAY_RECORD

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")


class RecordFile(Protocol):
    """A file that takes one record after the other."""

    def write(self, record: bytes) -> None:
        """Appends a record."""

    def close(self) -> None:
        """Writes what is still in memory."""


def mask_crc(data: bytes) -> int:
    """Returns the CRC-32C of `data`, rotated and shifted as TFRecord stores it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class TFRecordFile:
    """A TFRecord file open for writing."""

    def __init__(self, path: str) -> None:
        """Creates the file at `path`."""
        self._stream = open(path, "wb")

    def write(self, record: bytes) -> None:
        """Appends a record."""
        length = _LENGTH.pack(len(record))
        self._stream.write(length + _CRC.pack(mask_crc(length)))
        self._stream.write(record + _CRC.pack(mask_crc(record)))

    def close(self) -> None:
        """Writes what is still in memory."""
        self._stream.close()


def find_records(path: str) -> Iterator[tuple[int, int]]:
    """Yields (offset, length) in bytes of each record's data in a TFRecord file.

    Raises:
        PrepareError: if the file ends within a record or a length is damaged.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        offset = 0
        while offset < size:
            stream.seek(offset)
            header = stream.read(_LENGTH.size + _CRC.size)
            length = _parse_length(path, header)
            offset += len(header)
            yield offset, length
            offset += length + _CRC.size
        if offset > size:
            raise PrepareError(f"{path}: ends within a record. Copy it again.")


def _parse_length(path: str, header: bytes) -> int:
    """Returns the length in a record's header.

    Raises:
        PrepareError: if the header is cut or does not match its checksum.
    """
    length, crc = header[: _LENGTH.size], header[_LENGTH.size :]
    if len(crc) < _CRC.size or _CRC.unpack(crc) != (mask_crc(length),):
        raise PrepareError(
            f"{path}: damaged where a record should begin. Copy it again."
        )
    return _LENGTH.unpack(length)[0]


def read_record(path: str, offset: int, length: int) -> bytes:
    """Returns the data of the record that `find_records` found.

    Raises:
        PrepareError: if the data do not match their checksum.
    """
    with open(path, "rb") as stream:
        stream.seek(offset)
        record = stream.read(length)
        crc = stream.read(_CRC.size)
    if crc != _CRC.pack(mask_crc(record)):
        raise PrepareError(
            f"{path}: a record does not match its checksum. Copy it again."
        )
    return record


class ArrayRecordFile:
    """An ArrayRecord file open for writing, each record a group: any can be read alone.

    The library reports a full disk and the like as RuntimeError; here it is OSError, as
    everywhere in Python.
    """

    def __init__(self, path: str) -> None:
        """Creates the file at `path`."""
        from array_record.python import array_record_module

        self._path = path
        self._writer = array_record_module.ArrayRecordWriter(path, "group_size:1")

    def write(self, record: bytes) -> None:
        """Appends a record."""
        try:
            self._writer.write(record)
        except RuntimeError as error:
            raise self._explain(error) from error

    def close(self) -> None:
        """Writes what is still in memory."""
        try:
            self._writer.close()
        except RuntimeError as error:
            raise self._explain(error) from error

    def _explain(self, error: RuntimeError) -> OSError:
        reason = str(error).partition(";")[0]
        return OSError(errno.EIO, reason, self._path)


_FILES: dict[file_adapters.FileFormat, Callable[[str], RecordFile]] = {
    TFRECORD: TFRecordFile,
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
            files = [
                stack.enter_context(closing(_FILES[each](_shard_path(path, each))))
                for each in list_formats()
            ]
            for _, example in examples:
                record = serialise_canonically(example)
                for file in files:
                    file.write(record)


def _shard_path(path: Any, file_format: file_adapters.FileFormat) -> str:
    return os.fspath(
        file_adapters.convert_path_to_file_format(path=path, file_format=file_format)
    )


def serialise_canonically(example: bytes) -> bytes:
    """Returns the same tf.train.Example with its features in sorted order."""
    message = tf_example_pb2.Example.FromString(example)
    return message.SerializeToString(deterministic=True)
