"""Tests of `spectjax.metrics.intervals` against the binomial distribution."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from spectjax.metrics.curves import area_under_roc
from spectjax.metrics.intervals import (
    Interval,
    Spread,
    bootstrap_patients,
    bootstrap_sums,
    summarise_repeats,
)

CORRECT = np.arange(200) < 160  # 200 images, 80 % called right
NAMES = [f"patient{i}" for i in range(200)]


def accuracy_of(correct):
    return lambda images: {"accuracy": correct[images].mean()}


def width(interval):
    return interval.high - interval.low


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_bootstrap_of_single_images_is_binomial(level):
    intervals = bootstrap_patients(
        NAMES, accuracy_of(CORRECT), seed=0, resamples=4000, level=level
    )
    # The number of right calls in a resample is binomial (200, 0.8). A quantile's
    # standard error is below half an image here.
    low, high = binom.ppf([(1 - level) / 2, (1 + level) / 2], 200, 0.8)
    interval = intervals["accuracy"]
    assert 200 * interval.low == pytest.approx(low, abs=1.01)
    assert 200 * interval.high == pytest.approx(high, abs=1.01)
    assert interval.n_undefined == 0


def test_bootstrap_covers_the_truth_as_often_as_the_binomial_does():
    rng = np.random.default_rng(0)
    names, truth, covered = NAMES[:50], 0.8, []
    for seed in range(120):
        interval = bootstrap_patients(
            names, accuracy_of(rng.random(50) < truth), seed=seed, resamples=200
        )["accuracy"]
        covered.append(interval.low <= truth <= interval.high)
    right = np.arange(51)
    low, high = (binom.ppf(q, 50, right / 50) for q in (0.025, 0.975))
    exact = binom.pmf(right, 50, truth)[(low <= 40) & (40 <= high)].sum()
    assert 0.9 < exact < 0.97
    assert np.mean(covered) == pytest.approx(exact, abs=0.05)


def test_copies_of_images_change_no_interval_over_patients():
    single = bootstrap_patients(NAMES, accuracy_of(CORRECT), seed=5)
    copied = bootstrap_patients(
        np.repeat(NAMES, 3), accuracy_of(np.repeat(CORRECT, 3)), seed=5
    )
    assert copied == single


def test_copies_taken_for_patients_make_intervals_too_narrow():
    copies = np.repeat(CORRECT, 3)
    honest = bootstrap_patients(np.repeat(NAMES, 3), accuracy_of(copies), seed=5)
    naive = bootstrap_patients(np.arange(600), accuracy_of(copies), seed=5)
    ratio = width(honest["accuracy"]) / width(naive["accuracy"])
    assert ratio == pytest.approx(math.sqrt(3), rel=0.1)


def test_every_resample_holds_whole_patients_as_many_as_there_are():
    patients = np.array(["b", "a", "c", "b", "b", "a"])
    drawn = []

    def collect(images):
        drawn.append(images)
        return {"n": 1.0}

    bootstrap_patients(patients, collect, seed=1, resamples=300)
    assert len(drawn) == 300
    total = np.zeros(6)
    for images in drawn:
        counts = np.bincount(images, minlength=6)
        a, b, c = (set(counts[patients == name]) for name in "abc")
        assert len(a) == len(b) == len(c) == 1
        assert sum(next(iter(times)) for times in (a, b, c)) == 3
        total += counts
    # Each patient is drawn once per resample on average, give or take 0.82 / sqrt(300).
    assert total / 300 == pytest.approx(np.ones(6), abs=0.2)


def test_undefined_scores_are_left_out_and_counted():
    labels, scores = np.array([1, 0, 0]), np.array([1.0, 2.0, 0.0])
    intervals = bootstrap_patients(
        ["a", "b", "c"],
        lambda i: {"auc": area_under_roc(labels[i], scores[i]), "never": math.nan},
        seed=0,
    )
    # Only normal images: (2/3)^3; only the metastasis: 1/27.
    share = intervals["auc"].n_undefined / 2000
    assert share == pytest.approx(1 / 3, abs=4 * math.sqrt(2 / 9 / 2000))
    assert (intervals["auc"].low, intervals["auc"].high) == (0, 1)
    assert intervals["never"].n_undefined == 2000
    assert math.isnan(intervals["never"].low) and math.isnan(intervals["never"].high)


def test_intervals_depend_on_the_seed_alone():
    rng = np.random.default_rng(0)
    patients, values = np.repeat(NAMES[:40], 2), rng.normal(size=80)

    def intervals(seed, order):
        shuffled = values[order]
        return bootstrap_patients(
            patients[order],
            lambda i: {"sum": math.fsum(shuffled[i])},
            seed=seed,
            resamples=300,
        )["sum"]

    order = np.arange(80)
    assert intervals(3, order) == intervals(3, order)
    assert intervals(3, order) == intervals(3, rng.permutation(80))
    assert intervals(3, order) != intervals(4, order)


def test_one_patient_says_nothing_about_others():
    (interval,) = bootstrap_patients(
        ["a", "a"], accuracy_of(np.array([1, 0])), seed=0, resamples=10
    ).values()
    assert isinstance(interval, Interval) and interval.n_undefined == 10
    assert math.isnan(interval.low) and math.isnan(interval.high)


@pytest.mark.parametrize(
    ("patients", "settings"),
    [([], {}), (["a"], {"resamples": 0}), (["a"], {"level": 1.0})],
)
def test_bootstrap_refuses_what_it_cannot_draw(patients, settings):
    with pytest.raises(ValueError, match="at least one image and one resample"):
        bootstrap_patients(patients, accuracy_of(CORRECT), seed=0, **settings)


def test_summarise_repeats_gives_mean_and_sample_deviation():
    repeats = [{"accuracy": a, "auc": b} for a, b in ((1, 0.5), (2, math.nan), (4, 1))]
    spreads = summarise_repeats(repeats)
    assert spreads["accuracy"].mean == pytest.approx(7 / 3)
    assert spreads["accuracy"].sd == pytest.approx(math.sqrt(7 / 3))
    assert spreads["accuracy"].n == 3
    assert spreads["auc"] == Spread(0.75, pytest.approx(math.sqrt(1 / 8)), 2)


def test_summarise_repeats_of_ten_that_agree_is_without_deviation():
    spread = summarise_repeats([{"auc": 0.95}] * 10)["auc"]
    assert spread == Spread(mean=0.95, sd=0.0, n=10)


def test_summarise_repeats_of_too_few_values_is_undefined():
    spreads = summarise_repeats([{"auc": 0.5, "f1": math.nan}])
    assert (spreads["auc"].mean, spreads["auc"].n) == (0.5, 1)
    assert math.isnan(spreads["auc"].sd)
    assert math.isnan(spreads["f1"].mean) and spreads["f1"].n == 0
    with pytest.raises(ValueError, match="at least one repetition"):
        summarise_repeats([])


def test_bootstrap_sums_draws_as_bootstrap_patients_does():
    patients = ["b", "a", "b", "c", "a", "b"]
    hits, n = np.array([1.0, 4, 0, 0, 2, 7]), np.array([3.0, 4, 1, 0, 5, 9])
    with np.errstate(invalid="ignore"):
        given = [
            bootstrap_patients(
                patients,
                lambda rows: {"recall": hits[rows].sum() / n[rows].sum()},
                seed=3,
            ),
            bootstrap_sums(
                patients,
                lambda drawn: {"recall": (drawn @ hits) / (drawn @ n)},
                seed=3,
            ),
        ]
    one, other = (each["recall"] for each in given)
    assert (one.low, one.high) == pytest.approx((other.low, other.high))
    assert one.low < one.high
    assert one.n_undefined == other.n_undefined > 0  # resamples of c alone


def test_bootstrap_sums_of_one_patient_says_nothing():
    intervals = bootstrap_sums(
        ["a", "a"], lambda drawn: {"images": drawn.sum(axis=1)}, seed=0, resamples=7
    )
    assert math.isnan(intervals["images"].low)
    assert intervals["images"].n_undefined == 7
    with pytest.raises(ValueError, match="at least one image"):
        bootstrap_sums([], lambda drawn: {}, seed=0)
