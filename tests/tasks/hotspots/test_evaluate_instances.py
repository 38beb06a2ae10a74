"""Tests of `spectjax.tasks.hotspots.evaluate_instances`, with answers by hand."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict

from spectjax.config import base_config
from spectjax.imaging.hotspots import Instances
from spectjax.inference import scoring as held_out
from spectjax.input_pipeline import Examples
from spectjax.tasks.hotspots import evaluate_instances
from spectjax.tasks.hotspots.case_tables import read_run_tables
from spectjax.tasks.hotspots.detections_file import read_detections
from spectjax.tasks.hotspots.evaluate_instances import (
    decode_marked,
    evaluate,
    predict_detections,
)
from spectjax.tasks.hotspots.metrics_sections import SegmentationRun
from tests.support.finished_runs import make_run
from tests.support.typed_dicts import find_fault
from tfds_spect.names import Splits

pytestmark = pytest.mark.usefixtures("few_resamples")

HW = (8, 8)
LOG = (
    "epoch,loss,loss_rpn_objectness,loss_rpn_box,loss_box_class,loss_box_delta,"
    "loss_mask,proposal_recall,left_out\n1,1.5,0.1,0.2,0.3,0.4,0.5,0.75,0\n"
)
# Of images a, b and c: the lesions' boxes, then scores and boxes of the instances,
# whose masks fill the boxes. a: a lesion of 6 px, found, marked again, and 1 px
# besides. b: no lesion, nothing found. c: a lesion of 2 px, its score below 0.5.
LESIONS = [[(1, 1, 3, 4)], [], [(5, 5, 6, 7)]]
FOUND = [
    [(0.875, (1, 1, 3, 4)), (0.625, (6, 6, 7, 7)), (0.25, (1, 1, 3, 4))],
    [],
    [(0.375, (5, 5, 6, 7))],
]


def fill(boxes):
    masks = np.zeros((len(boxes), *HW), bool)
    for mask, (y0, x0, y1, x1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


EXAMPLES = Examples(
    # The first pixel numbers the image, so that the model knows its answer.
    images=np.arange(3 * 64, dtype=np.uint16).reshape(3, *HW, 1),
    masks=np.stack([fill(boxes).any(axis=0) for boxes in LESIONS]).astype(np.uint8),
    labels=np.array([1, 0, 1], np.int32),
    diagnoses=["multiple bone metastasis", "normal", "multiple bone metastasis"],
    example_ids=["a", "b", "c"],
    patients=["p1", "p2", "p3"],
    views=["anterior"] * 3,
    spacing_mm=np.full((3, 2), 2.0, np.float32),
    synthetic=True,
    name="tfds_spect/segmentation_phantom",
    split="fold1",
    fingerprint="made up",
)


def predict_instances(images, depth=4):
    """Answers as FOUND says; rows that fill up hold what is no instance."""
    n = len(images)
    boxes, scores = np.ones((n, depth, 4), np.float32), np.zeros((n, depth), np.float32)
    valid, masks = np.zeros((n, depth), bool), np.ones((n, depth, *HW), bool)
    for i, image in enumerate(images[:, 0, 0, 0] // 64):
        for k, (score, box) in enumerate(FOUND[image]):
            scores[i, k], boxes[i, k], valid[i, k] = score, box, True
            masks[i, k] = fill([box])[0]
    return Instances(boxes, scores, np.ones((n, depth), np.int32), valid, masks)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder, seen = tmp_path_factory.mktemp("run"), []

    def predict(images):
        seen.append(images[:, 0, 0, 0].tolist())
        return predict_instances(images)

    (folder / "train.csv").write_text(LOG)
    run = make_run(
        predict,
        EXAMPLES,
        folder / "eval",
        model_name="mask_rcnn",
        dataset_info={"config": "segmentation_phantom"},
        training_log=folder / "train.csv",
    )
    metrics = evaluate(run)
    assert seen == [[0, 64], [128, 128]]  # once, the last batch filled up
    return folder / "eval", metrics


def test_pixels_are_scored_on_the_union_of_sure_masks(evaluated):
    pooled = evaluated[1]["pixel"]["pooled"]
    # 6 px and 1 px are marked; c's 2 px stay below 0.5.
    assert [pooled[name] for name in ("TP", "FP", "FN", "TN")] == [6, 1, 2, 183]
    assert pooled["IoU"] == pytest.approx(6 / 9)


def test_lesions_are_scored_at_every_score(evaluated):
    lesion = evaluated[1]["lesion"]
    assert (lesion["n"], lesion["found"], lesion["false_regions"]) == (2, 1, 1)
    # Below 0.375 the lesion of c is found too, with no false region more.
    assert lesion["sensitivity_at"]["0.5"] == 1.0


def test_detection_has_the_precision_of_every_instance(evaluated):
    detection = evaluated[1]["detection"]
    assert (detection["n_lesions"], detection["n_detections"]) == (2, 4)
    # By score: right, false, right, and a lesion found before. Of 101 recalls 51 are
    # at most 0.5, with precision 1; the others are reached at 2 of 3.
    for kind in ("box", "mask"):
        assert detection[kind]["AP50"] == pytest.approx((51 + 50 * 2 / 3) / 101)
        assert detection[kind]["AP"] == pytest.approx(detection[kind]["AP50"])


def test_evaluation_writes_what_it_returns(evaluated):
    output_dir, metrics = evaluated
    assert json.loads((output_dir / "metrics.json").read_text()) == metrics
    assert find_fault(metrics, SegmentationRun) == ""
    assert metrics["task"] == "instance_segmentation"
    assert (metrics["model"], metrics["n_images"]) == ("mask_rcnn", 3)
    assert metrics["data"]["config"] == "segmentation_phantom"


def test_evaluation_leaves_whole_files_only(evaluated):
    names = sorted(path.name for path in evaluated[0].rglob("*") if path.is_file())
    assert names == [
        "best.png",
        "cases.csv",
        "detections.json",
        "lesions.csv",
        "median.png",
        "metrics.json",
        "precision_recall.png",
        "regions.csv",
        "table.md",
        "training.png",
        "worst.png",
    ]


def test_files_can_be_read_again(evaluated):
    cases = read_run_tables(evaluated[0])
    detections = read_detections(evaluated[0] / "detections.json")
    assert cases.example_ids == detections.example_ids == ["a", "b", "c"]
    assert [len(each) for each in detections.detections] == [3, 0, 1]
    with (evaluated[0] / "cases.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["predicted_px"] for row in rows] == ["7", "0", "0"]


def test_table_has_the_paper_pixels_lesions_and_detections(evaluated):
    table = (evaluated[0] / "table.md").read_text()
    assert "| Mask R-CNN | printed in Lin 2020, Table 2 | 0.9724 |" in table
    assert "| mask_rcnn, pooled | SYNTHETIC, tfds_spect/segmentation_phantom" in table
    assert "paints the score of each over its mask" in table
    assert "## Lesions" in table and "| mask_rcnn | 4 | masks | 0.835 (" in table


def test_overlays_outline_each_sure_instance():
    _, _, detections = predict_detections(
        predict_instances, EXAMPLES, num_classes=2, batch_size=3
    )
    masks = [decode_marked(found, HW) for found in detections.detections]
    assert [each.shape for each in masks] == [(2, *HW), (0, *HW), (0, *HW)]
    np.testing.assert_array_equal(masks[0], fill([(1, 1, 3, 4), (6, 6, 7, 7)]))


def test_predict_detections_paints_probabilities():
    probs, classes, detections = predict_detections(
        predict_instances, EXAMPLES, num_classes=2, batch_size=2
    )
    assert (probs.dtype, classes.dtype) == (np.float32, np.uint8)
    # The second time that the lesion of a is marked makes it no less sure.
    expected = np.zeros((3, *HW))
    expected[0, 1:3, 1:4], expected[0, 6, 6], expected[2, 5, 5:7] = 0.875, 0.625, 0.375
    np.testing.assert_allclose(probs, expected)
    np.testing.assert_array_equal(classes, expected > 0.5)
    assert detections.patients == ["p1", "p2", "p3"]


def test_a_model_that_diverged_is_refused():
    def diverge(images):
        answer = predict_instances(images)
        answer.scores[0, 0] = np.nan
        return answer

    with pytest.raises(ValueError, match="a: expected finite boxes and scores"):
        predict_detections(diverge, EXAMPLES, num_classes=2, batch_size=3)


def test_evaluate_run_asks_for_instances_where_a_model_has_them(tmp_path, monkeypatch):
    config, asked = base_config(), []
    config.task, config.data.batch_size = "instance_segmentation", 3
    config.model = ConfigDict({"name": "mask_rcnn", "num_classes": 2})
    model = SimpleNamespace(predict=predict_instances)
    monkeypatch.setattr(held_out, "load_run", lambda _: model)
    monkeypatch.setattr(held_out.input_pipeline, "load_examples", lambda *_: EXAMPLES)
    monkeypatch.setattr(evaluate_instances, "evaluate", asked.append)
    splits = Splits(train="fold0", held_out="fold1")
    held_out.evaluate_run(config, tmp_path, tmp_path, splits)
    (run,) = asked
    assert (run.model, run.held_out) == (model, EXAMPLES)
    assert (run.num_classes, run.batch_size) == (2, 3)
    assert run.training_log == tmp_path / "train.csv"
    assert run.output_dir == tmp_path / "eval"
