"""Classifiers on images of elsewhere: their own thresholds, groups, adjustments."""

import dataclasses
import json

import numpy as np
import pytest

from spectjax.evaluation.run import Brought
from spectjax.tasks.classification import evaluate as classification_evaluate
from spectjax.tasks.classification.contrast import contrast_classifiers
from spectjax.tasks.classification.evaluate import find_logits
from spectjax.tasks.classification.metrics_sections import ClassificationRun
from tests.support.examples import make_examples
from tests.support.finished_runs import make_run
from tests.support.typed_dicts import find_fault

pytestmark = pytest.mark.usefixtures("few_resamples")
EXTERNAL = {"scored_model": {"name": "a"}, "checked": [], "not_checked": ["all"]}
EXTERNAL["left_out"] = {}
# Images of eight patients, four of each camera.
LABELS = np.array([0, 1, 0, 1, 1, 1, 0, 0], np.int32)
LOG_ODDS = np.array([-2.0, 1.0, -1.0, 3.0, 0.5, -0.5, -3.0, 2.0])
EXAMPLES = dataclasses.replace(
    make_examples(8, (4, 3)),
    labels=LABELS,
    diagnoses=[("normal", "metastasis")[label] for label in LABELS],
    cameras=["A"] * 4 + ["B"] * 4,
    matrices=["1x1"] * 8,
)


def answer(log_odds):
    """A model that knows the answer of each image by its first pixel."""

    def predict(images):
        chosen = log_odds[images[:, 0, 0, 0].astype(int)]
        return np.stack([0 * chosen, chosen], axis=1).astype(np.float32)

    return predict


def evaluate(folder, log_odds=LOG_ODDS, **changes):
    brought = Brought(
        temperature=2.0, thresholds={"0.90": 0.75}, source="a brings it along"
    )
    given = {"brought": brought, "external": EXTERNAL, "model_name": "specs_v7"}
    run = make_run(answer(log_odds), EXAMPLES, folder, **(given | changes))
    return classification_evaluate.evaluate(run)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    part = dataclasses.replace(EXAMPLES, split="fold7")
    return folder, evaluate(folder, calibration=lambda: part)


def test_the_document_follows_the_schema(scored):
    folder, metrics = scored
    assert find_fault(metrics, ClassificationRun) == ""
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert "NOT checked:\n\n- all" in (folder / "table.md").read_text()


def test_a_threshold_that_the_model_brings_is_applied_as_it_is(scored):
    found = scored[1]["at_model_thresholds"]["0.90"]
    # 1 and 3 of the four metastases reach it, and 2 of the four normal images.
    assert found["threshold"] == found["specificity"] == 0.75
    assert found["recall"] == 0.5
    low, high = found["intervals"]["specificity"]
    assert low < 0.75 < high


def test_the_temperature_is_the_one_that_the_model_brings(scored):
    calibration = scored[1]["calibration"]
    assert calibration["temperature"] == 2.0
    assert calibration["fitted_on"] == "a brings it along"


def test_cameras_are_scored_on_their_own(scored):
    groups = scored[1]["subgroups"]
    one, other = groups["camera"]["A"], groups["camera"]["B"]
    assert (one["n_images"], one["n_metastasis"], one["auc"]) == (4, 2, 1.0)
    # 0.5 and -0.5 are metastases, -3 and 2 normal.
    assert (other["auc"], other["recall"], other["specificity"]) == (0.5, 0.5, 0.5)
    assert groups["matrix"].keys() == {"1x1"}


def test_an_adjustment_says_what_it_was_fitted_on(scored):
    adjusted = scored[1]["adjusted"]
    assert (
        "8 images of 8 patients, 4 of them metastasis (fold7)" in adjusted["fitted_on"]
    )
    shift = adjusted["prevalence"]["value"]
    # So that probabilities add up to the number of metastases.
    assert np.sum(1 / (1 + np.exp(-LOG_ODDS - shift))) == pytest.approx(4)


def test_without_what_the_model_knows_nothing_is_fitted(tmp_path):
    metrics = evaluate(tmp_path, brought=Brought())
    assert metrics["calibration"]["temperature"] is None
    assert metrics["calibration"]["after"] is None
    assert metrics["at_model_thresholds"] == {} and "adjusted" not in metrics


def test_two_classifiers_are_compared_on_the_same_patients(tmp_path):
    folders = {"good": tmp_path / "good", "bad": tmp_path / "bad"}
    documents = {
        "good": evaluate(folders["good"]),
        "bad": evaluate(folders["bad"], -LOG_ODDS),
    }
    metrics = contrast_classifiers(documents, folders, tmp_path)
    (pair,) = metrics["comparisons"]
    assert pair["models"] == ["good", "bad"]
    # AUC 13/16, all but 2 above three metastases, and 3/16.
    assert pair["differences"]["auc"] == pytest.approx(10 / 16)
    low, high = pair["intervals"]["auc"]
    assert low < 10 / 16 < high
    assert "good − bad" in (tmp_path / "table.md").read_text()


def test_probabilities_of_a_file_become_log_odds():
    class File:
        def predict(self, counts):
            return np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)

    logits = find_logits(File())(np.zeros((2, 4, 3, 1)))
    log_odds = logits[:, 1] - logits[:, 0]
    assert log_odds[0] == pytest.approx(np.log(3))
    assert np.isfinite(log_odds[1]) and log_odds[1] < -80
