"""Runs and a data set whose every number a test of the checklists knows."""

import json
import shutil

from spectjax.config import save_config
from tests.support.data_sets import MOVED, make_image, write_data_set
from tests.support.untrained_runs import make_config
from tfds_spect.opening import open_data_set, read_content
from tfds_spect.prepare import locate

SPOT = (100, 90, 112, 104)
OTHER_SPOT = (150, 90, 160, 100)
SEGMENTATION = {
    "pixel": {"pooled": {"Dice": 0.5, "IoU": 0.25}},
    "lesion": {
        "n": 4,
        "found": 3,
        "false_regions": 2,
        "sensitivity": 0.75,
        "false_per_image": 2.0,
        "sensitivity_at": {"0.25": 0.5, "1": None},
        "by_size": {"below 20 mm": {"n": 4, "sensitivity": 0.75}},
    },
    "intervals": {
        "lesion.sensitivity": [0.5, 1.0],
        "lesion.sensitivity_at.0.25": [0.125, None],
        "resamples": 2000,
        "level": 0.95,
    },
}
CLASSIFICATION = {
    "image": {
        "auc": 0.875,
        "confusion": {"tp": 2, "fn": 1, "fp": 0, "tn": 3},
        "sensitivity_at_specificity": {"0.90": {"threshold": -0.5}},
        "intervals": {"auc": [0.625, 1.0]},
        "resamples": 2000,
        "level": 0.95,
    }
}


def write_data(data_dir, name="segmentation_smoke", **metadata):
    """Two of three patients with lesions train, one is held out; two are normal.

    A leaking one has a copy of the held-out patient's image among what trains.
    """
    held_out = make_image("p2", masks=[SPOT, OTHER_SPOT])
    first = make_image("p0", masks=[SPOT])
    normal = {"diagnosis": "normal", "evidence": "none"}
    if "leaking" in name:
        copy = make_image("p2", masks=[SPOT], copy=MOVED)
        content = {"train": [first, copy], "test": [held_out]}
    else:
        content = {
            "fold0": [held_out],
            "fold1": [first],
            "fold1_augmented": [make_image("p0", masks=[SPOT], copy=MOVED)],
            "fold2": [make_image("q1", view="posterior", masks=[SPOT])],
            "fold3": [make_image("q3", **normal)],
            "fold4": [make_image("q4", **normal)],
        }
    metadata = {"synthetic": True, "n_skipped": 2, "n_warned": 1} | metadata
    written = write_data_set(data_dir.parent / f"written_{name}", content, **metadata)
    folder = locate(name, data_dir)
    shutil.copytree(written, folder)
    return read_content(open_data_set(folder)).fingerprint


def write_run(workdir, model="unet_res", *, scores=SEGMENTATION, epochs=2, **changes):
    """A run of two epochs, `epochs` of them trained; without `scores` it has none."""
    changes = {"data.name": "segmentation_smoke", "num_epochs": 2} | changes
    config = make_config(model, **changes)
    save_config(config, workdir / "config.json")
    if epochs:
        rows = ["epoch,loss,seconds", "1,0.5,90", "2,0.25,30"][: epochs + 1]
        (workdir / "train.csv").write_text("\n".join([*rows, ""]))
    if scores is not None:
        metrics = {
            "task": config.task,
            "model": config.model.name,
            "data": describe_data(config),
            "n_images": 1,
            "n_patients": 1,
            "spectjax_version": "0.1.0",
            **scores,
        }
        (workdir / "eval").mkdir()
        (workdir / "eval" / "metrics.json").write_text(json.dumps(metrics))
    return workdir


def describe_data(config):
    return {
        "name": f"tfds_spect/{config.data.name}",
        "split": "fold0",
        "synthetic": True,
        "leaking": "leaking" in config.data.name,
        "fingerprint": config.data.fingerprint,
    }


def write_evaluation(folder, workdir, **info):
    """What `spectjax.evaluate` wrote about the model of a run, or of another one."""
    config = json.loads((workdir / "config.json").read_text())
    data = config["data"]
    metrics = json.loads((workdir / "eval" / "metrics.json").read_text()) | {
        "data": {
            "name": "tfds_spect/segmentation_originals",
            "split": "fold0",
            "synthetic": False,
        },
        "n_images": 40,
        "n_patients": 20,
        "subgroups": {
            "camera": {
                "Maker B. 2": {"n_images": 40, "n_patients": 20, "sensitivity": 0.5}
            }
        },
        "adjusted": {
            "measured_on": {"split": "fold1"},
            "points": {"specific": {"sensitivity": 0.625, "false_per_image": 0.25}},
        },
        "external": {
            "scored_model": {
                "name": workdir.name,
                "info": {
                    "model": config["model"]["name"],
                    "data": data["name"],
                    "data_fingerprint": data["fingerprint"],
                    "held_out_fold": data["fold"],
                    **info,
                },
            },
            "checked": [],
            "not_checked": ["patients of the training"],
            "left_out": {"learned from": 3},
        },
    }
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder
