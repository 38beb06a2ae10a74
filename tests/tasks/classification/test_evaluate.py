"""Tests of `evaluate`: a model whose answers are written."""

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
from matplotlib.image import imread

from spectjax.input_pipeline import Examples
from spectjax.metrics import intervals
from spectjax.tasks.classification import evaluate as classification_evaluate
from spectjax.tasks.classification.cases import format_cases, read_cases
from spectjax.tasks.classification.evaluate import predict_log_odds
from spectjax.tasks.classification.metrics_sections import ClassificationRun
from tests.support.finished_runs import make_run
from tests.support.typed_dicts import find_fault

# Six images of four patients: what they show and the log-odds that the model gives.
ROWS = [
    ("a", "p1", "anterior", "multiple bone metastasis", 2.0),  # found
    ("b", "p1", "posterior", "normal", -1.0),
    ("c", "p2", "anterior", "normal", 1.0),  # wrong
    ("d", "p3", "posterior", "spinal metastasis", -0.5),  # missed
    ("e", "p4", "anterior", "normal", -3.0),
    ("f", "p2", "posterior", "normal", -4.0),
]
# Of four images with log-odds of size 2, three are on the right side.
CALIBRATION = [
    ("g", "p5", "anterior", "normal", -2.0),
    ("h", "p6", "anterior", "normal", -2.0),
    ("i", "p7", "anterior", "normal", 2.0),
    ("j", "p8", "anterior", "metastasis", 2.0),
]


def make_examples(rows, first=0, **changes):
    ids, patients, views, diagnoses, _ = map(list, zip(*rows, strict=True))
    fields = {
        # The first pixel numbers the image, so that the model knows its answer.
        "images": np.arange(first, first + len(rows), dtype=np.uint16).reshape(
            -1, 1, 1, 1
        )
        + np.zeros((1, 4, 3, 1), np.uint16),
        "masks": np.zeros((len(rows), 4, 3), np.uint8),
        "labels": np.array([d != "normal" for d in diagnoses], np.int32),
        "diagnoses": diagnoses,
        "example_ids": ids,
        "patients": patients,
        "views": views,
        "spacing_mm": np.full((len(rows), 2), 2.4, np.float32),
        "synthetic": True,
        "name": "tfds_spect/classification_d3_phantom",
        "split": "fold1",
        "fingerprint": "made up",
    }
    return Examples(**(fields | changes))


EXAMPLES = make_examples(ROWS)


def predict_logits(images):
    """Answers as the rows say, and takes no batch but one of four images.

    Images from 100 on are moved ones: their answers have the other sign.
    """
    assert images.shape == (4, 4, 3, 1)
    answers = np.array([row[-1] for row in ROWS + CALIBRATION])
    numbers = images[:, 0, 0, 0].astype(int)
    log_odds = np.where(numbers < 100, 1, -1) * answers[numbers % 100]
    return np.stack([7 - log_odds, np.full(4, 7)], axis=1).astype(np.float32)


def move(images, seed):
    """Moves images for odd seeds only."""
    return images + np.uint16(100 * (seed % 2))


