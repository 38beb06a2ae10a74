"""Tests of what a classifier's predictions say, with answers that are written down."""

import csv
import json
import math
import os

import numpy as np
import pytest
from matplotlib.text import Text
from pydicom.data import get_testdata_file

from spectjax import predict
from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.imaging.thorax import CropError, crop_thorax
from spectjax.inference import asking
from spectjax.inference.trained import TrainedModel
from spectjax.report import picture_parts
from spectjax.tasks.classification.findings import average, describe_diagnoses, diagnose
from spectjax.tasks.classification.picture import draw_diagnosis
from spectjax.tasks.views import SeenView
from tests.support.model_files import (
    CLASSIFIER,
    MODEL_INFO,
    SCALE,
    make_metadata,
    write_stablehlo,
)
from tests.support.nm_files import BOTH, detectors, write_nm
from tests.support.tiny_scans import ask, crop_stub, make_run, make_scan, read_json


def classify(counts):
    """Is as sure of metastasis, in percent, as the brightest pixel is bright."""
    metastasis = counts.max(axis=(1, 2, 3)) / 100
    return np.stack([1 - metastasis, metastasis], axis=1).astype(np.float32)


def make_model(input_hw=(8, 8), predict_probs=classify):
    return TrainedModel(predict_probs, MODEL_INFO, "classification", input_hw)


def make_view(percent, view="anterior", key="1", **changes):
    """A view that `classify` is so sure of; equal in file, patient and study."""
    fields = {"counts": np.full((12, 6), percent, np.float32), "view": view}
    fields |= {"image_key": key * 16, "study_key": "5" * 16}
    return make_scan(**(fields | changes))


@pytest.fixture
def predict_views(monkeypatch, tmp_path):
    """Predicts views with a crop of 6x4 pixels; returns the rows of the table.

    Pictures are left out: drawing them takes most of the time.
    """
    monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)

    def run(*examinations, flags=(), **kind):
        monkeypatch.setattr(asking, "crop_thorax", crop_stub(flags))
        ask(make_model(**kind), examinations, tmp_path)
        return read_rows(tmp_path)

    return run


def read_rows(folder):
    with (folder / "summary.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def probs_of(metastasis):
    return np.array([1 - metastasis, metastasis], np.float32)


@pytest.mark.parametrize(
    ("metastasis", "label", "log_odds"),
    [
        (0.75, "metastasis", math.log(3)),
        (0.25, "normal", -math.log(3)),
        (0.5, "normal", 0.0),  # a tie
    ],
)
def test_diagnose_gives_label_and_log_odds(metastasis, label, log_odds):
    diagnosis = diagnose(probs_of(metastasis))
    assert diagnosis.label == label
    assert diagnosis.log_odds == pytest.approx(log_odds, abs=1e-6)
    assert diagnosis.probability == pytest.approx(metastasis, abs=1e-6)


def test_diagnose_stays_finite_where_a_probability_is_rounded_to_zero():
    sure, unsure = diagnose(np.float32([0, 1])), diagnose(np.float32([1, 0]))
    assert sure.log_odds == -unsure.log_odds == pytest.approx(87.3, abs=0.1)
    assert (sure.probability, unsure.label) == (1, "normal")
    assert 0 < unsure.probability < 1e-37


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (np.zeros((4, 4, 2), np.float32), r"classes normal, metastasis.*\(4, 4, 2\)"),
        (np.float32([0.1, 0.2, 0.7]), "gave an array of shape"),
        (np.float32([np.nan, 0.5]), "not finite"),
    ],
)
def test_diagnose_refuses_what_are_no_two_probabilities(probs, message):
    with pytest.raises(ValueError, match=message):
        diagnose(probs)


def test_average_is_the_softmax_of_the_mean_logits():
    logits = np.array([[0.3, 1.7], [2.0, -0.5], [-1.0, 0.25]])
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = average([diagnose(p.astype(np.float32)) for p in probs])
    normal, metastasis = np.exp(logits.mean(axis=0))
    assert found.probability == pytest.approx(metastasis / (normal + metastasis))


def test_two_views_count_by_their_odds(predict_views, tmp_path):
    # Odds of 9 and 1 have the geometric mean 3: the probability is 3 / 4.
    rows = predict_views([make_view(90), make_view(50, "posterior", "2")])
    assert [float(row["probability"]) for row in rows] == pytest.approx([0.9, 0.5])
    assert [row["label"] for row in rows] == ["metastasis", "normal"]
    for row in rows:
        assert float(row["examination_probability"]) == pytest.approx(0.75)
        assert (row["examination_views"], row["examination_label"]) == (
            "2",
            "metastasis",
        )
    document = read_json(tmp_path / "IM1_posterior.json")
    assert document["diagnosis"]["label"] == "normal"
    assert document["diagnosis"]["probability"] == pytest.approx(0.5)
    assert document["examination"]["log_odds"] == pytest.approx(math.log(3))
    first, second = document["examination"]["views"]
    assert (first["name"], second["name"]) == ("IM1_anterior", "IM1_posterior")
    assert (first["view"], second["view"]) == ("anterior", "posterior")
    found = [first["probability"], second["probability"]]
    assert found == pytest.approx([0.9, 0.5])


