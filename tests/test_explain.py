"""Tests of `spectjax.explain`, with a run whose weights are random or set by hand."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from matplotlib.text import Text

from spectjax import explain
from spectjax.config import base_config, save_config
from spectjax.explanation import writing
from spectjax.explanation.drawing import Overlay, draw_explanation
from spectjax.explanation.explainer import Explainer
from spectjax.explanation.subjects import Subject, find_rows, pick_examples
from spectjax.explanation.writing import write_explanation, write_sanity
from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.imaging.hotspots import decode_rle
from spectjax.imaging.thorax import CropTransform, crop_thorax
from spectjax.inference.trained import load_run
from spectjax.input_pipeline import Examples
from spectjax.training.assembly import create_task
from spectjax.training.checkpoint import Checkpoints, Progress
from spectjax.training.optimizer import create_optimizer
from spectjax.training.step import create_train_state
from tests.support.page_files import Page
from tests.support.picture_files import save
from tests.support.thorax_pictures import draw_thorax, write_weak_view

HW = (160, 128)  # what the classifier sees; a cell has 16x16 pixels


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run that has not trained: one convolution, with random weights."""
    folder = tmp_path_factory.mktemp("run")
    config = base_config()
    config.task, config.data.name = "classification", "classification_d3_phantom"
    config.data.train_hw = HW
    config.model = {
        "name": "specs_v7",
        "num_classes": 2,
        "stage_sizes": (0, 0, 0, 0, 1),
        "features": (1, 1, 1, 1, 4),
        "hidden": 8,
        "pool_hw": (1, 1),
    }
    save_config(config, folder / "config.json")
    state = jax.jit(
        lambda key: create_train_state(
            create_task(config), create_optimizer(config.optimizer, 1), key, HW
        )
    )(jax.random.key(1))
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(0, jax.device_get(state), Progress("none"))
    return folder


def make_explainer(odds, maps, category=1):
    """An explainer whose answers are written down."""

    class Written(Explainer):
        def explain(self, images):
            rows = images[:, 0, 0].astype(int) - 1  # images tell their own number
            return np.array(odds)[rows], np.array(maps, np.float32)[rows]

    return Written(SimpleNamespace(input_hw=(8, 8), origin={}), category)


def make_subject(**changes):
    fields = {
        "name": "IM1_anterior",
        "title": "IM1.dcm: anterior view",
        "counts": np.ones((8, 8)),
        "corner": (2, 4),
        "source": {"image_key": "ab"},
        "spacing_mm": (2.0, 3.0),
        "synthetic": False,
    }
    return Subject(**(fields | changes))


def write_map(tmp_path, odds, evidence, category=1, **changes):
    written = make_explainer([odds], [evidence], category)
    return write_explanation(
        written, make_subject(**changes), odds, np.array(evidence, np.float32), tmp_path
    )


def read_json(path):
    return json.loads(path.read_text())


def test_explain_scans_takes_pictures_and_tells_of_weak_views(
    workdir, tmp_path, monkeypatch, capsys
):
    drawn = []
    save_figure = writing.save_figure
    monkeypatch.setattr(
        writing,
        "save_figure",
        lambda figure, path: (drawn.append(figure), save_figure(figure, path)),
    )
    save(tmp_path / "in" / "b.png", draw_thorax())
    write_weak_view(tmp_path / "in" / "a.dcm")
    table = "file,patient,view,label,region,spacing_mm\nb.png,P,POST,,thorax,unknown\n"
    table += "a.dcm,,,,thorax,\n"
    (tmp_path / "in" / "images.csv").write_text(table)
    load = explain._load

    def load_halves(*asked):
        explainer = load(*asked)
        explainer.run.info["trained_on_regions"] = "chest_half"
        return explainer

    monkeypatch.setattr(explain, "_load", load_halves)
    explain.explain_scans([tmp_path / "in"], workdir, tmp_path / "out", html=True)
    names = ("b_posterior", "a_posterior")
    documents = [read_json(tmp_path / "out" / f"{name}.json") for name in names]
    assert [each["source"]["region"] for each in documents] == ["thorax", "thorax"]
    assert documents[0]["source"]["view_evidence"] == "images.csv"
    words = " ".join(text.get_text() for text in drawn[1].texts)
    told = (capsys.readouterr().out, " ".join(documents[1]["warnings"]), words)
    for where in told:
        assert "by weak evidence: only the detector's start angle" in where
        assert "the model learned from chest halves alone, this is a thorax" in where
    (view,) = Page(tmp_path / "out" / "pages" / "a_posterior.html").read_data()["views"]
    assert view["weak_view"] and view["document"] == documents[1]
    # What the classifier sees of the canvas, on the picture's own pixels.
    y0, x0, y1, x1 = view["map_box"]
    assert (y1 - y0, x1 - x0) == HW
    height, width = view["counts"]["hw"]
    assert (y0 + y1 - height, x0 + x1 - width) == (0, 0)


