"""Tests of a segmentation's cases, tables and scores, with answers by hand."""

import dataclasses
import math

import numpy as np
import pytest

from spectjax.input_pipeline import Examples
from spectjax.metrics import intervals
from spectjax.metrics.lesions import HALF, LOG_ODDS
from spectjax.system.files import replace_undefined
from spectjax.tasks.hotspots.case_tables import (
    format_lesions,
    format_regions,
    format_segmentation_cases,
    read_run_tables,
)
from spectjax.tasks.hotspots.cases import (
    join_segmentation_cases,
    measure_cases,
)
from spectjax.tasks.hotspots.scores import (
    group_lesions,
    summarise_segmentation,
)


def make_examples(masks, patients, *, spacing_mm=2.0):
    n = len(masks)
    return Examples(
        images=np.arange(masks.size, dtype=np.uint16).reshape(*masks.shape, 1) + 1,
        masks=masks.astype(np.uint8),
        labels=np.ones(n, np.int32),
        diagnoses=["multiple bone metastasis"] * n,
        example_ids=[f"{patient}_{i}" for i, patient in enumerate(patients)],
        patients=list(patients),
        views=["anterior"] * n,
        spacing_mm=np.full((n, 2), spacing_mm, np.float32),
        synthetic=True,
        name="made_up",
        split="fold0",
        fingerprint="made up",
    )


