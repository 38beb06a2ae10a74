"""Tests of the populations: the papers' numbers of patients and images."""

from collections import Counter

import pytest

from spectjax.phantom import draw_slots


def count_images(slots):
    return Counter(slot.diagnosis for slot in slots for _ in slot.layout.views)


def test_segmentation_has_112_images_of_76_patients():
    slots = draw_slots("segmentation", 76, 0)
    views = [view for slot in slots for view in slot.layout.views]
    assert len(slots) == 76
    assert count_images(slots) == {"metastasis": 112}
    assert sum(len(slot.layout.views) == 2 for slot in slots) == 36
    assert views.count("anterior") == 56


@pytest.mark.parametrize("seed", [0, 1])
def test_classification_has_the_images_of_table_1(seed):
    slots = draw_slots("classification", 251, seed)
    assert count_images(slots) == {
        "normal": 220,
        "multiple bone metastasis": 111,
        "spinal metastasis": 14,
        "metastasis outside spine": 1,
    }
    assert Counter(slot.diagnosis for slot in slots) == {
        "normal": 166,
        "multiple bone metastasis": 74,
        "spinal metastasis": 10,
        "metastasis outside spine": 1,
    }


def test_other_sizes_keep_the_shares():
    for patients in (1, 2, 10, 25, 502):
        slots = draw_slots("classification", patients, 0)
        assert len(slots) == patients
        normal = sum(slot.diagnosis == "normal" for slot in slots)
        assert abs(normal - patients * 166 / 251) <= 1
    assert count_images(draw_slots("classification", 502, 0)) == {
        "normal": 440,
        "multiple bone metastasis": 222,
        "spinal metastasis": 28,
        "metastasis outside spine": 2,
    }


def test_the_number_of_a_patient_says_nothing_of_the_diagnosis():
    slots = draw_slots("classification", 251, 0)
    for part in (slots[:83], slots[83:166], slots[166:]):
        normal = sum(slot.diagnosis == "normal" for slot in part) / len(part)
        assert 0.5 < normal < 0.8
    other = draw_slots("classification", 251, 1)
    assert [s.diagnosis for s in slots] != [s.diagnosis for s in other]


def test_both_views_of_one_file_are_named_by_code_only():
    # GE's private name is one for a whole file: it cannot tell two frames apart.
    slots = draw_slots("classification", 300, 1)
    both = [s.layout for s in slots if s.layout.one_file and len(s.layout.views) == 2]
    assert {layout.evidence for layout in both} == {"sct", "srt"}
    assert {layout.views for layout in both} == {
        ("anterior", "posterior"),
        ("posterior", "anterior"),
    }
