"""Which part of the body a model learned from, and what is said if an image differs."""

import pytest

from spectjax.imaging.scan import REGIONS
from spectjax.inference.regions import (
    LEARNED,
    add_regions,
    describe_mismatch,
    is_unknown,
    list_mismatches,
)

HALVES, BODIES = {LEARNED: "chest_half"}, {LEARNED: "thorax, whole_body"}


@pytest.mark.parametrize(
    ("stated", "data", "told"),
    [
        (None, {"name": "segmentation_screening_phantom"}, "whole_body"),
        (None, {"name": "a_phantom", "randomisation": 0.7}, "chest_half, whole_body"),
        ("thorax", {"name": "a", "randomisation": 0.7}, "chest_half, thorax"),
        ("chest_half", {"name": "a", "randomisation": 0.0}, "chest_half"),
        # What nobody says of a hospital's data is not known.
        (None, {"name": "a", "randomisation": 0.7}, None),
        (None, None, None),
        (3.5, "a_phantom", None),
    ],
)
def test_a_model_tells_the_regions_that_its_file_and_config_know(stated, data, told):
    info = {"model": "unet", LEARNED: stated}
    assert add_regions(info, {"data": data}) == {"model": "unet", LEARNED: told}
    assert is_unknown({LEARNED: told}) == (told is None)


def test_a_file_without_a_config_tells_nothing():
    assert add_regions({"model": "unet"}, None)[LEARNED] is None


def test_whole_bodies_and_thoraxes_are_one_and_halves_another():
    told = {
        name: [bool(describe_mismatch(info, region)) for region in REGIONS]
        for name, info in {"halves": HALVES, "bodies": BODIES, "unknown": {}}.items()
    }
    assert list(REGIONS) == ["whole_body", "thorax", "chest_half"]
    assert told == {
        "halves": [True, True, False],
        "bodies": [False, False, True],
        "unknown": [False, False, False],
    }
    line = "the model learned from chest halves alone, this is a thorax: what is said "
    assert describe_mismatch(HALVES, "whole_body") == f"{line}of it means little"
    assert len(list_mismatches(HALVES, REGIONS)) == 1


def test_members_of_an_ensemble_are_asked_one_by_one():
    members = {"members": [HALVES, BODIES, {LEARNED: None}]}
    assert describe_mismatch(members, "chest_half").startswith(
        "1 of the 3 models learned from thoraxes alone, this is a chest half"
    )
    assert is_unknown(members) and not is_unknown({"members": [HALVES, BODIES]})
