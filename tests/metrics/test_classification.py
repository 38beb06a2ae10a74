"""Tests of `spectjax.metrics.classification` and `binary`.

Oracles: the tables of [P2], numbers worked out by hand, and scikit-learn.
"""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from spectjax.metrics.binary import compute_probs
from spectjax.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from spectjax.metrics.classification import (
    Confusion,
    count_confusion,
    group_by_patient,
    recall_by_diagnosis,
    score_confusion,
    sensitivity_at_specificity,
)
from spectjax.metrics.curves import (
    area_under_roc,
    average_precision,
    precision_recall_curve,
    roc_curve,
)
from spectjax.tasks.classification.published import read_published

# Printed figures that the counts contradict, and what the counts give.
MISPRINTS = {
    ("D1", "SPECS D121", "precision"): 32 / 39,
    ("D2", "SPECS V7", "recall"): 276 / 353,
    ("D3", "SPECS V7", "accuracy"): 621 / 717,
    ("D3", "SPECS V7", "specificity"): 341 / 364,
    ("D3", "SPECS V21", "accuracy"): 703 / 717,
    ("D3", "SPECS V24", "recall"): 326 / 353,
    ("D3", "SPECS V24", "f1"): 652 / 684,
}
# Printed one unit too high in the last digit: less than 0.0001 away, but neither
# rounded nor cut off.
LAST_DIGIT_TOO_HIGH = {
    ("D1", "SPECS V21", "accuracy"): 102 / 111,
    ("D2", "SPECS V24", "accuracy"): 602 / 717,
}

LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
SCORES = np.array([5.0, 3.0, 1.0, -2.0, 4.0, 1.0, 0.0, -1.0, -2.0, -3.0])


def printed_scores():
    """Each row's key, printed figure and what our function makes of the counts."""
    for row in read_published():
        ours = score_confusion(row.confusion)
        for name in ("accuracy", "precision", "recall", "specificity", "f1"):
            yield (row.dataset, row.classifier, name), row.scores[name], ours[name]


def is_rounded_or_cut(printed, exact):
    digits = round(1e4 * printed)
    return digits in (math.floor(1e4 * exact + 0.5), math.floor(1e4 * exact))


def test_score_confusion_gives_every_printed_figure_but_the_misprints():
    figures = list(printed_scores())
    assert len(figures) == 21 * 5
    unexplained = {k for k, p, exact in figures if not is_rounded_or_cut(p, exact)}
    assert unexplained == set(MISPRINTS) | set(LAST_DIGIT_TOO_HIGH)


def test_score_confusion_is_a_ten_thousandth_or_more_off_the_misprints_only():
    far = {k for k, p, exact in printed_scores() if abs(p - exact) >= 1e-4}
    assert far == set(MISPRINTS)


def test_score_confusion_corrects_the_misprints():
    ours = {key: exact for key, _, exact in printed_scores()}
    for key, exact in (MISPRINTS | LAST_DIGIT_TOO_HIGH).items():
        assert ours[key] == pytest.approx(exact, rel=1e-12)


def test_published_rows_name_their_misprints():
    named = {
        (row.dataset, row.classifier, name)
        for row in read_published()
        for name in row.misprinted
    }
    assert named == set(MISPRINTS) | set(LAST_DIGIT_TOO_HIGH)
    assert all(bool(row.note) == bool(row.misprinted) for row in read_published())


def test_published_counts_are_those_of_three_test_sets():
    sizes = {"D1": (47, 64), "D2": (353, 364), "D3": (353, 364)}
    rows = read_published()
    assert len({(row.dataset, row.classifier) for row in rows}) == len(rows) == 21
    for row in rows:
        c = row.confusion
        assert (c.tp + c.fn, c.fp + c.tn) == sizes[row.dataset]


def test_published_areas_are_possible():
    # The ROC curve rises through (1 - specificity, recall).
    for row in read_published():
        score = score_confusion(row.confusion)
        recall, specificity = score["recall"], score["specificity"]
        assert recall * specificity <= row.scores["auc"]
        assert row.scores["auc"] <= 1 - (1 - recall) * (1 - specificity)
    (best,) = [r for r in read_published() if r.scores["auc"] == 0.9933]
    assert (best.dataset, best.classifier) == ("D3", "SPECS V21")


