"""Tests of what predictions say of a model that knows its operating points."""

import dataclasses
import json

import numpy as np
import pytest

from spectjax import predict
from spectjax.imaging.hotspots import Instances
from spectjax.inference import asking, trained
from spectjax.inference.metadata import make_metadata
from spectjax.inference.trained import TrainedModel
from spectjax.report import picture_parts
from spectjax.system.messages import UserError
from spectjax.tasks.hotspots.wording import name_finding
from tests.support.operations import OPERATION
from tests.support.tiny_scans import (
    MODEL_INFO,
    SMALL_CROP,
    ask,
    crop_stub,
    make_scan,
    read_json,
)

pytestmark = SMALL_CROP


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Drawing takes most of the time."""
    monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)


def predict_probs(counts):
    """Is sure of a block of 9 pixels, less of a pair, and of one pixel."""
    hot = np.full((1, 8, 8), 0.125)
    hot[0, 1:4, 2:5], hot[0, 6, 2:4], hot[0, 5, 5] = 1 - 1e-4, 0.75, 1 - 1e-6
    return np.stack([1 - hot, hot], axis=-1).astype(np.float32)


def predict_nothing(counts):
    return np.stack([counts[..., 0] * 0 + 0.75, counts[..., 0] * 0 + 0.25], axis=-1)


def predict_instances(counts):
    """Two instances of one size, of score 0.99 and 0.5."""
    masks = np.zeros((1, 2, 8, 8), bool)
    masks[0, 0, 1:4, 2:5] = masks[0, 1, 4:7, 2:5] = True
    return Instances(
        boxes=np.float32([[(1, 2, 4, 5.25), (4, 2, 7, 5)]]),
        scores=np.float32([[0.99, 0.5]]),
        labels=np.ones((1, 2), np.int32),
        valid=np.ones((1, 2), bool),
        masks=masks,
    )


def find(tmp_path, answer=predict_probs, task="segmentation", **options):
    """The document of a view; `operation` is the model's."""
    operation = options.pop("operation", OPERATION)
    scan = make_scan(**options.pop("scan", {}))
    model = TrainedModel(answer, MODEL_INFO, task, (8, 8), operation=operation)
    ask(model, [[scan]], tmp_path, **options)
    return read_json(tmp_path / "IM1_anterior.json")


def test_regions_too_small_or_unsure_are_left_out_and_counted(tmp_path, capsys):
    document = find(tmp_path)
    (hotspot,) = document["hotspots"]
    assert (hotspot["area_px"], hotspot["thorax"]["box"]) == (9, [1, 2, 4, 5])
    # Averaged over 3x3 pixels the block's middle keeps its log-odds of 9.2.
    assert hotspot["score"] == pytest.approx(1 / (1 + np.exp(4 - 9.21)), abs=1e-3)
    assert hotspot["max_probability"] == pytest.approx(1 / (1 + np.exp(-4.6)), abs=1e-3)
    assert hotspot["features"]["peak_log_odds"] == pytest.approx(9.21, abs=0.01)
    operation = document["operation"]
    assert (operation["point"], operation["score_above"]) == ("specific", 0.9)
    assert operation["left_out"] == {"too_small": 1, "score_too_low": 1}
    assert (operation["sensitivity"], operation["false_per_image"]) == (0.5, 0.1)
    assert operation["measured_on"] == OPERATION.measured_on
    assert document["view_score"] == hotspot["score"]
    assert "hotspots: 1, left out: 1 too small, 1 unsure" in capsys.readouterr().out


def test_another_operating_point_marks_more_but_never_a_single_pixel(tmp_path):
    for point in ("sensitive", "1"):
        document = find(tmp_path, operating_point=point)
        assert [each["area_px"] for each in document["hotspots"]] == [9, 2]
        assert document["operation"]["left_out"]["too_small"] == 1
    huge = dataclasses.replace(OPERATION, min_area_mm2=0.0)
    document = find(tmp_path, operation=huge, operating_point="sensitive")
    assert [each["area_px"] for each in document["hotspots"]] == [9, 2]


