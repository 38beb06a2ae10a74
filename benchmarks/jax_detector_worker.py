"""Measures our Mask R-CNN; a child of `benchmarks.detectors`."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import arrays, jax_worker
from benchmarks.detector_settings import LESIONS, SETTINGS
from benchmarks.processes import Measurement
from spectjax.models import create_model
from spectjax.ops.normalisation import normalise_by_range
from spectjax.tasks.hotspots.instance_segmentation import InstanceSegmentation
from spectjax.tasks.task import Task, Variables
from spectjax.training.parallel import AXIS

# Layers whose results are small in a fresh network: scores are near 0.5 then.
_SMALL = {"objectness", "deltas", "logits"}


def build(
    mode: str,
    *,
    threads: int,
    setting: str,
    num_classes: int,
    batch_size: int,
    side: int,
    dtype: str,
) -> Measurement:
    """Returns the measurement of a training `train` step or of an `inference`.

    The facts of an inference tell how many lesions it finds in the batch, each of which
    gets a mask.
    """
    chosen = SETTINGS[setting]
    fields = chosen.fields | {"num_classes": num_classes, "dtype": jnp.dtype(dtype)}
    if mode == "train":
        fields |= {"axis_name": AXIS}
    task = InstanceSegmentation(create_model("mask_rcnn", fields), normalise_by_range)
    variables = draw_variables(task, side)
    batch = arrays.synthesise_lesions(side, batch_size, LESIONS, chosen.lesion_px)
    if mode == "train":
        run, compile_s = jax_worker.build_training(task, variables, batch, gathers=True)
    else:
        predict = task.predict
        run, compile_s = jax_worker.build_inference(predict, variables, batch["images"])
    result: Any = run(1)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    facts = {"compile_s": compile_s, "parameters": parameters}
    if mode == "inference":
        facts["regions"] = int(result.valid.sum())
    return Measurement(run, facts, jax_worker.peak_bytes)


def draw_variables(task: Task, side: int) -> Variables:
    """Returns variables as of a fresh network, drawn by numpy.

    Blocks add little to their input: the features of an untrained network keep their
    size then, without statistics of normalisation that fit.
    """
    init = functools.partial(task.init, image_hw=(side, side))
    shapes = jax.eval_shape(init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(_draw, shapes)


def _draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> jax.Array:
    *_, layer, name = (entry.key for entry in path)
    if name in ("bias", "mean"):
        return jnp.zeros(leaf.shape, leaf.dtype)
    if name in ("scale", "var"):
        return jnp.full(leaf.shape, 0.2 if (layer, name) == ("norm3", "scale") else 1.0)
    values = arrays.draw_parameter(leaf.shape, np.dtype(leaf.dtype))
    if layer in _SMALL:
        values *= 1e-3 / np.sqrt(2 / np.prod(leaf.shape[:-1]))
    return jnp.asarray(values)