def test_explain_scans_explains_every_view(workdir, hospital, tmp_path, capsys):
    paths = sorted(hospital.rglob("*.dcm"))[:1]
    (tmp_path / "broken.dcm").write_bytes(b"no DICOM file")
    output_dir = tmp_path / "out"
    explain.explain_scans([*paths, tmp_path / "broken.dcm"], workdir, output_dir)

    scans, _ = find_bone_scans(paths)
    assert sorted(os.listdir(output_dir)) == sorted(
        f"{scan.name}.{suffix}" for scan in scans for suffix in ("json", "png")
    )
    scan = scans[0]
    document = read_json(output_dir / f"{scan.name}.json")
    assert document["source"]["file"] == scan.path.name
    assert document["source"]["image_key"] == scan.image_key
    assert document["map"]["hw"] == [HW[0] // 16, HW[1] // 16]
    assert document["map"]["thorax"] == [48, 64, 208, 192]
    odds = document["log_odds"]
    assert document["probability"] == pytest.approx(1 / (1 + np.exp(-odds)))
    assert "not a medical device" in document["disclaimer"]
    out, err = capsys.readouterr()
    assert f"{len(scans)} views written to {output_dir}, 1 files skipped." in out
    assert len(err.splitlines()) == 1 and "broken.dcm" in err


def test_explainer_agrees_with_the_model_that_predicts(workdir, hospital):
    scans, _ = find_bone_scans(sorted(hospital.rglob("*.dcm"))[:1])
    thorax = crop_thorax(scans[0]).counts[48:208, 64:192]
    found = Explainer(load_run(workdir), 1)
    odds, maps = found.explain(np.stack([thorax] * 9))  # more than a batch
    probs = load_run(workdir).predict(thorax[None, :, :, None])
    assert 1 / (1 + np.exp(-odds)) == pytest.approx([probs[0, 1]] * 9, abs=1e-6)
    assert maps == pytest.approx(np.stack([maps[0]] * 9), rel=1e-4)


def test_explanation_tells_where_the_peak_lies(tmp_path):
    # Map of 2x2 cells of 4x4 pixels; its last cell is rows 4-8, columns 4-8 of the
    # image, rows 6-10 and columns 8-12 of the canvas. The crop of rows 3-9 and columns
    # 1-5 of the frame stands on rows 5-11 and columns 6-10 of a 16x16 canvas.
    transform = CropTransform((3, 1, 9, 5), (12, 6), (16, 16))
    document = write_map(
        tmp_path, 0.0, [[0.0, 0.1], [0.2, 0.4]], transform=transform, corner=(2, 4)
    )
    peak = document["peak"]
    assert (peak["cell"], peak["value"]) == ((1, 1), pytest.approx(0.4))
    assert peak["thorax"] == {
        "box": (6, 8, 10, 12),
        "centre": (8.0, 10.0),
        "centre_mm": (16.0, 30.0),
    }
    # Rows 4-8, columns 3-7 of the frame, of which the crop ends at column 5.
    assert peak["whole_body"] == {
        "box": (4, 3, 8, 5),
        "centre": (6.0, 4.0),
        "centre_mm": (12.0, 12.0),
    }
    assert read_json(tmp_path / "IM1_anterior.json")["map"]["cell_px"] == [4, 4]


def test_explanation_on_the_padding_has_no_place_in_the_body(tmp_path):
    counts = np.zeros((8, 8))
    counts[4:] = 1
    transform = CropTransform((3, 1, 5, 5), (12, 6), (16, 16))  # canvas rows 7 and 8
    document = write_map(
        tmp_path, 1.0, [[1.0, 0.0], [0.0, 0.0]], transform=transform, counts=counts
    )
    assert document["peak"]["whole_body"] is None
    assert any("not on the patient" in text for text in document["warnings"])


def test_explanation_without_evidence_says_so(tmp_path):
    document = write_map(tmp_path, -3.0, np.zeros((2, 2)), label=0)
    assert document["peak"] is None
    assert document["warnings"] == ["No evidence for metastasis in the last feature "
                                    "map."]  # fmt: skip
    assert document["truth"] == {"category": "normal", "peak_on_hotspot": None}


def test_explanation_against_the_verdict_says_so(tmp_path):
    evidence = [[1.0, 0.0], [0.0, 0.0]]
    said = write_map(tmp_path, 3.0, evidence)["warnings"]
    unsaid = write_map(tmp_path, -3.0, evidence)["warnings"]
    assert said == [] and "does not say metastasis" in unsaid[0]
    normal = write_map(tmp_path, 3.0, evidence, category=0)
    assert normal["category"] == "normal" and normal["warnings"] == []


@pytest.mark.parametrize(("row", "hit"), [(0, True), (4, False)])
def test_explanation_knows_whether_the_peak_lies_on_a_hotspot(tmp_path, row, hit):
    hotspots = np.zeros((8, 8), bool)
    hotspots[row, 3] = True
    document = write_map(
        tmp_path, 1.0, [[1.0, 0.0], [0.0, 0.0]], hotspots=hotspots, label=1
    )
    assert document["truth"] == {"category": "metastasis", "peak_on_hotspot": hit}


def test_explanation_leaves_a_prediction_alone(tmp_path):
    path = tmp_path / "IM1_anterior.json"
    path.write_text('{"hotspots": []}')
    with pytest.raises(ValueError, match="found another result. Choose another"):
        write_map(tmp_path, 1.0, np.eye(2))
    assert os.listdir(tmp_path) == [path.name]


def test_draw_explanation_says_what_it_is():
    overlay = Overlay(np.ones((8, 8)), np.zeros((8, 8)), hotspots=np.eye(8, dtype=bool))
    figure = draw_explanation(
        overlay,
        category="metastasis",
        title="a $1 scan",
        scores="P(metastasis) 0.930",
        warnings=["Crop flagged: no neck"],
        synthetic=True,
    )
    texts = "\n".join(text.get_text() for text in figure.findobj(Text))
    for words in ("a $1 scan", "0.930", "no neck", "SYNTHETIC", "the map is zero"):
        assert words in texts
    assert "not a medical device" in texts


def make_examples(labels, masks, images):
    names = [f"image{i}" for i in range(len(labels))]
    return Examples(
        images=np.array(images, np.float32)[..., np.newaxis],
        masks=np.array(masks, np.uint8),
        labels=np.array(labels, np.int32),
        diagnoses=["normal" if not label else "bone metastasis" for label in labels],
        example_ids=names,
        patients=["p0", *names[1:]],
        views=["anterior"] * len(labels),
        spacing_mm=np.full((len(labels), 2), np.nan, np.float32),
        synthetic=True,
        name="set",
        split="fold0",
        fingerprint="",
    )


@pytest.fixture
def examples():
    masks, numbers = np.zeros((4, 8, 8)), np.arange(1, 5)[:, None, None]
    masks[0, 0, 0] = masks[1, 0, 0] = masks[2, 7, 7] = 1
    return make_examples([1, 1, 1, 0], masks, np.ones((4, 8, 8)) * numbers)


def test_explain_held_out_scores_and_writes(examples, tmp_path, monkeypatch):
    odds = [2.0, 1.0, -1.0, -2.0]
    maps = np.zeros((4, 2, 2))
    maps[:, 0, 0] = 1
    maps[1] = np.eye(2)[::-1]
    monkeypatch.setattr(explain, "check_classifier", lambda _: None)
    monkeypatch.setattr(explain, "_load_held_out", lambda *_: examples)
    monkeypatch.setattr(explain, "_load", lambda *_: make_explainer(odds, maps))
    output_dir = tmp_path / "out"
    metrics = explain.explain_held_out(tmp_path, output_dir, num_examples=1, html=True)
    # Two are called metastasis; one of their maps peaks on the hotspot.
    assert metrics["pointing_game"] == {
        "n_images": 2,
        "n_patients": 2,
        "n_without_map": 0,
        "hits": 0.5,
        "chance": 0.25,
        "brightest_pixel": 1.0,
    }
    assert read_json(tmp_path / "out" / "metrics.json") == metrics
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.png")) == [
        "false_negative_1_image2",
        "true_negative_1_image3",
        "true_positive_1_image0",
    ]
    page = Page(output_dir / "pages" / "false_negative_1_image2.html")
    (view,) = page.read_data()["views"]
    assert view["map_box"] == [0, 0, 8, 8]
    (lesion,) = view["truth"]["lesions"]
    assert np.argwhere(decode_rle(lesion["mask"])).tolist() == [[7, 7]]


