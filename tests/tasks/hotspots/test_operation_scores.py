"""Tests of what a run writes about its model's use, and how that holds elsewhere."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.text import Text
from ml_collections import ConfigDict

from spectjax.inference import scoring
from spectjax.report import picture_parts
from spectjax.report.data_notes import Caption
from spectjax.tasks.hotspots.evaluate import evaluate
from spectjax.tasks.hotspots.fitting import fit_operation
from spectjax.tasks.hotspots.metrics_sections import Operated
from spectjax.tasks.hotspots.operation import parse_operation
from spectjax.tasks.hotspots.operation_scores import (
    draw_operation,
    summarise_operation,
)
from spectjax.tasks.hotspots.region_cases import collect_regions
from tests.support.finished_runs import make_run
from tests.support.operations import OPERATION as BY_HAND
from tests.support.region_scenes import make_scenes
from tests.support.typed_dicts import find_fault

EXAMPLES, PREDICT = make_scenes()
(CASES,) = collect_regions(PREDICT, EXAMPLES, batch_size=4)
OPERATION = fit_operation(CASES, EXAMPLES, learnt_from=False)


def test_a_run_writes_what_its_model_knows_about_its_use(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)
    options = {"calibration": lambda: EXAMPLES, "validated": True}
    metrics = evaluate(make_run(PREDICT, EXAMPLES, tmp_path, **options))
    document = json.loads((tmp_path / "operation.json").read_text())
    found = parse_operation(document, "operation.json")
    assert found.measured_on == OPERATION.measured_on
    assert found.measured_on["learnt_from"] is False
    assert found.points.keys() == OPERATION.points.keys()
    assert find_fault(metrics["operation"], Operated) == ""
    table = (tmp_path / "table.md").read_text()
    assert "## Operating points" in table
    assert "12 other images of 12 patients" in table


def test_without_images_to_calibrate_on_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)
    metrics = evaluate(make_run(PREDICT, EXAMPLES, tmp_path))
    assert "operation" not in metrics
    assert not (tmp_path / "operation.json").exists()
    assert "Operating points" not in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(("folds", "split"), [((1, 1), "fold1"), ((1, 2), None)])
def test_runs_that_answer_as_one_are_measured_on_who_validated_all(
    folds, split, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        scoring.input_pipeline,
        "load_examples",
        lambda folder, name: asked.append(name) or EXAMPLES,
    )
    data = [
        ConfigDict({"name": "a", "validation_fold": x, "batch_size": 4}) for x in folds
    ]
    runs = [
        SimpleNamespace(
            predict=PREDICT,
            task="segmentation",
            info={},
            input_hw=(24, 24),
            config=SimpleNamespace(data=each),
        )
        for each in data
    ]
    found = scoring.measure_operation(runs, None)
    assert asked == ([split] if split else [])
    lowest = dataclasses.replace(OPERATION, min_log_odds=-3.0)  # all levels find all
    assert found == (lowest if split else None)


def test_a_point_is_scored_on_other_images_than_it_was_chosen_on():
    # Peaks are 5 in image 7, which has a lesion and a false region, and 0 elsewhere.
    features = np.zeros_like(CASES.features)
    features[CASES.image == 7, 0] = 5.0
    cases = dataclasses.replace(CASES, features=features)
    found = summarise_operation(BY_HAND, cases)["points"]["balanced"]
    assert (found["score"], BY_HAND.points["balanced"].sensitivity) == (0.4, 0.75)
    assert found["sensitivity"] == found["evident_sensitivity"] == pytest.approx(1 / 9)
    assert found["false_per_image"] == pytest.approx(1 / 12)
    assert found["marked_without_lesion"] == 0


def test_calibration_brings_regions_and_pixels_nearer_to_what_comes_true():
    section = summarise_operation(OPERATION, CASES)
    regions = section["calibration"]["regions"]
    # 8 of 17 regions are false, and all were said with hardly a doubt.
    assert regions["ece_before"] == pytest.approx(8 / 17, abs=1e-3)
    assert regions["ece_after"] < 0.1
    assert section["by_region_score"]["lesion"]["0.1"] == 1
    assert section["view_auc"] == 1


def test_the_figure_shows_both_kinds_of_answers():
    caption = Caption("Reliability", "made up", True)
    figure = draw_operation(OPERATION, CASES, caption, instances=False)
    words = "\n".join(text.get_text() for text in figure.findobj(Text))
    assert "Pixels above 0.01" in words and "Regions\nECE 0.471" in words
    assert "calibrated on other patients" in words
