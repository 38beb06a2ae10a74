"""Asking a network of bones: from views to regions on their own pixels."""

import dataclasses
import pathlib

import numpy as np
import pytest

from spectjax.bones.regions import NAMES
from spectjax.bones.sheet import find_half
from spectjax.imaging.scan import BoneScan
from spectjax.inference.skeleton_network import ask_skeleton
from spectjax.inference.trained import TrainedModel

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
    """Says skull of the upper half of what is bright, femur of the lower, 0.8 sure."""

    def predict(sheets):
        asked.append(sheets)
        bright = sheets[..., 0] > 50
        rows = np.arange(512)[None, :, None]
        probs = np.full((*bright.shape, len(NAMES) + 1), 0.2 / 22, np.float32)
        label = np.where(bright, np.where(rows < 256, SKULL, FEMUR), 0)
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
