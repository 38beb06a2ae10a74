"""Tests of `spectjax.training.log`."""

import struct

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event

from spectjax.system.files import WriteError
from spectjax.training.log import TrainingLog


def write(workdir, epoch, *losses):
    """Logs epochs `epoch + 1`, ... of a run of which `epoch` epochs are done."""
    log = TrainingLog(workdir, epoch=epoch)
    for i, loss in enumerate(losses):
        log.write(epoch + 1 + i, {"loss": loss, "PA": 0.5})


def read_events(workdir):
    """Events of all files in order, each record checked: length, crc, data, crc."""
    for path in sorted((workdir / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:
            length, length_crc = struct.unpack("<QI", data[:12])
            event, (event_crc,) = (
                data[12 : 12 + length],
                struct.unpack("<I", data[12 + length : 16 + length]),
            )
            assert length_crc == mask(crc32c(data[:8]))
            assert event_crc == mask(crc32c(event))
            data = data[16 + length :]
            yield Event.FromString(event)


def mask(checksum):
    rotated = int(f"{checksum:032b}"[-15:] + f"{checksum:032b}"[:-15], 2)
    return (rotated + 0xA282EAD8) % 2**32


def test_training_log_writes_one_row_for_each_epoch(tmp_path):
    write(tmp_path, 0, 2.0, 1.25)
    assert (
        tmp_path / "train.csv"
    ).read_text() == "epoch,loss,PA\n1,2,0.5\n2,1.25,0.5\n"


def test_training_log_writes_tensorboard_events(tmp_path):
    write(tmp_path, 0, 2.0, 1.25)
    events = list(read_events(tmp_path))
    assert events[0].file_version == "brain.Event:2"
    scalars = [
        (value.tag, event.step, value.simple_value)
        for event in events
        for value in event.summary.value
    ]
    assert scalars == [
        ("train/loss", 1, 2.0),
        ("train/PA", 1, 0.5),
        ("train/loss", 2, 1.25),
        ("train/PA", 2, 0.5),
    ]


def test_training_log_replaces_epochs_that_are_trained_again(tmp_path):
    write(tmp_path, 0, 3.0, 2.0, 1.0)  # stopped after three epochs, of which
    write(tmp_path, 1, 2.5)  # only the first was saved
    assert (tmp_path / "train.csv").read_text() == "epoch,loss,PA\n1,3,0.5\n2,2.5,0.5\n"
    starts = [e.step for e in read_events(tmp_path) if e.HasField("session_log")]
    assert starts == [1, 2]


def test_training_log_keeps_the_rows_of_a_run_that_goes_on(tmp_path):
    write(tmp_path, 0, 3.0)
    write(tmp_path, 1, 2.0)
    assert (tmp_path / "train.csv").read_text() == "epoch,loss,PA\n1,3,0.5\n2,2,0.5\n"


def test_training_log_names_a_file_that_is_not_one(tmp_path):
    (tmp_path / "train.csv").write_text("nonsense\n1\n")
    with pytest.raises(ValueError, match=r"train\.csv: expected a table"):
        TrainingLog(tmp_path, epoch=1)


def test_training_log_names_the_events_that_cannot_be_written(tmp_path):
    (tmp_path / "tensorboard").write_text("a file where the folder belongs")
    with pytest.raises(WriteError, match=r"tensorboard/events.*cannot be written"):
        TrainingLog(tmp_path, epoch=0)