def test_count_confusion_tells_the_four_outcomes_apart():
    counts = count_confusion(LABELS, SCORES > 0)
    assert counts == Confusion(tp=3, fn=1, fp=2, tn=4)
    assert all(type(n) is int for n in vars(counts).values())


@pytest.mark.parametrize(
    ("counts", "undefined", "f1"),
    [
        (Confusion(tp=0, fn=2, fp=3, tn=4), set(), 0),
        (Confusion(tp=0, fn=2, fp=0, tn=4), {"precision"}, 0),
        (Confusion(tp=0, fn=0, fp=3, tn=4), {"recall"}, 0),
        (Confusion(tp=2, fn=1, fp=0, tn=0), {"specificity"}, 4 / 5),
        (Confusion(tp=0, fn=0, fp=0, tn=4), {"precision", "recall", "f1"}, None),
    ],
)
def test_score_confusion_is_nan_where_a_denominator_is_0(counts, undefined, f1):
    scores = score_confusion(counts)
    assert {name for name, score in scores.items() if math.isnan(score)} == undefined
    assert f1 is None or scores["f1"] == pytest.approx(f1)


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 60)
    predictions = np.where(rng.random(60) < 0.7, labels, 1 - labels)
    counts = count_confusion(labels, predictions)
    tn, fp, fn, tp = sklearn_metrics.confusion_matrix(labels, predictions).ravel()
    assert counts == Confusion(tp=tp, fn=fn, fp=fp, tn=tn)
    assert score_confusion(counts) == pytest.approx(
        {
            "accuracy": sklearn_metrics.accuracy_score(labels, predictions),
            "precision": sklearn_metrics.precision_score(labels, predictions),
            "recall": sklearn_metrics.recall_score(labels, predictions),
            "specificity": sklearn_metrics.recall_score(
                labels, predictions, pos_label=0
            ),
            "f1": sklearn_metrics.f1_score(labels, predictions),
        }
    )


@pytest.mark.parametrize(
    ("specificity", "sensitivity", "threshold"),
    [
        # Normal images score 4, 1, 0, -1, -2, -3; metastases 5, 3, 1, -2.
        (1.0, 1 / 4, 5.0),
        (5 / 6, 2 / 4, 3.0),
        (0.8, 2 / 4, 3.0),
        (4 / 6, 3 / 4, 1.0),  # a metastasis and a normal image tie at 1
        (0.2, 3 / 4, 1.0),
        (1 / 6, 1.0, -2.0),
        (0.0, 1.0, -2.0),  # as sensitive, and more specific than -3
    ],
)
def test_sensitivity_at_specificity_takes_the_best_allowed_threshold(
    specificity, sensitivity, threshold
):
    found = sensitivity_at_specificity(LABELS, SCORES, specificity)
    assert found == (sensitivity, threshold)


def test_sensitivity_at_specificity_calls_nothing_where_a_normal_image_leads():
    found = sensitivity_at_specificity(np.array([0, 1]), np.array([2.0, 1.0]), 0.9)
    assert found == (0.0, math.inf)


@pytest.mark.parametrize(("wrong", "percent"), [(93, 7), (71, 29), (43, 57), (42, 58)])
def test_sensitivity_at_specificity_lets_the_exact_share_pass(wrong, percent):
    # Of 100 normal images `percent` lie below the only metastasis.
    labels = np.append(np.zeros(100, int), 1)
    scores = np.append(np.where(np.arange(100) < wrong, 1.0, -1.0), 0.0)
    assert sensitivity_at_specificity(labels, scores, percent / 100) == (1.0, 0.0)


@pytest.mark.parametrize("label", [0, 1])
def test_sensitivity_at_specificity_needs_both_classes(label):
    found = sensitivity_at_specificity(np.array([label] * 2), np.array([1.0, 2.0]), 0.5)
    assert np.isnan(found).all()