def evaluate(tmp_path, examples=EXAMPLES, **changes):
    run = make_run(
        predict_logits,
        examples,
        tmp_path / "eval",
        batch_size=4,
        model_name="specs_v7",
        dataset_info={"config": "classification_d3_phantom"},
        **changes,
    )
    return classification_evaluate.evaluate(run)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Folder and metrics of an evaluation with all there can be."""
    tmp_path = tmp_path_factory.mktemp("run")
    log = tmp_path / "train.csv"
    log.write_text("epoch,loss,Acc\n1,0.5,0.8\n2,0.25,0.9\n")
    metrics = evaluate(
        tmp_path,
        calibration=lambda: make_examples(CALIBRATION, first=len(ROWS), split="fold2"),
        move=move,
        training_log=log,
    )
    return tmp_path / "eval", metrics


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_evaluate_counts_and_scores_images(evaluated):
    image = evaluated[1]["image"]
    assert image["confusion"] == {"tp": 1, "fn": 1, "fp": 1, "tn": 3}
    assert (image["n"], image["n_metastasis"]) == (6, 2)
    assert image["accuracy"] == pytest.approx(4 / 6)
    assert image["precision"] == image["recall"] == image["f1"] == 0.5
    assert image["specificity"] == 0.75
    assert image["auc"] == 7 / 8  # of 2 x 4 pairs, -0.5 below 1 is the wrong one
    assert image["average_precision"] == pytest.approx((1 + 2 / 3) / 2)


def test_evaluate_takes_the_mean_log_odds_of_a_patient(evaluated):
    patient = evaluated[1]["patient"]
    # p1: (2 - 1) / 2, p2: (1 - 4) / 2, p3: -0.5, p4: -3; p1 and p3 have metastases.
    assert patient["confusion"] == {"tp": 1, "fn": 1, "fp": 0, "tn": 2}
    assert patient["auc"] == 1.0
    with (evaluated[0] / "patients.csv").open(newline="") as stream:
        rows = {row["patient"]: row for row in csv.DictReader(stream)}
    assert {name: float(row["log_odds"]) for name, row in rows.items()} == {
        "p1": 0.5,
        "p2": -1.5,
        "p3": -0.5,
        "p4": -3.0,
    }
    assert (rows["p2"]["images"], rows["p2"]["label"]) == ("2", "normal")
    assert (rows["p2"]["correct"], rows["p3"]["correct"]) == ("1", "0")
    assert float(rows["p1"]["probability"]) == pytest.approx(sigmoid(0.5), abs=1e-6)


def test_evaluate_gives_intervals_around_the_scores(evaluated):
    for level in ("image", "patient"):
        scored = evaluated[1][level]
        for name, (low, high) in scored["intervals"].items():
            assert low <= scored[name] <= high
    # A resample with p1 and p4 alone has no mistake; 1 in 16 has no other patients.
    assert evaluated[1]["image"]["intervals"]["accuracy"][1] == 1.0


def test_evaluate_gives_recall_at_fixed_specificity(evaluated):
    # Three of four normal images are 75 %, so 90 % allow no false alarm: above 1 only.
    found = evaluated[1]["image"]["sensitivity_at_specificity"]["0.90"]
    assert (found["sensitivity"], found["threshold"]) == (0.5, 2.0)


def test_evaluate_scores_kinds_and_views(evaluated):
    kinds = evaluated[1]["by_diagnosis"]
    assert kinds["normal"] == {"n": 4, "n_correct": 3, "recall": 0.75}
    assert kinds["spinal metastasis"] == {"n": 1, "n_correct": 0, "recall": 0.0}
    views = evaluated[1]["by_view"]
    assert views["anterior"]["accuracy"] == pytest.approx(2 / 3)
    assert (views["posterior"]["n"], views["posterior"]["recall"]) == (3, 0.0)


def test_evaluate_scales_by_the_temperature_of_other_images(evaluated):
    calibration = evaluated[1]["calibration"]
    # 1 / (1 + exp(-2 / T)) = 3/4
    assert calibration["temperature"] == pytest.approx(2 / math.log(3), rel=1e-6)
    assert calibration["fitted_on"] == (
        "temperature T fitted on 4 images of 4 patients (fold2)"
    )
    for key, temperature in (("before", 1.0), ("after", 2 / math.log(3))):
        squares = [
            (sigmoid(row[-1] / temperature) - (row[3] != "normal")) ** 2 for row in ROWS
        ]
        assert calibration[key]["brier"] == pytest.approx(np.mean(squares), rel=1e-6)


def test_evaluate_repeats_with_moved_images(evaluated):
    repeated = evaluated[1]["repeated"]
    # Seeds 1, 3, 5, 7, 9 turn every answer round: 2 of 6 right instead of 4.
    assert repeated["runs"]["accuracy"] == pytest.approx([4 / 6, 2 / 6] * 5)
    spread = repeated["scores"]["accuracy"]
    assert spread["mean"] == pytest.approx(0.5)
    assert spread["sd"] == pytest.approx(math.sqrt(10 / 9) / 6)
    table = (evaluated[0] / "table.md").read_text()
    assert "specs_v7, 10 evaluations" in table and "0.5000 ± 0.1757" in table


def test_evaluate_writes_one_row_per_image(evaluated):
    with (evaluated[0] / "cases.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["example_id"] for row in rows] == list("abcdef")
    first = rows[0]
    assert [first[k] for k in ("patient", "view", "label", "diagnosis")] == [
        "p1",
        "anterior",
        "metastasis",
        "multiple bone metastasis",
    ]
    assert float(first["probability"]) == pytest.approx(sigmoid(2), abs=1e-6)
    # 2 / T = log 3
    assert first["calibrated_probability"] == "0.750000"
    assert [row["correct"] for row in rows] == ["1", "1", "0", "0", "1", "1"]


def test_evaluate_writes_what_it_returns(evaluated):
    output_dir, metrics = evaluated
    assert json.loads((output_dir / "metrics.json").read_text()) == metrics
    assert find_fault(metrics, ClassificationRun) == ""
    assert (metrics["task"], metrics["model"]) == ("classification", "specs_v7")
    assert metrics["data"] == {
        "name": "tfds_spect/classification_d3_phantom",
        "split": "fold1",
        "synthetic": True,
        "leaking": False,
        "config": "classification_d3_phantom",
    }
    assert (metrics["n_images"], metrics["n_patients"]) == (6, 4)


def test_evaluate_leaves_whole_files_only(evaluated):
    files = {path.name: path for path in evaluated[0].rglob("*") if path.is_file()}
    pictures = {
        "confusion.png",
        "mistakes.png",
        "precision_recall.png",
        "reliability.png",
        "roc.png",
        "training.png",
    }
    texts = {"cases.csv", "metrics.json", "patients.csv", "table.md"}
    assert set(files) == pictures | texts
    for name in pictures:
        assert imread(files[name]).std() > 0.02


def test_evaluate_without_metastasis_has_no_auc(tmp_path, monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 20)
    normal = make_examples([ROWS[1], ROWS[4]], leaking=True)
    metrics = evaluate(tmp_path, normal)
    image = metrics["image"]
    assert (image["auc"], image["recall"], image["intervals"]["auc"]) == (
        None,
        None,
        [None, None],
    )
    assert image["specificity"] == 0.5  # numbers 0 and 1 answer 2 and -1
    assert metrics["calibration"]["temperature"] is None
    assert metrics["repeated"] is None
    assert (tmp_path / "eval" / "figures" / "roc.png").exists()
    assert "LEAKING" in (tmp_path / "eval" / "table.md").read_text()


def test_read_cases_gives_back_every_bit(evaluated, tmp_path):
    cases = read_cases(evaluated[0] / "cases.csv")
    assert cases.log_odds.tolist() == [row[-1] for row in ROWS]
    assert cases.labels.tolist() == [1, 0, 0, 1, 0, 0]
    odd = dataclasses.replace(
        cases, log_odds=np.float32([1 / 3, np.pi, 1e-20, 1e20, -2 / 7, 0])
    )
    (tmp_path / "cases.csv").write_text(format_cases(odd, None))
    assert read_cases(tmp_path / "cases.csv").log_odds.tolist() == odd.log_odds.tolist()


def test_read_cases_names_a_file_that_is_not_one(tmp_path):
    (tmp_path / "cases.csv").write_text("example_id,patient\na,p\n")
    with pytest.raises(ValueError, match=r"cases\.csv: expected a classifier's table"):
        read_cases(tmp_path / "cases.csv")


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((4, 3)), r"Expected logits \(4, 2\).*got \(4, 3\)"),
        (np.zeros((4, 2, 2, 2)), r"Expected logits \(4, 2\)"),
        (np.full((4, 2), np.nan), "logits that are not finite"),
        (np.full((4, 2), np.inf), "logits that are not finite"),
    ],
)
def test_predict_log_odds_rejects_other_logits(logits, message):
    with pytest.raises(ValueError, match=message):
        predict_log_odds(lambda images: logits, EXAMPLES.images, batch_size=4)


def test_predict_log_odds_needs_an_image():
    with pytest.raises(ValueError, match="at least one image"):
        predict_log_odds(predict_logits, EXAMPLES.images[:0], batch_size=4)
