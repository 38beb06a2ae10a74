"""Tests of the typed sections of `metrics.json` and of their page in `docs/`.

That what each task writes follows them is tested where it is written.
"""

import pathlib
import re
from typing import is_typeddict

import pytest

from spectjax.evaluation import metrics_sections as common
from spectjax.tasks.classification import metrics_sections as classification
from spectjax.tasks.hotspots import metrics_sections as hotspots
from tests.support.typed_dicts import find_fault

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"
SECTIONS = {
    section
    for module in (common, classification, hotspots)
    for section in vars(module).values()
    if is_typeddict(section)
}
RUN = {
    "task": "classification",
    "data": {"name": "a", "split": "fold0", "synthetic": True, "leaking": False},
    "n_images": 3,
    "n_patients": 2,
    "spectjax_version": "1",
    "disclaimer": "",
}


def test_the_page_names_every_key_and_no_other():
    # What stands below about operation.json has keys of its own.
    before, _, rest = PAGE.read_text().partition("### operation.json")
    text = before + rest[rest.index("\n## ") :]
    rows = [line.split("|") for line in text.splitlines()]
    named = {
        key
        for row in rows
        if len(row) > 2
        for key in re.findall(r"`([^`]+)`", row[1] + row[2])
    }
    keys = {key for section in SECTIONS for key in section.__annotations__}
    assert keys - named == set()
    # What else stands in code style: paths, values and keys of plain objects.
    others = {
        *("segmentation", "instance_segmentation", "classification", "5 folds"),
        *("pixel.*", "burden.*", "0.25", "4", "0.90", "0.95", "tp", "fn", "fp", "tn"),
        *("operation.json", "answers", "view", "diagnosis", "camera", "matrix"),
        *("whole_body", "whole_frame", "thorax", "chest_half"),
    }
    assert named - keys == others


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"more": 1}, "document: more"),
        ({"n_images": 1.5}, "document.n_images: 1.5"),
        ({"n_images": None}, "document.n_images: None"),
        ({"data": {"name": "a"}}, "document.data: leaking, split, synthetic"),
    ],
)
def test_a_document_that_has_other_keys_or_types_is_found(change, fault):
    assert find_fault(RUN | change, common.Document) == fault