def test_pick_examples_takes_the_surest_of_each_outcome():
    labels = np.array([1, 1, 1, 0, 0, 0])
    odds = np.array([1.0, 3.0, 0.0, -2.0, 4.0, -5.0])
    assert pick_examples(labels, odds, 2) == {
        "true_positive": [1, 0],
        "false_negative": [2],
        "false_positive": [4],
        "true_negative": [5, 3],
    }


def test_find_rows_names_what_is_not_there(examples):
    assert find_rows(examples, ["image2", "image0"]) == [2, 0]
    with pytest.raises(ValueError, match=r"set, fold0: .* 4 examples.*found nobody"):
        find_rows(examples, ["image2", "nobody"])


def test_write_sanity_writes_figure_and_figures(workdir, hospital, tmp_path):
    scans, _ = find_bone_scans(sorted(hospital.rglob("*.dcm"))[:1])
    thorax = crop_thorax(scans[0]).counts[48:208, 64:192]
    found = Explainer(load_run(workdir), 1)
    other = Explainer(load_run(workdir), 0)
    subject = make_subject(counts=thorax, synthetic=True)
    # Of an untrained network one of the two maps may be zero, but not both.
    documents = (write_sanity(x, [subject], tmp_path) for x in (found, other))
    document = next(document for document in documents if document is not None)
    layers = [stage["layer"] for stage in document["stages"]]
    assert layers == ["head", "fc2", "fc1", "conv5_1"]
    assert document["images"] == ["IM1_anterior"]
    assert read_json(tmp_path / "sanity.json")["synthetic"] is True
    assert (tmp_path / "sanity.png").stat().st_size > 10_000


def test_write_sanity_without_a_map_writes_nothing(tmp_path):
    written = make_explainer([1.0], np.zeros((1, 2, 2)))
    assert write_sanity(written, [make_subject()], tmp_path) is None
    assert os.listdir(tmp_path) == []


def run_command(*arguments):
    command = [sys.executable, "-m", "spectjax.explain", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("task", ["segmentation", "instance_segmentation"])
def test_command_sends_a_run_that_marks_hotspots_to_predict(tmp_path, task):
    config = base_config()
    config.task = task
    save_config(config, tmp_path / "config.json")
    result = run_command(f"--workdir={tmp_path}", "--output_dir=out", "scan.dcm")
    assert result.returncode == 1
    assert f"whose task is {task}." in result.stderr
    assert f"python -m spectjax.predict --workdir={tmp_path}" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_command_takes_scans_or_examples(workdir, tmp_path):
    with pytest.raises(ValueError, match="or --held_out for the run's own data"):
        explain.explain_scans([], workdir, tmp_path)


def test_help_need_not_wait_for_jax():
    code = "import sys, spectjax.explain; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
