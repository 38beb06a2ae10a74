"""Folders of runs whose parameters are drawn, as training leaves them."""

import jax
import numpy as np

from spectjax.config import save_config
from spectjax.training.assembly import create_task
from spectjax.training.checkpoint import Checkpoints, Progress
from spectjax.training.optimizer import create_optimizer
from spectjax.training.step import create_train_state
from tests.support.config_files import CONFIGS, load


def make_config(name="unet_res", **changes):
    (path,) = (path for path in CONFIGS if path.stem == name)
    config = load(path, "smoke")
    config.update_from_flattened_dict(changes)
    return config.lock()


def draw_live(shapes, seed=0):
    """Kernels by He's rule, scales near one: no feature dies out, none is constant.

    No bias is zero, no variance one.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        values = rng.standard_normal(leaf.shape).astype(leaf.dtype)
        if len(leaf.shape) > 1:
            return values * np.float32(np.sqrt(2 / np.prod(leaf.shape[:-1])))
        return values / 10 + (path[-1].key in ("scale", "var"))

    return jax.tree_util.tree_map_with_path(draw, shapes)


def write_run(workdir, config, seed=0):
    """A run's folder as training leaves it after 9 steps, with random parameters."""
    optimizer = create_optimizer(config.optimizer, num_steps=1)
    image_hw = tuple(config.data.train_hw)
    shapes = jax.eval_shape(
        lambda key: create_train_state(create_task(config), optimizer, key, image_hw),
        jax.random.key(0),
    )
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    state = zeros.replace(
        step=np.int32(9),
        params=draw_live(shapes.params, seed),
        batch_stats=draw_live(shapes.batch_stats, seed),
    )
    save_config(config, workdir / "config.json")
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(9, state, Progress(data="made up"))
