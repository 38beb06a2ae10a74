"""Tests of `tfds_spect.writers` and of the reader in `tfds_spect.reading`."""

import struct
from contextlib import closing

import pytest
from tensorflow_datasets.proto import tf_example_pb2

from tfds_spect import writers
from tfds_spect.writers import (
    ARRAY_RECORD,
    TFRECORD,
    CanonicalWriter,
    TFRecordFile,
    find_records,
    mask_crc,
    read_record,
    serialise_canonically,
)

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
    file = TFRecordFile(str(path))
    for record in RECORDS:
        file.write(record)
    file.close()


def make_example(names):
    """A tf.train.Example whose features were added in the order of `names`."""
    example = tf_example_pb2.Example()
    for name in names:
        example.features.feature[name].int64_list.value.append(len(name))
    return example.SerializeToString()


def test_mask_crc_is_the_rotated_and_shifted_crc32c():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert struct.pack("<I", mask_crc(b"123456789")) == masked(b"123456789")


def test_a_tfrecord_is_length_checksum_data_checksum(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path)
    expected = b""
    for record in RECORDS:
        length = len(record).to_bytes(8, "little")
        expected += length + masked(length) + record + masked(record)
    assert path.read_bytes() == expected


def test_find_records_and_read_record_give_back_what_was_written(tmp_path):
    path = str(tmp_path / "a.tfrecord")
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


def test_serialise_canonically_forgets_the_order_of_features():
    names = [f"feature{i}" for i in range(20)]
    one, other = make_example(names), make_example(names[::-1])
    assert serialise_canonically(one) == serialise_canonically(other)
    message = tf_example_pb2.Example.FromString(serialise_canonically(one))
    assert message == tf_example_pb2.Example.FromString(other)


def test_canonical_writer_writes_each_record_in_every_format(tmp_path):
    from array_record.python import array_record_module

    examples = [(i, make_example(["a", f"b{i}"])) for i in range(3)]
    path = tmp_path / "x-fold0.tfrecord-00000-of-00001"
    CanonicalWriter(TFRECORD).write(path, iter(examples))
    expected = [serialise_canonically(example) for _, example in examples]
    assert [read_record(path, *place) for place in find_records(path)] == expected
    other = tmp_path / "x-fold0.array_record-00000-of-00001"
    assert array_record_module.ArrayRecordReader(str(other)).read_all() == expected


def test_canonical_writer_writes_tfrecord_alone_without_array_record(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(writers, "has_array_record", lambda: False)
    path = tmp_path / "x-fold0.tfrecord-00000-of-00001"
    CanonicalWriter(TFRECORD).write(path, iter([(0, make_example("a"))]))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("file_format", [TFRECORD, ARRAY_RECORD])
def test_a_full_disk_is_an_os_error_in_every_format(file_format):
    with (
        pytest.raises(OSError, match="No space left"),
        closing(writers._FILES[file_format]("/dev/full")) as file,
    ):
        for _ in range(100):
            file.write(bytes(100_000))
