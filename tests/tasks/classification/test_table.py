"""Tests of `spectjax.tasks.classification.table`."""

import pytest

from spectjax.tasks.classification.table import (
    find_published,
    format_published,
    write_classification_table,
)

NAMES = ("accuracy", "precision", "recall", "specificity", "f1", "auc")
VALUES = (0.75, 2 / 3, 0.5, 0.9, 4 / 7, 0.875)
INTERVALS = {name: [0.25, 0.5] for name in (*NAMES, "average_precision")}
REACHED = {"sensitivity": 0.25, "interval": [0.125, 0.5], "threshold": 1.0}
SCORES = {
    "n": 9,
    "n_metastasis": 4,
    **dict(zip(NAMES, VALUES, strict=True)),
    "average_precision": 0.625,
    "intervals": INTERVALS,
    "sensitivity_at_specificity": {"0.90": REACHED, "0.95": REACHED},
}
SPREADS = {name: {"mean": 0.5, "sd": 0.0625, "n": 10} for name in NAMES}
METRICS = {
    "model": "specs_v24",
    "data": {
        "name": "tfds_spect/classification_d3_phantom",
        "split": "fold2",
        "synthetic": True,
        "leaking": False,
    },
    "n_images": 9,
    "n_patients": 7,
    "image": SCORES,
    "patient": SCORES | {"accuracy": 1.0, "precision": None},
    "by_diagnosis": {"normal": {"n": 5, "n_correct": 4, "recall": 0.8}},
    "by_view": {"anterior": {"n": 9, "auc": None}},
    "calibration": {
        "before": {"ece": 0.3, "brier": 0.25},
        "after": None,
        "temperature": None,
        "fitted_on": None,
    },
    "repeated": {"evaluations": 10, "scores": SPREADS},
}
REAL = METRICS | {"data": METRICS["data"] | {"synthetic": False}}


def make_models(**changes):
    model = METRICS | {
        "folds": {"scores": SPREADS},
        "network": {"num_parameters": 1234567, "num_epochs": 60, "image_hw": [9, 8]},
        "training_seconds": [60, 90, 1200, 30, 120],
    }
    data = METRICS["data"] | {"split": "5 folds"} | changes
    models = {"specs_v24": model, "mine": model | {"model": "specs_r34"}}
    return METRICS | {"data": data, "models": models}


