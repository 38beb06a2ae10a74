"""Tests of the network that is asked about the crop, and of what is made of it."""

import dataclasses

import numpy as np
import pytest

from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.imaging.thorax import CropError, crop, crop_thorax
from spectjax.imaging.thorax.body import NoThoraxError
from spectjax.imaging.thorax.evidence import draw_evidence
from spectjax.imaging.thorax.network import (
    CANVAS_HW,
    WEIGHTS,
    Opinion,
    ask_network,
    place_window,
    read_weights,
)
from spectjax.imaging.thorax.second_opinion import is_sure, weigh
from spectjax.phantom import simulate_patient
from spectjax.weights.tensors import unpack_tensors

FRAME_HW = (1024, 256)
RIBS = (180, 70, 340, 190)
DOUBTS = ("the flank's height over the trunk's height: 0.400, expected 0.05 to 0.28",)


@pytest.fixture(scope="module")
def view():
    return simulate_patient(41).views["anterior"]


@pytest.fixture(scope="module")
def scan(hospital):
    return find_bone_scans([hospital])[0][0]


def think(*, moved=0, spread=8.0):
    """An opinion `moved` pixels below the rules' rib cage, on 4 pixels a step."""
    box = np.add(RIBS, (moved, 0, moved, 0)).astype(float)
    maps = np.zeros((CANVAS_HW[0] // 2, CANVAS_HW[1] // 2, 4))
    return Opinion(box, np.full(4, spread), maps, (4.0, 0.0, 0.0))


def spoil(counts):
    """Soft tissue windowed to 0, a hot bag beside the hip, and few grey levels."""
    row, column = np.ogrid[: counts.shape[0], : counts.shape[1]]
    bag = np.exp(-((((row - 480) / 30) ** 2 + ((column - 210) / 12) ** 2) ** 2))
    bright = np.percentile(counts[counts > 0], 90)
    shown = counts + 40 * bright * bag - 0.3 * bright
    return np.round(20 * np.clip(shown / bright, 0, 4)).astype(np.float32)


def test_rib_cage_of_a_patient_is_seen_as_it_is_and_in_a_spoilt_picture(view):
    for counts in (view.counts, spoil(view.counts)):
        opinion = ask_network(counts.astype(np.float32))
        assert is_sure(opinion, FRAME_HW)
        np.testing.assert_allclose(opinion.box, view.thorax_box, atol=10)


def test_left_and_right_are_alike_and_the_size_of_pixels_does_not_matter(view):
    counts = view.counts.astype(np.float32)
    one = ask_network(counts).box
    mirrored = ask_network(counts[:, ::-1]).box
    np.testing.assert_allclose(
        mirrored, [one[0], 256 - one[3], one[2], 256 - one[1]], atol=0.5
    )
    coarse = counts.reshape(512, 2, 128, 2).sum(axis=(1, 3))
    np.testing.assert_allclose(2 * ask_network(coarse).box, one, atol=3)
    louder = ask_network(1000 * counts)
    np.testing.assert_allclose(louder.box, one, atol=0.01)


@pytest.mark.parametrize(
    "change",
    [
        lambda counts: counts[450:],
        lambda counts: counts[::-1],
        lambda counts: counts[:, : counts.shape[1] // 2],
        lambda counts: np.random.default_rng(3).poisson(0.3, counts.shape),
    ],
    ids=["legs", "upside down", "half a body", "noise"],
)
def test_network_is_not_sure_of_what_is_no_whole_body(view, change):
    counts = np.ascontiguousarray(change(view.counts), np.float32)
    assert not is_sure(ask_network(counts), counts.shape)


def test_nothing_is_seen_where_there_is_nothing():
    assert ask_network(np.zeros(FRAME_HW, np.float32)) is None
    assert not is_sure(None, FRAME_HW)
    one = np.zeros(FRAME_HW, np.float32)
    one[500, 100] = 9
    assert place_window(one) is None


def test_weights_are_read_as_the_library_reads_them():
    content = WEIGHTS.read_bytes()
    assert len(content) <= 200_000
    for name, layer in unpack_tensors(content).items():
        for kind, values in layer.items():
            np.testing.assert_array_equal(read_weights(content)[name][kind], values)


def test_agreement_clears_doubts_and_unsure_opinions_change_nothing():
    agreed = weigh(RIBS, DOUBTS, think(moved=8), FRAME_HW)
    assert agreed == (RIBS, (), DOUBTS)
    assert weigh(RIBS, (), think(moved=8), FRAME_HW) == (RIBS, (), ())
    for unsure in (None, think(spread=60), think(moved=800)):
        assert weigh(RIBS, DOUBTS, unsure, FRAME_HW) == (RIBS, DOUBTS, ())


def test_doubtful_box_is_replaced_by_that_of_a_sure_network_and_stays_flagged():
    rib_cage, flags, cleared = weigh(RIBS, DOUBTS, think(moved=50), FRAME_HW)
    assert rib_cage == (230, 70, 390, 190)
    assert flags[0] == DOUBTS[0] and "up to 50 px from where the rules do" in flags[1]
    assert cleared == ()


def test_box_without_doubts_stays_but_a_network_that_differs_is_heard():
    rib_cage, (flag,), _ = weigh(RIBS, (), think(moved=50), FRAME_HW)
    assert rib_cage == RIBS
    assert "(230, 70, 390, 190), up to 50 px from here" in flag


def test_crop_says_what_the_network_thinks(scan):
    thorax = crop_thorax(scan)
    assert thorax.flags == ()
    document = thorax.to_json()
    marks = document["landmarks"]
    ribs = [marks[name] for name in ("shoulders", "left", "lowest_ribs", "right")]
    np.testing.assert_allclose(document["second_opinion"]["rib_cage"], ribs, atol=12)


def test_cleared_doubts_are_kept(scan, monkeypatch):
    monkeypatch.setattr(crop, "doubt_box", lambda *_: DOUBTS)
    thorax = crop_thorax(scan)
    assert (thorax.flags, thorax.cleared) == ((), DOUBTS)
    assert thorax.to_json()["cleared_flags"] == DOUBTS
    monkeypatch.setattr(crop, "ask_network", lambda _: None)
    assert crop_thorax(scan).flags == DOUBTS


def test_drawing_shows_the_network_where_the_rules_find_nothing(scan, monkeypatch):
    found = crop_thorax(scan)

    def find_nothing(body):
        raise NoThoraxError("no pelvis below the ribs")

    monkeypatch.setattr(crop, "_follow_rules", find_nothing)
    thorax = crop_thorax(scan)
    np.testing.assert_allclose(thorax.transform.box, found.transform.box, atol=12)
    assert "the papers find no pelvis below the ribs; the box is" in thorax.flags[0]
    figure = draw_evidence(thorax)
    assert "the network" in figure.axes[0].get_xlabel()
    halved = scan.counts.copy()
    halved[:, 128:] = 0
    with pytest.raises(CropError, match="no pelvis below the ribs"):
        crop_thorax(dataclasses.replace(scan, counts=halved))
