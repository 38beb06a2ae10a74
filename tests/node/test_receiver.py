"""What a node answers to whom, and whom it does not let in."""

import contextlib
import gc
import logging
import socket
import threading
import time

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.pdu_primitives import P_DATA

from spectjax.node import disk as disk_module
from spectjax.node.audit import Audit
from spectjax.node.connections import Flow
from spectjax.node.disk import Disk
from spectjax.node.holds import Holds
from spectjax.node.queue import Queue
from spectjax.node.receiver import Receiver
from spectjax.system.files import WriteError
from tests.support.nodes import make_config, make_instance, send, wait_for

ECHO = "1.2.840.10008.1.1"


class Listener:
    """A receiver at work, without anything behind it."""

    def __init__(self, folder, **changes):
        """Starts to listen."""
        config = make_config(folder, **changes)
        self.disk, self.holds = Disk(config.node.folder), Holds()
        self.queue = Queue(config.node.folder)
        self.audit = Audit(config.node.folder / "audit")
        shared = config, self.queue, self.disk, self.audit, self.holds
        self.receiver = Receiver(*shared, None)
        self.port = self.receiver.start()
        self.thread = threading.Thread(target=self.receiver.serve)
        self.thread.start()

    def close(self):
        """Ends."""
        self.receiver.stop()
        self.thread.join()
        self.queue.close()

    def count(self):
        """How many instances are there, in the queue and on the disk."""
        listed = self.queue.list_studies()
        in_queue = sum(each["instances"] for each in listed)
        assert len(self.disk.list_digests("in")) == in_queue
        return in_queue


@pytest.fixture
def listen(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(**changes):
            listener = Listener(tmp_path, **changes)
            stack.callback(listener.close)
            return listener

        yield start


def associate(port, dataset):
    """An association over which a data set can be sent."""
    ae = AE("CAMERA")
    ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    return ae.associate("127.0.0.1", port, ae_title="SPECTJAX")


def test_instance_above_the_limit_is_left_to_its_sender(tmp_path, listen):
    node = listen(max_object_mb=0.0003)
    assert send(node.port, make_instance(tmp_path)) == [0xA700]
    assert node.count() == 0


def test_no_room_is_said_and_the_study_is_held(tmp_path, listen, monkeypatch):
    node = listen(min_free_mb=1.0)
    first, second = make_instance(tmp_path), make_instance(tmp_path, uid="1.2.3.2")
    assert send(node.port, first) == [0x0000]
    monkeypatch.setattr(node.disk, "measure_free", lambda: 2**20)
    assert send(node.port, second) == [0xA700]
    assert node.count() == 1
    # It is known that a part of the study is not here.
    assert node.holds.list_held() == {"1.2.3"}
    monkeypatch.undo()
    assert send(node.port, second) == [0x0000]
    wait_for(lambda: not node.holds.list_held())
    assert node.count() == 2


def test_association_that_brings_too_much_is_told(tmp_path, listen):
    node = listen(max_association_mb=0.0019)
    many = [make_instance(tmp_path, uid=f"1.2.3.{i}") for i in range(4)]
    assert send(node.port, *many) == [0x0000, 0x0000, 0xA700, 0xA700]


@pytest.mark.parametrize("step", ["write", "folder", "queue", "audit"])
def test_what_cannot_be_written_is_not_acknowledged(
    tmp_path, listen, monkeypatch, step
):
    node, scan = listen(), make_instance(tmp_path)

    def fail(*_, **__):
        raise WriteError("no room") if step == "write" else OSError(28, "no room")

    owner, name = {
        "write": (disk_module, "write_file"),
        "folder": (disk_module, "_sync_folder"),
        "queue": (node.queue, "add"),
        "audit": (node.audit, "write"),
    }[step]
    monkeypatch.setattr(owner, name, fail)
    assert send(node.port, scan) == [0xA700]
    monkeypatch.undo()
    assert send(node.port, scan) == [0x0000]
    assert node.count() == 1


def test_what_was_announced_has_to_come(tmp_path, listen):
    node, scan = listen(), make_instance(tmp_path)
    nameless = make_instance(tmp_path, uid="1.2.3.2", study="")
    for announced, dataset, status in (
        ("1.9", scan, 0xA900),
        ("1.2.3.2", nameless, 0xC000),
        ("1.2.3.1", scan, 0x0000),
    ):
        association = associate(node.port, scan)
        send_message = association.dimse.send_msg

        def announce(message, context, send=send_message, announced=announced):
            message.AffectedSOPInstanceUID = announced
            send(message, context)

        association.dimse.send_msg = announce
        assert association.send_c_store(dataset).Status == status
        association.release()
    assert node.count() == 1


def test_same_in_another_encoding_is_the_same(tmp_path, listen):
    node = listen()
    first = make_instance(tmp_path, AnatomicRegionSequence=[pydicom.Dataset()])
    assert send(node.port, first) == [0x0000]
    other = make_instance(tmp_path, AnatomicRegionSequence=[pydicom.Dataset()])
    other["AnatomicRegionSequence"].is_undefined_length = True
    other.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    other.save_as(tmp_path / "other.dcm", implicit_vr=True)
    assert send(node.port, pydicom.dcmread(tmp_path / "other.dcm")) == [0x0000]
    assert node.count() == 1


def test_who_gets_results_may_ask_but_not_send(tmp_path, listen):
    node = listen()
    assert send(node.port, make_instance(tmp_path), aet="PACS") == [0x0124]
    assert node.count() == 0


def test_no_more_associations_than_are_allowed(listen):
    node = listen(associations=1)
    ae = AE("CAMERA")
    ae.add_requested_context(ECHO)
    first = ae.associate("127.0.0.1", node.port, ae_title="SPECTJAX")
    second = ae.associate("127.0.0.1", node.port, ae_title="SPECTJAX")
    assert (first.is_established, second.is_rejected) == (True, True)
    first.release()


@pytest.mark.slow
def test_peers_that_say_nothing_hold_nobody_up(tmp_path, listen):
    node = listen(timeout_s=1.0)
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(3)]
    # One announces 4 GiB, one dribbles.
    silent[1].sendall(b"\x01\x00\xff\xff\xff\xff")
    silent[2].sendall(b"\x01")
    begun = time.monotonic()
    assert send(node.port, make_instance(tmp_path)) == [0x0000]
    for each in silent:
        each.settimeout(10)
        with contextlib.suppress(ConnectionError):
            while each.recv(100):
                pass
        each.close()
    assert time.monotonic() - begun < 9  # all were ended


