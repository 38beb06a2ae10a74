"""Tests of `spectjax.cross_validate` with models that mark instances, on written runs.

One of two such models finds every lesion, the other that of fold 0 only.
"""

import json
import shutil

import numpy as np
import pytest

from spectjax import cross_validate, main
from spectjax.config import ConfigError, Faults
from spectjax.imaging.hotspots import bound_mask, encode_rle
from spectjax.tasks.hotspots.detections import DetectionCases, Outlines
from spectjax.tasks.hotspots.detections_file import write_detections
from spectjax.tasks.hotspots.metrics_sections import SegmentationFolds
from spectjax.tasks.hotspots.table import write_segmentation_table
from spectjax.training import run
from tests.support.segmentation_runs import (
    make_config,
    make_net,
    make_poor,
    rows_of,
    write_run,
)
from tests.support.typed_dicts import find_fault

pytestmark = pytest.mark.usefixtures("few_resamples")

MASK = np.zeros((10, 10), bool)
MASK[2:4, 2:5] = True
NOTHING = np.zeros((0, 4), np.float32)
DATA = {"name": "made up", "split": "fold0", "synthetic": True}


def make_outlines(*scores):
    """The one lesion or instance, as often as there are scores."""
    n = len(scores)
    boxes = np.array([bound_mask(MASK)] * n, np.float32) if n else NOTHING
    masks = [encode_rle(MASK)] * n
    return Outlines(boxes, np.ones(n, np.int32), np.array(scores, np.float32), masks)


def write_instance_run(folder, name, fold, cases, *, finds):
    write_run(folder, name, "mask_rcnn", fold, cases, "instance_segmentation")
    detections = DetectionCases(
        example_ids=cases.example_ids,
        patients=cases.patients,
        sizes=[(10, 10)] * 2,
        lesions=[make_outlines(1.0), make_outlines()],
        detections=[make_outlines(0.75) if finds else make_outlines(), make_outlines()],
    )
    path = folder / f"{name}_fold{fold}" / "eval" / "detections.json"
    write_detections(path, detections, DATA)


TASK = "instance_segmentation"


def make_configs():
    marking = {name: make_config(task=TASK) for name in ("mask", "blind")}
    return marking | {name: make_config() for name in ("net", "poor")}


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Nothing to train; no network to measure."""
    network = {"num_parameters": 7, "num_epochs": 1, "image_hw": [32, 32]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "train_and_evaluate", None)
        patch.setattr(run, "describe_network", lambda _: network)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with the runs of four models and what was made of them."""
    folder = tmp_path_factory.mktemp("runs")
    for fold in range(5):
        write_instance_run(folder, "mask", fold, make_net(fold), finds=True)
        write_instance_run(folder, "blind", fold, make_poor(fold), finds=fold == 0)
        write_run(folder, "net", "unet_res", fold, make_net(fold))
        write_run(folder, "poor", "kmeans", fold, make_poor(fold))
    assert cross_validate.cross_validate(make_configs(), folder) == []
    return folder


@pytest.fixture(scope="module")
def metrics(finished):
    return json.loads((finished / "metrics.json").read_text())


def test_models_of_both_tasks_stand_in_one_table(metrics):
    assert find_fault(metrics, SegmentationFolds) == ""
    models = metrics["models"]
    assert [model["task"] for model in models.values()] == [
        *["instance_segmentation"] * 2,
        *["segmentation"] * 2,
    ]
    assert metrics["task"] == "segmentation"
    # What the tables of the runs say, whatever the task.
    assert models["mask"]["pixel"] == models["net"]["pixel"]
    assert len(metrics["comparisons"]) == 6
    assert set(metrics["at_equal_sensitivity"][0]["models"]) == {"mask", "blind", "net"}


def test_detections_of_all_folds_are_scored_together(metrics):
    models = metrics["models"]
    assert "detection" not in models["net"] and "detection" not in models["poor"]
    mask, blind = models["mask"]["detection"], models["blind"]["detection"]
    assert (mask["n_lesions"], mask["n_detections"]) == (5, 5)
    assert mask["mask"]["AP50"] == mask["box"]["AP"] == 1.0
    # One of five lesions, and nothing false: 21 of 101 recalls are reached.
    assert blind["mask"]["AP50"] == pytest.approx(21 / 101)
    assert blind["folds"]["runs"]["mask.AP50"] == [1, 0, 0, 0, 0]
    assert blind["folds"]["scores"]["mask.AP50"]["mean"] == pytest.approx(0.2)


def test_detectors_are_compared_on_the_same_patients(metrics):
    (pair,) = metrics["detection_comparisons"]
    assert pair["models"] == ["mask", "blind"]
    difference = 1 - 21 / 101
    assert pair["differences"]["mask.AP50"] == pytest.approx(difference)
    low, high = pair["intervals"]["mask.AP50"]
    assert 0 < low < difference < high <= 1


def test_table_and_figures_show_detections_of_those_that_have_them(finished):
    table = (finished / "table.md").read_text()
    assert "paints the score of each over its mask" in table
    cells = rows_of(table, "blind")
    assert ["blind", "1", "masks"] in [row[:3] for row in cells]
    assert "0.2000 ± 0.4472" in [cell for row in cells for cell in row]
    last = rows_of(table, "mask − blind")[-1]
    assert last[1].startswith("**+0.792 (")
    figures = {path.name for path in (finished / "figures").iterdir()}
    assert figures == {
        *(f"burden_{name}.png" for name in ("mask", "blind", "net", "poor")),
        *("precision_recall_mask.png", "precision_recall_blind.png", "froc.png"),
    }


def test_a_table_without_instances_says_nothing_of_them(metrics):
    models = {name: metrics["models"][name] for name in ("net", "poor")}
    comparisons = [
        each for each in metrics["comparisons"] if each["models"] == ["net", "poor"]
    ]
    table = write_segmentation_table(
        metrics
        | {
            "models": models,
            "comparisons": comparisons,
            "detection_comparisons": [],
            "at_equal_sensitivity": [],
        }
    )
    assert rows_of(table, "net − poor")
    assert "## Detections" not in table and "paints" not in table


def test_a_classifier_stands_in_a_table_of_its_own():
    configs, faults = make_configs(), Faults()
    with configs["poor"].unlocked():
        configs["poor"].task = "classification"
    with configs["net"].unlocked():
        configs["net"].task = "detection"
    cross_validate.judge(configs, [0], faults)
    with pytest.raises(ConfigError) as error:
        faults.refuse()
    told = str(error.value)
    assert "poor: expected the task instance_segmentation as for mask, found" in told
    assert "net: --config.task='detection': known are segmentation, " in told


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "mask_fold0/eval/detections.json: expected det"),
        (
            lambda path: path.write_text(path.read_text().replace("m0_ant", "q0_ant")),
            "mask_fold0/eval/detections.json: expected the images of cases.csv beside",
        ),
    ],
)
def test_detections_that_do_not_fit_are_refused(finished, tmp_path, spoil, message):
    for fold in range(5):
        name = f"mask_fold{fold}"
        shutil.copytree(finished / name, tmp_path / name)
    spoil(tmp_path / "mask_fold0" / "eval" / "detections.json")
    configs = {"mask": make_configs()["mask"]}
    with pytest.raises(ValueError, match=message):
        cross_validate.cross_validate(configs, tmp_path)
