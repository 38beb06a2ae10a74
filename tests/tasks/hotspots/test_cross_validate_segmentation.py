"""Tests of `spectjax.cross_validate` for segmentation, on runs written by hand."""

import json

import pytest

from spectjax import main
from spectjax.cross_validate import cross_validate
from spectjax.metrics.lesions import THRESHOLDS
from spectjax.tasks.hotspots.folds import summarise
from spectjax.tasks.hotspots.metrics_sections import SegmentationFolds
from tests.support.segmentation_answers import make_answers
from tests.support.segmentation_runs import (
    make_config,
    make_net,
    make_poor,
    rows_of,
    write_run,
)
from tests.support.typed_dicts import find_fault

pytestmark = pytest.mark.usefixtures("few_resamples")

ALL = len(THRESHOLDS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with the runs of two models and what was made of them."""
    folder = tmp_path_factory.mktemp("runs")
    for fold in range(5):
        write_run(folder, "net", "unet_res", fold, make_net(fold))
        write_run(folder, "poor", "kmeans", fold, make_poor(fold))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "train_and_evaluate", None)  # nothing is left to train
        configs = {"net": make_config(), "poor": make_config()}
        assert cross_validate(configs, folder) == []
    return folder


@pytest.fixture(scope="module")
def metrics(finished):
    return json.loads((finished / "metrics.json").read_text())


def test_cross_validate_pools_the_held_out_images(metrics):
    assert find_fault(metrics, SegmentationFolds) == ""
    assert (metrics["task"], metrics["n_images"]) == ("segmentation", 10)
    assert (metrics["n_patients"], metrics["n_images_without_lesion"]) == (10, 5)
    net, poor = metrics["models"]["net"], metrics["models"]["poor"]
    assert net["pixel"]["pooled"]["IoU"] == pytest.approx(30 / 36)
    assert poor["pixel"]["pooled"]["IoU"] == pytest.approx(3 / (30 + 40))
    # Images without lesion count 1 where nothing is marked, and else 0.
    assert net["pixel"]["per_image"]["IoU"] == pytest.approx((5 + 4 + 0.5) / 10)
    assert poor["pixel"]["per_image"]["IoU"] == pytest.approx(1 / 3 / 10)
    assert (net["lesion"]["found"], poor["lesion"]["found"]) == (5, 1)
    assert poor["lesion"]["false_per_image"] == 1.0
    assert net["training_seconds"] == [90] * 5


def test_cross_validate_gives_the_spread_of_folds(metrics):
    folds = metrics["models"]["net"]["folds"]
    assert folds["runs"]["pooled_IoU"] == [1, 1, 1, 1, 0.5]
    assert folds["scores"]["pooled_IoU"]["mean"] == pytest.approx(0.9)
    assert folds["scores"]["pooled_IoU"]["sd"] == pytest.approx(0.05**0.5)
    poor = metrics["models"]["poor"]["folds"]
    assert poor["runs"]["sensitivity"] == [1, 0, 0, 0, 0]
    assert poor["runs"]["sensitivity_at_1"] == [1, 0, 0, 0, 0]


def test_cross_validate_says_which_model_is_better(metrics):
    (pair,) = metrics["comparisons"]
    assert pair["models"] == ["net", "poor"]
    assert pair["differences"]["per_image_IoU"] == pytest.approx(0.95 - 1 / 30)
    assert pair["differences"]["sensitivity_at_1"] == pytest.approx(0.8)
    (equal,) = metrics["at_equal_sensitivity"]
    assert (equal["reference"], equal["sensitivity"]) == ("poor", pytest.approx(0.2))
    assert equal["models"]["net"]["fraction"] == 0.0


def test_cross_validate_writes_table_and_figures(finished):
    files = {
        str(path.relative_to(finished))
        for path in finished.rglob("*")
        if path.is_file() and "_fold" not in str(path.relative_to(finished))
    }
    assert files == {
        "figures/burden_net.png",
        "figures/burden_poor.png",
        "figures/froc.png",
        "metrics.json",
        "table.md",
    }


def test_table_stands_beside_the_printed_one(finished):
    table = (finished / "table.md").read_text()
    printed = "printed in Lin 2020, Table 2"
    assert rows_of(table, "U-Net-Res") == [
        ["U-Net-Res", printed, "0.9818", "0.7721", "0.6788", "0.6103", "–", "0.5655"]
    ]
    assert rows_of(table, "K-means, K = 9")[0][-3] == "0.7421"
    pooled, per_image, with_lesion = rows_of(table, "net, ")[:3]
    source = "SYNTHETIC, tfds_spect/segmentation_mixed_phantom 5 folds"
    assert pooled[:2] == ["net, pooled", source]
    assert pooled[5].startswith("0.8333 (0.") and per_image[5].startswith("0.9500 (")
    assert with_lesion[5].startswith("0.9000 (")
    assert "**SYNTHETIC**" in table and "not a medical device" in table


def test_table_says_who_wins(finished):
    table = (finished / "table.md").read_text()
    found = rows_of(table, "net")
    assert ["net", "5 of 5"] in [row[:2] for row in found]
    assert "0.9000 ± 0.2236" in [cell for row in found for cell in row]
    (difference,) = rows_of(table, "net − poor")
    assert difference[2].startswith("**+0.917 (")
    # One false region in each image against none: no number is as large.
    assert ["net", "0.000"] in [row[:2] for row in found]
    assert "∞ (∞–∞)" in [cell for row in found for cell in row]
    assert "0.200 with 1.000 false regions per image" in table


def test_summarise_is_one_line(metrics):
    assert summarise(metrics["models"]["poor"]) == (
        "IoU 0.0429 pooled, 0.0333 per image; at 1 false region per image 0.200 of the "
        "lesions"
    )


def test_patients_without_a_lesion_have_a_table_too(tmp_path):
    for fold in range(5):
        pixels = {"tp": [0, 0], "fp": [0, 3], "fn": [0, 0]}
        cases = make_answers(
            [f"a{fold}", f"b{fold}"], **pixels, found=[None, None], false=[0, ALL]
        )
        write_run(tmp_path, "net", "unet_res", fold, cases)
        write_run(tmp_path, "poor", "kmeans", fold, cases)
    assert not cross_validate({"net": make_config(), "poor": make_config()}, tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())["models"]["net"]
    # One image of each fold is read rightly, of the other only pixels are false.
    assert summarise(found) == (
        "IoU 0.0000 pooled, 0.5000 per image; no lesion to find"
    )


def test_cross_validate_refuses_runs_of_other_images(tmp_path):
    for fold in range(5):
        write_run(tmp_path, "net", "unet_res", fold, make_net(fold))
        write_run(tmp_path, "poor", "kmeans", fold, make_poor(fold + 1))
    configs = {"net": make_config(), "poor": make_config()}
    with pytest.raises(ValueError, match="poor: expected runs that score every image"):
        cross_validate(configs, tmp_path)
