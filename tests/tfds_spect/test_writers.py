"""Tests of `tfds_spect.writers`."""

from contextlib import closing

import pytest
from tensorflow_datasets.proto import tf_example_pb2

from tfds_spect import writers
from tfds_spect.records import find_records, read_record
from tfds_spect.writers import (
    ARRAY_RECORD,
    TFRECORD,
    CanonicalWriter,
    serialise_canonically,
)


def make_example(names):
    """A tf.train.Example whose features were added in the order of `names`."""
    example = tf_example_pb2.Example()
    for name in names:
        example.features.feature[name].int64_list.value.append(len(name))
    return example.SerializeToString()


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
