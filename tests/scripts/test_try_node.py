"""The harness that tries to break a node sees what is wrong, and a node holds."""

import sys

import pytest

pytest.importorskip("pynetdicom")

from scripts.node_trial import wire
from scripts.node_trial.bench import Bench, compare, find_port
from scripts.node_trial.fake_model import make_result
from scripts.node_trial.loads import digest, encode, forge, make_study, split_views
from scripts.node_trial.mutants import join, make_mutant, split
from scripts.node_trial.pacs import Pacs
from scripts.node_trial.scenarios import SCENARIOS
from scripts.node_trial.senders import Outbox, send
from scripts.node_trial.wire import Address

QUICK = ("strangers",)
# pynetdicom leaves a socket open where nobody listens, until the last name of it goes.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
needs_proc = pytest.mark.skipif(
    sys.platform != "linux", reason="the processes of a node are found in /proc"
)


@pytest.fixture(scope="module")
def bench(hospital, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    (folder / "hospital").symlink_to(hospital)
    return Bench(folder, seed=1, scale=0.1)


@needs_proc
@pytest.mark.parametrize("name", QUICK)
def test_a_node_holds(name, bench):
    assert [row for row in SCENARIOS[name](bench) if row.is_fault] == []


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in QUICK])
def test_a_node_holds_when_all_is_against_it(name, bench):
    rows = SCENARIOS[name](bench)
    assert rows
    assert [row for row in rows if row.is_fault] == []


@pytest.fixture
def delivered(bench):
    """What a camera was told is taken, and a PACS that has what must come of it."""
    outbox, pacs = Outbox(), Pacs(0, 0)
    for study in bench.make_studies(3, "compared"):
        outbox.note(study, [0] * len(study))
        for file in study:
            result = make_result(file)
            pacs.kept[result.SOPInstanceUID] = digest(result)
            pacs.sent.append((result.SOPInstanceUID, digest(result)))
    return outbox, pacs


def test_what_was_delivered_once_is_no_fault(delivered):
    assert not compare(*delivered).is_fault


def test_nothing_acknowledged_is_no_success():
    assert compare(Outbox(), Pacs(0, 0)).is_fault


@pytest.mark.parametrize("fault", ["lost", "altered", "strange", "sent again"])
def test_what_must_not_be_is_seen(fault, delivered):
    outbox, pacs = delivered
    uid = next(iter(pacs.kept))
    match fault:
        case "lost":
            del pacs.kept[uid]
        case "altered":
            pacs.kept[uid] = "other content"
        case "strange":
            pacs.kept["1.2.3"] = "of nobody"
        case "sent again":
            pacs.sent.append((uid, pacs.kept[uid]))
    row = compare(outbox, pacs)
    assert row.is_fault
    assert f"{fault} 1" in row.seen


def test_studies_differ_in_uids_patient_and_pixels(bench):
    one, other = (
        make_study(bench.patients, "x", n)[0] for n in (0, len(bench.patients))
    )
    for keyword in ("StudyInstanceUID", "SOPInstanceUID", "PatientID", "PixelData"):
        assert one[keyword].value != other[keyword].value
    again = make_study(bench.patients, "x", 0)[0]
    assert encode(again) == encode(one)


def test_a_forged_file_has_the_uid_of_another(bench):
    file = make_study(bench.patients, "x", 0)[0]
    assert forge(file).SOPInstanceUID == file.SOPInstanceUID
    assert digest(forge(file)) != digest(file)


def test_a_split_study_is_whole(bench):
    (study,) = [s for s in bench.patients if s[0].get("NumberOfFrames") == 2][:1]
    parts = split_views(study)
    assert b"".join(part.PixelData for part in parts) == study[0].PixelData
    assert len({part.SOPInstanceUID for part in parts}) == 2
    assert all(len(part.SOPInstanceUID) <= 64 for part in parts)


def test_elements_are_put_together_as_they_were(bench):
    data = encode(bench.patients[0][0])
    assert join(split(data)) == data


def test_the_same_number_makes_the_same_mutant(bench):
    address = Address(11112)
    made = [make_mutant(bench.patients, address, 0, n) for n in range(60)]
    assert made == [make_mutant(bench.patients, address, 0, n) for n in range(60)]
    assert len({mutant.kind for mutant in made}) > 10


def test_pdus_carry_what_they_were_given():
    content = bytes(range(256)) * 10
    pdus = wire.put_data(content, command=False, most=100)
    assert b"".join(pdu[12:] for pdu in pdus) == content
    assert [pdu[11] for pdu in pdus] == [0] * (len(pdus) - 1) + [2]
    assert all(int.from_bytes(pdu[2:6], "big") == len(pdu) - 6 for pdu in pdus)


def test_a_pacs_keeps_refuses_and_loses(bench):
    port = find_port()
    pacs = Pacs(port, find_port())
    results = [make_result(study[0]) for study in bench.make_studies(3, "pacs")]
    pacs.answer = lambda number: 0xA700 if number == 1 else 0
    pacs.loses = 1
    address = Address(port, "PACS")
    pacs.start()
    try:
        assert send(address, results) == [0xA700] * 3
        assert send(address, results) == [0] * 3
    finally:
        pacs.stop()
    assert list(pacs.kept) == [result.SOPInstanceUID for result in results[1:]]
    assert send(address, results, seconds=1) == [None] * 3
