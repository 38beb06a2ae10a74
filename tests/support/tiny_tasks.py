"""The smallest run of each task: two epochs of three steps, up to two in a dispatch."""

import dataclasses

import numpy as np

from spectjax.recipes import (
    classification_config,
    mask_rcnn_config,
    skeleton_config,
    unet_config,
)
from tests.support.examples import make_examples

HW = (24, 24)
IMAGES, BATCH = 12, 4
VGG = {
    "stage_sizes": (1, 1),
    "features": (2, 4),
    "hidden": 4,
    "pool_hw": (2, 2),
    "activation": "relu",
    "batch_norm": True,
    "dropout": 0.5,
}
RECIPES = {
    "segmentation": lambda: unet_config("smoke", "unet_res"),
    "instance_segmentation": lambda: mask_rcnn_config("smoke", "mask_rcnn_att"),
    "classification": lambda: classification_config(
        "d3,smoke", "specs_v16", fields=VGG, modern={}, quick={}
    ),
    "skeleton": lambda: skeleton_config("smoke"),
}


def make_task(name, **changes):
    """Config and examples of the tiny run of a task; images are moved at each step."""
    config = RECIPES[name]()
    config.data.augmentation = "online"
    config.data.batch_size = BATCH
    config.data.train_hw = HW
    config.num_epochs = 2
    config.steps_per_dispatch = 2
    config.optimizer.average = 0.9
    if name == "instance_segmentation":
        config.model.stage_sizes = config.model.features = (2,)
        config.model.anchor_sizes = ((4, 6),)
    config.update_from_flattened_dict(changes)
    return config.lock(), _make_examples(sheets=name == "skeleton")


def _make_examples(*, sheets):
    """Images with up to two bright squares; every second one of no diagnosis."""
    rng = np.random.default_rng(0)
    masks = np.zeros((IMAGES, *HW), np.uint8)
    for i, mask in enumerate(masks):
        for top, left in rng.integers(2, 16, size=(1 + i % 2, 2)):
            mask[top : top + 5, left : left + 6] = 1 + sheets * i
    images = rng.poisson(4 + 40 * (masks > 0))
    return dataclasses.replace(
        make_examples(IMAGES, HW),
        images=images[..., None].astype(np.uint16),
        masks=masks,
        **({"labels": np.full(IMAGES, -1, np.int32)} if sheets else {}),
    )
