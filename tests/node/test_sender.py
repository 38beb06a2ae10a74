"""What a node does until a destination keeps its results."""

import pydicom
import pytest
from pynetdicom import evt

from spectjax.node.audit import Audit
from spectjax.node.disk import Disk
from spectjax.node.queue import Queue
from spectjax.node.sender import Sender
from tests.support.fake_pacs import FakePacs
from tests.support.fake_reader import make_results
from tests.support.nodes import encode, make_config, make_instance, read, wait_for


@pytest.fixture
def pacs():
    pacs = FakePacs()
    yield pacs
    pacs.stop()


class Sending:
    """A study with two results for a destination, and its sender, step by step."""

    def __init__(self, folder, port, **changes):
        """Makes the study."""
        changes = {"pause_s": 0.0, "longest_s": 0.0} | changes
        config = make_config(folder, port, quiet_s=0.0, timeout_s=5.0, **changes)
        self.disk, self.queue = Disk(config.node.folder), Queue(config.node.folder)
        audit = Audit(config.node.folder / "audit")
        self.queue.add(read(make_instance(folder)), 0.0)
        results = list(make_results([folder / "instance.dcm"]))
        for each in results:
            self.disk.keep("out", read(each).digest, encode(each))
        self.results = [read(each) for each in results]
        self.job = self.queue.claim("worker", 60)
        self.queue.finish(self.job, self.results, ["pacs"])
        (place,) = config.destinations
        self.sender = Sender(place, config, self.queue, self.disk, audit, None)

    def step(self, count=1):
        """Does so many steps; returns the state of the study and its note."""
        for _ in range(count):
            errand = self.queue.next_errand("pacs")
            if errand is not None:
                self.sender.serve(errand)
        (study,) = self.queue.list_studies()
        notes = [study["note"], *(each["note"] for each in study["errands"])]
        return study["state"], "".join(notes)

    def end(self):
        """Does what there is to do until the study has ended; returns its state."""
        wait_for(lambda: self.step()[0] != "sending")
        return self.step()[0]


def test_what_is_listed_is_done(tmp_path, pacs):
    sending = Sending(tmp_path, pacs.port, commitment="find")
    assert sending.step(2) == ("sending", "")
    assert sending.step() == ("done", "")
    assert len(pacs.stored) == 2


def test_what_is_committed_is_done(tmp_path, pacs):
    sending = Sending(tmp_path, pacs.port)
    assert sending.step(2) == ("sending", "waits for a commitment")
    assert sending.end() == "done"
    assert (len(pacs.stored), len(pacs.requests)) == (2, 1)


def test_what_nobody_is_asked_about_is_sent_not_done(tmp_path, pacs):
    sending = Sending(tmp_path, pacs.port, commitment="none")
    assert sending.step(2) == ("sent", "")


@pytest.mark.parametrize("commitment", ["find", "storage"])
def test_what_is_not_kept_is_sent_again(tmp_path, pacs, commitment):
    sending = Sending(tmp_path, pacs.port, commitment=commitment)
    lost = sending.results[1].uid
    pacs.forget.add(lost)
    assert sending.end() == "done"
    assert sorted(pacs.stored) == sorted([*pacs.kept, lost])
    assert sending.queue.count_deliveries() == {"sent": 2, "begun_again": 1}


def test_destination_that_is_away_is_waited_for(tmp_path, pacs):
    pacs.stop()
    sending = Sending(tmp_path, pacs.port, commitment="find", tries=2)
    for _ in range(3):
        assert sending.step() == ("sending", "takes no connection")
    back = FakePacs(port=pacs.port)
    assert sending.end() == "done"
    back.stop()
    # The fixture stops it once more.
    pacs.server = FakePacs().server


def test_destination_without_an_address_is_waited_for(tmp_path):
    sending = Sending(tmp_path, 104, host="no-such-host.invalid", tries=1)
    assert sending.step() == ("sending", "has no address")


def test_destination_that_refuses_fails_the_study_in_the_end(tmp_path, pacs):
    sending = Sending(tmp_path, pacs.port, tries=2)
    pacs.refuse = 0xA700
    assert sending.step() == ("sending", "answers A700 to a result")
    assert sending.step()[0] == "failed"
    assert sending.queue.list_studies()[0]["note"] == "pacs: answers A700 to a result"
    pacs.refuse = 0
    assert sending.queue.retry("1.2.3") == "sending"
    assert sending.end() == "done"


def test_destination_that_does_not_want_us_is_waited_for(tmp_path, pacs):
    pacs.server.ae.require_calling_aet = ["OTHER"]
    sending = Sending(tmp_path, pacs.port, commitment="find", tries=1)
    assert sending.step() == ("sending", "rejects the association")
    pacs.server.ae.require_calling_aet = []
    assert sending.end() == "done"


def test_what_was_sent_and_not_noted_is_not_sent_again(tmp_path, pacs):
    sending = Sending(tmp_path, pacs.port)
    first, second = (each.uid for each in sending.results)
    for uid in (first, second):
        assert sending.queue.begin_sending(sending.queue.next_errand("pacs"), uid)
    # The node ends; one of them has arrived.
    dataset = pydicom.dcmread(sending.disk.find("out", sending.results[0].digest))
    pacs.kept[first] = dataset
    assert sending.end() == "done"
    assert pacs.stored == [second]


def test_one_association_is_enough(tmp_path, pacs):
    opened = []
    pacs.server.bind(evt.EVT_ESTABLISHED, lambda event: opened.append(1))
    sending = Sending(tmp_path, pacs.port)
    assert sending.end() == "done"
    sending.sender.close()
    assert len(opened) == 1


def test_warning_is_no_refusal(tmp_path, pacs):
    sending = Sending(tmp_path, pacs.port, commitment="none")
    pacs.refuse = 0xB000
    assert sending.step(2)[0] == "sent"


def test_results_of_a_part_are_not_sent(tmp_path, pacs):
    sending = Sending(tmp_path, pacs.port)
    stored = pacs.stored
    more = read(make_instance(tmp_path, uid="1.2.3.2"))

    class Late(list):
        def append(self, uid):
            """More comes while the first result is being sent."""
            super().append(uid)
            sending.queue.add(more, 0.0)

    pacs.stored = Late()
    assert sending.step(3)[0] == "waiting"
    assert len(pacs.stored) == 1
    assert stored == []


def test_damaged_result_is_not_sent(tmp_path, pacs):
    sending = Sending(tmp_path, pacs.port, tries=1)
    path = sending.disk.find("out", sending.results[0].digest)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    state, note = sending.step()
    assert state == "failed"
    assert "damaged" in note
    assert sending.results[0].uid not in pacs.stored
    # What else there is of it is of no use: the model makes all of it again.
    assert sending.queue.retry("1.2.3") == "waiting"
