"""Regions of the skeleton: each bone once, sides as in a mirror, published shares."""

import numpy as np
import pytest

from spectjax.bones.regions import NAMES, REGIONS, draw_regions, mirror_sides
from spectjax.phantom.skeleton import build_skeleton

BONES = build_skeleton().names


def draw(view, **boxes):
    """The map of bones that fill boxes (y0, x0, y1, x1) of a frame of 40x20."""
    masks = np.zeros((len(BONES), 40, 20), bool)
    for name, (y0, x0, y1, x1) in boxes.items():
        masks[BONES.index(name.replace("_", " ")), y0:y1, x0:x1] = True
    return draw_regions(masks, BONES, view)


def label(name):
    return NAMES.index(name) + 1


def test_every_bone_of_the_phantom_belongs_to_one_region():
    assert sorted(bone for region in REGIONS for bone in region.bones) == sorted(BONES)


def test_the_masses_are_those_of_spiers():
    # Skull with mandible, spine with sacrum, ribs, limbs: read off the quoted table.
    mass = dict(zip(NAMES, (region.percent for region in REGIONS), strict=True))
    assert mass["skull"] == pytest.approx(16.6 + 1.8)
    assert sum(m for n, m in mass.items() if "spine" in n or n == "sacrum") == (
        pytest.approx(8.3)
    )
    assert mass["left femur"] + mass["right femur"] == pytest.approx(2 * 8.9)
    lower = 2 * (5.1 + 1.3 + 5.8)
    assert mass["left lower leg and foot"] == pytest.approx(lower / 2)
    assert sum(mass.values()) == pytest.approx(100.1)


def test_the_bone_nearest_to_the_detector_wins():
    boxes = {"sternum": (5, 5, 20, 10), "T6": (8, 5, 12, 10)}
    assert draw("anterior", **boxes)[10, 7] == label("sternum")
    assert draw("posterior", **boxes)[10, 7] == label("thoracic spine")


def test_the_space_between_ribs_belongs_to_them_and_that_beside_does_not():
    drawn = draw("anterior", left_rib_3=(5, 8, 7, 15), left_rib_9=(30, 8, 32, 12))
    assert drawn[18, 9] == label("left ribs")
    assert drawn[18, 13] == 0
    assert drawn[4, 9] == drawn[32, 9] == 0


def test_a_disc_belongs_to_its_spine_and_the_flank_beside_does_not():
    drawn = draw("posterior", L3=(5, 8, 10, 12), L4=(13, 8, 18, 12))
    assert drawn[11, 9] == label("lumbar spine")
    assert drawn[11, 12] == drawn[19, 9] == 0


def test_sides_change_in_the_mirror():
    drawn = draw("anterior", left_femur=(5, 2, 9, 4), skull=(20, 3, 22, 9))
    mirrored = mirror_sides(drawn)
    assert mirrored[6, 17] == label("right femur")
    assert mirrored[21, 11] == label("skull")
    assert np.array_equal(mirror_sides(mirrored), drawn)
