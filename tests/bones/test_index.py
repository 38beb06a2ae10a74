"""The planar index, against sums made by hand."""

import numpy as np
import pytest

from spectjax.bones.index import measure_index, measure_thoracic_involvement
from spectjax.bones.regions import NAMES

SKULL, RIBS, STERNUM, FEMUR = (
    NAMES.index(name) + 1 for name in ("skull", "left ribs", "sternum", "right femur")
)


def test_both_views_are_averaged():
    """A quarter of the skull in front and half behind: 18.4 % times 0.375."""
    front, back = np.full((2, 4), SKULL), np.full((2, 2), SKULL)
    marked = np.zeros((2, 4), bool)
    marked[0, :2] = True
    found = measure_index(
        {"anterior": front, "posterior": back},
        {"anterior": marked, "posterior": np.array([[1, 0], [1, 0]], bool)},
    )
    assert found.percent == pytest.approx(18.4 * 0.375)
    assert found.views["anterior"] == pytest.approx(18.4 * 0.25)
    assert found.views["posterior"] == pytest.approx(18.4 * 0.5)
    assert found.shares == {"skull": pytest.approx(0.375)}
    assert found.mass_percent == pytest.approx(18.4)


def test_a_view_that_hardly_shows_a_bone_does_not_count_for_it():
    """Of 3 pixels against 9: just not more than a third."""
    front = np.array([[STERNUM] * 9])
    back = np.array([[STERNUM] * 3 + [0] * 6])
    marked = np.array([[True] * 3 + [False] * 6])
    regions = {"anterior": front, "posterior": back}
    found = measure_index(regions, {"anterior": marked, "posterior": marked})
    assert found.percent == pytest.approx(0.3 / 3)
    assert found.views["posterior"] == 0


def test_only_the_bones_of_the_thorax_count_in_its_index():
    regions = {"anterior": np.array([[RIBS, RIBS, FEMUR, 0]])}
    marked = {"anterior": np.array([[True, False, True, True]])}
    assert measure_thoracic_involvement(regions, marked).percent == pytest.approx(1.1)
    assert measure_index(regions, marked).percent == pytest.approx(1.1 + 8.9)


def test_nothing_shown_is_no_index_of_zero():
    empty = np.zeros((2, 2), np.uint8)
    found = measure_index({"anterior": empty}, {"anterior": empty > 0})
    assert np.isnan(found.percent)
    assert found.regions == {}


def test_other_views_are_refused():
    empty = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match="same views"):
        measure_index({"anterior": empty}, {"posterior": empty > 0})
