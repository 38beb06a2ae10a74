"""TFRecord files without TensorFlow.

Such a file is a row of records, each of them

    length   uint64, little-endian, bytes of data
    crc      uint32, masked CRC-32C of the eight bytes of length
    data     length bytes
    crc      uint32, masked CRC-32C of data
"""

import os
import struct
from collections.abc import Iterator

import google_crc32c

from tfds_spect.errors import PrepareError

_LENGTH = struct.Struct("<Q")
_CRC_BYTES = 4


def frame_record(data: bytes) -> bytes:
    """Returns data as a record."""
    length = _LENGTH.pack(len(data))
    return length + _mask_crc(length) + data + _mask_crc(data)


def _mask_crc(data: bytes) -> bytes:
    """Returns the CRC-32C of data, rotated and shifted as the format wants it."""
    crc = google_crc32c.value(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked.to_bytes(_CRC_BYTES, "little")


def find_records(path: str) -> Iterator[tuple[int, int]]:
    """Yields (offset, length) in bytes of each record's data in a file.

    Raises:
        PrepareError: if the file ends within a record or a length is damaged.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        offset = 0
        while offset < size:
            stream.seek(offset)
            length, crc = stream.read(_LENGTH.size), stream.read(_CRC_BYTES)
            if crc != _mask_crc(length):
                raise PrepareError(
                    f"{path}: damaged where a record should begin. Copy it again."
                )
            offset, (n_bytes,) = stream.tell(), _LENGTH.unpack(length)
            yield offset, n_bytes
            offset += n_bytes + _CRC_BYTES
        if offset > size:
            raise PrepareError(f"{path}: ends within a record. Copy it again.")


def read_record(path: str, offset: int, length: int) -> bytes:
    """Returns the data of the record that `find_records` found.

    Raises:
        PrepareError: if the data do not match their checksum.
    """
    with open(path, "rb") as stream:
        stream.seek(offset)
        data, crc = stream.read(length), stream.read(_CRC_BYTES)
    if crc != _mask_crc(data):
        raise PrepareError(
            f"{path}: a record does not match its checksum. Copy it again."
        )
    return data