def test_an_unknown_point_ends_the_command_in_one_line(tmp_path):
    with pytest.raises(UserError, match="--operating_point=best: expected specific,"):
        find(tmp_path, operating_point="best")
    with pytest.raises(UserError, match="=balanced: expected a model that knows"):
        find(tmp_path, operation=None, operating_point="balanced")
    with pytest.raises(UserError, match="--min_score or --operating_point, found both"):
        predict.run([], output_dir=tmp_path, min_score=0.5, operating_point="1")


def test_a_model_without_operating_points_marks_all_as_before(tmp_path):
    document = find(tmp_path, operation=None)
    assert [each["area_px"] for each in document["hotspots"]] == [1, 9, 2]
    assert document["operation"] is document["view_score"] is None


def test_a_view_without_a_region_has_a_score_to_rank_it(tmp_path):
    document = find(tmp_path, predict_nothing)
    assert document["hotspots"] == []
    assert document["view_score"] == pytest.approx(1 / (1 + np.exp(4 + np.log(3))))


def test_the_smallest_size_holds_where_the_size_of_a_pixel_is_not_known(tmp_path):
    document = find(tmp_path, scan={"spacing_mm": None})
    assert document["operation"]["assumed_pixel_mm2"] == 5.0
    assert document["operation"]["left_out"]["too_small"] == 1
    assert document["hotspots"][0]["area_mm2"] is None


def test_instances_follow_the_operating_point_unless_min_score_is_given(tmp_path):
    task = "instance_segmentation"
    (hotspot,) = find(tmp_path, predict_instances, task, operating_point="balanced")[
        "hotspots"
    ]
    assert hotspot["thorax"]["box"] == [1, 2, 4, 5.25]
    assert hotspot["score"] == pytest.approx(1 / (1 + np.exp(4 - np.log(99))), abs=1e-3)
    document = find(tmp_path, predict_instances, task, min_score=0.25)
    assert [each["score"] for each in document["hotspots"]] == pytest.approx(
        [0.99, 0.5]
    )
    assert document["operation"] is None


def test_what_is_said_is_abnormal_uptake_whatever_the_class_is_called(tmp_path, capsys):
    document = find(tmp_path)
    assert document["hotspots"][0]["category"] == "metastasis"
    assert document["hotspots"][0]["finding"] == "abnormal uptake"
    assert document["statement"].startswith(
        "1 region marked as abnormal uptake (trained on outlines of metastases). "
    )
    assert "metastasis" not in document["statement"] + capsys.readouterr().out
    shipped = {"data": "segmentation_screening_phantom"}
    assert name_finding(shipped).endswith("(trained on outlines of suspicious uptake)")


def test_nothing_found_in_a_flagged_crop_is_no_reading(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(asking, "crop_thorax", crop_stub(("no neck",)))
    document = find(tmp_path, predict_nothing)
    assert document["crop_in_doubt"] is True
    assert "No region marked" in document["statement"]
    assert "no reading of the view" in document["statement"]
    assert "hotspots: 0 (the crop is in doubt" in capsys.readouterr().out


def test_a_run_and_an_exported_model_carry_what_they_know(tmp_path):
    document = OPERATION.to_json()
    path = tmp_path / "eval" / "operation.json"
    path.parent.mkdir()
    assert trained.read_operation(tmp_path, "segmentation") is None
    path.write_text(json.dumps(document))
    assert trained.read_operation(tmp_path, "segmentation") == OPERATION
    assert trained.read_operation(tmp_path, "classification") is None
    path.write_text("{}")
    with pytest.raises(UserError, match=f"^{path}: expected .*found no 'format' in it"):
        trained.read_operation(tmp_path, "segmentation")
    config = {"task": "segmentation", "data": {"normalisation": "none"}}
    metadata = make_metadata(config, {}, parameters_sha256="", operation=OPERATION)
    assert metadata["operation"] == document