def test_peers_that_hang_up_leave_their_place(tmp_path, listen):
    node = listen(associations=2, timeout_s=20.0)
    for greeting in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x04\0\0\0\0\4abcd"):
        with socket.create_connection(("127.0.0.1", node.port)) as wire:
            wire.sendall(greeting)
    wait_for(lambda: send(node.port, make_instance(tmp_path)) == [0x0000], 4)


def test_association_leaves_nothing_in_memory(tmp_path, listen):
    node = listen()
    for _ in range(3):
        send(node.port, make_instance(tmp_path))

    def count():
        gc.collect()
        return sum(isinstance(each, Flow) for each in gc.get_objects())

    wait_for(lambda: count() == 0)


def test_broken_message_ends_its_association_alone(tmp_path, listen, capfd):
    node = listen()
    association = associate(node.port, make_instance(tmp_path))
    part = P_DATA()
    # A command set whose only element is an unknown command, PS3.7, E.1.
    command = bytes.fromhex("0000000104000000 0000 0100 02000000 7777".replace(" ", ""))
    part.presentation_data_value_list = [[1, b"\x03" + command]]
    association.dul.send_pdu(part)
    wait_for(lambda: association.is_aborted, 5)
    assert "unexpected" not in capfd.readouterr().err
    assert send(node.port, make_instance(tmp_path)) == [0x0000]


def test_study_broken_off_is_held(tmp_path, listen):
    node = listen()
    first, second = make_instance(tmp_path), make_instance(tmp_path, uid="1.2.3.2")
    association = associate(node.port, first)
    assert association.send_c_store(first).Status == 0
    # The command of the second, without its data set.
    sent = association.dul.send_pdu
    count = []

    def send_one(primitive):
        if not count:
            count.append(1)
            sent(primitive)
            threading.Timer(0.1, association.dul.socket.close).start()

    association.dul.send_pdu = send_one
    association.dimse_timeout = 1
    with contextlib.suppress(RuntimeError):
        association.send_c_store(second)
    wait_for(lambda: node.holds.list_held() == {"1.2.3"})
    wait_for(lambda: not node.holds._delivering)
    assert node.holds.take_overdue(0.0) == {"1.2.3": 1}


def test_pynetdicom_says_nothing_of_its_own():
    assert logging.getLogger("pynetdicom").getEffectiveLevel() > logging.CRITICAL