def rows_of(table, start):
    """Cells of the rows whose first cell is `start`."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return [cells for cells in rows if cells[0] == start]


# As printed in [P2] Tables 6-9, typed from there.
@pytest.mark.parametrize(
    ("model", "data", "printed"),
    [
        ("specs_v21", "d1", "0.9190† 0.9750 0.8298 0.9844 0.8966 0.8688"),
        ("specs_d121", "d2", "0.9317 0.9634 0.8952 0.9670 0.9280 0.9745"),
        ("specs_v16", "d3", "0.9679 0.9824 0.9518 0.9835 0.9669 0.9909"),
        ("specs_v24", "d3", "0.9553 0.9848 0.2350† 0.9862 0.5320† 0.9713"),
        ("specs_v7", "d3", "0.8059† 0.9240 0.7932 0.9366† 0.8536 0.9267"),
    ],
)
def test_format_published_shows_what_is_printed(model, data, printed):
    (row,) = find_published(model, f"tfds_spect/classification_{data}_phantom")
    assert format_published(row)[0][2:] == printed.split()


# By hand: V24 326 of 353 found, 5 false; V7 280 and 341 of 717 right, 341 of 364.
@pytest.mark.parametrize(
    ("model", "corrected"),
    [
        ("specs_v24", "0.9553 0.9848 0.9235‡ 0.9862 0.9532‡ 0.9713"),
        ("specs_v7", "0.8661‡ 0.9240 0.7932 0.9368‡ 0.8536 0.9267"),
    ],
)
def test_format_published_corrects_misprints_from_the_counts(model, corrected):
    (row,) = find_published(model, "classification_d3")
    name, origin, *cells = format_published(row)[1]
    assert cells == corrected.split()
    assert name == row.classifier + ", corrected" and origin == "from its counts"


def test_find_published_gives_all_rows_for_data_of_our_own():
    rows = find_published("specs_r34", "hospital/classification")
    assert [row.dataset for row in rows] == ["D1", "D2", "D3"]
    assert find_published("unet", "classification_d3") == []


def test_write_classification_table_puts_our_rows_below_the_printed_one():
    table = write_classification_table(METRICS)
    printed, corrected = (
        rows_of(table, name)[0] for name in ("SPECS V24", "SPECS V24, corrected")
    )
    assert "Tables 8 and 9 (D3)" in printed[1]
    (ours,) = rows_of(table, "specs_v24, images")
    assert ours[2] == "0.7500 (0.250–0.500)"
    assert [cell[:6] for cell in ours[2:]] == [f"{value:.4f}" for value in VALUES]
    lines = table.splitlines()
    order = ["| SPECS V24 |", "| SPECS V24, corr", "| specs_v24, images"]
    places = [next(i for i, x in enumerate(lines) if x.startswith(o)) for o in order]
    assert places == sorted(places)
    (patients,) = rows_of(table, "specs_v24, patients")
    assert patients[2].startswith("1.0000") and patients[3] == "–"
    (repeated,) = rows_of(table, "specs_v24, 10 evaluations, ± SD")
    assert repeated[2:] == ["0.5000 ± 0.0625"] * 6
    assert "digits swapped in print" in table


def test_write_classification_table_labels_synthetic_data_only():
    (row,) = rows_of(write_classification_table(METRICS), "specs_v24, images")
    assert row[1] == "SYNTHETIC, tfds_spect/classification_d3_phantom fold2"
    assert "SYNTHETIC" not in write_classification_table(REAL)
    assert "not a medical device" in write_classification_table(REAL)


def test_write_classification_table_says_when_patients_leak():
    leaking = METRICS | {"data": METRICS["data"] | {"leaking": True}}
    table = write_classification_table(leaking)
    assert "SYNTHETIC, LEAKING" in rows_of(table, "specs_v24, images")[0][1]
    assert "**LEAKING**" in table and "Held out" not in table
    assert "LEAKING" not in write_classification_table(METRICS)
    assert "Held out: patients 7, images 9, of these metastasis 4" in (
        write_classification_table(METRICS)
    )


def test_write_classification_table_does_without_temperature_and_repeats():
    table = write_classification_table(METRICS | {"repeated": None})
    assert "evaluations" not in table
    assert "no images to fit a temperature T on" in table
    row = ["specs_v24", "0.3000", "0.2500", "–", "–", "–"]
    assert row in rows_of(table, "specs_v24")


def test_write_classification_table_gives_kinds_and_views():
    table = write_classification_table(METRICS)
    assert "| Classifier | normal (5) | anterior (9) |" in table
    assert ["specs_v24", "0.8000", "–"] in rows_of(table, "specs_v24")
    assert [
        "specs_v24",
        "0.6250 (0.250–0.500)",
        "0.2500 (0.125–0.500)",
        "0.2500 (0.125–0.500)",
    ] in rows_of(table, "specs_v24")


def test_of_several_models_puts_each_model_below_its_printed_row():
    table = write_classification_table(make_models())
    first = [line.split(" | ")[0] for line in table.splitlines() if line[:2] == "| "]
    assert first[:6] == [
        "| Classifier",
        "| SPECS V24",
        "| SPECS V24, corrected",
        "| specs_v24",
        "| SPECS R34",
        "| mine",
    ]
    ours = rows_of(table, "mine")
    assert ours[0][1] == "SYNTHETIC, tfds_spect/classification_d3_phantom 5 folds"
    assert ours[0][2] == "0.7500 (0.250–0.500)"
    assert ours[1][1].startswith("1.0000")  # by patient
    assert ours[2][1] == "0.5000 ± 0.0625"  # over folds
    assert ["mine", "1,234,567", "9x8", "60", "1.5 min"] in ours  # the median of five


def test_of_several_models_gives_the_range_of_temperatures():
    metrics = make_models()
    for model in metrics["models"].values():
        model["calibration"] = {
            "before": {"ece": 0.3, "brier": 0.25},
            "after": {"ece": 0.1, "brier": 0.125},
            "temperature": [1.5, 2.25, 1.25, 1.5, 1.5],
            "fitted_on": "T as said",
        }
    table = write_classification_table(metrics)
    row = ["mine", "0.3000", "0.2500", "1.25–2.25", "0.1000", "0.1250"]
    assert row in rows_of(table, "mine")
    assert "Calibration of the probabilities: T as said." in table
