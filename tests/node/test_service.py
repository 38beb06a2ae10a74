"""A node as a whole: what comes in, what goes out, what is written down."""

import json
import socket
import threading

import pytest

from tests.support.fake_pacs import FakePacs
from tests.support.nodes import (
    make_config,
    make_instance,
    running,
    send,
    states,
    wait_for,
)


@pytest.fixture
def pacs():
    pacs = FakePacs()
    yield pacs
    pacs.stop()


def read_audit(config):
    (path,) = (config.node.folder / "audit").iterdir()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_study_comes_in_and_results_are_kept(tmp_path, pacs, capfd):
    config = make_config(tmp_path, pacs.port)
    scan = make_instance(tmp_path)
    with running(config) as node:
        pacs.node_port = node.port
        assert send(node.port, scan, aet="STRANGER") is None
        assert send(node.port, scan, called="OTHER") is None
        assert send(node.port, scan, scan) == [0x0000, 0x0000]
        forged = make_instance(tmp_path, ImageComments="changed")
        assert send(node.port, forged) == [0x0111]
        wait_for(lambda: states(node) == ["done"])
        # A router sends back whatever it gets.
        capture = next(d for d in pacs.kept.values() if "1.1.7" in d.SOPClassUID)
        assert send(node.port, capture) == [0x0000]
    assert len(pacs.stored) == len(pacs.kept) == 2
    events = [line["event"] for line in read_audit(config)]
    assert events.count("refused association") == 2
    assert events.count("received") == 3
    assert events.count("sent") == 2
    assert events[-2:] == ["received", "stopped"]
    told = capfd.readouterr().err + json.dumps(read_audit(config))
    assert not [w for w in ("Secret", "ID-4711", "1.2.3") if w in told]


def test_study_that_the_model_cannot_read_is_told(tmp_path, pacs, capfd):
    config = make_config(tmp_path, pacs.port, tries=2)
    (tmp_path / "do").write_text("error")
    with running(config) as node:
        send(node.port, make_instance(tmp_path))
        wait_for(lambda: states(node) == ["failed"])
        (tmp_path / "do").write_text("nothing")
        send(node.port, make_instance(tmp_path, uid="1.2.4.1", study="1.2.4"))
        wait_for(lambda: states(node) == ["failed", "nothing"])
        notes = [each["note"] for each in node.queue.list_studies()]
        assert notes == [
            "model says: cannot read the scan of [...]",
            "no whole-body frame of [...] in it",
        ]
        (tmp_path / "do").write_text("crash")
        send(node.port, make_instance(tmp_path, uid="1.2.5.1", study="1.2.5"))
        wait_for(lambda: node.queue.list_studies()[2]["tries"] == 1)
        (tmp_path / "do").unlink()
        node.queue.retry("1.2.3")
        wait_for(lambda: states(node) == ["done", "nothing", "done"])
    assert len(pacs.kept) == 4
    assert "Secret" not in capfd.readouterr().err


@pytest.mark.slow
def test_results_that_are_none_are_not_sent(tmp_path, pacs):
    notes = []
    with running(make_config(tmp_path, pacs.port, tries=1)) as node:
        for number, word in enumerate(["empty", "garbage", "foreign"]):
            (tmp_path / "do").write_text(word)
            uid = f"1.2.{number}"
            send(node.port, make_instance(tmp_path, uid=f"{uid}.1", study=uid))
            wait_for(lambda count=number + 1: states(node) == ["failed"] * count)
            notes.append(node.queue.list_studies()[-1]["note"])
    assert notes == [
        "model gave no results: 0 files",
        "model gave no results: a file that cannot be read (UnreadableFileError)",
        "model gave no results: a file of another study",
    ]
    assert pacs.stored == []


def test_thread_that_a_peer_has_ended_is_no_bug(tmp_path, capfd):
    with running(make_config(tmp_path)) as node:
        with socket.create_connection(("127.0.0.1", node.port)) as wire:
            listed = node._receiver._server
            wait_for(lambda: listed.active_associations)
            (thread,) = listed.active_associations
            error = ValueError("of Secret^Name")
            args = (ValueError, error, None, thread)
            node.note_lost_thread(threading.ExceptHookArgs(args))
            wire.settimeout(5)
            assert wire.recv(100) == b""
        ours = (ValueError, error, None, threading.Thread(name="ours"))
        node.note_lost_thread(threading.ExceptHookArgs(ours))
    told = capfd.readouterr().err
    assert "broken association why=no DICOM (ValueError)" in told
    assert "unexpected error where=ours kind=ValueError" in told
    assert "Secret" not in told


@pytest.mark.slow
def test_several_workers_share_a_queue(tmp_path, pacs):
    (tmp_path / "do").write_text("slow0.2")
    config = make_config(tmp_path, pacs.port, workers=3, commitment="find")
    with running(config) as node:
        for number in range(12):
            scan = make_instance(tmp_path, uid=f"1.2.{number}.1", study=f"1.2.{number}")
            assert send(node.port, scan) == [0x0000]
        wait_for(lambda: states(node) == ["done"] * 12)
    assert len(pacs.stored) == len(pacs.kept) == 24


@pytest.mark.slow
@pytest.mark.parametrize("reports", ["other", "never"])
def test_report_comes_as_it_likes_or_not(tmp_path, pacs, reports):
    pacs.reports = reports
    config = make_config(tmp_path, pacs.port, confirm_s=1.5, tries=3)
    with running(config) as node:
        pacs.node_port = node.port
        send(node.port, make_instance(tmp_path))
        ended = "done" if reports == "other" else "failed"
        wait_for(lambda: states(node) == [ended])
        (study,) = node.queue.list_studies()
    assert len(pacs.stored) == 2
    if reports == "never":
        assert study["note"] == "pacs: does not report on Storage Commitment"
        assert len(pacs.requests) == 3


@pytest.mark.slow
def test_study_of_which_a_part_never_comes_fails(tmp_path, pacs, monkeypatch):
    config = make_config(tmp_path, pacs.port, incomplete_s=1.0)
    with running(config) as node:
        first, second = make_instance(tmp_path), make_instance(tmp_path, uid="1.2.3.2")
        monkeypatch.setattr(node._disk, "measure_free", lambda: -1)
        assert send(node.port, second) == [0xA700]
        monkeypatch.undo()
        assert send(node.port, first) == [0x0000]
        wait_for(lambda: states(node) == ["failed"])
        assert send(node.port, second) == [0x0000]
        wait_for(lambda: states(node) == ["done"])
