"""Scores of half chests, cut from phantoms, against scores counted by hand."""

import csv
import json
import types

import numpy as np
import pytest

from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.hotspots import Instances
from spectjax.imaging.thorax.crop import CANVAS_HW, crop_thorax
from spectjax.inference import runtimes
from spectjax.inference.trained import TrainedModel
from spectjax.system.messages import UserError
from tests.support.flagged_commands import run_in_process
from tests.support.model_files import expected_probs
from tests.support.operations import OPERATION
from tests.support.picture_files import save

# Label and grey value of the hottest 3x3 pixels of each patient's picture, in which the
# model below sees a metastasis with a probability of grey / 64.
HOTTEST = (
    *(("normal", 20), ("normal", 24), ("normal", 40), ("normal", 50)),
    *(("metastasis", 60), ("metastasis", 24), ("spinal metastasis", 48)),
)
# Of 12 pairs 60 wins 4, 48 wins 3, and 24 wins one and is level in one.
AUC = (4 + 3 + 1.5) / 12
SCORES = {
    "auc": AUC,
    "sensitivity_at_90_specificity": 1 / 3,  # 60 alone is above all normals
    "normals_marked": 2 / 4,
    "sensitivity": 2 / 3,
}


@pytest.fixture(scope="module")
def halves(hospital, tmp_path_factory):
    """Right halves of a phantom's chest, dimmed, with one hot spot."""
    folder = tmp_path_factory.mktemp("halves")
    scan = read_bone_scans(sorted(hospital.rglob("*.dcm"))[0])[0]
    y0, x0, y1, x1 = crop_thorax(scan).transform.box
    half = scan.counts[y0:y1, x0 : (x0 + x1) // 2].astype(np.float64)
    # However hot the hottest place of this patient is.
    brightest = np.quantile(half[half > 0], 0.9)
    half = np.round(np.minimum(half / brightest, 1) * 19).astype(np.uint8)
    rows = ["file,patient,view,label"]
    for patient, (label, grey) in enumerate(HOTTEST):
        for view in ("anterior", "posterior"):
            picture = half.copy()
            picture[50:53, 20:23] = grey
            picture[0, 0] = 2  # noise of the background
            picture = picture if view == "anterior" else picture[:, ::-1]
            save(folder / f"{patient}_{view}.png", picture)
            rows.append(f"{patient}_{view}.png,{patient},{view},{label}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def mark_pixels(counts):
    return expected_probs(counts).astype(np.float32)


def mark_instances(counts):
    """One instance, the hottest pixels, and a row that fills up."""
    hottest = counts.max(axis=(1, 2, 3))
    masks = counts[..., 0] == hottest[:, None, None]
    boxes = np.array([[0, 0, 1, 1]] * 2, np.float32)
    return Instances(
        boxes=np.repeat(boxes[None], len(counts), 0),
        scores=np.stack([hottest / 64, 0.99 + 0 * hottest], 1).astype(np.float32),
        labels=np.ones((len(counts), 2), np.int32),
        valid=np.repeat([[True, False]], len(counts), 0),
        masks=np.stack([masks, masks], 1),
    )


def label_image(counts):
    metastasis = counts.max(axis=(1, 2, 3)) / 64
    return np.stack([1 - metastasis, metastasis], -1).astype(np.float32)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a run, what its model was asked about, and how to exchange it."""
    found = types.SimpleNamespace(folder=tmp_path / "run", asked=[], hw=CANVAS_HW)
    found.task, found.answer, found.operation = "segmentation", mark_pixels, None
    found.folder.mkdir()
    (found.folder / "config.json").write_text("{}")

    def load(folder):
        def predict(counts):
            found.asked.append(counts)
            return found.answer(counts)

        return TrainedModel(
            predict, {}, found.task, found.hw, operation=found.operation
        )

    monkeypatch.setattr(runtimes, "load_run", load)
    return found


def score(images, output, *arguments):
    flags = [f"--images={images}", f"--output_dir={output}"]
    run_in_process("scripts.score_chest_halves", *flags, *arguments)
    return json.loads((output / "halves.json").read_text())


def test_scores_are_those_counted_by_hand(halves, run, tmp_path, capsys):
    document = score(halves, tmp_path / "out", run.folder)
    assert (document["n_patients"], list(document["views"])) == (
        7,
        ["anterior", "posterior"],
    )
    for view in document["views"].values():
        assert (view["n_images"], view["n_abnormal"]) == (7, 3)
        found = view["models"][str(run.folder)]
        values = {name: each["value"] for name, each in found.items()}
        assert values == SCORES
        low, high = found["auc"]["interval"]
        assert 0 <= low < AUC < high == 1
    assert f"| {run.folder} | 0.708 (" in capsys.readouterr().out
    with (tmp_path / "out" / "halves.csv").open() as file:
        rows = list(csv.DictReader(file))
    log_odds = [float(np.log(grey / (64 - grey))) for _, grey in HOTTEST]
    found = [float(row["score"]) for row in rows[::2]]
    assert found == pytest.approx(log_odds, abs=1e-5)


@pytest.mark.parametrize(
    # Of the hottest places 60 has log-odds of 2.7, and balanced begins at 3.6.
    ("arguments", "normals", "abnormal"),
    [((), 0, 0), (("--operating_point=sensitive",), 2 / 4, 2 / 3)],
)
def test_a_model_that_knows_its_operating_points_marks_by_them(
    halves, run, tmp_path, arguments, normals, abnormal
):
    run.operation = OPERATION
    document = score(halves, tmp_path / "out", *arguments, run.folder)
    found = document["views"]["anterior"]["models"][str(run.folder)]
    assert found["auc"]["value"] == AUC
    assert found["normals_marked"]["value"] == normals
    assert found["sensitivity"]["value"] == abnormal


@pytest.mark.parametrize(
    ("task", "answer", "hw"),
    [
        ("instance_segmentation", mark_instances, CANVAS_HW),
        ("classification", label_image, (224, 128)),
    ],
)
def test_models_of_all_tasks_are_scored_alike(halves, run, tmp_path, task, answer, hw):
    run.task, run.answer, run.hw = task, answer, hw
    document = score(halves, tmp_path / "out", run.folder)
    found = document["views"]["posterior"]["models"][str(run.folder)]
    assert {name: each["value"] for name, each in found.items()} == SCORES
    assert run.asked[0].shape[1:3] == hw


def test_a_picture_lies_in_the_middle_of_zeros_without_its_noise(halves, run, tmp_path):
    score(halves, tmp_path / "out", run.folder)
    (counts,) = run.asked
    assert counts.shape == (14, *CANVAS_HW, 1)
    rows, columns = np.nonzero(counts[0, :, :, 0])
    assert counts[0][counts[0] > 0].min() > 2
    for places, size in zip((rows, columns), CANVAS_HW, strict=True):
        middle = (places.min() + places.max()) / 2
        assert abs(middle - size / 2) < 12


def test_a_mirrored_half_is_symmetric_with_the_spine_in_the_middle(
    halves, run, tmp_path
):
    document = score(halves, tmp_path / "out", run.folder, "--mirrored")
    (counts,) = run.asked
    np.testing.assert_array_equal(counts, counts[:, :, ::-1])
    # The spot, 20 px from the lateral edge of either view.
    hot = np.flatnonzero((counts[8, :, :, 0] == 60).any(axis=0))
    width = counts[8].any(axis=(0, 2)).sum()
    assert hot[0] - (256 - width) // 2 == pytest.approx(20, abs=3)
    np.testing.assert_array_equal(counts[8], counts[9])
    assert document["views"]["posterior"]["models"][str(run.folder)]["auc"][
        "value"
    ] == pytest.approx(AUC)


def test_features_made_by_hand_rank_the_hottest_spot_first(halves, tmp_path, capsys):
    models = score(halves, tmp_path / "out", "--baseline")["views"]["anterior"][
        "models"
    ]
    assert {name: each["auc"]["value"] for name, each in models.items()} == {
        "highest pixel over median": pytest.approx(AUC),
        "spot over its surroundings": pytest.approx(AUC),
    }
    assert all(each["normals_marked"]["value"] is None for each in models.values())
    assert capsys.readouterr().out.count("| – | – |") == 4  # they mark nothing


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda x: (x / "labels.csv").unlink(), "labels.csv"),
        (lambda x: (x / "a.png").unlink(), "a.png"),
        (lambda x: save(x / "a.png", np.zeros((9, 9, 3), np.uint8)), "mode RGB"),
        (lambda x: save(x / "a.png", np.zeros((300, 9), np.uint8)), "300x9"),
        (lambda x: (x / "a.png").write_bytes(b"no"), "cannot be read"),
        (lambda x: write_row(x, "a.png,1,anterior,odd"), "row 2: .*'odd'"),
        (lambda x: write_row(x, "a.png,1,left,normal"), "row 2: .*'left'"),
        (lambda x: write_row(x, "a.png,,anterior,normal"), "row 2: .*patient"),
        (lambda x: write_row(x, ""), "found none"),
    ],
)
def test_what_cannot_be_scored_is_named(tmp_path, spoil, said):
    save(tmp_path / "a.png", np.full((9, 9), 7, np.uint8))
    write_row(tmp_path, "a.png,1,anterior,normal")
    spoil(tmp_path)
    with pytest.raises(UserError, match=said) as caught:
        score(tmp_path, tmp_path / "out", "--baseline")
    assert "\n" not in str(caught.value)


def write_row(folder, row):
    (folder / "labels.csv").write_text(f"file,patient,view,label\n{row}\n")
