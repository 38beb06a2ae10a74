"""Tests of `spectjax.imaging.annotations.drafts`: what a draft is, and until when."""

import dataclasses
import json

import numpy as np
import pytest

from spectjax.imaging.annotations.drafts import KEY, Draft, DraftOutline
from spectjax.imaging.annotations.files import find_annotations
from spectjax.imaging.annotations.labelme import (
    AnnotationError,
    UncheckedDraftError,
    read_annotation,
)
from spectjax.imaging.annotations.labelme_json import encode_json
from tests.support.labelme_files import HW, TRIANGLE, save_as_labelme, write_json

DRAFT = Draft(
    model="unet 7",
    image_key="ab" * 8,
    patient_key="cd" * 8,
    synthetic=True,
    crop_box=(0, 1, 10, 9),
    spacing_mm=(2.5, 2.0),
    score_above=0.5,
    outlines=(DraftOutline("metastasis", 0.8744, np.array(TRIANGLE, float)),),
)


def write_draft(folder, draft=DRAFT, name="P1_anterior"):
    folder.mkdir(parents=True, exist_ok=True)
    shapes = draft.make_shapes()
    text = encode_json(f"{name}.png", HW, shapes, synthetic=True, draft=draft)
    path = folder / f"{name}.json"
    path.write_text(text)
    return path


def test_a_draft_is_no_annotation_until_it_is_saved(tmp_path):
    path = write_draft(tmp_path)
    with pytest.raises(UncheckedDraftError, match="nobody has saved .* Open it in"):
        read_annotation(path)
    # Nor after a program that is not LabelMe has set it out in its own way.
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    with pytest.raises(UncheckedDraftError, match="nobody has saved"):
        read_annotation(path)


@pytest.mark.parametrize("version", ["5.5.0", "6.3.1"])
def test_a_saved_draft_is_an_annotation_that_knows_its_draft(tmp_path, version):
    path = write_draft(tmp_path)
    shape = json.loads(path.read_text())["shapes"][0]
    assert shape["flags"] == {"draft: score 0.874": True, "draft: model unet 7": True}
    moved = [{**shape, "points": [[1, 1], [8, 1], [1, 7]]}]
    save_as_labelme(path, moved, version=version)
    found = read_annotation(path)
    assert found.regions[0].polygon_xy.tolist() == [[1, 1], [8, 1], [1, 7]]
    assert not found.draft.is_checked
    (outline,) = found.draft.outlines
    assert (outline.score, outline.polygon_xy.tolist()) == (0.8744, TRIANGLE)
    plain = dataclasses.replace(found.draft, outlines=())
    assert plain == dataclasses.replace(DRAFT, outlines=())


def test_a_draft_without_outlines_says_normal_only_if_it_is_checked(tmp_path):
    path = write_draft(tmp_path)
    save_as_labelme(path, [])
    with pytest.raises(UncheckedDraftError, match="without either: nobody says"):
        read_annotation(path)
    save_as_labelme(path, [], checked=True)
    found = read_annotation(path)
    assert (found.regions, found.draft.is_checked) == ((), True)


def test_a_draft_that_is_right_is_taken_by_its_flag(tmp_path):
    path = write_draft(tmp_path)
    save_as_labelme(path, checked=True)
    found = read_annotation(path)
    assert found.draft.is_checked
    assert found.regions[0].polygon_xy.tolist() == TRIANGLE


def test_a_draft_takes_its_image_out_and_says_so(tmp_path):
    write_json(tmp_path / "reader1" / "P1_anterior.json")
    draft = write_draft(tmp_path / "reader2")
    by_image, unused = find_annotations([tmp_path])
    assert by_image == {}
    first = next(file for file in unused if file.path == draft)
    assert "tick 'checked' under Flags" in first.reason


def test_the_flags_of_a_draft_mean_nothing_elsewhere(tmp_path):
    path = write_json(tmp_path / "P1_anterior.json", flags={"checked": True})
    with pytest.raises(AnnotationError, match="flag 'checked'"):
        read_annotation(path)


DAMAGED = {
    "another type": ([], "of another format|an object"),
    "another format": ({"format": 2}, "format 2"),
    "box outside": ({"crop_box": [0, 0, 13, 9]}, "no box inside"),
    "spacing of one side": ({"spacing_mm": [2.0]}, "no size of a pixel"),
    "score of no number": ({"score_above": float("nan")}, "score that is not between"),
    "no score": ({"outlines": [{"category": "a", "points": TRIANGLE}]}, "score"),
    "line": (
        {"outlines": [{"category": "a", "score": 1, "points": TRIANGLE[:2]}]},
        "three points",
    ),
    "far away": (
        {
            "outlines": [
                {"category": "a", "score": 1, "points": [[1, 1], [2, 1e9], [3, 3]]}
            ]
        },
        "inside the frame",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_record_is_refused_in_one_line(tmp_path, case):
    changes, message = DAMAGED[case]
    path = write_draft(tmp_path)
    save_as_labelme(path, checked=True)
    document = json.loads(path.read_text())
    document[KEY] = document[KEY] | changes if isinstance(changes, dict) else changes
    path.write_text(json.dumps(document))
    with pytest.raises(AnnotationError, match=message) as caught:
        read_annotation(path)
    assert str(caught.value).startswith(f"{path}: expected")
