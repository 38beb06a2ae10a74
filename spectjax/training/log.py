"""The curves of a training run, as `train.csv` and as TensorBoard events."""

import csv
import io
import os
import pathlib
import time
from collections.abc import Mapping

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from spectjax.system.files import WriteError, write_file
from spectjax.system.messages import UserError
from tfds_spect.records import frame_record


class TrainingLog:
    """One row for each epoch, in `<workdir>/train.csv` and `<workdir>/tensorboard/`."""

    def __init__(self, workdir: pathlib.Path, *, epoch: int) -> None:
        """Opens the log of a run of which `epoch` epochs are done.

        Rows of later epochs, written by a run that was stopped before it could save its
        state, are dropped: those epochs are trained again.

        Raises:
            ValueError: if there is a `train.csv` that is not one of ours.
            WriteError: if a file cannot be written.
        """
        self._path = workdir / "train.csv"
        self._rows = [
            row for row in _read_rows(self._path) if int(row["epoch"]) <= epoch
        ]
        # TensorBoard takes file names with this beginning, and reads them in order.
        name = f"events.out.tfevents.{time.time_ns() // 1_000_000}.{os.getpid()}"
        self._events_path = workdir / "tensorboard" / name
        self._write_event(Event(file_version="brain.Event:2"))
        # It makes TensorBoard drop this step and later ones from the files before.
        start = SessionLog(status=SessionLog.START)
        self._write_event(Event(step=epoch + 1, session_log=start))

    def write(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Adds the scores of an epoch, counted from 1.

        Raises:
            WriteError: if a file cannot be written.
        """
        row = {"epoch": str(epoch)}
        row |= {name: format(score, ".6g") for name, score in scores.items()}
        self._rows.append(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_file(self._path, text.getvalue())

        values = [
            Summary.Value(tag=f"train/{name}", simple_value=score)
            for name, score in scores.items()
        ]
        self._write_event(Event(step=epoch, summary=Summary(value=values)))

    def _write_event(self, event: Event) -> None:
        """Appends an event as a TFRecord.

        tensorboardX's own writer does so in a thread, where a full disk goes unnoticed.
        """
        event.wall_time = time.time()
        record = frame_record(event.SerializeToString())
        try:
            self._events_path.parent.mkdir(exist_ok=True)
            with self._events_path.open("ab") as stream:
                stream.write(record)
        except OSError as error:
            raise WriteError(
                f"{self._events_path}: cannot be written ({error.strerror}). Make "
                "room, then run the same command again: it goes on where it stopped."
            ) from error


def _read_rows(path: pathlib.Path) -> list[dict[str, str]]:
    """Returns the rows of `train.csv`, none if it is not there."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not all((row.get("epoch") or "").isdigit() for row in rows):
        raise UserError(f"{path}: expected a table with a column `epoch`; remove it.")
    return rows
