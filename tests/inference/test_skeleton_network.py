"""Asking a network of bones: from views to regions on their own pixels."""

import dataclasses
import pathlib

import numpy as np
import pytest

from spectjax.bones.masks import read_bone_masks
from spectjax.bones.regions import NAMES
from spectjax.bones.sheet import find_half
from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.imaging.scan import BoneScan
from spectjax.inference.ready import read_document, read_weights
from spectjax.inference.skeleton_network import FOLDER, ask_skeleton
from spectjax.inference.trained import TrainedModel
from spectjax.phantom import write_phantom

HW = (1024, 256)
SKULL, FEMUR = (1 + NAMES.index(name) for name in ("skull", "left femur"))


def make_scan(view):
    counts = np.zeros(HW, np.float32)
    counts[100:900, 100:160] = 20
    if view == "posterior":
        counts = counts[:, ::-1]
    return BoneScan(
        counts, view, "", (2.3, 2.3), pathlib.Path("a.dcm"), 0, "p", "Patient ID", "i",
        synthetic=True,
    )  # fmt: skip


@pytest.fixture
def asked():
    return []


@pytest.fixture
def network(asked):
    """Says skull of the upper half of what is bright, femur of the lower, 0.8 sure.

    And femur of a fleck near the upper corner of each half.
    """

    def predict(sheets):
        asked.append(sheets)
        bright = sheets[..., 0] > 50
        rows = np.arange(512)[None, :, None]
        bright[:, 5:8, [2, 3, 4, 130, 131, 132]] = True
        probs = np.full((*bright.shape, len(NAMES) + 1), 0.2 / 22, np.float32)
        half = np.where((8 < rows) & (rows < 256), SKULL, FEMUR)
        label = np.where(bright, half, 0)
        np.put_along_axis(probs, label[..., None], 0.8, axis=-1)
        return probs

    return TrainedModel(predict, {}, "skeleton", (512, 256))


@pytest.mark.parametrize("views", [("anterior", "posterior"), ("posterior",)])
def test_regions_lie_on_the_bright_pixels_of_each_view(network, asked, views):
    scans = {view: make_scan(view) for view in views}
    seen = ask_skeleton(scans, network)
    # Each view alone, and both together.
    assert [sheet.shape for sheet in asked] == [(1, 512, 256, 1)] * (2 * len(views) - 1)
    assert find_half(asked[-1][0], "anterior").any() == ("anterior" in views)
    assert not find_half(asked[len(views) - 1][0], "anterior").any()
    for view, scan in scans.items():
        regions, sureness = seen[view]
        assert regions.dtype == np.uint8 and regions.shape == HW
        assert not regions[:90].any()  # the fleck is none of the femur
        assert np.mean((regions > 0) == (scan.counts > 0)) > 0.99
        assert set(np.unique(regions)) == {0, SKULL, FEMUR}
        assert regions[300, 128] == SKULL and regions[700, 128] == FEMUR
        assert sureness.keys() == {"skull", "left femur"}
        assert 0.7 < sureness["skull"] <= 0.8


def test_a_view_without_a_body_has_no_bones(network):
    scan = make_scan("anterior")
    empty = dataclasses.replace(scan, counts=np.zeros(HW, np.float32))
    regions, sureness = ask_skeleton({"anterior": empty}, network)["anterior"]
    assert not regions.any() and sureness == {}


def test_what_ships_learned_bones_from_simulated_patients_alone():
    document = read_document(FOLDER)
    (member,) = document["members"]
    assert document["class_names"][1:] == list(NAMES)
    assert read_weights(FOLDER, member)["params"]["unet"].keys() >= {"down0", "head"}
    assert member["trained_on"]["population"] == "whole_body"
    assert member["model"]["trained_on_synthetic_data"] is True
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 2_000_000


@pytest.mark.slow
def test_what_ships_finds_the_bones_of_patients_it_has_not_seen(tmp_path):
    write_phantom(tmp_path, patients=3, seed=77, population="whole_body", processes=1)
    masks = read_bone_masks(tmp_path)
    scans, _ = find_bone_scans([tmp_path / "dicom"])
    dice = []
    for patient in {scan.patient_key for scan in scans}:
        views = {scan.view: scan for scan in scans if scan.patient_key == patient}
        for view, (regions, _) in ask_skeleton(views).items():
            truth = masks.read(views[view].name, view, regions.shape)
            for label in range(1, len(NAMES) + 1):
                own, found = truth == label, regions == label
                if own.sum() > 1000:
                    dice.append(2 * (own & found).sum() / (own.sum() + found.sum()))
    assert len(dice) > 60 and np.mean(dice) > 0.92 and min(dice) > 0.6