def make_answers(n=6, **kwargs):
    """Random masks, found with some luck; each patient has two views."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(n, 6, 6)).repeat(3, axis=1).repeat(3, axis=2)
    masks = noise > 1.2
    masks[0] = False
    probs = 1 / (1 + np.exp(4 - 2 * noise - 2 * rng.normal(size=masks.shape)))
    examples = make_examples(masks, [f"p{i // 2}" for i in range(n)], **kwargs)
    return examples, probs.astype(np.float32)


def make_cases(*args, **kwargs):
    examples, probs = make_answers(*args, **kwargs)
    return measure_cases(examples, probs, probs > 0.5)


def write_tables(cases, folder):
    folder.mkdir(exist_ok=True)
    (folder / "cases.csv").write_text(format_segmentation_cases(cases))
    (folder / "lesions.csv").write_text(format_lesions(cases))
    (folder / "regions.csv").write_text(format_regions(cases))
    return folder


def assert_same(one, other):
    for name in ("example_ids", "patients", "views"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("pixels", "lesions", "regions", "burden"):
        for key, value in vars(getattr(one, name)).items():
            read = getattr(getattr(other, name), key)
            assert value.dtype == read.dtype
            np.testing.assert_array_equal(value, read)


@pytest.mark.parametrize("spacing_mm", [2.26, math.nan])
def test_tables_are_read_as_they_were_written(tmp_path, spacing_mm):
    cases = make_cases(spacing_mm=spacing_mm)
    assert np.isnan(cases.lesions.dice).any()  # some have empty cells
    assert_same(read_run_tables(write_tables(cases, tmp_path)), cases)


def test_tables_without_lesion_are_read_as_they_were_written(tmp_path):
    examples = make_examples(np.zeros((2, 4, 5), bool), ["a", "b"])
    probs = np.full((2, 4, 5), 0.9, np.float32)
    cases = measure_cases(examples, probs, probs > 0.5)
    assert_same(read_run_tables(write_tables(cases, tmp_path)), cases)
    scores = summarise_segmentation(cases)
    assert scores["lesion"]["false_per_image"] == 1
    assert math.isnan(scores["lesion"]["sensitivity"])
    assert scores["pixel"]["pooled"]["IoU"] == 0
    assert math.isnan(scores["pixel"]["with_lesion"]["IoU"])
    assert scores["intervals"]["undefined"]["lesion.sensitivity"] == intervals.RESAMPLES


def test_lesions_csv_has_a_digit_for_each_threshold(tmp_path):
    masks = np.array([[[1, 1, 0, 1]]])
    probs = np.array([[[0.3, 0.3, 0.0, 0.9]]], np.float32)
    cases = measure_cases(make_examples(masks, ["p"]), probs, probs > 0.5)
    header, first, second = format_lesions(cases).splitlines()
    assert header == (
        "example_id,row,column,area_px,area_mm2,diameter_mm,contrast,counts,dice,"
        "hausdorff95_mm,found,found_at"
    )
    seen = sum(LOG_ODDS <= -1)
    assert first.split(",")[:5] == ["p_0", "0", "0.5", "2", "8"]
    assert first.endswith(",,0," + "1" * seen + "0" * (len(LOG_ODDS) - seen))
    assert second.split(",")[7:11] == ["4", "1", "0", "1"]


def test_joined_folds_are_one_run():
    examples, probs = make_answers()
    parts = [
        measure_cases(
            dataclasses.replace(
                examples,
                **{
                    name: getattr(examples, name)[images]
                    for name in ("images", "masks", "spacing_mm")
                    + ("example_ids", "patients", "views")
                },
            ),
            probs[images],
            probs[images] > 0.5,
        )
        for images in (slice(0, 1), slice(1, 4), slice(4, 6))
    ]
    whole = measure_cases(examples, probs, probs > 0.5)
    assert_same(join_segmentation_cases(parts), whole)


def test_read_run_tables_names_a_table_that_is_not_one(tmp_path):
    eval_dir = write_tables(make_cases(), tmp_path)
    text = (eval_dir / "lesions.csv").read_text()
    (eval_dir / "lesions.csv").write_text(text.replace("p1_2", "q1_2"))
    with pytest.raises(ValueError, match=r"lesions.csv: expected .*q1_2.*Remove"):
        read_run_tables(eval_dir)
    (eval_dir / "regions.csv").unlink()
    (eval_dir / "lesions.csv").write_text(text)
    with pytest.raises(ValueError, match=r"regions.csv: expected .*No such file"):
        read_run_tables(eval_dir)
    (eval_dir / "cases.csv").write_text("example_id,TP\na,1\n")
    with pytest.raises(
        ValueError, match=r"cases.csv: .*its columns are example_id, TP"
    ):
        read_run_tables(eval_dir)


# Three lesions of 9, 4 and 1 pixels; the model finds the first with one pixel too many,
# the second only faintly, the third not at all, and marks one false pixel.
MASKS = np.zeros((3, 6, 12), bool)
MASKS[0, 1:4, 1:4] = MASKS[0, 1:3, 8:10] = MASKS[1, 5, 0] = True
PROBS = np.zeros((3, 6, 12), np.float32)
PROBS[0, 1:4, 1:4] = PROBS[0, 4, 4] = PROBS[2, 0, 0] = 0.9
PROBS[0, 1:3, 8:10] = 0.2


@pytest.fixture(scope="module")
def scores():
    examples = make_examples(MASKS, ["a", "a", "b"])
    return summarise_segmentation(measure_cases(examples, PROBS, PROBS > 0.5))


def test_summarise_segmentation_scores_lesions(scores):
    lesion = scores["lesion"]
    assert (lesion["n"], lesion["found"], lesion["threshold"]) == (3, 1, 0.5)
    assert lesion["sensitivity"] == pytest.approx(1 / 3)
    assert (lesion["regions"], lesion["false_regions"]) == (2, 1)
    assert lesion["false_per_image"] == pytest.approx(1 / 3)
    assert lesion["without_lesion"] == {
        "n_images": 1,
        "false_per_image": 1.0,
        "clean": 0.0,
    }
    assert lesion["dice"] == pytest.approx(18 / 19)
    assert lesion["n_averaged"] == {"dice": 1, "hausdorff95_mm": 1}
    # The false region goes with 0.9, before the first lesion does: no threshold has
    # less than a third of one.
    assert lesion["sensitivity_at"] == pytest.approx(
        {"0.25": 0, "0.5": 2 / 3, "1": 2 / 3, "2": 2 / 3, "4": 2 / 3}
    )
    # The first of the log-odds' half steps below a probability of 0.2.
    assert lesion["threshold_at"]["1"] == pytest.approx(1 / (1 + math.exp(1.5)))
    assert lesion["froc"]["sensitivity"][HALF] == lesion["sensitivity"]


def test_summarise_segmentation_scores_each_class_of_lesions(scores):
    # Diameters of 9, 4 and 1 pixels of 2 mm: 6.8, 4.5 and 2.3 mm.
    by_size = scores["lesion"]["by_size"]
    assert [each["n"] for each in by_size.values()] == [3, 0, 0]
    assert list(by_size) == ["below 20 mm", "20 to 30 mm", "30 mm and more"]
    assert (
        by_size["20 to 30 mm"]["sensitivity"] != by_size["below 20 mm"]["sensitivity"]
    )
    assert math.isnan(by_size["30 mm and more"]["sensitivity_at"]["1"])


def test_summarise_segmentation_scores_pixels_and_burden(scores):
    assert scores["pixel"]["pooled"]["IoU"] == pytest.approx(9 / 16)
    assert scores["pixel"]["with_lesion"]["IoU"] == pytest.approx((9 / 14 + 0) / 2)
    assert scores["pixel"]["with_lesion"]["n_averaged"]["IoU"] == 2
    area = scores["burden"]["area_mm2"]
    # 10 - 13, 0 - 1 and 1 - 0 pixels of 4 square mm.
    assert (area["n"], area["bias"]) == (3, -4)
    assert area["sd"] == pytest.approx(4 * 2)


def test_group_lesions_puts_a_value_on_a_bound_into_the_upper_class():
    lesions = make_cases().lesions
    six = dataclasses.replace(
        lesions,
        **{key: value[:6] for key, value in vars(lesions).items()},
    )
    groups = group_lesions(
        dataclasses.replace(
            six,
            area_px=np.array([5, 6, 6, 6, 6, 6]),
            contrast=np.array([2.0, 2.0, 1.99, 3.0, 1.5, math.nan]),
            diameter_mm=np.array([19.9, 20.0, 29.9, 30.0, 99.0, math.nan]),
        )
    )
    members = {path: np.flatnonzero(chosen).tolist() for path, chosen in groups.items()}
    assert members == {
        "lesion": [0, 1, 2, 3, 4, 5],
        "lesion.evident": [1, 3],
        "lesion.by_size.below 20 mm": [0],
        "lesion.by_size.20 to 30 mm": [1, 2],
        "lesion.by_size.30 mm and more": [3, 4],
        "lesion.by_contrast.below 1.5": [],
        "lesion.by_contrast.1.5 to 2": [2, 4],
        "lesion.by_contrast.2 to 3": [0, 1],
        "lesion.by_contrast.3 and more": [3],
    }


def look_up(scores, path):
    """The score of a path; a name may hold dots itself."""
    for key in scores:
        if path == key:
            return scores[key]
        if path.startswith(f"{key}.") and isinstance(scores[key], dict):
            found = look_up(scores[key], path.removeprefix(f"{key}."))
            if found is not None:
                return found
    return None


def test_intervals_are_of_the_scores_whose_path_they_bear():
    # Two patients who are one another's copies: every resample has the same scores.
    one = make_cases(4)
    twins = join_segmentation_cases(
        [
            dataclasses.replace(one, patients=["a"] * 4),
            dataclasses.replace(one, patients=["b"] * 4),
        ]
    )
    scores = summarise_segmentation(twins)
    intervals = scores["intervals"]
    paths = [key for key, value in intervals.items() if isinstance(value, list)]
    assert len(paths) > 60
    for path in paths:
        score = look_up(scores, path)
        assert intervals[path] == pytest.approx([score, score], nan_ok=True), path


def test_intervals_draw_patients(scores):
    # Patient a has two images and all lesions, b one image with a false region: a
    # resample is aa, ab, ba or bb.
    intervals = scores["intervals"]
    assert intervals["lesion.false_per_image"] == [0, 1]
    assert intervals["lesion.sensitivity"] == pytest.approx([1 / 3, 1 / 3])
    assert 400 < intervals["undefined"]["lesion.sensitivity"] < 600
    assert intervals["burden.area_mm2.bias"] == [-8, 4]


def test_scores_can_be_written_as_json(scores):
    assert (
        replace_undefined(scores)["lesion"]["by_size"]["30 mm and more"]["dice"] is None
    )
