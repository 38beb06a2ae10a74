"""Tests of `spectjax.reporting.facts`: scores and their intervals."""

import pytest

from spectjax.reporting.facts import look_up, quote_score
from spectjax.system.messages import UserError

DOCUMENT = {
    "lesion": {"n": 4, "sensitivity_at": {"0.25": 0.5, "1": None}},
    "image": {"auc": 0.875, "intervals": {"auc": [0.625, 1.0]}},
    "intervals": {"lesion.sensitivity_at.0.25": [-0.25, 0.75]},
    "broken": {"auc": "high"},
}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("lesion.n", "4"),
        ("lesion.sensitivity_at.0.25", "0.500 (−0.250–0.750)"),
        ("lesion.sensitivity_at.1", "undefined"),
        ("lesion.sensitivity_at.2", ""),
        ("lesion.found", ""),
        ("image.auc", "0.875 (0.625–1.000)"),
        ("patient.auc", ""),
    ],
)
def test_quote_score_gives_a_score_with_its_interval(path, text):
    assert quote_score(DOCUMENT, path, "metrics.json") == text


def test_what_is_no_number_is_one_line():
    with pytest.raises(UserError, match=r"metrics.json: .*'broken.auc', found 'high'"):
        quote_score(DOCUMENT, "broken.auc", "metrics.json")


def test_look_up_tells_nothing_from_null():
    assert look_up(DOCUMENT, "lesion.sensitivity_at.1", "absent") is None
    assert look_up(DOCUMENT, "lesion.sensitivity_at.2", "absent") == "absent"
