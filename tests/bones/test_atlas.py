"""The atlas: it follows the lines of a body, keeps sides apart and fits a phantom."""

import dataclasses

import numpy as np
import pytest

from scripts.bone_atlas.examples import make_examples
from spectjax.bones.atlas import (
    FILE,
    Example,
    build_atlas,
    draw_atlas,
    pack_atlas,
    read_atlas,
    unpack_atlas,
)
from spectjax.bones.lines import Lines
from spectjax.bones.regions import NAMES, mirror_sides

HW = (300, 120)
SKULL, LEFT_RIBS, RIGHT_RIBS, LEFT_FEMUR, RIGHT_HUMERUS = (
    NAMES.index(name) + 1
    for name in ("skull", "left ribs", "right ribs", "left femur", "right humerus")
)


def lay_lines(*, rows=(10, 60, 120, 130, 200, 280), middle=60.0, half=20.0):
    """Straight lines: arms 40 pixels and legs 14 beside the middle."""
    column = np.full(HW[0], float(middle))
    return Lines(
        np.array(rows, float),
        column,
        half,
        np.stack([column - 40, column + 40]),
        np.stack([column - 14, column + 14]),
        {},
    )


def draw_body(middle=60, chest=(60, 120)):
    """A map as seen from the front: the patient's left is right in the picture."""
    regions = np.zeros(HW, np.uint8)
    regions[15:40, middle - 8 : middle + 9] = SKULL
    regions[chest[0] : chest[1], middle + 4 : middle + 18] = LEFT_RIBS
    regions[chest[0] : chest[1], middle - 17 : middle - 3] = RIGHT_RIBS
    regions[150:190, middle + 11 : middle + 18] = LEFT_FEMUR
    regions[70:110, middle - 43 : middle - 36] = RIGHT_HUMERUS
    return regions


@pytest.fixture(scope="module")
def body():
    """The atlas of one body, seen from both sides; a limb counts for both sides."""
    regions = draw_body()
    symmetric = np.where(regions > 0, regions, mirror_sides(np.roll(regions, -1, 1)))
    behind = symmetric[:, ::-1]  # bones keep their sides
    lines = lay_lines()
    # The middle of the frame's mirror image is half a pixel beside column 60.
    mirrored = lay_lines(middle=HW[1] - 1 - 60)
    return symmetric, build_atlas(
        [Example("anterior", lines, symmetric), Example("posterior", mirrored, behind)]
    )


def share_alike(one, other):
    """Dice of all that is bone in one of two maps, and of the same region in both."""
    alike = ((one == other) & (one > 0)).sum()
    return 2 * alike / ((one > 0).sum() + (other > 0).sum())


def test_a_body_is_drawn_as_it_was(body):
    regions, atlas = body
    drawn = draw_atlas(atlas, "anterior", lay_lines(), HW)
    assert share_alike(drawn, regions) > 0.95
    assert set(np.unique(drawn)) == set(np.unique(regions))


def test_from_behind_left_is_left_in_the_picture(body):
    _, atlas = body
    drawn = draw_atlas(atlas, "posterior", lay_lines(), HW)
    assert drawn[90, 60 - 10] == LEFT_RIBS
    assert drawn[90, 60 + 10] == RIGHT_RIBS
    assert drawn[170, 60 - 14] == LEFT_FEMUR
    assert drawn[90, 60 + 40] == RIGHT_HUMERUS


def test_bones_move_and_stretch_with_the_lines(body):
    regions, atlas = body
    # 7 px to the right, and a chest of 90 rows in place of 60.
    lines = lay_lines(rows=(10, 60, 150, 160, 220, 290), middle=67)
    drawn = draw_atlas(atlas, "anterior", lines, HW)
    ribs = np.argwhere(drawn == LEFT_RIBS)
    assert ribs.min(axis=0) == pytest.approx((60, 71), abs=1)
    assert ribs.max(axis=0) == pytest.approx((149, 84), abs=1)


def test_what_lies_beyond_the_body_is_no_bone(body):
    _, atlas = body
    drawn = draw_atlas(atlas, "anterior", lay_lines(), HW)
    assert not drawn[:10].any() and not drawn[280:].any()


def test_an_atlas_comes_back_from_its_file(body):
    _, atlas = body
    content = pack_atlas(atlas)
    assert content == pack_atlas(atlas)
    for name, planes in unpack_atlas(content).items():
        assert np.abs(planes - atlas[name]).max() <= 0.5 / 255


def test_an_atlas_needs_both_views():
    with pytest.raises(ValueError, match="both views"):
        build_atlas([Example("anterior", lay_lines(), draw_body())])


def test_the_shipped_atlas_is_small():
    assert FILE.stat().st_size < 200_000


@pytest.fixture(scope="module")
def held_out():
    """Both views of a patient whom the shipped atlas was not made of."""
    return make_examples(9, 4)


def test_the_shipped_atlas_fits_a_simulated_patient(held_out):
    least = {"skull": 0.85, "ribs": 0.85, "lumbar spine": 0.75, "hip bone": 0.7}
    least |= {"femur": 0.7, "lower leg and foot": 0.8, "scapula": 0.6}
    assert [example.view for example in held_out] == ["anterior", "posterior"]
    for view, lines, regions in held_out:
        drawn = draw_atlas(read_atlas(), view, lines, regions.shape)
        for label, name in enumerate(NAMES, 1):
            kind = name.removeprefix("left ").removeprefix("right ")
            if kind in least:
                one, other = drawn == label, regions == label
                dice = 2 * (one & other).sum() / (one.sum() + other.sum())
                assert dice > least[kind], (view, name)


def test_the_mirror_image_of_a_body_has_its_bones_mirrored(held_out):
    view, lines, regions = held_out[0]
    width = regions.shape[1]
    mirrored = dataclasses.replace(
        lines,
        middle=width - 1 - lines.middle,
        arms=width - 1 - lines.arms[::-1],
        legs=width - 1 - lines.legs[::-1],
    )
    drawn = draw_atlas(read_atlas(), view, lines, regions.shape)
    other = draw_atlas(read_atlas(), view, mirrored, regions.shape)
    assert share_alike(mirror_sides(drawn), other) > 0.999
