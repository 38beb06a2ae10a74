"""Tests of `spectjax.tasks.hotspots.evaluate`, with answers that are written down."""

import csv
import json

import numpy as np
import pytest

from spectjax.input_pipeline import Examples
from spectjax.metrics.pixel import count_pixels
from spectjax.system.files import replace_undefined
from spectjax.tasks.hotspots.case_tables import read_run_tables
from spectjax.tasks.hotspots.evaluate import evaluate, predict_hotspots, rank_cases
from spectjax.tasks.hotspots.metrics_sections import SegmentationRun
from spectjax.tasks.hotspots.scores import summarise_segmentation
from tests.support.finished_runs import make_run
from tests.support.typed_dicts import find_fault

# Five images of 2x4 pixels, with truth and what the model says.
TRUTH = [
    "0111 0010",
    "0000 0000",
    "0110 0000",
    "1000 0000",
    "0000 0011",
]
FOUND = [
    "1100 0010",  # IoU 2/5
    "0000 0000",  # nothing there, nothing found
    "0110 0000",  # IoU 1
    "0000 0000",  # missed: IoU 0
    "0001 0001",  # IoU 1/3
]


def masks_from(rows):
    return np.array([[[int(c) for c in part] for part in r.split()] for r in rows])


EXAMPLES = Examples(
    # The first pixel numbers the image, so that the model knows its answer.
    images=np.arange(5 * 8, dtype=np.uint16).reshape(5, 2, 4, 1),
    masks=masks_from(TRUTH).astype(np.uint8),
    labels=np.ones(5, np.int32),
    diagnoses=["multiple bone metastasis"] * 5,
    example_ids=["e", "a", "c", "b", "d"],
    patients=["p1", "p1", "p2", "p3", "p2"],
    views=["anterior", "posterior", "anterior", "anterior", "posterior"],
    spacing_mm=np.full((5, 2), 2.4, np.float32),
    synthetic=True,
    name="tfds_spect/segmentation_phantom",
    split="fold1",
    fingerprint="made up",
)


