"""A node as a whole: what comes in, what goes out, what is written down."""

import json

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
