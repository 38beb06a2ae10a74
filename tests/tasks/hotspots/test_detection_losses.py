"""The five losses of Mask R-CNN by hand, over images and devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.models.learning_targets import Training
from spectjax.tasks.hotspots.detection_losses import (
    compute_detection_losses,
    smooth_l1,
)

compute = jax.jit(compute_detection_losses)

# Two images; three rows of anchors and of regions, the first may hold a lesion.
BOTH = jnp.array([True, True])
FOUND = Training(
    objectness=jnp.array([[0.0, 2.0, 9.0], [-1.0, 0.0, 9.0]]),
    anchor_positive=jnp.array([[True, False, False], [False, False, False]]),
    anchors_valid=jnp.array([[True, True, False], [True, False, False]]),
    anchor_deltas=jnp.zeros((2, 3, 4)),
    anchor_targets=jnp.zeros((2, 3, 4)).at[0, 0].set(jnp.array([1.0, 0.0, 0.05, 0.0])),
    logits=jnp.array([[[0.0, 0.0], [3.0, 0.0], [9.0, 0.0]], [[0.0, 1.0]] * 3]),
    labels=jnp.array([[1, 0, 0], [0, 0, 0]]),
    regions_valid=jnp.array([[True, True, False], [True, False, False]]),
    deltas=jnp.full((2, 3, 4), 0.5),
    targets=jnp.zeros((2, 3, 4)),
    mask_logits=jnp.zeros((2, 1, 2, 2)).at[0, 0, 0, 0].set(2.0),
    mask_targets=jnp.zeros((2, 1, 2, 2)).at[0, 0, 0, 0].set(1.0),
    lesions=jnp.array([1, 0]),
    covered=jnp.array([0, 0]),
    left_out=jnp.array([0, 0]),
)


def soft(x):
    """-log sigmoid(-x)."""
    return np.log1p(np.exp(x))


def test_the_five_losses_are_those_of_a_hand_count():
    found = compute(FOUND, BOTH)
    # Three anchors are sampled, and so are three regions.
    assert found["rpn_objectness"] == pytest.approx((soft(0) + soft(2) + soft(-1)) / 3)
    assert found["rpn_box"] == pytest.approx(((1 - 1 / 18) + 0.05**2 * 9 / 2) / 3)
    assert found["box_class"] == pytest.approx((soft(0) + soft(-3) + soft(1)) / 3)
    assert found["box_delta"] == pytest.approx(4 * (0.5 - 1 / 18) / 3)
    assert found["mask"] == pytest.approx((soft(-2) + 3 * soft(0)) / 4)


def test_images_that_do_not_count_change_nothing():
    first = jax.tree.map(lambda x: x[:1], FOUND)
    alone = compute(first, BOTH[:1])
    masked = compute(FOUND, jnp.array([True, False]))
    for name in alone:
        np.testing.assert_allclose(alone[name], masked[name], rtol=1e-6)


def test_an_image_without_lesions_has_finite_losses_and_gradients():
    empty = jax.tree.map(lambda x: x[1:], FOUND)

    def total(found):
        return sum(compute(found, BOTH[1:]).values())

    floats = {
        name: value
        for name, value in empty._asdict().items()
        if jnp.issubdtype(value.dtype, jnp.floating)
    }
    loss, gradients = jax.jit(
        jax.value_and_grad(lambda floats: total(empty._replace(**floats)))
    )(floats)
    assert loss == pytest.approx(soft(-1) + soft(1))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradients))


def test_nothing_sampled_at_all_gives_zero():
    found = compute(FOUND, jnp.array([False, False]))
    assert {name: float(x) for name, x in found.items()} == dict.fromkeys(found, 0.0)


def test_the_mean_over_devices_is_the_loss_of_the_whole_batch():
    whole = compute(FOUND, BOTH)
    parts = jax.tree.map(lambda x: x[:, None], FOUND)
    each = jax.jit(
        jax.vmap(
            lambda found: compute_detection_losses(found, jnp.ones(1, bool), "devices"),
            axis_name="devices",
        )
    )(parts)
    for name in whole:
        np.testing.assert_allclose(each[name].mean(), whole[name], rtol=1e-6)


def test_smooth_l1_meets_at_a_ninth_with_slope_one():
    slope = jax.vmap(jax.grad(lambda d: smooth_l1(jnp.stack([d] * 4), jnp.zeros(4))))
    np.testing.assert_allclose(
        slope(jnp.array([0.0, 1 / 18, 1 / 9, 5.0, -5.0])) / 4,
        [0, 0.5, 1, 1, -1],
        rtol=1e-5,
    )