def predict_probs(images):
    """Answers as FOUND says, and takes no batch but one of two images."""
    assert images.shape == (2, 2, 4, 1)
    found = masks_from(FOUND)[images[:, 0, 0, 0] // 8]
    return np.stack([0.9 - 0.8 * found, 0.1 + 0.8 * found], axis=-1)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    log = folder / "train.csv"
    log.write_text("epoch,loss,PA\n1,0.5,0.9\n")
    run = make_run(
        predict_probs,
        EXAMPLES,
        folder / "eval",
        dataset_info={"config": "segmentation_phantom"},
        training_log=log,
    )
    return folder / "eval", evaluate(run)


def test_evaluate_counts_no_padding(evaluated):
    pooled = evaluated[1]["pixel"]["pooled"]
    assert [pooled[name] for name in ("TP", "FP", "FN", "TN")] == [5, 2, 4, 29]
    assert pooled["PA"] == pytest.approx(34 / 40)
    assert pooled["IoU"] == pytest.approx(5 / 11)


def test_evaluate_averages_over_images(evaluated):
    per_image = evaluated[1]["pixel"]["per_image"]
    assert per_image["IoU"] == pytest.approx((2 / 5 + 1 + 1 + 0 + 1 / 3) / 5)
    assert per_image["CPA"] == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert per_image["n_averaged"]["CPA"] == 3
    assert per_image["n_averaged"]["Rec"] == 4


def test_evaluate_writes_what_it_returns(evaluated):
    output_dir, metrics = evaluated
    assert json.loads((output_dir / "metrics.json").read_text()) == metrics
    assert find_fault(metrics, SegmentationRun) == ""
    assert (metrics["task"], metrics["model"]) == ("segmentation", "unet_res")
    assert metrics["data"] == {
        "name": "tfds_spect/segmentation_phantom",
        "split": "fold1",
        "synthetic": True,
        "leaking": False,
        "config": "segmentation_phantom",
    }
    assert (metrics["n_images"], metrics["n_patients"]) == (5, 3)
    assert metrics["n_images_without_lesion"] == 1


def test_evaluate_writes_one_row_per_image(evaluated):
    with (evaluated[0] / "cases.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["example_id"] for row in rows] == EXAMPLES.example_ids
    first, empty = rows[0], rows[1]
    assert [first[k] for k in ("patient", "view")] == ["p1", "anterior"]
    assert [first[k] for k in ("TP", "FP", "FN", "TN")] == ["2", "1", "2", "3"]
    assert [first[k] for k in ("lesion_px", "predicted_px")] == ["4", "3"]
    assert [first["IoU"], first["Rec"]] == ["0.400000", "0.500000"]
    # All four pixels are connected, and so are the three that were found.
    assert [first[k] for k in ("lesions", "lesions_found")] == ["1", "1"]
    assert [first[k] for k in ("regions", "false_regions")] == ["1", "0"]
    assert float(first["lesion_mm2"]) == pytest.approx(4 * 2.4**2)
    assert float(first["predicted_mm2"]) == pytest.approx(3 * 2.4**2)
    # The counts of a pixel are its number.
    assert [first["lesion_counts"], first["predicted_counts"]] == ["12", "7"]
    assert [empty[k] for k in ("CPA", "Rec", "IoU")] == ["", "", "1.000000"]


def test_evaluate_writes_tables_that_give_the_same_scores(evaluated):
    output_dir, metrics = evaluated
    cases = read_run_tables(output_dir)
    again = replace_undefined(summarise_segmentation(cases))
    assert {name: metrics[name] for name in again} == again


def test_evaluate_scores_lesions(evaluated):
    lesion = evaluated[1]["lesion"]
    # One in each image but a; that of b is missed.
    assert (lesion["n"], lesion["found"], lesion["regions"]) == (4, 3, 3)
    assert lesion["sensitivity"] == pytest.approx(3 / 4)
    # 2 * 2 / 7, 1 and 2 * 1 / 4.
    assert lesion["dice"] == pytest.approx((4 / 7 + 1 + 1 / 2) / 3)
    assert lesion["without_lesion"]["clean"] == 1


def test_evaluate_leaves_whole_files_only(evaluated):
    names = sorted(path.name for path in evaluated[0].rglob("*") if path.is_file())
    assert names == [
        "best.png",
        "cases.csv",
        "lesions.csv",
        "median.png",
        "metrics.json",
        "regions.csv",
        "table.md",
        "training.png",
        "worst.png",
    ]
    assert "SYNTHETIC" in (evaluated[0] / "table.md").read_text()


def test_evaluate_writes_null_for_an_undefined_score(tmp_path):
    said = np.stack([np.ones((2, 2, 4)), np.zeros((2, 2, 4))], axis=-1)
    metrics = evaluate(make_run(lambda images: said, EXAMPLES, tmp_path))
    assert metrics["pixel"]["pooled"]["CPA"] is None
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert not (tmp_path / "figures" / "training.png").exists()


def test_rank_cases_passes_over_images_with_nothing_to_show():
    counts = count_pixels(masks_from(FOUND), EXAMPLES.masks)
    # IoU of those with something to show: c 1, e 2/5, d 1/3, b 0.
    assert rank_cases(EXAMPLES, counts) == {"best": 2, "median": 0, "worst": 3}


def test_rank_cases_resolves_ties_by_example_id():
    counts = count_pixels(EXAMPLES.masks[[2, 2, 2, 2, 2]], EXAMPLES.masks[[2] * 5])
    assert rank_cases(EXAMPLES, counts) == {"best": 1, "median": 2, "worst": 0}


def test_rank_cases_takes_empty_images_if_there_are_no_others():
    counts = count_pixels(np.zeros((5, 2, 4)), np.zeros((5, 2, 4)))
    assert rank_cases(EXAMPLES, counts) == {"best": 1, "median": 2, "worst": 0}


def test_predict_hotspots_gives_probabilities_and_classes():
    probs, classes = predict_hotspots(predict_probs, EXAMPLES.images, batch_size=2)
    found = masks_from(FOUND)
    assert (probs.dtype, classes.dtype) == (np.float32, np.uint8)
    assert probs == pytest.approx(0.1 + 0.8 * found)
    assert classes.tolist() == found.tolist()


def test_predict_hotspots_adds_up_all_classes_but_background():
    said = np.broadcast_to([0.45, 0.3, 0.25], (2, 2, 4, 3))
    probs, classes = predict_hotspots(
        lambda images: said, EXAMPLES.images[:2], batch_size=2
    )
    assert probs == pytest.approx(np.full((2, 2, 4), 0.55))
    assert not classes.any()


def test_predict_hotspots_keeps_small_probabilities():
    small = np.float32(1e-9)
    said = np.broadcast_to(np.stack([1 - small, small]), (2, 2, 4, 2))
    probs, _ = predict_hotspots(lambda images: said, EXAMPLES.images[:2], batch_size=2)
    assert (probs == small).all()


def test_predict_hotspots_rejects_an_output_of_another_size():
    with pytest.raises(ValueError, match=r"\(2, 2, 4, 'K>=2'\).*\(2, 1, 2, 2\)"):
        predict_hotspots(
            lambda images: np.zeros((2, 1, 2, 2)), EXAMPLES.images, batch_size=2
        )
