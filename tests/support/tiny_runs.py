"""The smallest run of a U-Net-Res, and what is read of a run."""

import csv

import jax
import numpy as np

from spectjax.config import load_config
from spectjax.training.run import restore_state
from tests.support.config_files import UNETS, load


def make_config(**changes):
    """Two epochs of a U-Net-Res of one resolution, with few parameters."""
    config = load(UNETS[1], "smoke")
    config.data.batch_size = 2
    config.data.train_hw = (8, 8)
    config.model.features = (2,)
    config.num_epochs = 2
    config.update_from_flattened_dict(changes)
    return config.lock()


def read_state(workdir):
    config = load_config(workdir / "config.json")
    return restore_state(config, workdir)[0]


def read_log(workdir):
    with (workdir / "train.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)
