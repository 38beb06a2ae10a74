"""Nodes for tests: their configuration, instances to send, and a node at work."""

import contextlib
import io
import logging
import pathlib
import sys
import threading
import time

import numpy as np
import pydicom

from spectjax.node.calls import Caller
from spectjax.node.objects import read_instance
from spectjax.node.sections import (
    Config,
    Destination,
    KeepingSection,
    ModelSection,
    NodeSection,
    ReceivingSection,
    RetryingSection,
    Sender,
    SendingSection,
)
from spectjax.node.service import Service
from tests.support.nm_files import write_nm

logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
READER = pathlib.Path(__file__).with_name("fake_reader.py")
FRAMES = np.arange(64, dtype=np.uint16).reshape(1, 8, 8)


def make_config(folder, port=1, **changes):
    """A node's configuration with short times; `changes` are keys of any section."""

    def section(kind, **values):
        known = kind.__dataclass_fields__
        return kind(**values | {k: v for k, v in changes.items() if k in known})

    command = (sys.executable, str(READER), str(folder))
    return Config(
        node=section(NodeSection, folder=folder / "node", aet="SPECTJAX", port=0),
        senders=(Sender("CAMERA", ("127.0.0.1",)),),
        destinations=(
            section(Destination, name="pacs", aet="PACS", host="127.0.0.1", port=port),
        ),
        receiving=section(ReceivingSection, quiet_s=0.1, min_free_mb=0.0),
        model=section(ModelSection, command=command, start_s=60.0),
        sending=section(SendingSection),
        retrying=section(RetryingSection, pause_s=0.1),
        keeping=section(KeepingSection),
    )


def make_instance(folder, uid="1.2.3.1", study="1.2.3", **elements):
    """A data set to send."""
    path = folder / "instance.dcm"
    elements = {"SOPInstanceUID": uid, "StudyInstanceUID": study} | elements
    return pydicom.dcmread(write_nm(path, FRAMES, **elements))


def read(dataset):
    """What a node knows of a data set."""
    return read_instance(encode(dataset))


def encode(dataset):
    """The bytes of a data set's file."""
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def send(port, *datasets, aet="CAMERA", called="SPECTJAX", tls=None):
    """Sends over one association; the answers, or None if it is refused."""
    ae = Caller(aet, 10)
    for dataset in datasets:
        ae.add_requested_context(
            dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID
        )
    association = ae.associate("127.0.0.1", port, ae_title=called, tls_args=tls)
    if not association.is_established:
        return None
    answers = [association.send_c_store(each).get("Status") for each in datasets]
    association.release()
    return answers


def wait_for(condition, seconds=30):
    """Waits until something holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.01)


@contextlib.contextmanager
def running(config):
    """A node at work in threads of this process; it has a `port` and `states()`."""
    service = Service(config, config.model.command)
    thread = threading.Thread(target=service.run)
    thread.start()
    wait_for(lambda: service.port)
    try:
        yield service
    finally:
        service.stop()
        thread.join()


def states(service):
    """The state of each study."""
    return [each["state"] for each in service.queue.list_studies()]