def test_patients_with_files_of_one_name_stay_apart(predict_views, tmp_path):
    first = [
        make_view(90, key="1", path="a/IM1.dcm"),
        make_view(90, "posterior", "3", path="a/IM1.dcm"),
    ]
    rows = predict_views(first, [make_view(20, key="2", path="b/IM1.dcm")])
    assert [row["name"] for row in rows] == [
        f"IM1_anterior_{'1' * 16}",
        f"IM1_posterior_{'3' * 16}",
        f"IM1_anterior_{'2' * 16}",
    ]
    assert [row["examination"] for row in rows] == ["1", "1", "2"]
    found = [float(row["examination_probability"]) for row in rows]
    assert found == pytest.approx([0.9, 0.9, 0.2])
    assert {path.name for path in tmp_path.glob("*.json")} == {
        f"{row['name']}.json" for row in rows
    }


def test_a_follow_up_is_an_examination_of_its_own(predict_views):
    rows = predict_views([make_view(90)], [make_view(10, key="2")])
    assert [row["examination"] for row in rows] == ["1", "2"]
    found = [float(row["examination_probability"]) for row in rows]
    assert found == pytest.approx([0.9, 0.1])


def test_a_posterior_view_alone_counts_alone(predict_views, capsys):
    (row,) = predict_views([make_view(80, "posterior")])
    assert (row["view"], row["examination_views"]) == ("posterior", "1")
    assert float(row["examination_probability"]) == pytest.approx(0.8)
    assert capsys.readouterr().out == (
        "IM1_posterior: posterior view, metastasis, probability of metastasis 0.800\n"
    )


def test_a_view_without_thorax_does_not_count(monkeypatch, tmp_path, capsys):
    def refuse(scan):
        if scan.view == "posterior":
            raise CropError("b.dcm: no body")
        return crop_stub()(scan)

    monkeypatch.setattr(asking, "crop_thorax", refuse)
    monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)
    scans = [make_view(80), make_view(10, "posterior", "2", patient_key="c" * 16)]
    scans += [make_view(10, "posterior", "3")]
    assert ask(make_model(), [scans], tmp_path) == (1, 2, 0)
    (row,) = read_rows(tmp_path)
    assert (row["examination_views"], row["name"]) == ("1", "IM1_anterior")
    assert capsys.readouterr().err == "skipped: b.dcm: no body\n" * 2


def test_a_doubted_crop_is_told_everywhere(predict_views, tmp_path, capsys):
    (row,) = predict_views([make_view(80)], flags=("no neck", "no legs"))
    assert row["crop_flags"] == "no neck; no legs"
    document = read_json(tmp_path / "IM1_anterior.json")
    assert document["crop"]["flags"] == ["no neck", "no legs"]
    assert document["examination"]["views"][0]["crop_flagged"] is True
    assert "CROP FLAGGED: no neck; no legs" in capsys.readouterr().out


def test_a_flagged_crop_never_has_a_plain_label(predict_views, tmp_path, capsys):
    (row,) = predict_views([make_view(20)], flags=("no neck",))
    document = read_json(tmp_path / "IM1_anterior.json")
    said = [row["label"], row["examination_label"], document["diagnosis"]["label"]]
    assert {*said, document["examination"]["label"]} == {"normal (crop in doubt)"}
    assert document["diagnosis"]["in_doubt"] is True
    assert "view, normal (crop in doubt), probability" in capsys.readouterr().out
    view = SeenView("a", crop_stub(("no neck",))(make_view(20)), (4, 4), probs_of(0.2))
    figure = describe_diagnoses([view], MODEL_INFO)[0].draw()
    labels = [t.get_text() for t in figure.findobj(Text) if "normal" in t.get_text()]
    assert labels == ["Label of this view: normal (crop in doubt)"]


def test_an_examination_with_one_flagged_crop_has_no_plain_label_either():
    thorax = [crop_stub(flags)(make_view(20)) for flags in ((), ("no neck",))]
    views = [SeenView("a", each, (4, 4), probs_of(0.2)) for each in thorax]
    sound, doubtful = (each.document for each in describe_diagnoses(views, MODEL_INFO))
    assert sound["diagnosis"]["label"] == "normal"
    assert doubtful["diagnosis"]["label"] == "normal (crop in doubt)"
    for document in (sound, doubtful):
        assert document["examination"]["label"] == "normal (crop in doubt)"


