"""Finished runs of two models that segment, written by hand, and rows of tables."""

import json

from spectjax.config import base_config, save_config
from spectjax.metrics.lesions import THRESHOLDS
from spectjax.tasks.hotspots.case_tables import (
    format_lesions,
    format_regions,
    format_segmentation_cases,
)
from tests.support.segmentation_answers import make_answers

ALL = len(THRESHOLDS)


def make_config(name="unet_res", task="segmentation"):
    config = base_config()
    config.data.name = "segmentation_mixed"
    config.data.train_hw = (32, 32)
    config.model.name = name
    config.model.num_classes = 2
    config.model.features = (2, 4)
    config.model.batch_norm = False
    if task == "instance_segmentation":
        config.task, config.loss = task, "mask_rcnn"
        config.model = {"name": "mask_rcnn", "num_classes": 2}
    return config.lock()


def make_net(fold):
    """Finds every lesion; the outline of fold 4 is twice too large."""
    return make_answers(
        [f"m{fold}", f"n{fold}"],
        tp=[6, 0],
        fp=[6 if fold == 4 else 0, 0],
        fn=[0, 0],
        found=[ALL, None],
        false=[0, 0],
    )


def make_poor(fold):
    """Finds the lesion of fold 0 only, with a false region in every image."""
    return make_answers(
        [f"m{fold}", f"n{fold}"],
        tp=[3, 0] if fold == 0 else [0, 0],
        fp=[3, 5],
        fn=[3, 0] if fold == 0 else [6, 0],
        found=[ALL if fold == 0 else 0, None],
        false=[ALL, ALL],
    )


def write_run(folder, name, model, fold, cases, task="segmentation"):
    """Writes what matters of a finished run."""
    workdir = folder / f"{name}_fold{fold}"
    config = make_config(task=task).copy_and_resolve_references()
    config.data.name, config.data.fold = "segmentation_mixed_phantom", fold
    save_config(config, workdir / "config.json")
    (workdir / "train.csv").write_text("epoch,loss,PA,seconds\n1,0.5,0.9,90\n")
    (workdir / "eval").mkdir()
    for file, text in (
        ("cases.csv", format_segmentation_cases(cases)),
        ("lesions.csv", format_lesions(cases)),
        ("regions.csv", format_regions(cases)),
    ):
        (workdir / "eval" / file).write_text(text)
    metrics = {
        "task": task,
        "model": model,
        "data": {
            "name": "tfds_spect/segmentation_mixed_phantom",
            "split": f"fold{fold}",
            "synthetic": True,
            "leaking": False,
        },
    }
    (workdir / "eval" / "metrics.json").write_text(json.dumps(metrics))


def rows_of(table, name):
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return [cells for cells in lines if cells[0].startswith(name)]
