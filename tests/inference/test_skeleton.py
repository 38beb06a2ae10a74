"""Bones in the views of an examination: what is in doubt, and what is refused."""

import dataclasses

import numpy as np
import pytest

from spectjax.bones import lines
from spectjax.bones.atlas import read_atlas
from spectjax.bones.regions import NAMES
from spectjax.imaging.crop_decision import CropDecision
from spectjax.imaging.scan import ScanError
from spectjax.imaging.thorax import CropError
from spectjax.inference import skeleton
from spectjax.inference.skeleton import AtlasFinder, CheckedFinder
from spectjax.phantom.frames import Frame
from spectjax.phantom.patient import simulate_patient
from spectjax.system.messages import UserError


@pytest.fixture(scope="module")
def scans():
    patient = simulate_patient(3, diagnosis="normal", frame=Frame((512, 128), 4.6))
    return patient.show("P0003.dcm")


@pytest.fixture(scope="module")
def found(scans):
    return AtlasFinder(read_atlas()).find(scans)


def find(scans, view="anterior", **changes):
    """The bones of one view with other facts or counts."""
    scan = dataclasses.replace(scans[view], **changes)
    return AtlasFinder(read_atlas()).find({view: scan})[view]


def test_both_views_have_their_bones(scans, found):
    assert found.keys() == scans.keys()
    for view, bones in found.items():
        assert bones.source == "atlas"
        assert bones.flags == {}
        assert bones.regions.shape == scans[view].counts.shape
        # The heart is on the left: of both views the same patient's sides.
        columns = [
            np.argwhere(bones.regions == NAMES.index(f"{side} ribs") + 1)[:, 1].mean()
            for side in ("right", "left")
        ]
        assert (columns[0] < columns[1]) == (view == "anterior")
    assert NAMES.index("sternum") + 1 in found["anterior"].regions


def test_one_view_is_enough(scans):
    assert find(scans).flags == {}
    # Nobody sees the sternum from behind.
    assert find(scans, "posterior").flags == {
        "sternum": "not shown by the views at hand"
    }


def test_a_flagged_crop_leaves_every_region_in_doubt(scans):
    refused = CropDecision("crops.csv, row 3", accepted=False)
    bones = find(scans, crop_decision=refused)
    assert bones.flags.keys() == set(NAMES)
    assert set(bones.flags.values()) == {
        "the crop that the bones are laid by is flagged"
    }


def test_weak_evidence_for_the_view_leaves_every_side_in_doubt(scans):
    bones = find(scans, view_evidence="WARNING: the file's name")
    assert bones.flags.keys() == set(NAMES)


@pytest.mark.parametrize(
    ("view", "side"), [("anterior", "left"), ("posterior", "right")]
)
def test_an_arm_that_the_frame_cuts_is_in_doubt(scans, found, view, side):
    """The frame ends where the humerus was: that side's arm, and no other bone."""
    whole = found[view].regions
    humerus = NAMES.index(f"{side} humerus") + 1
    end = int(np.argwhere(whole == humerus)[:, 1].mean())
    flags = find(scans, view, counts=scans[view].counts[:, :end]).flags
    assert flags[f"{side} humerus"] == "the frame's side cuts the arm"
    assert f"{side} forearm and hand" in flags
    other = "right" if side == "left" else "left"
    assert f"{other} humerus" not in flags


def test_legs_that_the_frame_cuts_are_in_doubt(scans, found):
    regions = found["anterior"].regions
    lower = NAMES.index("left lower leg and foot") + 1
    middle = int(np.argwhere(regions == lower)[:, 0].mean())
    counts = scans["anterior"].counts.copy()
    counts[middle:] = 0
    flags = find(scans, counts=counts).flags
    assert flags["left femur"] and flags["right lower leg and foot"]


def test_crests_at_different_heights_leave_the_pelvis_in_doubt(scans, monkeypatch):
    heights = iter([(0.1, True), (0.25, True)])
    monkeypatch.setattr(lines, "_find_crests", lambda *_: next(heights))
    for bones in AtlasFinder(read_atlas()).find(scans).values():
        assert bones.flags.keys() == {
            *("lumbar spine", "sacrum", "left hip bone", "right hip bone")
        }


def test_crests_that_nobody_sees_leave_the_pelvis_in_doubt(scans, monkeypatch):
    monkeypatch.setattr(lines, "_find_crests", lambda *_: (0.1, False))
    assert "not made out" in find(scans).flags["sacrum"]


def test_a_part_of_a_body_has_no_bones(scans):
    counts = scans["anterior"].counts[100:300]
    with pytest.raises(ScanError, match=r"P0003.dcm: expected a whole body .* thorax"):
        find(scans, counts=counts, region="thorax")


def test_a_scan_without_a_thorax_has_no_bones(scans):
    counts = np.zeros_like(scans["anterior"].counts)
    with pytest.raises(CropError, match=r"P0003.dcm"):
        find(scans, counts=counts)


def check(found, scans, **changes):
    """What is found where a network sees what the atlas does, but for some views."""
    seen = {view: bones.regions for view, bones in found.items()} | changes
    return CheckedFinder(AtlasFinder(read_atlas()), lambda _: seen).find(scans)


def test_atlas_and_network_that_agree_leave_nothing_in_doubt(scans, found):
    checked = check(found, scans)
    assert {bones.source for bones in checked.values()} == {
        "network, checked by an atlas"
    }
    assert all(bones.flags == {} for bones in checked.values())


def test_where_atlas_and_network_disagree_the_region_is_in_doubt(scans, found):
    """The network's map counts, and says that a hip bone is the femur."""
    regions = found["posterior"].regions.copy()
    hip, femur = (NAMES.index(f"left {kind}") + 1 for kind in ("hip bone", "femur"))
    regions[regions == hip] = femur
    checked = check(found, scans, posterior=regions)
    assert checked["anterior"].flags == {}
    assert checked["posterior"].flags.keys() == {"left hip bone", "left femur"}
    assert np.array_equal(checked["posterior"].regions, regions)


def test_a_network_clears_doubts_about_crests_alone(scans, monkeypatch):
    heights = iter([(0.1, False)])
    monkeypatch.setattr(lines, "_find_crests", lambda *_: next(heights))
    scan = {"anterior": scans["anterior"]}
    bones = AtlasFinder(read_atlas()).find(scan)
    assert "sacrum" in bones["anterior"].flags
    heights = iter([(0.1, False)])
    assert check(bones, scan)["anterior"].flags == {}
    refused = CropDecision("crops.csv, row 3", accepted=False)
    scan = {"anterior": dataclasses.replace(scan["anterior"], crop_decision=refused)}
    heights = iter([(0.1, False)])
    assert check(bones, scan)["anterior"].flags.keys() == set(NAMES)


def test_what_ships_is_the_network_checked_by_the_atlas(scans, found, monkeypatch):
    seen = {view: bones.regions for view, bones in found.items()}
    monkeypatch.setattr(skeleton, "load_network", lambda: None)
    monkeypatch.setattr(skeleton, "see_regions", lambda _: seen)
    for bones in skeleton.load_skeleton().find(scans).values():
        assert bones.source == "network, checked by an atlas"


def test_without_jax_it_is_said_what_to_install(monkeypatch):
    def fail():
        raise ImportError("No module named 'jax'", name="jax")

    monkeypatch.setattr(skeleton, "load_network", fail)
    with pytest.raises(UserError, match="jax"):
        skeleton.load_skeleton()
