"""Tests of `tfds_spect.records`."""

import struct

import pytest

from tfds_spect.records import find_records, frame_record, read_record

RECORDS = [b"", b"a", b"123456789" * 1000]


def crc32c(data):
    """CRC-32C bit by bit: polynomial 0x1EDC6F41, reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    rotated = (crc32c(data) >> 15 | crc32c(data) << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def write_records(path):
    path.write_bytes(b"".join(map(frame_record, RECORDS)))


def test_the_crc32c_of_these_tests_has_the_check_value_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283


def test_a_tfrecord_is_length_checksum_data_checksum(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path)
    expected = b""
    for record in RECORDS:
        length = len(record).to_bytes(8, "little")
        expected += length + masked(length) + record + masked(record)
    assert path.read_bytes() == expected


def test_find_records_and_read_record_give_back_what_was_written(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path)
    found = list(find_records(path))
    assert [length for _, length in found] == [0, 1, 9000]
    assert [read_record(path, *place) for place in found[::-1]] == RECORDS[::-1]


@pytest.mark.parametrize("missing", [1, 5, 9010])
def test_find_records_refuses_a_file_that_was_cut_off(tmp_path, missing):
    path = tmp_path / "a.tfrecord"
    write_records(path)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(ValueError, match=r"a\.tfrecord"):
        list(find_records(str(path)))


def test_read_record_refuses_damaged_data(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path)
    content = bytearray(path.read_bytes())
    content[-500] ^= 1
    path.write_bytes(content)
    *_, last = find_records(str(path))
    with pytest.raises(ValueError, match="checksum"):
        read_record(str(path), *last)