@pytest.mark.parametrize("specificity", [-0.1, 1.1, math.nan])
def test_sensitivity_at_specificity_refuses_what_is_no_share(specificity):
    with pytest.raises(ValueError, match=r"specificity in \[0, 1\]"):
        sensitivity_at_specificity(LABELS, SCORES, specificity)


def test_recall_by_diagnosis_counts_within_each_word():
    diagnoses = ["spinal", "normal", "multiple", "spinal", "spinal", "normal"]
    labels, predictions = np.array([1, 0, 1, 1, 1, 0]), np.array([1, 1, 1, 0, 1, 0])
    table = recall_by_diagnosis(diagnoses, labels, predictions)
    assert list(table) == ["multiple", "normal", "spinal"]
    assert table["multiple"] == {"n": 1, "n_correct": 1, "recall": 1.0}
    assert table["normal"] == {"n": 2, "n_correct": 1, "recall": 0.5}
    assert table["spinal"] == {"n": 3, "n_correct": 2, "recall": 2 / 3}


def test_group_by_patient_averages_log_odds_and_keeps_the_worst_label():
    grouped = group_by_patient(
        ["b", "a", "b", "c", "a", "b"],
        np.array([0, 0, 1, 0, 0, 0]),
        np.array([1.0, 3.0, -4.0, 1e4, 4.0, 9.0], np.float32),
    )
    assert grouped.patients.tolist() == ["a", "b", "c"]
    assert grouped.labels.tolist() == [0, 1, 0]
    assert grouped.scores.tolist() == [3.5, 2.0, 1e4]


def test_words_must_be_as_many_as_images():
    with pytest.raises(ValueError, match="one diagnosis per label, 10, got 1"):
        recall_by_diagnosis(["normal"], LABELS, LABELS)
    with pytest.raises(ValueError, match="one patient per label, 10, got 1"):
        group_by_patient(["a"], LABELS, SCORES)


def test_count_confusion_refuses_other_than_pairs_of_0_and_1():
    with pytest.raises(ValueError, match="got 2 at index 1"):
        count_confusion(np.array([0, 1]), np.array([0, 2]))
    with pytest.raises(ValueError, match="one prediction per label"):
        count_confusion(np.array([0, 1]), np.array([1]))
    with pytest.raises(ValueError, match="at least one image"):
        count_confusion(np.array([]), np.array([]))


SCORE_FUNCTIONS = [
    roc_curve,
    area_under_roc,
    precision_recall_curve,
    average_precision,
    reliability,
    expected_calibration_error,
    brier_score,
    fit_temperature,
    lambda labels, scores: sensitivity_at_specificity(labels, scores, 0.9),
    lambda labels, scores: group_by_patient(["a"] * len(labels), labels, scores),
]


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([], [], "at least one image"),
        ([[0, 1]], [[1.0, 2.0]], r"shape \(N,\)"),
        ([0, 2], [1.0, 2.0], "labels 0 .* or 1 .*, got 2 at index 1"),
        ([0.5, 1], [1.0, 2.0], "got 0.5 at index 0"),
        ([0, math.nan], [1.0, 2.0], "got nan at index 1"),
        ([0, 1], [1.0], "one score per label"),
        ([0, 1], [1.0, math.nan], "finite scores, got nan at index 1"),
        ([0, 1], [-math.inf, 1.0], "finite scores, got -inf at index 0"),
    ],
)
def test_every_score_refuses_what_it_cannot_use_in_one_line(labels, scores, message):
    for function in SCORE_FUNCTIONS:
        with pytest.raises(ValueError, match=message) as error:
            function(np.array(labels), np.array(scores))
        assert "\n" not in str(error.value)


def test_compute_probs_holds_at_any_size():
    probs = compute_probs(np.array([-1e308, -1e4, -math.log(3), 0.0, math.log(3), 1e4]))
    assert probs == pytest.approx([0, 0, 0.25, 0.5, 0.75, 1], abs=1e-15)
    # Where 1 - p is lost to rounding, p itself is not.
    assert compute_probs(np.array([-50.0]))[0] == pytest.approx(math.exp(-50))
