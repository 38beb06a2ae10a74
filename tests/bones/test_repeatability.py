"""How far a repeated scan's index lies: intervals by hand, and silence elsewhere."""

import json

import numpy as np
import pytest

from spectjax.bones.repeatability import read_repeatability
from spectjax.system.messages import UserError


def row(counts, level, sd, lowest, highest):
    return {"counts": counts, "level": level, "sd": sd, "n": 9} | {
        "lowest": lowest,
        "highest": highest,
    }


ROWS = [  # sorted by nothing
    row(1_000_000, 4.0, 0.5, 2.0, 6.0),
    row(250_000, 4.0, 0.9, 2.0, 7.0),
    row(1_000_000, 1.0, 0.2, 0.0, 2.0),
    row(250_000, 1.0, 0.6, 0.1, 2.0),
]


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "table.json"
    measured = {"patients": 9, "commit": None}
    document = {"measured": measured, "extents": {"thorax": ROWS}}
    file.write_text(json.dumps(document))
    return read_repeatability("thorax", file)


def test_a_single_scan_scatters_by_less_than_a_difference(table):
    """0.35 between 0.2 and 0.5: 1.96 x 0.35 / sqrt(2) = 0.485 to both sides."""
    low, high = table.interval(2.5, [1_000_000, 3_000_000])
    assert (low, high) == pytest.approx((2.5 - 0.48507, 2.5 + 0.48507), abs=1e-4)


def test_the_view_of_fewer_counts_decides(table):
    """Half of a factor of 4 lies halfway: between 0.2 and 0.6."""
    assert table.find_sd(1.0, [900_000, 500_000]) == pytest.approx(0.4)
    assert table.find_sd(1.0, [250_000]) == pytest.approx(0.6)


def test_an_index_is_not_negative(table):
    assert table.interval(0.2, [1_000_000])[0] == 0


def test_between_the_last_group_and_the_highest_index_its_own_scatter_holds(table):
    assert table.find_sd(6.0, [1_000_000]) == pytest.approx(0.5)
    assert table.find_sd(0.0, [1_000_000]) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("percent", "counts"),
    [
        (6.1, [1_000_000]),  # too much
        (6.5, [500_000]),  # measured at the lower of the two count levels alone
        (0.05, [500_000]),
        (1.0, [249_999, 1_000_000]),
        (1.0, [1_000_001]),
        (1.0, []),
        (1.0, [float("nan")]),
        (float("nan"), [1_000_000]),
    ],
)
def test_nothing_is_said_of_what_was_not_measured(table, percent, counts):
    assert table.interval(percent, counts) is None
    assert table.is_beyond(percent, 1.0, counts, [1_000_000]) is None
    assert table.is_beyond(1.0, percent, [1_000_000], counts) is None


def test_what_nobody_measured_has_no_interval(tmp_path):
    file = tmp_path / "table.json"
    file.write_text('{"measured": {}, "extents": {}}')
    assert read_repeatability("whole body", file).interval(1.0, [1_000_000]) is None


def test_a_change_is_beyond_what_the_difference_of_two_scans_shows(table):
    """At 2.5 %: 1.96 x 0.35 = 0.686."""
    counts = [1_000_000]
    assert table.is_beyond(2.5 - 0.342, 2.5 + 0.342, counts, counts) is False
    assert table.is_beyond(2.5 - 0.344, 2.5 + 0.344, counts, counts) is True
    assert table.is_beyond(2.5 + 0.344, 2.5 - 0.344, counts, counts) is True


def test_each_study_brings_the_scatter_of_its_own_counts(table):
    """At 1 %: sqrt((0.2^2 + 0.6^2) / 2) = 0.4472, times 1.96 = 0.8765."""
    counts = [1_000_000], [250_000]
    assert table.is_beyond(1 - 0.438, 1 + 0.438, *counts) is False
    assert table.is_beyond(1 - 0.439, 1 + 0.439, *counts) is True


def test_a_damaged_table_is_told_in_a_line(tmp_path):
    file = tmp_path / "table.json"
    file.write_text('{"measured": {}, "extents": {"thorax": [{}]}}')
    with pytest.raises(UserError, match="no 'extents.thorax.0..counts' in it"):
        read_repeatability("thorax", file)


@pytest.mark.parametrize("extent", ["whole body", "thorax"])
def test_the_table_that_ships_says_on_what_it_was_measured(extent):
    found = read_repeatability(extent)
    assert found.measured["synthetic"] == "yes"
    assert {"patients", "population", "seed", "phantom_version", "commit"} <= set(
        found.measured
    )
    for curve in found.curves:
        assert np.all(np.diff(curve.levels) > 0)
        assert np.all(np.array(curve.sds) > 0)
        assert curve.lowest <= curve.levels[0] <= curve.levels[-1] <= curve.highest
