"""Agreement of two maps, on boxes drawn by hand: pixels of 2 mm, near is 5 of them."""

import numpy as np
import pytest

from spectjax.bones.agreement import find_disagreements, measure_nearness
from spectjax.bones.regions import NAMES, mirror_sides


def draw(*boxes):
    """A map of (name, y0, x0, y1, x1)."""
    regions = np.zeros((120, 60), np.uint8)
    for name, y0, x0, y1, x1 in boxes:
        regions[y0:y1, x0:x1] = NAMES.index(name) + 1
    return regions


BODY = (
    ("skull", 2, 20, 20, 40),
    ("left ribs", 30, 32, 70, 50),
    ("right ribs", 30, 10, 70, 28),
)


@pytest.fixture
def body():
    return draw(*BODY)


def test_equal_maps_agree(body):
    assert find_disagreements(body, body, 2, "anterior") == {}
    assert set(measure_nearness(body, body, 2).values()) == {1.0}


def test_a_thin_bone_a_few_pixels_beside_agrees_though_nothing_overlaps():
    one, other = draw(("sternum", 10, 20, 60, 24)), draw(("sternum", 10, 25, 60, 29))
    # The farthest of four columns is 5 pixels, 10 mm, from the other.
    assert measure_nearness(one, other, 2)["sternum"] == 1
    assert find_disagreements(one, other, 2, "anterior") == {}


def test_a_bone_elsewhere_disagrees():
    """20 rows of 40 below: 20 overlap and 5 more are near, 25 of 40."""
    one = draw(("left ribs", 10, 20, 50, 40))
    other = draw(("left ribs", 30, 20, 70, 40))
    assert measure_nearness(one, other, 2)["left ribs"] == pytest.approx(25 / 40)
    assert find_disagreements(one, other, 2, "posterior").keys() == {"left ribs"}


def test_the_worse_side_counts():
    """All of the small one is near, but half of the large one is not."""
    small, large = draw(("skull", 10, 10, 30, 30)), draw(("skull", 10, 10, 60, 30))
    for one, other in ((small, large), (large, small)):
        assert measure_nearness(one, other, 2)["skull"] == pytest.approx(25 / 50)


def test_near_is_in_mm():
    one, other = draw(("skull", 10, 10, 20, 30)), draw(("skull", 20, 10, 30, 30))
    assert measure_nearness(one, other, 1)["skull"] == 1
    assert measure_nearness(one, other, 2)["skull"] == pytest.approx(5 / 10)


def test_what_one_alone_sees_is_a_disagreement(body):
    without = np.where(body == NAMES.index("skull") + 1, 0, body)
    found = find_disagreements(body, without, 2, "anterior")
    assert found.keys() == {"skull"}
    assert "different places" in found["skull"]


def test_a_sliver_that_one_alone_sees_is_none():
    """70 pixels of 4 mm2 are 280 mm2."""
    sliver = draw(("sternum", 10, 10, 17, 20))
    assert find_disagreements(sliver, draw(), 2, "posterior") == {}
    assert find_disagreements(sliver, draw(), 2.3, "posterior").keys() == {"sternum"}


def test_swapped_sides_disagree(body):
    swapped = mirror_sides(body)[:, ::-1]
    found = find_disagreements(body, swapped, 2, "anterior")
    assert found.keys() == {"left ribs", "right ribs"}


def test_limbs_that_move_may_lie_farther_off():
    one = draw(("left forearm and hand", 10, 10, 50, 20))
    other = draw(("left forearm and hand", 30, 10, 70, 20))
    assert measure_nearness(one, other, 2)["left forearm and hand"] == 25 / 40
    assert find_disagreements(one, other, 2, "anterior") == {}
