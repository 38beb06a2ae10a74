"""A node that ends between any two steps that reach the disk, and the next one."""

import contextlib
import itertools
import os
import threading

import pytest

from spectjax.node.audit import Audit
from spectjax.node.disk import Disk
from spectjax.node.incoming import Keeper
from spectjax.node.queue import Queue
from spectjax.node.schema import Database
from spectjax.node.sender import Sender
from spectjax.node.service import recover
from tests.support.fake_pacs import FakePacs
from tests.support.fake_reader import make_results
from tests.support.nodes import encode, make_config, make_instance, read

SENDER = {"aet": "CAMERA", "address": "127.0.0.1"}


class Crash(BaseException):
    """The end of the process: nothing catches it."""


class Steps:
    """Ends the process at a step of those that reach the disk, counted from one."""

    def __init__(self, monkeypatch):
        """Watches files, folders and changes of the queue."""
        self.left = 0
        for name in ("fsync", "replace"):
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))
        change = Database.change

        @contextlib.contextmanager
        def change_in_steps(database):
            self.count()
            with change(database) as db:
                yield db
            self.count()

        monkeypatch.setattr(Database, "change", change_in_steps)

    def wrap(self, function):
        """Counts before and after a call."""

        def call(*arguments, **named):
            self.count()
            result = function(*arguments, **named)
            self.count()
            return result

        return call

    def count(self):
        """Counts a step, and ends the process at the one that was chosen."""
        # In a thread of pynetdicom's, it would not end this one.
        if threading.current_thread() is not threading.main_thread():
            return
        self.left -= 1
        if self.left == 0:
            raise Crash


@pytest.fixture
def steps(monkeypatch):
    return Steps(monkeypatch)


class Node:
    """What a process has open."""

    def __init__(self, config):
        """Opens it, as a start does."""
        folder = config.node.folder
        self.config, self.disk, self.queue = config, Disk(folder), Queue(folder)
        self.audit = Audit(folder / "audit")
        recover(config, self.queue, self.disk)

    def receive(self, contents, new):
        """Takes an instance; returns when it is acknowledged."""
        keeper = Keeper(self.queue, self.disk, self.audit, 0.0)
        assert keeper.keep(new, contents, SENDER) in ("new", "same")

    def read(self, results):
        """Takes the results of the study, if it is due."""
        job = self.queue.claim("worker", 60)
        if job is not None:
            for each in results:
                self.disk.keep("out", each[0].digest, each[1])
            assert self.queue.finish(job, [each[0] for each in results], ["pacs"])

    def send(self):
        """Sends what there is to send, until it is confirmed."""
        (place,) = self.config.destinations
        sender = Sender(place, self.config, self.queue, self.disk, self.audit, None)
        try:
            while self.queue.list_studies()[0]["state"] == "sending":
                if errand := self.queue.next_errand("pacs"):
                    sender.serve(errand)
        finally:
            sender.close()  # as the end of a process does


def list_crashes(steps, folder):
    """Yields a folder for each step at which to end, until there is none left."""
    for number in itertools.count(1):
        inner = folder / str(number)
        inner.mkdir()
        steps.left = number
        yield inner
        if steps.left > 0:
            assert number > 4
            return


def test_what_was_acknowledged_is_never_lost(tmp_path, steps):
    scan = make_instance(tmp_path)
    contents, new = encode(scan), read(scan)
    for folder in list_crashes(steps, tmp_path):
        config, acknowledged = make_config(folder, quiet_s=0.0), False
        with contextlib.suppress(Crash):
            node = Node(config)
            node.receive(contents, new)
            acknowledged = True
        left, steps.left = steps.left, 0
        node = Node(config)
        if acknowledged:
            assert node.queue.compare(new) == "same"
        node.receive(contents, new)
        job = node.queue.claim("worker", 60)
        assert job.digests == (new.digest,)
        assert node.disk.read("in", new.digest) == contents
        assert node.queue.claim("worker", 60) is None
        text = "".join(p.read_text() for p in (config.node.folder / "audit").iterdir())
        assert '"received"' in text
        steps.left = left


def test_results_are_there_whole_or_are_made_again(tmp_path, steps):
    scan = make_instance(tmp_path)
    results = [
        (read(each), encode(each)) for each in make_results([tmp_path / "instance.dcm"])
    ]
    for folder in list_crashes(steps, tmp_path):
        left, steps.left = steps.left, 0
        config = make_config(folder, quiet_s=0.0)
        Node(config).receive(encode(scan), read(scan))
        steps.left = left
        with contextlib.suppress(Crash):
            Node(config).read(results)
        left, steps.left = steps.left, 0
        node = Node(config)
        node.read(results)
        errand = node.queue.next_errand("pacs")
        assert [each.state for each in errand.parcels] == ["waiting", "waiting"]
        assert node.disk.list_digests("out") == {each[0].digest for each in results}
        steps.left = left


@pytest.mark.slow
@pytest.mark.parametrize("commitment", ["find", "storage"])
def test_results_are_sent_once_or_the_same_again(tmp_path, steps, commitment):
    scan = make_instance(tmp_path)
    results = [
        (read(each), encode(each)) for each in make_results([tmp_path / "instance.dcm"])
    ]
    pacs = FakePacs()
    for folder in list_crashes(steps, tmp_path):
        left, steps.left = steps.left, 0
        pacs.kept.clear()
        pacs.stored.clear()
        short = {"quiet_s": 0.0, "confirm_s": 0.5, "pause_s": 0.0, "timeout_s": 2.0}
        config = make_config(folder, pacs.port, commitment=commitment, **short)
        node = Node(config)
        node.receive(encode(scan), read(scan))
        node.read(results)
        steps.left = left
        with contextlib.suppress(Crash):
            Node(config).send()
        left, steps.left = steps.left, 0
        node = Node(config)
        node.send()
        (study,) = node.queue.list_studies()
        assert study["state"] == "done"
        assert set(pacs.kept) == set(pacs.stored) == {r[0].uid for r in results}
        # Since it is asked what it has, it never gets one twice.
        assert len(pacs.stored) == 2
        steps.left = left
    pacs.stop()
