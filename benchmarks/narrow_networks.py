"""What narrow networks compute: the same numbers are expected of every device.

Every registered model, with few channels, takes some steps from the same weights on the
same images. Its losses, its first gradient and its prediction are compared with those
of a CPU. Imports what `benchmarks.workloads` does.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import arrays, jax_detector_worker, jax_worker, workloads
from benchmarks.gpu_plan import AS_IT_COMES, BFLOAT16, EXACT
from spectjax.imaging.hotspots import Instances
from spectjax.ops.convolution import compiler_options
from spectjax.tasks.task import LabelTask, Task, Variables
from spectjax.training.parallel import AXIS, LAYOUTS, Layout
from spectjax.training.step import run_steps, train_step

STEPS = 24
_IMAGES, _SIDE = 4, 64  # in the batch; pixels
_LESIONS, _LESION_PX = 4, (4.0, 16.0)  # in each image; smallest and largest diameter
_VGG = {"features": (8, 8, 16, 16, 16), "hidden": 32, "pool_hw": (3, 2)}
_MASK_RCNN = {
    "stage_sizes": (1, 1, 1, 1),
    "features": (4, 8, 8, 16),
    "pyramid_features": 16,
    "box_features": 32,
    "mask_features": 16,
    "pre_nms": (50, 50),
    "proposals": (40, 40),
    "roi_samples": 32,
    "detections": 10,
}
_FIELDS: dict[str, dict[str, Any]] = {
    "unet": {"features": (8, 16, 32)},
    "unet_res": {"features": (8, 16, 32)},
    "kmeans": {"restarts": 2},
    "mask_rcnn": _MASK_RCNN,
    "mask_rcnn_att": _MASK_RCNN | {"attention": "block"},
    "specs_r34": {"features": (8, 8, 16, 16)},
    "specs_d121": {"stage_sizes": (2, 2, 2, 2), "growth": 8, "stem_features": 8},
}
# Type, and precision of float32 products: a GPU takes TF32 unless asked.
_WAYS = {
    EXACT: ("float32", "highest"),
    AS_IT_COMES: ("float32", None),
    BFLOAT16: ("bfloat16", None),
}


def compute(name: str, way: str, *, layout: str = "jit") -> dict[str, np.ndarray]:
    """Computes with a narrow network.

    Args:
        name: of the model.
        way: one of `benchmarks.gpu_plan.WAYS`.
        layout: how training is spread over devices, a key of `LAYOUTS`.

    Returns:
        `prediction`, from the first weights: logits, or log-odds of what is found. If
        there is something to learn, of steps on one batch: `losses`, (`STEPS`,),
        `gradient`, that of the first step, and `weights` after the last. All float32.
    """
    dtype, precision = _WAYS[way]
    with jax.default_matmul_precision(precision):
        task = _create_task(name, dtype)
        variables = draw_variables(name, task)
        batch = synthesise(name)
        predict = jax.jit(_choose_output(task), compiler_options=compiler_options())
        found = {"prediction": predict(variables, batch["images"])}
        if jax.tree.leaves(variables["params"]):
            found |= _train(task, variables, batch, LAYOUTS[layout]())
        return {key: np.asarray(x, np.float32) for key, x in found.items()}


def _create_task(name: str, dtype: str) -> Task:
    fields = _VGG if name.startswith("specs_v") else _FIELDS[name]
    return workloads.create(name, fields, dtype, (_SIDE, _SIDE)).task


def draw_variables(name: str, task: Task) -> Variables:
    """Returns first weights; a detector's keep its scores and its loss moderate.

    With He's kernels and biases of one a Mask R-CNN's first loss is 190.
    """
    if name.startswith("mask_rcnn"):
        return jax_detector_worker.draw_variables(task, _SIDE)
    init = functools.partial(task.init, image_hw=(_SIDE, _SIDE))
    return jax.tree.map(
        lambda leaf: jnp.array(arrays.draw_parameter(leaf.shape, leaf.dtype)),
        jax.eval_shape(init, jax.random.key(0)),
    )


def _choose_output(task: Task) -> Callable[[Variables, jax.Array], jax.Array]:
    """Returns what gives numbers that are not rounded to 0 or 1."""
    if isinstance(task, LabelTask):
        return task.predict_logits
    return lambda variables, images: _find_log_odds(task.predict(variables, images))


def _find_log_odds(found: Instances) -> jax.Array:
    """Returns log-odds of the scores, 0 where nothing is found.

    Scores of a fresh network are all near 0.5, whatever is wrong below its heads.
    """
    return jnp.where(found.valid, jnp.log(found.scores / (1 - found.scores)), 0)


def synthesise(name: str) -> dict[str, np.ndarray]:
    """Returns the batch of a model.

    K-means sees counts to the power of 1.5: a count can lie exactly in the middle
    between two others, with which a search begins, and rounding decides then.
    """
    batch = arrays.synthesise_lesions(_SIDE, _IMAGES, _LESIONS, _LESION_PX)
    if name == "kmeans":
        batch["images"] = batch["images"].astype(np.float32) ** 1.5
    batch["labels"] = np.arange(_IMAGES, dtype=np.int32) % 2
    return batch


def _train(
    task: Task, variables: Variables, batch: Mapping[str, np.ndarray], layout: Layout
) -> dict[str, Any]:
    optimizer = optax.sgd(1e-3, momentum=0.9)
    step = functools.partial(train_step, task=task, optimizer=optimizer, axis_name=AXIS)
    run = layout.compile(
        functools.partial(run_steps, step=step, axis_name=AXIS), split_data=False
    )
    rows = np.tile(np.arange(_IMAGES, dtype=np.int32), (STEPS, 1))
    state = layout.place(jax_worker.begin(variables, optimizer))
    data, key = layout.place(dict(batch)), jax.random.key(1)
    losses: list[np.ndarray] = []
    for count in (1, STEPS - 1):
        state, sums = run(state, data, rows, np.int32(count), key)
        seen = layout.begin_fetch(state)()
        if not losses:
            gradient = seen.opt_state  # the momentum of the first step
        losses.append(layout.begin_fetch(sums)()["loss"][:count])
    return {
        "losses": np.concatenate(losses),
        "gradient": _join(gradient),
        "weights": _join(seen.params),
    }


def _join(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