def test_the_model_sees_the_centre_and_the_lost_rim_is_noted(predict_views, tmp_path):
    seen = []

    def remember(counts):
        seen.append(counts[0, :, :, 0])
        return classify(counts)

    counts = np.arange(72, dtype=np.float32).reshape(12, 6)
    # Rows 3 to 8 of the frame are canvas rows 1 to 6, of which 2 to 5 are the centre.
    (row,) = predict_views(
        [make_view(0, counts=counts)], input_hw=(4, 4), predict_probs=remember
    )
    np.testing.assert_array_equal(seen[0], counts[4:8, 1:5])
    note = "the model sees 4x4 pixels of a crop of 6x4: 2 rows and 0 columns"
    document = read_json(tmp_path / "IM1_anterior.json")
    assert document["input"]["hw"] == [4, 4]
    assert document["input"]["notes"][0].startswith(note)
    assert row["notes"].startswith(note)


def test_a_crop_that_fits_has_no_note(predict_views, tmp_path):
    (row,) = predict_views([make_view(80)], input_hw=(6, 4))
    assert read_json(tmp_path / "IM1_anterior.json")["input"]["notes"] == []
    assert row["notes"] == ""


def test_predictions_hold_no_pseudonym_of_patient_or_study(predict_views, tmp_path):
    predict_views([make_view(80, path="secret/IM1.dcm")])
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for key in (b"0f" * 8, b"5" * 16, b"secret"):
        assert key not in written
    assert b"not a medical device" in written


def test_the_picture_says_what_the_table_says():
    thorax = crop_stub(("no neck",))(make_view(90))
    views = [SeenView("a", thorax, (4, 4), probs_of(p)) for p in (0.9, 0.5)]
    figure = describe_diagnoses(views, MODEL_INFO)[0].draw()
    words = "\n".join(text.get_text() for text in figure.findobj(Text))
    for text in ("0.900", "0.750", "all 2 views", "Label of this view: metastasis"):
        assert text in words
    for text in ("IM1.dcm: anterior view", "Crop flagged: no neck", "6x4: 2 rows"):
        assert text in words
    assert "trained on simulated patients" in words
    assert "not a medical device" in words


def test_the_bars_are_as_long_as_the_probabilities():
    scan = make_view(90, synthetic=True)
    figure = draw_diagnosis(
        SeenView("a", crop_stub()(scan), (4, 4), None),
        probabilities={"this view": 0.25, "both": 0.625},
        label="normal",
        warnings=[],
    )
    widths = [patch.get_width() for patch in figure.axes[-1].patches]
    assert widths == [1, 1, 0.25, 0.625]
    words = "\n".join(text.get_text() for text in figure.findobj(Text))
    assert "SYNTHETIC DATA" in words


def test_run_diagnoses_a_real_scan_with_an_exported_model(tmp_path, capsys):
    scan = get_testdata_file("JPEG2000.dcm")
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"no DICOM file")
    model = tmp_path / "model.stablehlo.zip"
    metadata = make_metadata((192, 160), **CLASSIFIER)
    write_stablehlo(model, metadata, (192, 160), whole=True)
    predict.run([scan, broken], model=model, output_dir=tmp_path / "out")

    names = ["JPEG2000_anterior.json", "JPEG2000_anterior.png", "summary.csv"]
    assert sorted(os.listdir(tmp_path / "out")) == names
    counts = crop_thorax(find_bone_scans([scan])[0][0]).counts
    # That model's probability is the mean of what it sees of the canvas, by SCALE.
    expected = counts[32:224, 48:208].mean(dtype=np.float64) / SCALE
    document = json.loads((tmp_path / "out" / names[0]).read_text())
    assert document["diagnosis"]["probability"] == pytest.approx(expected, rel=1e-5)
    assert document["examination"]["probability"] == pytest.approx(expected, rel=1e-5)
    assert document["model"]["model"] == "by_hand"
    out, err = capsys.readouterr()
    assert "1 views written to" in out and "1 files skipped." in out
    assert "broken.dcm" in err


def test_run_groups_the_files_of_a_patient(tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "crop_thorax", crop_stub())
    monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)
    workdir = make_run(tmp_path, monkeypatch, make_model())
    scans = tmp_path / "scans"
    scans.mkdir()
    bright, dark = (
        np.full((1, 12, 6), 90, np.uint16),
        np.full((1, 12, 6), 50, np.uint16),
    )
    both = np.concatenate([dark, dark])
    front = {"DetectorInformationSequence": detectors("anterior")}
    back = {"DetectorInformationSequence": detectors("posterior")}
    write_nm(scans / "1.dcm", bright, **front)
    write_nm(scans / "2.dcm", dark, **back)
    write_nm(
        scans / "3.dcm", both, **BOTH, PatientID="ID-4712", StudyInstanceUID="1.2.4"
    )
    write_nm(scans / "4.dcm", bright, **back, StudyInstanceUID="1.2.3")
    predict.run([scans], workdirs=[workdir], output_dir=tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    found = [(row["file"], row["frame"], row["examination"]) for row in rows]
    assert found == [
        ("1.dcm", "0", "1"),
        ("2.dcm", "0", "1"),
        ("3.dcm", "0", "2"),
        ("3.dcm", "1", "2"),
        ("4.dcm", "0", "3"),
    ]
    sure = [float(row["examination_probability"]) for row in rows]
    assert sure == pytest.approx([0.75, 0.75, 0.5, 0.5, 0.9])
