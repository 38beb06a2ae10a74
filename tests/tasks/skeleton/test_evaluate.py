"""How well bones were found: scores by region and view, and what is written."""

import json
import types

import numpy as np
import pytest

from spectjax.bones.regions import NAMES
from spectjax.bones.sheet import UNKNOWN
from spectjax.evaluation.run import FinishedRun
from spectjax.input_pipeline import Examples
from spectjax.system.messages import UserError
from spectjax.tasks.skeleton.evaluate import evaluate
from spectjax.tasks.skeleton.folds import compare, refuse, summarise
from spectjax.tasks.skeleton.scores import LEAST_PX, count_overlaps, summarise_regions

K = len(NAMES) + 1
SKULL, RIBS = (1 + NAMES.index(name) for name in ("skull", "left ribs"))
pytestmark = pytest.mark.usefixtures("few_resamples")


def make_sheets():
    """Two sheets of 512x256, and what is found on them."""
    masks = np.zeros((2, 512, 256), np.uint8)
    masks[:, 10:20, 10:20] = SKULL  # 100 px from the front
    masks[:, 10:20, 140:150] = SKULL
    masks[:, 50 : 50 + LEAST_PX - 1, 10] = RIBS  # a sliver
    masks[1, :, 128:] = UNKNOWN
    found = masks.copy()
    found[0, 10:15, 10:20] = 0  # half of it: 2 50 / (100 + 50)
    found[0, 15:20, 20:30] = SKULL  # and 50 px beside it: 2 50 / (100 + 100)
    found[1, :, 128:] = 5
    return masks, found


def test_dice_is_of_each_view_and_of_what_is_known():
    overlaps = count_overlaps(*make_sheets())
    dice = overlaps.dice
    assert dice[0, 0, SKULL - 1] == 0.5 and dice[1, 0, SKULL - 1] == 1
    assert dice[0, 1, SKULL - 1] == 1 and np.isnan(dice[1, 1]).all()
    assert np.isnan(dice[:, 0, RIBS - 1]).all()  # a sliver decides nothing


def test_scores_are_means_over_examinations_and_pooled_over_pixels():
    overlaps = count_overlaps(*make_sheets())
    scores = summarise_regions(overlaps, ["a", "b"])
    skull = scores["by_view"]["anterior"]["skull"]
    assert (skull["n"], skull["dice"], skull["pooled"]) == (2, 0.75, 0.75)
    assert skull["interval"][0] == 0.5 and skull["interval"][1] == 1
    assert list(scores["by_view"]["posterior"]) == ["skull"]
    assert scores["mean"]["dice"] == 0.875 and scores["worst"]["dice"] == 0.75


@pytest.fixture
def run(tmp_path):
    masks, found = make_sheets()
    examples = Examples(
        images=masks[..., None].astype(np.uint16),
        masks=masks,
        labels=np.full(2, -1, np.int32),
        diagnoses=[],
        example_ids=["a_both", "b_anterior"],
        patients=["a", "b"],
        views=["both", "anterior"],
        spacing_mm=np.full((2, 2), np.nan, np.float32),
        synthetic=True,
        name="tfds_spect/skeleton_phantom",
        split="fold0",
        fingerprint="c0ffee",
    )
    answers = iter([found])
    model = types.SimpleNamespace(
        predict=lambda _: np.eye(K, dtype=np.float32)[next(answers)]
    )
    return FinishedRun(
        model=model,
        held_out=examples,
        num_classes=K,
        batch_size=2,
        output_dir=tmp_path / "run" / "eval",
        model_name="skeleton_unet",
        train_hw=(512, 256),
        dataset_info={"fingerprint": "c0ffee"},
    )


def test_a_run_leaves_scores_a_table_and_a_picture(run, tmp_path):
    metrics = evaluate(run)
    folder = run.output_dir
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert metrics["task"] == "skeleton" and metrics["n_patients"] == 2
    table = (folder / "table.md").read_text()
    assert "| skull | 0.7500 (0.500–1.000) | 0.7500 | 2 | 1.0000" in table
    assert "SYNTHETIC" in table
    cases = (folder / "cases.csv").read_text().splitlines()
    assert cases[1] == "a_both,a,anterior,skull,0.5000,100,100" and len(cases) == 4
    assert (folder / "figures" / "median.png").stat().st_size > 10_000

    folders = [run.output_dir.parent] * 2
    metrics = compare({"skeleton": folders}, {"skeleton": {"num_epochs": 0}}, tmp_path)
    (model,) = metrics["models"].values()
    assert summarise(model) == "Dice 0.8750, worst region 0.7500"
    assert "| skeleton | 0.8750 | 0.7500 |" in (tmp_path / "table.md").read_text()


def test_single_views_are_refused_in_a_line():
    with pytest.raises(UserError, match="found one of bones"):
        refuse([], {})
