"""Grad-CAM: which places of an image spoke for a class.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017. Images, rows, columns and classes are B, H, W and K; the last
feature map, from which the maps come, has h rows, w columns and D features.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from spectjax.tasks.task import Task, Variables

# What a model calls its last feature map, to `perturb` and to `sow`.
ACTIVATIONS = "activations"


def explain(
    task: Task, variables: Variables, images: jax.Array, *, category: int = 1
) -> tuple[jax.Array, jax.Array]:
    """Returns the log-odds of a class and the Grad-CAM maps that belong to them.

    With y the log-odds of the class and A^k the k-th feature of the last feature map,

        alpha_k = mean_ij dy / dA^k_ij        (Eq. 1)
        L = ReLU(sum_k alpha_k A^k)           (Eq. 2)

    Departure: Selvaraju et al. derive the logit of the class. Here it is the log-odds,
    of two classes the difference of the logits: a part that both logits share moves no
    probability and must not move the map either.

    A map that is zero everywhere is an answer: no place of the last feature map spoke
    for the class.

    Args:
        task: the classifier, with the normalisation of its images.
        variables: its `params` and `batch_stats`.
        images: counts, (B, H, W, 1).
        category: index of the class.

    Returns:
        Log-odds log p / (1 - p), float32, (B,), and maps >= 0 at the resolution of the
        last feature map, float32, (B, h, w).

    Raises:
        ValueError: if the model does not show its last feature map.
    """
    inputs = task.normalise(images)

    def run(**collections: Any) -> tuple[jax.Array, jax.Array]:
        logits, seen = task.model.apply(
            {**variables, **collections}, inputs, train=False, mutable=["intermediates"]
        )
        if ACTIVATIONS not in seen.get("intermediates", {}):
            raise ValueError(
                f"Expected a model that sows its last feature map as {ACTIVATIONS!r}, "
                f"got {type(task.model).__name__}."
            )
        return logits, seen["intermediates"][ACTIVATIONS][0]

    def sum_odds(change: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        logits, activations = run(perturbations={ACTIVATIONS: change})
        odds = find_log_odds(logits, category)
        return jnp.sum(odds), (odds, activations)

    shape = jax.eval_shape(run)[1]
    # No image of the batch bears on another's logits: one gradient serves them all.
    gradients, (odds, activations) = jax.grad(sum_odds, has_aux=True)(
        jnp.zeros(shape.shape, shape.dtype)
    )
    weights = jnp.mean(gradients.astype(jnp.float32), axis=(1, 2))  # (B, D)
    maps = jnp.einsum("bk,bhwk->bhw", weights, activations.astype(jnp.float32))
    return odds, jax.nn.relu(maps)


def find_log_odds(logits: jax.Array, category: int) -> jax.Array:
    """Returns log p / (1 - p) of one class, (B,), for logits (B, K)."""
    others = jnp.delete(logits, category, axis=1)
    return logits[:, category] - jax.nn.logsumexp(others, axis=1)


@partial(jax.jit, static_argnames="image_hw")
def enlarge(maps: jax.Array, image_hw: tuple[int, int]) -> jax.Array:
    """Returns maps (B, H, W) of an image's size, bilinear between the cells' centres.

    This only makes a picture: it shows no detail smaller than the cells. Cell (i, j) of
    maps (B, h, w) covers rows [iH/h, (i+1)H/h) and likewise columns.
    """
    shape = (maps.shape[0], *image_hw)
    return jax.image.resize(maps, shape, "bilinear", antialias=False)
